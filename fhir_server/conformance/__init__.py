"""Artifacts, validation and the CapabilityStatement."""

"""The fhir-server command line."""

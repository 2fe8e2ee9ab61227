"""FHIR search: syntax tree, parser, extraction, match."""

"""One file per FHIR operation."""

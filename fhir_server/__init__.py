"""A FHIR R4 server for appointment scheduling."""

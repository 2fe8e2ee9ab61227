"""The FHIR RESTful door."""

"""FHIR vocabulary: JSON, models, references, outcomes."""

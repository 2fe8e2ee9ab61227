"""Use cases of the access record."""

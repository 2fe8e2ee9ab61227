"""No query of these tests may walk a whole collection."""

from tests.scans import no_scans

__all__ = ["no_scans"]

"""The dialects of ``$hold`` and ``$book``, told apart by the names of the arguments; ours is the last resort."""

from __future__ import annotations

from fhir_server.fhir.parameters import Arguments
from fhir_server.rest.operations.dialects.argonaut import Argonaut
from fhir_server.rest.operations.dialects.canonical import Canonical
from fhir_server.rest.operations.dialects.dialect import Dialect
from fhir_server.rest.operations.dialects.ihe import Ihe

DIALECTS: tuple[Dialect, ...] = (Argonaut(), Ihe(), Canonical())


def dialect_of(given: Arguments) -> Dialect:
    """The first dialect that knows these names."""
    return next(one for one in DIALECTS if one.speaks(given))

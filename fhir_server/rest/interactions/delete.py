"""``delete``, https://hl7.org/fhir/R4/http.html#delete, also by criteria that match one resource at most."""

from __future__ import annotations

from fhir_server.rest.answer import Answer, accessed
from fhir_server.rest.context import Context
from fhir_server.services import conditional as by_criteria
from fhir_server.services import resources
from fhir_server.store.resources import Stored


async def delete(context: Context) -> Answer:
    """204 also for what is not there; the ETag is the deletion's version."""
    type_, id_ = context.segments[0], context.segments[1]
    return deleted(await resources.delete(context.world, context.caller, type_, id_, context.condition))


async def conditional(context: Context) -> Answer:
    """204 for one match or none; 412 for several, of which none is deleted."""
    type_ = context.segments[0]
    return deleted(await by_criteria.delete(context.world, context.caller, type_, context.query, context.condition))


def deleted(marker: Stored | None) -> Answer:
    """The answer to a deletion; None if there was nothing to delete."""
    if marker is None:
        return Answer(204)
    return Answer(204, b"", {"ETag": f'W/"{marker.version}"'}, accessed=accessed(marker, written=True))

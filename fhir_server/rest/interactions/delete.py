"""``delete``, https://hl7.org/fhir/R4/http.html#delete."""

from __future__ import annotations

from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.unbuilt import unbuilt
from fhir_server.services import resources


async def delete(context: Context) -> Answer:
    """204 also for what is not there; the ETag is the deletion's version."""
    marker = await resources.delete(
        context.world, context.caller, context.segments[0], context.segments[1], context.condition
    )
    return Answer(204, b"", {"ETag": f'W/"{marker.version}"'} if marker else {})


conditional = unbuilt

"""``patch``, https://hl7.org/fhir/R4/http.html#patch, also by criteria that match one resource."""

from __future__ import annotations

from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.patches import change_of
from fhir_server.rest.written import written
from fhir_server.services import conditional as by_criteria
from fhir_server.services import resources


async def patch(context: Context) -> Answer:
    """200 with the next version; nothing is written if any operation fails."""
    change = change_of(context.content_type, await context.body())
    result = await resources.patch(
        context.world, context.caller, context.segments[0], context.segments[1], change, context.condition
    )
    return written(context, result.stored, 200)


async def conditional(context: Context) -> Answer:
    """The same for the one resource that the criteria match; 404 where nothing does."""
    change = change_of(context.content_type, await context.body())
    result = await by_criteria.patch(
        context.world, context.caller, context.segments[0], context.query, change, context.condition
    )
    return written(context, result.stored, 200)

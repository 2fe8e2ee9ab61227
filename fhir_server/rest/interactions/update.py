"""``update``, https://hl7.org/fhir/R4/http.html#update, also creating under the client's id, and by criteria."""

from __future__ import annotations

from typing import Any

from fhir_server.errors import Category, problem
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.interactions.create import check_type
from fhir_server.rest.written import written
from fhir_server.services import conditional as by_criteria
from fhir_server.services import resources


async def update(context: Context) -> Answer:
    """200 with the next version (the same one if nothing changes), 201 if it was created."""
    resource = await content(context)
    result = await resources.update(context.world, context.caller, resource, context.segments[1], context.condition)
    return written(context, result.stored, 201 if result.created else 200)


async def conditional(context: Context) -> Answer:
    """The same for the one resource that the criteria match; 201 where nothing does."""
    resource = await content(context)
    result = await by_criteria.update(context.world, context.caller, resource, context.query, context.condition)
    return written(context, result.stored, 201 if result.created else 200)


async def content(context: Context) -> dict[str, Any]:
    """The body of an update.

    :raises Problem: 400 for another type or id than the URL's; where criteria select, the body may do without an id.
    """
    resource = await context.resource()
    type_ = context.segments[0]
    check_type(type_, resource)
    if len(context.segments) > 1 and resource.get("id") != context.segments[1]:
        raise problem(Category.INVALID, "the body's id is not the id of the URL", f"{type_}.id")
    return resource

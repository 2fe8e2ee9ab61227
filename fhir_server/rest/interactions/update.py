"""``update``, https://hl7.org/fhir/R4/http.html#update, also creating under the client's id."""

from __future__ import annotations

from fhir_server.errors import Category, problem
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.interactions.create import check_type
from fhir_server.rest.unbuilt import unbuilt
from fhir_server.rest.written import written
from fhir_server.services import resources


async def update(context: Context) -> Answer:
    """200 with the next version (the same one if nothing changes), 201 if it was created."""
    resource = await context.resource()
    type_, id_ = context.segments[0], context.segments[1]
    check_type(type_, resource)
    if resource.get("id") != id_:
        raise problem(Category.INVALID, "the body's id is not the id of the URL", f"{type_}.id")
    result = await resources.update(context.world, context.caller, resource, id_, context.condition)
    return written(context, result.stored, 201 if result.created else 200)


conditional = unbuilt

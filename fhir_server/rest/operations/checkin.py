"""``Appointment/[id]/$checkin``: the patient is there."""

from __future__ import annotations

from fhir_server.errors import Category, problem
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.idempotency import keyed
from fhir_server.rest.operations.arguments import arguments
from fhir_server.rest.operations.dialects.canonical import override
from fhir_server.rest.written import written
from fhir_server.services import attending


async def handle(context: Context) -> Answer:
    """200 with the Appointment, ``checked-in`` or ``arrived``."""
    given = await arguments(context)
    to = given.string("status") or "checked-in"
    if to not in {"arrived", "checked-in"}:
        raise problem(Category.INVALID, "status is arrived or checked-in", "status", "param-invalid")
    asked = attending.Asked(to=to, override=override(given), condition=context.condition)
    key = await keyed(context, "checkin", lambda stored, status: written(context, stored, status))
    return written(
        context, await attending.check_in(context.world, context.caller, context.segments[1], asked, key), 200
    )

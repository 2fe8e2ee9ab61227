"""``Appointment/[id]/$noshow``: the patient did not come."""

from __future__ import annotations

from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.idempotency import keyed
from fhir_server.rest.operations.arguments import arguments
from fhir_server.rest.operations.cancel import reason_of
from fhir_server.rest.written import written
from fhir_server.services import attending
from fhir_server.settings import CANONICAL

NO_SHOW_REASONS = f"{CANONICAL}CodeSystem/no-show-reason"


async def handle(context: Context) -> Answer:
    """200 with the Appointment, ``noshow``."""
    given = await arguments(context)
    asked = attending.Asked(reason=reason_of(given, "reason", NO_SHOW_REASONS), condition=context.condition)
    key = await keyed(context, "noshow", lambda stored, status: written(context, stored, status))
    stored = await attending.missed(context.world, context.caller, context.segments[1], asked, key)
    return written(context, stored, 200)

"""``Appointment/[id]/$confirm``: the patient will come."""

from __future__ import annotations

from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.idempotency import keyed
from fhir_server.rest.operations.arguments import arguments
from fhir_server.rest.written import written
from fhir_server.services import attending


async def handle(context: Context) -> Answer:
    """200 with the Appointment; the patient's participation is ``accepted``."""
    given = await arguments(context)
    patient = given.reference("patient", "Patient")
    asked = attending.Asked(patient.local(context.world.bases) if patient else "", condition=context.condition)
    key = await keyed(context, "confirm", lambda stored, status: written(context, stored, status))
    return written(
        context, await attending.confirm(context.world, context.caller, context.segments[1], asked, key), 200
    )

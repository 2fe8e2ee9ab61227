"""``Appointment/[id]/$undo``: the last ``$confirm``, ``$checkin`` or ``$noshow`` is taken back."""

from __future__ import annotations

from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.idempotency import keyed
from fhir_server.rest.operations.arguments import arguments
from fhir_server.rest.written import written
from fhir_server.services import attending


async def handle(context: Context) -> Answer:
    """200 with the Appointment in the state before."""
    await arguments(context)
    asked = attending.Asked(condition=context.condition)
    key = await keyed(context, "undo", lambda stored, status: written(context, stored, status))
    stored = await attending.undo(context.world, context.caller, context.segments[1], asked, key)
    return written(context, stored, 200)

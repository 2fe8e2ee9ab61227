"""``Appointment/[id]/$release``: a held time is free again at once."""

from __future__ import annotations

from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.written import written
from fhir_server.services.hold import release


async def handle(context: Context) -> Answer:
    """200 with the cancelled Appointment."""
    return written(context, await release(context.world, context.caller, context.segments[1]), 200)

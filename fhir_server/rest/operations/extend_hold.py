"""``Appointment/[id]/$extend-hold``: the owner keeps a time longer, as far as the policy allows."""

from __future__ import annotations

from dataclasses import replace

from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.operations.arguments import arguments
from fhir_server.rest.operations.dialects.canonical import expires
from fhir_server.rest.written import written
from fhir_server.services.hold import extend


async def handle(context: Context) -> Answer:
    """200 with the Appointment, its new ``held-until`` and ``Expires``."""
    given = await arguments(context)
    stored = await extend(context.world, context.caller, context.segments[1], given.duration("hold-duration"))
    answer = written(context, stored, 200)
    return replace(answer, headers={**answer.headers, **expires(stored)})

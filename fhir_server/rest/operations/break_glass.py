"""``Patient/[id]/$break-glass``: access in an emergency, for a while, with its reason, recorded as such."""

from __future__ import annotations

from datetime import UTC

from fhir_server.fhir.json import dump
from fhir_server.fhir.parameters import parameters
from fhir_server.fhir.temporal import format_instant
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.operations.arguments import arguments
from fhir_server.rest.operations.coded import only
from fhir_server.services.access.break_glass import PURPOSE, open_record

KNOWN = frozenset({"reason", "minutes"})


async def handle(context: Context) -> Answer:
    """200 with the instant until which the record is open to the caller."""
    given = await arguments(context)
    only(given, KNOWN)
    context.purpose = PURPOSE
    until = await open_record(
        context.world, context.segments[1], given.string("reason") or "", given.integer("minutes", 1)
    )
    found = parameters(("return", "Instant", format_instant(until, UTC)))
    return Answer(200, dump(found), patients=(f"Patient/{context.segments[1]}",))

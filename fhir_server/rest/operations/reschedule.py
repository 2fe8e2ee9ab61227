"""``Appointment/[id]/$reschedule``: the new time is taken before the old one is freed."""

from __future__ import annotations

from fhir_server.errors import Category, problem
from fhir_server.fhir.parameters import Arguments
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.idempotency import keyed
from fhir_server.rest.operations.arguments import arguments
from fhir_server.rest.operations.cancel import reason_of
from fhir_server.rest.operations.dialects.canonical import channel
from fhir_server.rest.written import written
from fhir_server.services.reschedule import Move, reschedule


async def handle(context: Context) -> Answer:
    """200 with the Appointment at its new time, under the same id."""
    given = await arguments(context)
    proposal = given.reference("appointment", "Appointment")
    move = Move(
        start=_instant(given, "start"),
        end=_instant(given, "end"),
        slots=tuple(one.key for one in given.references("slot", "Slot")),
        proposal=proposal.id if proposal else "",
        schedules=tuple(one.key for one in given.references("schedule", "Schedule")),
        reason=reason_of(given, "reason"),
        channel=channel(given),
        condition=context.condition,
    )
    key = await keyed(context, "reschedule", lambda stored, status: written(context, stored, status))
    return written(context, await reschedule(context.world, context.caller, context.segments[1], move, key), 200)


def _instant(given: Arguments, name: str) -> int | None:
    moment = given.instant_or_date(name)
    if moment is not None and moment.seconds is None:
        raise problem(Category.INVALID, f"{name} needs a time with an offset", name, "param-invalid")
    return moment.seconds if moment else None

"""``Appointment/[id]/$offer``: staff offer a time to somebody on the waitlist."""

from __future__ import annotations

from dataclasses import replace

from fhir_server.errors import Category, problem
from fhir_server.fhir.parameters import Arguments
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.operations.arguments import arguments
from fhir_server.rest.operations.coded import only
from fhir_server.rest.operations.dialects.canonical import expires
from fhir_server.rest.written import written
from fhir_server.services.waitlist.choosing import Choice, offer_to

KNOWN = frozenset({"appointment", "slot", "schedule", "service", "start", "offer-duration"})


async def handle(context: Context) -> Answer:
    """200 with the entry, which holds the time until ``Expires``."""
    given = await arguments(context)
    only(given, KNOWN)
    proposal = given.reference("appointment", "Appointment")
    schedule, service = given.reference("schedule", "Schedule"), given.reference("service", "HealthcareService")
    choice = Choice(
        proposal.id if proposal else "",
        tuple(one.key for one in given.references("slot", "Slot")),
        schedule.key if schedule else "",
        _start(given),
        service.key if service else "",
        given.duration("offer-duration"),
        context.condition,
    )
    stored = await offer_to(context.world, context.caller, context.segments[1], choice)
    answer = written(context, stored, 200)
    return replace(answer, headers={**answer.headers, **expires(stored)})


def _start(given: Arguments) -> int | None:
    moment = given.instant_or_date("start")
    if moment is not None and moment.seconds is None:
        raise problem(Category.INVALID, "start needs a time with an offset", "start", "param-invalid")
    return moment.seconds if moment else None

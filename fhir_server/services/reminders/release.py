"""Performer of ``release``: an appointment that nobody confirmed by the cut-off is given up, if the clinic wants that.

It is cancelled by the ordinary use case with a reason of its own; what follows (the patient is told, the waitlist is
asked) follows from that.
"""

from __future__ import annotations

from fhir_server.errors import Category, Problem
from fhir_server.log import get_logger
from fhir_server.services.access.policy import OWN
from fhir_server.services.cancel import Cancellation, cancel
from fhir_server.services.conditions import Condition
from fhir_server.services.following.performance import Again
from fhir_server.services.reminders import requests
from fhir_server.services.reminders.notices import RELEASED, RELEASED_SYSTEM
from fhir_server.services.reminders.visits import Visit, visit_of
from fhir_server.services.world import World
from fhir_server.store.resources import Stored
from fhir_server.store.unit import Unit
from fhir_server.store.work import Task

log = get_logger("reminders")
REASON = {"coding": [{"system": RELEASED_SYSTEM, "code": RELEASED}]}


async def release(world: World, task: Task) -> Again | None:
    """Give the time to others, unless the patient answered, the appointment moved, or nobody asked."""
    found = await world.store.resources.get("Appointment", task.key)
    visit = await visit_of(world, found) if found else None
    if found is None or visit is None or not _may(visit, task) or not await _was_asked(world, visit):
        return None
    asked = Cancellation(reason=REASON, condition=_exactly(found))
    try:
        await cancel(world, OWN.caller, visit.id, asked)
    except Problem as refused:
        if refused.category in {Category.PRECONDITION, Category.RULE, Category.GONE, Category.NOT_FOUND}:
            return None  # it changed in this moment: what follows from that plans anew
        raise
    log.info("an appointment that was not confirmed is released")
    return None


def _may(visit: Visit, task: Task) -> bool:
    unanswered = all(status in {"needs-action", "tentative"} for status in visit.patients.values())
    same = visit.status == "booked" and visit.start == task.about["start"]
    return same and len(visit.patients) == 1 and unanswered and visit.confirming.release


async def _was_asked(world: World, visit: Visit) -> bool:
    """Whether the question went out: nobody loses an appointment for an answer that was not asked for."""

    async def look(unit: Unit) -> bool:
        found = await requests.of_appointment(world, unit, visit.id)
        return any(
            one.kind == "confirmation-request" and one.status == "completed" and one.is_for(visit.start)
            for one in found.values()
        )

    return await world.store.units.run(look, now=world.now())


def _exactly(found: Stored) -> Condition:
    """Only if nobody changed it since."""
    return Condition(if_match=(str(found.version),))

"""The provider is told of a visit to which nobody came: an e-mail that names the time and no patient.

Work of kind ``no-show-told``, one for each provider of a suspected visit, planned in the transaction of the suspicion.
It is looked at once more before it goes out: a patient who came meanwhile is no news. Without an address, or with the
channel off, what is left is the mark on the Appointment and whoever subscribes to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fhir_server.fhir.json import parse
from fhir_server.log import get_logger
from fhir_server.remote.email import Email
from fhir_server.remote.sending import NotSent
from fhir_server.services.actors import reference_of
from fhir_server.services.following.performance import Again
from fhir_server.services.no_show.marks import suspected
from fhir_server.services.reminders.visits import visit_of
from fhir_server.services.world import World
from fhir_server.store.resources import Stored
from fhir_server.store.work import Plan, Task

TELL = "no-show-told"
SUBJECT = "Nobody has checked in"
TEXT = (
    "Nobody has checked in for your visit of {time}. Please note in the schedule whether the patient came: "
    "check in, or no-show.\n"
)

log = get_logger("no-show")


def plans(world: World, visit: Stored, resource: Mapping[str, Any], now: int) -> list[Plan]:
    """One for each provider who takes part; ``now`` in milliseconds."""
    names = {reference_of(one.get("actor"), world.bases) for one in resource.get("participant", ())}
    providers = sorted(one.partition("/")[2] for one in names if one.startswith("Practitioner/"))
    return [Plan(TELL, f"{visit.id}.{one}", now, {"appointment": visit.id, "practitioner": one}) for one in providers]


async def tell(world: World, task: Task) -> Again | None:
    """Performer of ``no-show-told``.

    :raises NotSent: the channel is away; it is tried again.
    """
    channel = world.channels.email
    found = await world.store.resources.get("Appointment", task.about["appointment"])
    visit = await visit_of(world, found) if found else None
    if channel is None or visit is None or visit.status != "booked" or not suspected(visit.resource):
        return None
    person = await world.store.resources.get("Practitioner", task.about["practitioner"])
    address = _address(parse(person.body)) if person and not person.deleted else ""
    if not address:
        return None
    time = datetime.fromtimestamp(visit.start, visit.zone)
    words = TEXT.format(time=f"{time:%Y-%m-%d %H:%M} ({visit.zone.key})")
    try:
        await channel.send(Email(f"no-show-{task.key}-{visit.start}", address, SUBJECT, words))
    except NotSent as refused:
        if not refused.permanent:
            raise
        log.info("provider not told", reason=refused.reason)
    return None


def _address(practitioner: Mapping[str, Any]) -> str:
    """The first e-mail address that is in use, one of work before others."""
    usable = [
        one for one in practitioner.get("telecom", ())
        if one.get("system") == "email" and one.get("value") and one.get("use") != "old"
    ]  # fmt: skip
    usable.sort(key=lambda one: one.get("use") != "work")
    return str(usable[0]["value"]) if usable else ""

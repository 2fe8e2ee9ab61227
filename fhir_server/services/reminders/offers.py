"""Performer of ``message``: what the waitlist has to say becomes a message by the patient's channels.

An offer that reaches nobody is noted as such: whoever looks at the entry sees why there was no answer.
"""

from __future__ import annotations

from fhir_server.fhir.json import parse
from fhir_server.fhir.temporal import instant_seconds
from fhir_server.scheduling.reminders import channels
from fhir_server.services.following.performance import Again
from fhir_server.services.reminders import requests
from fhir_server.services.reminders.people import person
from fhir_server.services.reminders.visits import Visit, patients_of, visit_of
from fhir_server.services.shapes import OWN
from fhir_server.services.waitlist.records import is_offer, offers_of
from fhir_server.services.world import World
from fhir_server.store.resources import Stored
from fhir_server.store.unit import Unit
from fhir_server.store.work import Task

OFFER = "offer"
"""The kind of message, of the CodeSystem *reminder-kind*."""

MEDIA = ("sms", "push", "email")
HELD_UNTIL = f"{OWN}held-until"
ENDED = "waitlist-offer-ended"


async def tell(world: World, task: Task) -> Again | None:
    """Let a patient be told of an offer, or of its end."""
    about = task.about
    found = await world.store.resources.version("Appointment", about["appointment"], about["version"])
    visit = await visit_of(world, found) if found else None
    patient = next(iter(visit.patients), "") if visit else ""
    receiver = await person(world, world.store.resources, patient, visit) if patient else None
    if visit is None or receiver is None:
        return None
    usable = receiver.usable(visit.policy.consent_required)
    media = channels(OFFER, MEDIA, receiver.preferences, usable)
    wanted = requests.wanted(visit, patient, f"{about['kind']}-{about['version']}", OFFER, world.now(), media)

    async def work(unit: Unit) -> None:
        known = await unit.get(requests.TYPE, wanted.id)
        if known is None:
            await requests.put(world, unit, wanted, None, world.clock())
            if not media:
                made = await unit.get(requests.TYPE, wanted.id)
                assert made is not None
                reason = "no channel reaches the patient"
                await requests.withdraw(world, unit, requests.read(made), world.clock(), reason)
        await world.store.work.settle(unit, task)

    await world.store.units.run(work, now=world.now())
    return None


def is_open(current: Stored, visit: Visit, start: int, now: int) -> bool:
    """Whether the time is still held for the patient who was offered it."""
    return is_offer(current.extra) and visit.start == start and current.extra["expires"] > now


def until(visit: Visit) -> int | None:
    """When an offer ends, in epoch seconds; None for what is no offer."""
    for one in visit.resource.get("extension", ()):
        if one.get("url") == HELD_UNTIL:
            return instant_seconds(one["valueInstant"])
    return None


def ended(world: World, found: Stored, patient: str) -> str:
    """How the last offer of a patient's entry ended: ``declined``, ``expired`` or ``withdrawn``.

    Empty where it is open or was taken, and for what never was an entry of theirs.
    """
    if found.deleted:
        return ""
    resource = parse(found.body)
    made = offers_of(resource, world.bases)
    if not made or patient not in patients_of(world, resource):
        return ""
    outcome = made[-1].outcome
    if outcome == "open":
        return "" if is_offer(found.extra) and found.extra["expires"] > world.now() else "expired"
    return "" if outcome == "accepted" else outcome

"""What follows from a change for the messages of an appointment: planned, moved, withdrawn.

It happens where facts are told, once for each version and in order. Reminders are planned from the appointment as it is
now; notices (booked, moved, cancelled) from what a version changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fhir_server.scheduling.reminders import FOLLOW_UP, plan
from fhir_server.services.actors import reference_of
from fhir_server.services.following.fact import Fact, Following
from fhir_server.services.reminders import communications, notices, requests
from fhir_server.services.reminders.people import Person, media_of
from fhir_server.services.reminders.reading import Reading
from fhir_server.services.reminders.requests import RELEASE, Batch, Request, Wanted
from fhir_server.services.reminders.visits import Visit
from fhir_server.services.world import World
from fhir_server.store.resources import Stored
from fhir_server.store.unit import Unit

NOTICED = "notice"
RECORD = ("telecom", "address", "communication", "extension", "active", "deceasedBoolean", "deceasedDateTime", "link")
"""What of a Patient decides how they are reached."""


async def follow(world: World, unit: Unit, facts: Sequence[Fact]) -> None:
    """Plan, move and withdraw what these facts change."""
    batch, reading = Batch(), Reading(world, unit)
    changed: set[str] = set()
    told = [fact for fact in facts if fact.type == "Appointment"]
    await reading.ahead(one for fact in told for one in (fact.old, fact.new))
    for fact in told:
        await notices.follow(world, reading, fact, batch)
        if not _is_history(world, fact):
            changed.add(fact.after.id)
    for patient in dict.fromkeys(filter(None, (_patient_of(world, fact) for fact in facts))):
        changed.update(await _future(world, unit, patient))
    now = await unit.current("Appointment", sorted(changed))
    known = await requests.of_appointments(world, unit, sorted(now))
    for id_ in sorted(now):
        await _settle(reading, now[id_], known[id_], batch)
    await batch.write(world, unit)


FOLLOWING = Following(follow, frozenset({"Appointment", "Patient", "Consent"}), later=True)


def _is_history(world: World, fact: Fact) -> bool:
    """A first version of what is over already: loaded as it happened, and nothing was ever planned for it."""
    return fact.before is None and fact.after.version == 1 and fact.new is not None and not _ahead(world, fact.new)


def _ahead(world: World, appointment: Mapping[str, Any]) -> bool:
    return appointment.get("status") == "booked" and notices.start_of(appointment) > world.now()


def _patient_of(world: World, fact: Fact) -> str:
    """The patient whose messages a Patient's or Consent's version may change; empty if it changes none."""
    if fact.type == "Patient":
        old, new = fact.old, fact.new
        if old is None:
            return ""  # nobody has appointments before they are there
        same = new is not None and all(old.get(name) == new.get(name) for name in RECORD)
        return "" if same else f"Patient/{fact.after.id}"
    if fact.type == "Consent":
        for one in (fact.new, fact.old):
            if one is not None and media_of(one):
                return reference_of(one.get("patient"), world.bases)
    return ""


async def _future(world: World, unit: Unit, patient: str) -> list[str]:
    """Booked appointments of a patient that lie ahead."""
    where = {"idx.actor": patient, "idx.status": "=booked", "idx.date.l": {"$gte": world.clock()}}
    rows = await unit.find("Appointment", where, fields={"_id": 1})
    return sorted(one["_id"] for one in rows)


async def _settle(reading: Reading, current: Stored, known: Mapping[str, Request], batch: Batch) -> None:
    """Bring the messages of an appointment, those that are ``known``, to what is to be said about it now."""
    world, unit = reading.world, reading.unit
    at, now = world.clock(), world.now()
    visit = await reading.visit(current)
    if visit is None or visit.status != "booked" or visit.start <= now:
        for one in known.values():
            if one.status == "active" and one.kind != NOTICED:
                await _withdraw(world, unit, batch, one, at, "the appointment is not ahead any more")
        batch.plan(RELEASE, current.id, None)
        return
    ahead: dict[str, Wanted] = {}
    release: int | None = None
    for patient, status in visit.patients.items():
        if status == "declined" or (receiver := await reading.receiver(patient, visit)) is None:
            continue
        found, release = planned(visit, receiver, known, now)
        ahead |= {one.id: one for one in found}
    for id_, new in ahead.items():
        batch.put(world, new, known.get(id_), at)
    for old in known.values():
        if old.status == "active" and old.kind != NOTICED and old.id not in ahead and not _waits(old, visit, now):
            await _withdraw(world, unit, batch, old, at, "the appointment or the patient's wishes changed")
    due = release * 1000 if release is not None and len(visit.patients) == 1 else None
    batch.plan(RELEASE, visit.id, due, {"start": visit.start})


async def _withdraw(world: World, unit: Unit, batch: Batch, one: Request, at: int, reason: str) -> None:
    await communications.abandon(world, unit, one, at)
    batch.withdraw(world, one, at, reason)


def planned(visit: Visit, receiver: Person, known: Mapping[str, Request], now: int) -> tuple[list[Wanted], int | None]:
    """The reminders of a patient, and when the appointment is released unless they confirm it."""
    found = plan(
        visit.start,
        now,
        zone=receiver.zone_for(visit),
        rules=visit.rules,
        modality=visit.modality,
        quiet=visit.quiet,
        confirming=visit.confirming,
        preferences=receiver.preferences,
        usable=receiver.usable(visit.policy.consent_required),
        confirmed=visit.patients[receiver.reference] == "accepted",
        asked=_asked(visit, receiver, known),
    )
    made = [requests.wanted(visit, receiver.reference, one.key, one.kind, one.due, one.media) for one in found.messages]
    return made, found.release


def _asked(visit: Visit, receiver: Person, known: Mapping[str, Request]) -> int | None:
    """When the patient was asked to confirm the appointment at this time."""
    asked = [
        one.due
        for one in known.values()
        if one.kind == "confirmation-request"
        and one.key != FOLLOW_UP
        and one.status == "completed"
        and one.patient == receiver.reference
        and one.is_for(visit.start)
    ]
    return max(asked, default=None)


def _waits(one: Request, visit: Visit, now: int) -> bool:
    """Whether its time has come and it is on its way: who sends it looks again whether it still holds."""
    return one.due <= now and one.is_for(visit.start)

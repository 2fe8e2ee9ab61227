"""The face of a booking: the Slot that shows a Schedule's time as taken, and shows it free again.

A Slot's status follows from the calendar days of the same transaction, so it can never disagree with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any, NamedTuple

from fhir_server.fhir.json import parse
from fhir_server.fhir.temporal import format_instant, instant_seconds
from fhir_server.scheduling.booking import Refusal
from fhir_server.scheduling.calendar_day import Entry, utc_days
from fhir_server.scheduling.proposal import ProposalKey, decode, short_key
from fhir_server.services.actors import reference_of
from fhir_server.services.booking import Refused, Wish, claimed, claimed_days
from fhir_server.services.facts import ScheduleFacts, ServiceFacts
from fhir_server.services.published import published
from fhir_server.services.versions import version_of
from fhir_server.services.world import World
from fhir_server.settings import CANONICAL
from fhir_server.store.calendar_days import Days
from fhir_server.store.resources import Stored, stored
from fhir_server.store.unit import Unit

HELD_UNTIL_URL = f"{CANONICAL}StructureDefinition/held-until"
BUSY = frozenset({"busy", "busy-tentative", "busy-unavailable"})


def slot_resource(
    facts: ScheduleFacts, service: ServiceFacts | None, start: int, end: int, id_: str, status: str = "free"
) -> dict[str, Any]:
    """A Slot as it is computed from a Schedule's rules. https://hl7.org/fhir/R4/slot.html"""
    slot: dict[str, Any] = {"resourceType": "Slot", "id": id_}
    if service:
        named = {"serviceCategory": service.category, "serviceType": service.types, "specialty": service.specialty}
        slot.update({name: list(value) for name, value in named.items() if value})
    elif facts.service_type:
        slot["serviceType"] = list(facts.service_type)
    slot["schedule"] = {"reference": facts.id}
    slot["status"] = status
    slot["start"] = format_instant(start, facts.zone)
    slot["end"] = format_instant(end, facts.zone)
    return slot


class Face(NamedTuple):
    """What a Slot shows: its status, the end of a hold, whether staff added a seat to its time, and whose it is."""

    status: str
    expires: int | None = None
    crowded: bool = False
    patients: tuple[str, ...] = ()


def face_of(entries: list[Entry], id_: str, schedule: str, start: int, end: int, capacity: int, now: int) -> Face:
    """The face of the Slot ``id_``, from what its Schedule's calendar holds.

    A published Slot is filled by every visit inside it, a computed one by the visit of its own time and service alone:
    what staff squeezed in beside it has a Slot of its own.
    """
    key = decode(id_)
    live = [
        one
        for one in entries
        if one.schedule == schedule
        and (one.expires is None or one.expires > now)
        and (_fills(one, key) if key and one.kind != "blocked" else one.start < end and one.end > start)
    ]
    if not live or (capacity > 1 and all(one.share for one in live) and len(live) < capacity):
        return Face("free")
    crowded = any(one.over for one in live)
    if any(one.kind == "blocked" for one in live):
        return Face("busy-unavailable", None, crowded, _people(live))
    if any(one.kind == "booked" for one in live):
        return Face("busy", None, crowded, _people(live))
    return Face("busy-tentative", max(one.expires or 0 for one in live) or None, crowded, _people(live))


def _people(live: list[Entry]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(patient for one in live for patient in one.patients))


def _fills(entry: Entry, key: ProposalKey) -> bool:
    service = short_key(entry.service) if entry.service else ""
    return (entry.start, entry.end - entry.start, service) == (key.start, key.duration, key.service)


def with_status(slot: Mapping[str, Any], status: str, expires: int | None) -> dict[str, Any]:
    """The Slot with another status; a hold says until when."""
    changed = {name: value for name, value in slot.items() if name != "extension"}
    kept = [one for one in slot.get("extension", ()) if one.get("url") != HELD_UNTIL_URL]
    if expires is not None:
        kept.append({"url": HELD_UNTIL_URL, "valueInstant": format_instant(expires, UTC)})
    changed["status"] = status
    return changed | ({"extension": kept} if kept else {})


async def show_wish(world: World, unit: Unit, days: Days, wish: Wish, at: int, owner: str) -> list[str]:
    """Store the Slots of a booking with the status that the calendar now gives them; their references."""
    shown = []
    for facts in wish.schedules:
        if facts.id in wish.anytime:
            continue
        found = (wish.published or {}).get(facts.id)
        if found is None:
            capacity = wish.service.terms.capacity if wish.service else 1
            slots = [(wish.slot_id(facts), wish.start, wish.end, capacity)]
        else:
            slots = [(one.id, one.start, one.end, found.capacity) for one in found.parts or (found,)]
        for id_, start, end, capacity in slots:
            entries = await _entries(unit, days, facts, start, end)
            face = face_of(entries, id_, facts.id, start, end, capacity, world.now())
            before = await unit.get("Slot", id_)
            if before and not before.deleted:
                resource = parse(before.body)
            else:
                resource = slot_resource(facts, wish.service, start, end, id_)
            if face.status in BUSY:
                await make_way(world, unit, days, facts, wall(resource, crowded=face.crowded), id_, owner, at)
            await _write(world, unit, before, resource, face, at, facts)
            shown.append(f"Slot/{id_}")
    return shown


async def refresh(world: World, unit: Unit, days: Days, slots: list[str], at: int) -> None:
    """Give stored Slots the status that the calendar now gives them (after something was freed)."""
    for reference in slots:
        before = await unit.get("Slot", reference.rpartition("/")[2])
        if before is None or before.deleted or before.extra.get("claim"):
            continue
        if parse(before.body)["status"] in {"busy", "busy-tentative"}:
            await _refresh(world, unit, days, before, at)


async def _refresh(world: World, unit: Unit, days: Days, before: Stored, at: int, ignore: str = "") -> Face:
    """Write the face that the calendar gives a stored Slot, looking past one owner; free if its Schedule is gone."""
    resource = parse(before.body)
    schedule = reference_of(resource["schedule"], world.bases)
    facts = (await world.catalogue.schedules([schedule])).get(schedule)
    face = Face("free")
    if facts is not None:
        start, end = instant_seconds(resource["start"]), instant_seconds(resource["end"], floor=False)
        entries = [one for one in await _entries(unit, days, facts, start, end) if one.owner != ignore]
        capacity = max([published(resource).capacity, *(one.capacity for one in entries if one.start == start)])
        face = face_of(entries, before.id, facts.id, start, end, capacity, world.now())
    await _write(world, unit, before, resource, face, at, facts)
    return face


async def _entries(unit: Unit, days: Days, facts: ScheduleFacts, start: int, end: int) -> list[Entry]:
    """What the Schedule's calendar holds in this transaction on every day that a Slot touches."""
    key, wanted = facts.keys[0], utc_days(start, end)
    await unit.widen(days, [(key, day) for day in wanted])
    if len(wanted) > 1:
        # Two who change one Slot on different days meet on its first, or each would judge it by the other's past.
        days.touch(key, wanted[0])
    return days.calendars().get(key, [])


async def make_way(
    world: World, unit: Unit, days: Days, facts: ScheduleFacts, key: str, id_: str, owner: str, at: int
) -> None:
    """Take the wall from a Slot that has lost its time, so that the Slot ``id_`` of ``owner`` can have it.

    A hold that is over leaves its Slot's wall behind until somebody tidies up. It is in the way only where another
    service starts at the same time, so this looks for it when a first attempt failed.

    :raises Refused: another Slot is busy at that time although the calendar knows nothing of it.
    """
    if not unit.attempt:
        return
    found = await unit.find("Slot", {"wall": key, "_id": {"$ne": id_}}, limit=1, fields={"idx": 0})
    if not found:
        return
    other = stored("Slot", found[0])
    until = other.extra.get("expires")
    if not claimed(other):
        stands = (await _refresh(world, unit, days, other, at, owner)).status in BUSY
    else:
        stands = until is None or until > world.now()
        if not stands:
            await unit.widen(days, claimed_days(other))
            days.remove(other.reference)
            await _write(world, unit, other, parse(other.body), Face("free"), at, facts)
    if stands:
        raise Refused((Refusal("slot-taken", f"The time is taken at {facts.id}.", "start", conflict=True),))


async def _write(
    world: World,
    unit: Unit,
    before: Stored | None,
    resource: Mapping[str, Any],
    face: Face,
    at: int,
    facts: ScheduleFacts | None,
) -> None:
    """Insert or replace a Slot unless nothing changes."""
    patients = (*face.patients, *(facts.owners if facts else ()))
    clinics = sorted(facts.organizations) if facts else (before and before.extra.get("clinics")) or ()
    if (
        before
        and not before.deleted
        and parse(before.body)["status"] == face.status
        and before.extra.get("expires") == face.expires
        and set(before.extra.get("patients") or ()) == set(patients)
    ):
        return
    extra: dict[str, Any] = {"expires": face.expires}
    if face.status in BUSY:
        extra["wall"] = wall(resource, crowded=face.crowded)
    version = before.version + 1 if before else 1
    after, index = version_of(
        world, with_status(resource, face.status, face.expires), id_=resource["id"], version=version, at=at,
        method="PUT", clinics=clinics, patients=patients, extra=extra,
    )  # fmt: skip
    await unit.write(before, after, index)


def wall(slot: Mapping[str, Any], *, crowded: bool) -> str:
    """The unique key of a busy Slot: Schedule and start, and its own id where staff added a seat."""
    start = instant_seconds(slot["start"])
    key = f"{slot['schedule'].get('reference', '')}|{start}"
    return f"{key}|{slot['id']}" if crowded else key


async def free_expired(world: World, slot: Stored) -> None:
    """Give a Slot whose hold is over the status that its calendar has now."""

    async def work(unit: Unit) -> None:
        current = await unit.get("Slot", slot.id)
        if current is not None and (current.extra.get("expires") or world.now() + 1) <= world.now():
            await _refresh(world, unit, await unit.days(()), current, world.clock())

    await world.store.units.run(work, now=world.now(), turns=[slot.reference])

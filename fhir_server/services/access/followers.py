"""Followers: what takes its clinics from others gets those it would have if it were written now.

what moves                         who follows
---------------------------------  ---------------------------------------------------------------------------------
Patient                            what is about them and names no clinic itself
Schedule                           its Slots, and Appointments of these Slots and of the Schedule's people
Location, HealthcareService,       Schedules of theirs with all that follows these; Appointments that name them
PractitionerRole
Practitioner, Device               Schedules that know their actors by identifier alone
Slot                               Appointments that name it

A write that changes clinics, or what Schedules take theirs from, notes the move in its own transaction
(``store.moves``); the followers come after it, before the write is answered. Nobody inside walls is shown anything
while a move is noted that was not followed: they follow it first. So whoever was in the former clinic sees nothing of
it from the moment of the write on, also where the process of the write has died.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fhir_server.errors import Problem
from fhir_server.fhir.json import parse
from fhir_server.log import get_logger
from fhir_server.scheduling.proposal import decode
from fhir_server.services import terms
from fhir_server.services.access.about import clinics_now, showing
from fhir_server.services.actors import reference_of
from fhir_server.store.driver import PyMongoError
from fhir_server.store.moves import Move
from fhir_server.store.resources import BATCH, HISTORY, Stored, history_id, old, stored
from fhir_server.store.unit import Unit

if TYPE_CHECKING:
    from fhir_server.services.world import World

ABOUT_PATIENTS = (
    "Appointment", "AppointmentResponse", "Communication", "CommunicationRequest", "Consent", "Coverage", "Device",
    "Encounter", "Flag", "RelatedPerson", "ServiceRequest",
)  # fmt: skip
"""Types that take their clinics from Patients where they name none."""

_LENT: dict[str, tuple[str, ...]] = {
    "Device": ("identifier",), "HealthcareService": ("providedBy", "location", "identifier"),
    "Location": ("managingOrganization", "partOf", "identifier"), "Practitioner": ("identifier",),
    "PractitionerRole": ("organization", "practitioner", "location", "identifier"), "Schedule": ("actor", "active"),
}  # fmt: skip
"""Type → elements from which Schedules take their clinics."""

_LENT_BY_NEW = {**_LENT, **dict.fromkeys(("Device", "HealthcareService", "Location", "Practitioner"), ("identifier",))}
"""The same of something new, whose id nobody can have named yet."""

TRIES = 8
WORTHWHILE = 20
"""So many moves are looked at once more by a write; who is inside walls does so with each."""

TOGETHER = 200
"""Resources that follow together; requests of others go on between them."""

LATER_AT_ONCE = 4
"""Moves of other things than Patients that one request looks at once more."""

log = get_logger("access")


# -- what is written --------------------------------------------------------------------------------------------------


def moves(before: Stored | None, after: Stored, *, fresh: bool = False) -> bool:
    """Whether others may take other clinics from ``after`` than from ``before``. Pure.

    :param fresh: the id is new, and nobody can have named it.
    """
    type_ = after.type
    if type_ not in _LENT and type_ not in {"Patient", "Slot"}:
        return False
    if fresh and type_ in {"Patient", "Slot"}:
        return False
    if _lent(before, fresh=fresh) != _lent(after, fresh=fresh):
        return True
    return type_ not in {"Practitioner", "Device"} and not fresh and _clinics(before) != _clinics(after)


def _clinics(one: Stored | None) -> frozenset[str]:
    return frozenset(() if one is None or one.deleted else one.extra.get("clinics") or ())


def _lent(one: Stored | None, *, fresh: bool) -> dict[str, Any]:
    """What a version says that Schedules take their clinics from."""
    if one is None or one.deleted or one.type not in _LENT:
        return {}
    resource = parse(one.body)
    names = (_LENT_BY_NEW if fresh else _LENT)[one.type]
    found = {name: resource[name] for name in names if name in resource}
    if one.type == "Schedule":
        found["places"] = terms.locations(resource)
    return found


async def put(world: World, before: Stored | None, after: Stored, index: Mapping[str, Any]) -> bool:
    """Write a first version, or the next one in place of ``before``; False if somebody was faster."""
    if not moves(before, after, fresh=is_fresh(before, after)):
        if before is None:
            return await world.store.resources.insert(after, index)
        return await world.store.resources.replace(before, after, index)

    async def work(unit: Unit) -> bool:
        if before is None and await unit.get(after.type, after.id):
            return False
        if before and not await unit.resources.replace(before, after, index):
            raise _Overtaken
        if before is None:
            await unit.insert(after, index)
        await unit.moved(after.reference)
        return True

    try:
        return await world.store.units.run(work, now=world.now())
    except _Overtaken:
        return False


class _Overtaken(Exception):  # noqa: N818  a state of the world: somebody was faster
    pass


def is_fresh(before: Stored | None, after: Stored) -> bool:
    """Whether a version is the first under an id of ours."""
    return before is None and after.extra.get("method") == "POST"


async def slot_moves(world: World, before: Stored | None, after: Stored) -> bool:
    """Whether Appointments that name a Slot take other clinics from it; a computed one lends the same unstored."""
    if not moves(before, after, fresh=is_fresh(before, after)) or (decode(after.id) and _is_one(before, after)):
        return False
    return bool(await world.store.resources.rows(
        "Appointment", {"idx.slot": after.reference}, limit=1, fields={"_id": 1}
    ))  # fmt: skip


def _is_one(before: Stored | None, after: Stored) -> bool:
    """Whether a Slot is stored on one side alone."""
    return before is None or before.deleted or after.deleted


# -- who follows -------------------------------------------------------------------------------------------------------


async def after_write(world: World) -> None:
    """Follow what moved. A fault leaves it to whoever comes next: it is noted."""
    try:
        # A task of its own reads the catalogue anew; the request that waits for it goes on with what it began with.
        await asyncio.create_task(_follow(world.own(), least=WORTHWHILE))
    except (Problem, PyMongoError) as failed:
        log.warning("clinics are followed later", fault=type(failed).__name__)


async def before_judging(world: World) -> None:
    """Follow what moved, before something is shown inside walls.

    :raises PyMongoError: the database does not answer; nothing is shown then.
    """
    await world.catalogue.at()
    if world.store.epoch.noted:
        await asyncio.create_task(_follow(world.own()))


async def settle(world: World, at: int | None = None) -> None:
    """Follow all moves that are due at a time in milliseconds, None for now."""
    while await asyncio.create_task(_follow(world.own(), at)):
        pass


async def _follow(world: World, at: int | None = None, least: int = 1) -> bool:
    """Look at everything that was not looked at yet, or at some of what is looked at again; False if nothing is due.

    :param least: so many are to be due before some are looked at again.
    """
    async with world.store.units.turns.take(["moves"]):
        due = await world.store.moves.due(at)
        while due:
            first = [one for one in due if not one.look]
            if not first and len(due) < least:
                break
            await _look(world, first or due)
            if not first:
                break
            due = await world.store.moves.due(at)
        return bool(due)


async def _look(world: World, due: Sequence[Move]) -> None:
    """Follow Patients together and others one by one; of what is looked at once more only some of these."""
    world.catalogue.begin()
    patients = [one for one in due if one.reference.startswith("Patient/")]
    if patients:
        about = await world.store.resources.about([one.reference for one in patients], ABOUT_PATIENTS)
        await _restamp_all(world, about, former=True)
        await world.store.moves.looked(patients)
    others = [one for one in due if not one.reference.startswith("Patient/")]
    for move in others if due and not due[0].look else others[:LATER_AT_ONCE]:
        world.catalogue.begin()
        type_, _, id_ = move.reference.partition("/")
        if type_ == "Slot":
            await _appointments(world, "slot", [move.reference])
        else:
            await _of_directory(world, type_, id_)
        await world.store.moves.looked([move])


async def former(world: World, stored: Stored) -> Stored:
    """A former version as it is judged inside walls: it is not in clinics any more that it would not have now."""
    if world.policy.caller.clinics is None or not stored.body or stored.type not in (*ABOUT_PATIENTS, "Slot"):
        return stored
    before = stored.extra.get("clinics") or ()
    now = await clinics_now(world.own(), stored, parse(stored.body)) if before else ()
    if set(now).issuperset(before):
        return stored
    clinics = [one for one in before if one in now]
    return replace(stored, extra={**stored.extra, "clinics": clinics})


async def _of_directory(world: World, type_: str, id_: str) -> None:
    """Schedules that rest on a resource, their Slots, and Appointments."""
    names = await _resting_on(world, type_, id_)
    schedules = {f"Schedule/{id_}"} if type_ == "Schedule" else set[str]()
    schedules |= await _named_in(world, "Schedule", "actor", names)
    # Who is known by an identifier alone may be anybody whose identifiers changed.
    schedules |= await _rows_of(world, "Schedule", {"idx.actor": {"$regex": "^#"}})
    await _restamp_all(world, [("Schedule", one.partition("/")[2]) for one in sorted(schedules)])
    people = {one for one in names if one.startswith("Practitioner/")}
    for one in sorted(schedules):
        facts = (await world.catalogue.schedules([one])).get(one)
        people |= {each for each in facts.actors if each.startswith("Practitioner/")} if facts else set()
        people |= await _former_people(world, one)
        clinics = sorted(facts.organizations) if facts else []
        await _slots(world, one, clinics)
    await _appointments(world, "actor", sorted({f"{type_}/{id_}", *people}))


async def _resting_on(world: World, type_: str, id_: str) -> set[str]:
    """By whom a Schedule may rest on a resource: itself, its rooms, roles and services there, their people."""
    names = {f"{type_}/{id_}"}
    if type_ == "Location":
        names |= await _named_in(world, "Location", "partof", names)
        places = set(names)
        for each in ("PractitionerRole", "HealthcareService"):
            names |= await _named_in(world, each, "location", places)
    roles = [one.partition("/")[2] for one in names if one.startswith("PractitionerRole/")]
    for role in roles:
        names |= await _said(world, "PractitionerRole", role, lambda one: [one.get("practitioner")])
    people = {one for one in names if one.startswith("Practitioner/")}
    # A role counts for all Schedules of its practitioner, and these may name another of their roles.
    return names | await _named_in(world, "PractitionerRole", "practitioner", people)


async def _former_people(world: World, schedule: str) -> set[str]:
    """Practitioners of a Schedule as it was: their Appointments may have its clinics."""
    names = await _said(world, "Schedule", schedule.partition("/")[2], lambda one: one.get("actor", ()))
    for one in [one for one in names if one.startswith("PractitionerRole/")]:
        names |= await _said(world, "PractitionerRole", one.partition("/")[2], lambda each: [each.get("practitioner")])
    return {one for one in names if one.startswith("Practitioner/")}


async def _said(world: World, type_: str, id_: str, select: Any) -> set[str]:
    """What the present version and the one before it refer to."""
    current = await world.store.resources.get(type_, id_)
    if current is None:
        return set()
    before = await world.store.resources.version(type_, id_, current.version - 1)
    bodies = [parse(one.body) for one in (current, before) if one and one.body]
    return {name for one in bodies for each in select(one) if (name := reference_of(each, world.bases))}


async def _named_in(world: World, type_: str, parameter: str, names: Iterable[str]) -> set[str]:
    named = sorted(names)
    return await _rows_of(world, type_, {f"idx.{parameter}": {"$in": named}}) if named else set()


async def _rows_of(world: World, type_: str, where: Mapping[str, Any]) -> set[str]:
    rows = await world.store.resources.rows(type_, where, fields={"_id": 1})
    return {f"{type_}/{one['_id']}" for one in rows}


async def _slots(world: World, schedule: str, clinics: Sequence[str]) -> None:
    """The Slots of a Schedule, and Appointments that name them."""
    if clinics:
        await world.store.resources.restamp_all("Slot", {"idx.schedule": schedule, "deleted": False}, clinics)
    slots = sorted(await _rows_of(world, "Slot", {"idx.schedule": schedule}))
    for first in range(0, len(slots), BATCH):
        await _appointments(world, "slot", slots[first : first + BATCH])


async def _appointments(world: World, parameter: str, names: Sequence[str]) -> None:
    found = await _named_in(world, "Appointment", parameter, names)
    await _restamp_all(world, [("Appointment", one.partition("/")[2]) for one in sorted(found)])


async def _restamp_all(world: World, found: Sequence[tuple[str, str]], *, former: bool = False) -> None:
    """Give resources the clinics of now.

    :param former: look at former versions also where the present one has them already.
    """
    for type_ in sorted({one for one, _ in found}):
        ids = sorted({id_ for one, id_ in found if one == type_})
        for first in range(0, len(ids), TOGETHER):
            some = {"_id": {"$in": ids[first : first + TOGETHER]}}
            rows = [stored(type_, one) for one in await world.store.resources.rows(type_, some, fields={"idx": 0})]
            slots = await _known_slots(world, rows) if type_ == "Appointment" else {}
            for one in rows:
                await _restamp(world, one, slots, former=former)
            await asyncio.sleep(0)  # others are to have their turn


async def _known_slots(world: World, appointments: Sequence[Stored]) -> dict[str, tuple[str, ...]]:
    """The clinics of the Slots of several Appointments, with one query."""
    names = {name for one in appointments for name in showing(one)}
    for one in appointments:
        slots = parse(one.body).get("slot", ()) if one.body else ()
        names |= {reference_of(each, world.bases) for each in slots}
    ids = [one.partition("/")[2] for one in names if one.startswith("Slot/")]
    rows = await world.store.resources.find("Slot", {"_id": {"$in": ids}}, fields={"clinics": 1})
    return {f"Slot/{one['_id']}": tuple(one.get("clinics", ())) for one in rows}


async def _restamp(world: World, current: Stored, slots: Mapping[str, Sequence[str]], *, former: bool) -> None:
    """Give a resource the clinics of now, its former versions first: a process that dies begins with them again."""
    for _ in range(TRIES):
        said = current if current.body else await _before(world, current)
        if said is None or not said.body:
            return
        # The mark of a deletion is about whatever was deleted.
        said = replace(said, extra={**said.extra, **current.extra})
        clinics = await clinics_now(world, said, parse(said.body), slots)
        same = set(clinics) == set(current.extra.get("clinics") or ())
        if former or not same:
            await _restamp_former(world, current)
        if same or await world.store.resources.restamp(current, clinics):
            return
        again = await world.store.resources.get(current.type, current.id)
        if again is None:
            return
        current = again


async def _before(world: World, current: Stored) -> Stored | None:
    return await world.store.resources.version(current.type, current.id, current.version - 1)


async def _restamp_former(world: World, current: Stored) -> None:
    low, high = (history_id(current.type, current.id, version) for version in (0, current.version))
    for row in await world.store.resources.rows(HISTORY, {"_id": {"$gte": low, "$lt": high}}):
        one = old(row)
        if one.body:
            clinics = await clinics_now(world, one, parse(one.body))
            if set(clinics) != set(one.extra.get("clinics") or ()):
                await world.store.resources.restamp(one, clinics, old=True)

"""``Patient/$everything``, https://hl7.org/fhir/R4/patient-operation-everything.html.

The patient, the members of the patient's compartment, and what these refer to, on and on: Practitioners, Locations,
Organizations, Slots, Schedules, services. Nobody else comes along: no other Patient, not even one that ``Patient.link``
names, and nothing that refers to other Patients alone. An Appointment of several patients belongs to each of them.

``start`` and ``end`` look at the dates of care below; what has none always belongs. A response goes with its
Appointment. Pages follow one order, the patient first, then by type and id, so nothing comes twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from fhir_server.errors import Category, problem
from fhir_server.fhir.json import parse
from fhir_server.fhir.types import HELD
from fhir_server.search.definitions import Definition
from fhir_server.search.extract import EARLIEST, LATEST
from fhir_server.search.query import Clause, DateCompare, IdIn, Missing
from fhir_server.services import resources, slots
from fhir_server.services.access.questions import narrowed
from fhir_server.services.compartments import COMPARTMENTS, membership
from fhir_server.services.upkeep import settle_this_second
from fhir_server.services.world import World
from fhir_server.store.search import to_filter

CARE_DATES: Mapping[str, tuple[str, ...]] = {
    "Appointment": ("date", "requested-period"),
    "Communication": ("sent", "received"),
    "CommunicationRequest": ("occurrence", "authored"),
    "Encounter": ("date",),
    "Flag": ("date",),
    "ServiceRequest": ("occurrence", "authored"),
}
"""Search parameters that say when care happens; the first one that a resource has counts."""

MOST = 10_000
"""Most members of one type."""

Document = Mapping[str, Any]


class Key(NamedTuple):
    """One resource, in the order of the answer: the patient first."""

    later: bool
    type: str
    id: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What is wanted: ``since`` and care in ``[low, high)`` in milliseconds, ``types`` None for every type."""

    low: int = EARLIEST
    high: int = LATEST
    since: int = EARLIEST
    types: frozenset[str] | None = None
    count: int = 50
    after: tuple[str, str] | None = None

    @property
    def dated(self) -> bool:
        return (self.low, self.high) != (EARLIEST, LATEST)


@dataclass(frozen=True, slots=True)
class Entry:
    """``mode`` is ``match`` for the patient and the members, ``include`` for what they refer to."""

    type: str
    id: str
    body: bytes
    mode: str


@dataclass(frozen=True, slots=True)
class Page:
    """A page; ``total`` counts the matches on all pages, ``next`` is type and id after which the next page begins."""

    entries: tuple[Entry, ...]
    total: int
    next: tuple[str, str] | None = None


async def everything(world: World, id_: str, asked: Asked) -> Page:
    """A page of everything about a patient.

    :raises Problem: 404 and 410 for the patient, 400 where there is more than a page can be chosen from.
    """
    await resources.read(world, "Patient", id_)
    for type_ in ("Appointment", "Slot"):
        await settle_this_second(world, type_)
    members = await _members(world, id_, asked)
    referred = await _referred(world, id_, members)
    wanted = {
        key: document
        for key, document in sorted({**referred, **members}.items())
        if (asked.types is None or key.type in asked.types) and document["at"] >= asked.since
    }
    total = sum(key in members for key in wanted)
    rest = [key for key in wanted if asked.after is None or key > _key(id_, *asked.after)]
    shown = rest[: asked.count]
    bodies = await _bodies(world, {key: wanted[key] for key in shown})
    entries = [
        Entry(key.type, key.id, bodies[key], "match" if key in members else "include") for key in shown if key in bodies
    ]
    more = len(rest) > len(shown) > 0
    return Page(tuple(entries), total, shown[-1][1:] if more else None)


def _key(patient: str, type_: str, id_: str) -> Key:
    return Key((type_, id_) != ("Patient", patient), type_, id_)


async def _members(world: World, id_: str, asked: Asked) -> dict[Key, Document]:
    """The patient and the compartment, without bodies: ``{at, idx}`` by key."""
    found: dict[Key, Document] = {}
    for type_ in COMPARTMENTS["Patient"].keys() | {"Patient"}:
        inside = membership(world.definitions, "Patient", id_, type_)
        named: Clause = IdIn((id_,)) if type_ == "Patient" or inside is None else inside
        asked_for = await narrowed(world, type_, (named,))
        if asked_for is None:
            continue
        where = to_filter(asked_for)
        if asked.dated and type_ in CARE_DATES:
            known = world.definitions.of(type_)
            where = {"$and": [where, _cared_for([known[code] for code in CARE_DATES[type_]], asked)]}
        documents = await world.store.resources.find(type_, where, limit=MOST + 1, fields={"at": 1, "idx": 1})
        if len(documents) > MOST:
            text = f"there are more than {MOST} resources of type {type_}; narrow start and end"
            raise problem(Category.INVALID, text, "start", "too-costly")
        found.update({_key(id_, type_, one["_id"]): one for one in documents})
    if asked.dated:
        late = [key for key, one in found.items() if key.type == "AppointmentResponse" and _stray(world, one, found)]
        for key in late:
            del found[key]
    return found


def _cared_for(definitions: Sequence[Definition], asked: Asked) -> dict[str, Any]:
    """The filter for care that overlaps the asked time; the first date that a resource has counts, none is fine."""
    first, *rest = definitions
    overlaps = to_filter((DateCompare(first, "ap", asked.low, asked.high),))
    undated = to_filter((Missing(first, missing=True),))
    return {"$or": [overlaps, {"$and": [undated, _cared_for(rest, asked)]} if rest else undated]}


def _stray(world: World, response: Document, members: Mapping[Key, Document]) -> bool:
    """Whether the Appointment that a response answers is left out."""
    references = _references(world, "AppointmentResponse", response)
    named = [one.partition("/")[2] for one in references if one.startswith("Appointment/")]
    return bool(named) and not any(Key(True, "Appointment", one) in members for one in named)


async def _referred(world: World, id_: str, members: Mapping[Key, Document]) -> dict[Key, Document]:
    """What the members refer to, and what that refers to: one query for each type and level."""
    found: dict[Key, Document] = {}
    seen = set(members)
    level = members
    while level:
        wanted: dict[str, list[str]] = {}
        for reference in (one for key, document in level.items() for one in _references(world, key.type, document)):
            type_, _, target = reference.partition("/")
            to = _key(id_, type_, target)
            if type_ in HELD and type_ != "Patient" and to not in seen:
                seen.add(to)
                wanted.setdefault(type_, []).append(target)
        fresh: dict[Key, Document] = {}
        for type_, ids in wanted.items():
            for one in await _current(world, type_, ids):
                if not _foreign(world, type_, one, id_):
                    fresh[_key(id_, type_, one["_id"])] = one
        found |= fresh
        level = fresh
    return found


async def _current(world: World, type_: str, ids: Sequence[str]) -> list[Document]:
    """Documents by id without bodies, computed Slots with theirs."""
    fields = {"at": 1, "idx": 1}
    found: list[Document] = list(await world.view.find(type_, (IdIn(tuple(ids)),), fields=fields))
    if type_ == "Slot" and world.policy.permits("Slot"):
        for missing in sorted(set(ids) - {one["_id"] for one in found}):
            slot = await slots.computed(world, missing)
            if slot and (slot := await world.view.seen(slot)):
                index = {"schedule": parse(slot.body)["schedule"].get("reference")}
                found.append({"_id": slot.id, "at": slot.at, "body": slot.body, "idx": index})
    return found


def _references(world: World, type_: str, document: Document) -> list[str]:
    """Every ``Type/id`` that a resource refers to, as far as it can be searched by."""
    found: list[str] = []
    for code, definition in world.definitions.of(type_).items():
        if definition.type == "reference" and (values := document["idx"].get(code)) is not None:
            found += values if isinstance(values, list) else [values]
    return found


def _foreign(world: World, type_: str, document: Document, patient: str) -> bool:
    """Whether a resource speaks of Patients, and not of this one."""
    patients = [one for one in _references(world, type_, document) if one.startswith("Patient/")]
    return bool(patients) and f"Patient/{patient}" not in patients


async def _bodies(world: World, documents: Mapping[Key, Document]) -> dict[Key, bytes]:
    """Bodies by key; what was deleted meanwhile is not there."""
    found = {key: bytes(one["body"]) for key, one in documents.items() if "body" in one}
    by_type: dict[str, dict[str, Key]] = {}
    for key in documents.keys() - found.keys():
        by_type.setdefault(key.type, {})[key.id] = key
    for type_, keys in by_type.items():
        for one in await world.store.resources.get_many(type_, list(keys)):
            found[keys[one.id]] = (world.view.shown(one)).body
    return found

"""Which resource each write of a transaction is about, and what it was before: all conditions are judged by that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fhir_server.errors import Category, Issue, Problem, problem
from fhir_server.services import conditional, resources
from fhir_server.services.access import writes
from fhir_server.services.bundles.entries import Entry, placed
from fhir_server.services.conditional import Criteria
from fhir_server.services.conditions import check_version
from fhir_server.services.upkeep import settled_read
from fhir_server.services.world import World
from fhir_server.store.resources import Stored
from fhir_server.store.unit import Unit

MOST_ISSUES = 100
"""Faults that are named together; nobody reads further."""


@dataclass(frozen=True, slots=True)
class Known:
    """An entry with its identity before anything is written.

    ``id`` is empty for a deletion by criteria that match nothing. ``before`` is the stored version, a deletion's marker
    included; ``seen`` what a client sees. ``exists``: a conditional create that found its resource and writes nothing.
    """

    entry: Entry
    id: str
    before: Stored | None = None
    seen: Stored | None = None
    exists: bool = False

    @property
    def reference(self) -> str:
        return f"{self.entry.type}/{self.id}"


def asked(world: World, entries: Iterable[Entry]) -> dict[int, Criteria]:
    """The criteria of the entries that have some, by place.

    :raises Problem: 400 for criteria that are none, and for the same ones twice.
    """
    found: dict[int, Criteria] = {}
    guards: dict[str, int] = {}
    for entry in entries:
        if entry.pairs is None:
            continue
        with placed(entry.place):
            found[entry.place] = conditional.criteria_of(world, entry.type, entry.pairs)
        other = guards.setdefault(found[entry.place].guard, entry.place)
        if other != entry.place:
            raise twice(entry.place, other)
    return found


def twice(place: int, other: int) -> Problem:
    text = f"this is the same resource as that of entry {other}; a transaction names each resource once"
    return problem(Category.INVALID, text, f"Bundle.entry[{place}]")


async def identify(
    world: World,
    unit: Unit,
    entries: Sequence[Entry],
    criteria: Mapping[int, Criteria],
    fresh: Mapping[int, str],
    placers: Mapping[int, str],
) -> list[Known]:
    """Every entry with its identity, in the entries' order; ``world`` is that inside the unit.

    :param fresh: ids for what is new, by place.
    :param placers: Appointments that were booked before under the placer's identifier of an entry, by place.
    :raises Problem: 400 for one identity twice, 412 for a condition that does not hold, what criteria lead to.
    """
    matches = {
        place: await _match(world, unit, place, one)
        for place, one in sorted(criteria.items(), key=lambda item: item[1].guard)
    }
    ids = {entry.place: _id(entry, matches.get(entry.place), fresh, placers) for entry in entries}
    _check_once(entries, ids)
    before = await _before(world, unit, entries, ids)
    found, faults = [], []
    for entry in entries:
        id_ = ids[entry.place]
        stored = before.get((entry.type, id_))
        asked_for = entry.place in placers or matches.get(entry.place) is not None
        exists = entry.method == "POST" and asked_for and stored is not None and not stored.deleted
        seen = await resources.shown(world, stored, entry.type, id_) if id_ and entry.method != "POST" else None
        if entry.method == "DELETE" and seen and not seen.version:
            seen = None  # a computed Slot is not there to be deleted
        try:
            with placed(entry.place):
                if entry.method != "POST":
                    seen = await _reached(world, entry, id_, seen)
                    stored = stored if seen or not (stored and not stored.deleted) else None
                if entry.method != "POST":
                    check_version(entry.condition, seen, entry.type)
                if entry.method == "PUT" and entry.pairs is not None and not matches[entry.place] and seen:
                    raise conditional.taken(entry.type, id_)
        except Problem as fault:
            faults.append(fault)
        found.append(Known(entry, id_, stored, seen, exists))
    raise_together(faults)
    return found


def raise_together(faults: Sequence[Problem]) -> None:
    """:raises Problem: of the first fault's category, with the issues of all of them."""
    if faults:
        issues: list[Issue] = [issue for one in faults for issue in one.issues]
        raise Problem(faults[0].category, tuple(issues[:MOST_ISSUES]), faults[0].headers)


async def _reached(world: World, entry: Entry, id_: str, seen: Stored | None) -> Stored | None:
    """What the caller sees of what an entry writes.

    :raises Problem: 403, and 404 for what is hidden or cannot be made under an id of the caller's.
    """
    found = await writes.reached(world, seen, "d" if entry.method == "DELETE" else "u")
    hidden = seen is not None and found is None
    if entry.method != "DELETE" and (hidden or (seen is None and not resources.creatable(world, entry.type))):
        raise conditional.nothing(entry.type) if entry.pairs is not None else resources.absent(entry.type, id_)
    return world.view.shown(found) if found else None


async def _match(world: World, unit: Unit, place: int, criteria: Criteria) -> Stored | None:
    with placed(place):
        return await conditional.match_in(world, unit, criteria)


def _id(entry: Entry, match: Stored | None, fresh: Mapping[int, str], placers: Mapping[int, str]) -> str:
    """The id that an entry writes, or empty where a deletion matches nothing."""
    if entry.method == "POST":
        return match.id if match else placers.get(entry.place, fresh[entry.place])
    if entry.pairs is None:
        return entry.id
    with placed(entry.place):
        if entry.method == "PUT":
            return conditional.chosen_id(entry.resource or {}, match, fresh[entry.place])
        if entry.method == "PATCH" and match is None:
            raise conditional.nothing(entry.type)
    return match.id if match else ""


def _check_once(entries: Iterable[Entry], ids: Mapping[int, str]) -> None:
    seen: dict[tuple[str, str], int] = {}
    for entry in entries:
        id_ = ids[entry.place]
        if id_ and (other := seen.setdefault((entry.type, id_), entry.place)) != entry.place:
            raise twice(entry.place, other)


async def _before(
    world: World, unit: Unit, entries: Iterable[Entry], ids: Mapping[int, str]
) -> dict[tuple[str, str], Stored]:
    """The stored versions, one query a type; holds that are over are written as over first."""
    wanted: dict[str, list[str]] = {}
    for entry in entries:
        if id_ := ids[entry.place]:
            wanted.setdefault(entry.type, []).append(id_)
    found: dict[tuple[str, str], Stored] = {}
    for type_, named in sorted(wanted.items()):
        for id_, stored in (await unit.current(type_, named)).items():
            settled = await settled_read(world, stored) if stored.extra.get("expires") is not None else stored
            if settled:
                found[(type_, id_)] = settled
    return found

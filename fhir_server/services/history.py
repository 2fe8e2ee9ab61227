"""``history`` of an instance, a type and the system, https://hl7.org/fhir/R4/http.html#history.

A version gets its instant before it is committed, so that another process may commit a later one first. Whoever asks
again and again with ``_since`` would miss the late one; so an answer says until when it is complete: ``LATE_MS`` before
it began, the longest that a write can take. Asking from there on gives a few versions twice and loses none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from fhir_server.access.caller import Role
from fhir_server.access.rules import OWNED, PATIENT_DATA
from fhir_server.search.query import Or, ReferenceIn
from fhir_server.services import resources
from fhir_server.services.access.about import OWNER, PATIENTS
from fhir_server.services.access.followers import former
from fhir_server.services.access.policy import READING, AccessPolicy, Judge, said
from fhir_server.services.upkeep import settle_this_second
from fhir_server.services.world import World
from fhir_server.store.history import History, Place, Window
from fhir_server.store.resources import Stored
from fhir_server.store.search import to_filter

BATCH = 200
"""Versions that are looked at together where not all may be seen."""

MOST_JUDGED = 1_000
"""Versions that are counted where not all may be seen; a longer history has no total then."""

LATE_MS = 60_000
"""MongoDB ends a transaction after a minute."""

MOST_COUNTED = 100_000
"""A longer history has no total: counting it would take longer than reading a page."""


class Cursor(NamedTuple):
    """Where a page begins, and what the first page said: total and until when the history is complete (ms)."""

    place: Place
    total: int | None
    complete: int


@dataclass(frozen=True, slots=True)
class Page:
    """Versions newest first; ``created`` are those that brought a resource into being, first or after a deletion."""

    versions: tuple[Stored, ...]
    created: frozenset[Place]
    total: int | None
    complete: int
    next: Cursor | None = None


async def history(
    world: World, types: tuple[str, ...], window: Window, *, count: int, id_: str = "", after: Cursor | None = None
) -> Page:
    """A page of the versions of one resource, or of all of some types; ``count`` 0 asks for the total alone.

    :raises Problem: 404 for an id that never existed.
    """
    source = await _source(world, types, window, id_)
    complete = after.complete if after else world.clock() - LATE_MS
    found = await source.page(after.place if after else None, count + 1) if count else []
    shown = tuple([world.view.shown(one) for one in found[:count]])
    if after:
        total = after.total
    elif count and len(found) <= count:
        total = len(found)
    else:
        counted = await source.count(MOST_COUNTED)
        total = counted if counted <= MOST_COUNTED else None
    revived = await source.history.revived(shown)
    return Page(
        shown,
        revived | {Place.of(one) for one in shown if one.version == 1},
        total,
        complete,
        Cursor(Place.of(shown[-1]), total, complete) if len(found) > count > 0 else None,
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """Those versions of another source that the caller sees; each is judged by what it said and whose it was."""

    world: World
    source: _Types | _Instance

    @property
    def history(self) -> History:
        return self.source.history

    async def page(self, after: Place | None, limit: int) -> list[Stored]:
        found: list[Stored] = []
        judges: dict[str, Judge] = {}
        while len(found) < limit:
            rows = await self.source.page(after, BATCH)
            for type_ in {one.type for one in rows} - judges.keys():
                judges[type_] = await self.world.policy.judge(self.world, type_)
            found += [one for one in rows if await self._sees(judges[one.type], one)]
            if len(rows) < BATCH:
                break
            after = Place.of(rows[-1])
        return found[:limit]

    async def _sees(self, judge: Judge, one: Stored) -> bool:
        """By what it said, and inside walls also by whose it would be now."""
        then = await said(self.world, one)
        if not judge(then):
            return False
        now = await former(self.world, then)
        return now is then or judge(now)

    async def count(self, most: int) -> int:
        """Counted only as far as it costs little: each version has to be looked at."""
        found = await self.page(None, MOST_JUDGED)
        return len(found) if len(found) < MOST_JUDGED else most + 1


@dataclass(frozen=True, slots=True)
class _Types:
    """Versions of every resource of some types."""

    history: History
    types: tuple[str, ...]
    window: Window

    async def page(self, after: Place | None, limit: int) -> list[Stored]:
        return await self.history.page(self.types, self.window, after, limit) if self.types else []

    async def count(self, most: int) -> int:
        return await self.history.count(self.types, self.window, most) if self.types else 0


@dataclass(frozen=True, slots=True)
class _Instance:
    """Versions of one resource."""

    history: History
    current: Stored
    window: Window

    async def page(self, after: Place | None, limit: int) -> list[Stored]:
        return await self.history.of(self.current, self.window, below=after.version if after else 0, limit=limit)

    async def count(self, most: int) -> int:
        return await self.history.count_of(self.current, self.window, most + 1)


async def _source(world: World, types: tuple[str, ...], window: Window, id_: str) -> _Types | _Instance | _Seen:
    """Holds that are over are written as over before their history is told."""
    reader = History(world.store.resources)
    policy = world.policy
    types = tuple(one for one in types if policy.permits(one) and not _is_closed(policy, one))
    if not id_:
        for type_ in {"Appointment", "Slot"}.intersection(types):
            await settle_this_second(world, type_)
        every = all(policy.unlimited_for(one, READING) or _is_own_alone(policy, one) for one in types)
        narrows = not every or not OWNED.isdisjoint(types)
        whole = _Types(reader, types, replace(window, about=await _about(world, types)) if narrows else window)
        return whole if every else _Seen(world, whole)
    current = await resources.current(world, types[0], id_) if types else None
    if current is None or not await policy.may(world, current):
        raise resources.absent(types[0] if types else "resource", id_)
    one = _Instance(reader, current, window)
    return one if policy.unlimited_for(current.type, READING) else _Seen(world, one)


def _is_own_alone(policy: AccessPolicy, type_: str) -> bool:
    """Whether the filter on whom versions are about says exactly what the caller sees of a type."""
    return type_ in OWNED and policy.unlimited and any(not one.query for one in policy.scopes(type_, READING))


def _is_closed(policy: AccessPolicy, type_: str) -> bool:
    """Whether a type's past is not the caller's business: that a Slot was taken tells of others."""
    return type_ == "Slot" and policy.caller.role is Role.PATIENT


async def _about(world: World, types: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """By type, a filter on whom versions are about; it narrows what :class:`_Seen` then judges one by one."""
    policy, found = world.policy, dict[str, dict[str, Any]]()
    for type_ in types:
        if type_ in OWNED and not policy.server and policy.caller.role is not Role.ADMINISTRATOR:
            found[type_] = to_filter((ReferenceIn(OWNER, (policy.caller.party,)),))
        elif type_ not in PATIENT_DATA or policy.unlimited:
            found[type_] = {}
        elif policy.caller.role is Role.PATIENT:
            found[type_] = to_filter((ReferenceIn(PATIENTS, tuple(sorted(await policy.people(world)))),))
        else:
            granted = ReferenceIn(PATIENTS, tuple(sorted(await policy.granted(world))))
            walls = await policy.walls(world)
            found[type_] = to_filter((Or((*walls, granted)),)) if walls else {}
    return found

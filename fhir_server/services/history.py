"""``history`` of an instance, a type and the system, https://hl7.org/fhir/R4/http.html#history.

A version gets its instant before it is committed, so that another process may commit a later one first. Whoever asks
again and again with ``_since`` would miss the late one; so an answer says until when it is complete: ``LATE_MS`` before
it began, the longest that a write can take. Asking from there on gives a few versions twice and loses none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fhir_server.services import resources
from fhir_server.services.upkeep import settle_this_second
from fhir_server.services.world import World
from fhir_server.store.history import History, Place, Window
from fhir_server.store.resources import Stored

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
    shown = tuple(found[:count])
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
class _Types:
    """Versions of every resource of some types."""

    history: History
    types: tuple[str, ...]
    window: Window

    async def page(self, after: Place | None, limit: int) -> list[Stored]:
        return await self.history.page(self.types, self.window, after, limit)

    async def count(self, most: int) -> int:
        return await self.history.count(self.types, self.window, most)


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


async def _source(world: World, types: tuple[str, ...], window: Window, id_: str) -> _Types | _Instance:
    """Holds that are over are written as over before their history is told."""
    reader = History(world.store.resources)
    if not id_:
        for type_ in {"Appointment", "Slot"}.intersection(types):
            await settle_this_second(world, type_)
        return _Types(reader, types, window)
    current = await resources.current(world, types[0], id_)
    if current is None:
        raise resources.absent(types[0], id_)
    return _Instance(reader, current, window)

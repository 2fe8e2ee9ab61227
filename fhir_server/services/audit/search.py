"""Searching the access record: batches by their readable values, then entry by entry, the newest first.

A page begins behind the last event of the page before (keyset). What no index narrows is looked through in steps: a
page may hold fewer events than were asked for, and still say where the next one begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fhir_server.errors import Category, problem
from fhir_server.services.audit.events import Event, events_of
from fhir_server.services.audit.kinds import kind
from fhir_server.store.audit.batches import place as batch_place
from fhir_server.store.audit.database import Audit

MOST_LOOKED_AT = 20_000
"""Entries that one page may look at."""

AT_ONCE = 200

Range = tuple[int | None, int | None]
"""``[low, high)`` in milliseconds."""


class Place(NamedTuple):
    """Where an event stands in the order of all."""

    at: int
    chain: str
    n: int
    entry: int
    number: int


@dataclass(frozen=True, slots=True)
class Asked:
    """What is wanted. Every member of a tuple must be true; of the values in one of them, one.

    ``patients`` and ``entities`` are references, ``agents`` references, ``issuer|subject`` or ``|client``. ``dates``
    are ranges, ``types`` and ``subtypes`` ``(system or None, code)``. ``visible``: only events of these patients, and
    of what these persons did that touched no patient; None for all. ``after``: the last event of the page before.
    """

    patients: tuple[frozenset[str], ...] = ()
    entities: tuple[frozenset[str], ...] = ()
    agents: tuple[frozenset[str], ...] = ()
    dates: tuple[tuple[Range, ...], ...] = ()
    types: tuple[frozenset[tuple[str | None, str]], ...] = ()
    subtypes: tuple[frozenset[tuple[str | None, str]], ...] = ()
    actions: tuple[frozenset[str], ...] = ()
    outcomes: tuple[frozenset[str], ...] = ()
    ids: tuple[frozenset[str], ...] = ()
    count: int = 50
    after: Place | None = None
    visible: frozenset[str] | None = None
    about: str = ""
    """Only events of this patient, whoever asked."""


@dataclass(frozen=True, slots=True)
class Page:
    """Events, and the last one that was looked at when there may be more."""

    events: tuple[Event, ...] = ()
    next: Place | None = field(default=None)


async def search(audit: Audit, asked: Asked) -> Page:
    """A page of events."""
    if asked.count == 0:
        return Page()
    after, found, seen = asked.after, list[Event](), 0
    where, about = _where(asked), _about(asked)
    while seen < MOST_LOOKED_AT:
        limit = min(max(asked.count - len(found), 10), AT_ONCE)
        batches = await audit.found(_behind(where, after), limit, about)
        for batch in batches:
            # A batch can hold much; the others shall not wait for all of them.
            await asyncio.sleep(0)
            seen += len(batch.entries)
            for event in events_of(batch):
                here = _place(event)
                if after is not None and not _is_behind(here, asked.after):
                    continue
                if not _matches(event, asked):
                    continue
                if len(found) == asked.count:
                    return Page(tuple(found), _place(found[-1]))
                found.append(event)
            after = Place(batch.at, batch.chain, batch.n, -1, -1)
        if len(batches) < limit:
            return Page(tuple(found))
    return Page(tuple(found), after)


async def read(audit: Audit, id_: str, visible: frozenset[str] | None) -> Event:
    """One event.

    :raises Problem: 404 when it does not exist or is not visible.
    """
    parts = id_.split("-")
    if len(parts) == 4 and all(part.isdecimal() and len(part) < 11 for part in parts[1:]):
        batch = await audit.batch(parts[0], int(parts[1]))
        for event in events_of(batch) if batch else ():
            if event.id == id_ and _is_visible(event, visible):
                return event
    raise problem(Category.NOT_FOUND, "this AuditEvent does not exist", "AuditEvent")


def _place(event: Event) -> Place:
    return Place(event.recorded, event.chain, event.n, event.entry, event.number)


def _is_behind(here: Place, after: Place | None) -> bool:
    """The order is that of :func:`fhir_server.services.audit.events.events_of`: everything from high to low."""
    if after is None:
        return True
    return (here.at, batch_place(here.chain, here.n), here.entry, here.number) < (
        after.at,
        batch_place(after.chain, after.n),
        after.entry,
        after.number,
    )


def _behind(where: list[dict[str, Any]], after: Place | None) -> dict[str, Any]:
    """The filter for batches at a place or behind it."""
    parts = list(where)
    if after is not None:
        key = batch_place(after.chain, after.n)
        # Entries of the same batch may be left, unless all of it was looked at.
        same = {"_id": {"$lte" if after.entry >= 0 else "$lt": key}}
        parts += [{"at": {"$lte": after.at}}, {"$or": [{"at": {"$lt": after.at}}, same]}]
    return {"$and": parts} if parts else {}


def _about(asked: Asked) -> frozenset[str] | None:
    """The references of which an entry must have one."""
    if asked.about:
        return frozenset({asked.about})
    return next(iter((*asked.patients, *asked.entities)), asked.visible)


def _where(asked: Asked) -> list[dict[str, Any]]:
    """Filters for batches that may hold what is wanted."""
    parts: list[dict[str, Any]] = [{"about": asked.about}] if asked.about else []
    parts += [{"about": {"$in": sorted(values)}} for values in (*asked.patients, *asked.entities)]
    parts += [{"who": {"$in": sorted(values)}} for values in asked.agents]
    if asked.visible is not None:
        parts.append({"about": {"$in": sorted(asked.visible)}})
    for ranges in asked.dates:
        bounds = [_bounds(low, high) for low, high in ranges]
        parts.append(bounds[0] if len(bounds) == 1 else {"$or": bounds})
    parts += [
        {"worst": {"$gte": min(int(one) for one in values)}}
        for values in asked.outcomes
        if values and "0" not in values and all(one.isdecimal() for one in values)
    ]
    for ids in asked.ids:
        parts.append({"_id": {"$in": sorted(_batch_of(one) for one in ids)}})
    return parts


def _bounds(low: int | None, high: int | None) -> dict[str, Any]:
    found = ({"$gte": low} if low is not None else {}) | ({"$lt": high} if high is not None else {})
    return {"at": found}


def _batch_of(id_: str) -> str:
    chain, _, rest = id_.partition("-")
    n = rest.partition("-")[0]
    return batch_place(chain, int(n)) if n.isdecimal() and len(n) < 11 else ""


def _matches(event: Event, asked: Asked) -> bool:
    access = event.access
    if asked.about and event.patient != asked.about:
        return False
    if not _is_visible(event, asked.visible):
        return False
    if any(event.patient not in values and access.fhir_user not in values for values in asked.patients):
        return False
    if asked.entities:
        shown = {event.patient, *(f"{one.type}/{one.id}" for one in event.objects)}
        if any(shown.isdisjoint(values) for values in asked.entities):
            return False
    if asked.agents:
        who = {access.fhir_user, f"{access.issuer}|{access.subject}", f"|{access.client}"}
        if any(who.isdisjoint(values) for values in asked.agents):
            return False
    if any(access.action not in values for values in asked.actions):
        return False
    if any(str(access.outcome) not in values for values in asked.outcomes):
        return False
    if any(event.id not in values for values in asked.ids):
        return False
    what = kind(access.interaction)
    return all(_coded([(what.type.system, what.type.code)], values) for values in asked.types) and all(
        _coded([(one.system, one.code) for one in what.subtypes], values) for values in asked.subtypes
    )


def _coded(codes: Sequence[tuple[str, str]], wanted: frozenset[tuple[str | None, str]]) -> bool:
    return any(code in {system_code[1], ""} and system in {None, system_code[0]} for system, code in wanted
               for system_code in codes)  # fmt: skip


def _is_visible(event: Event, visible: frozenset[str] | None) -> bool:
    if visible is None or event.patient in visible:
        return True
    return not event.patient and event.access.fhir_user in visible

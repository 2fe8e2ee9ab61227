"""Search on one type: one indexed query a page, one more for each level and type of includes.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from fhir_server.access.caller import Role
from fhir_server.errors import Issue
from fhir_server.search.query import Include, Query, SortKey
from fhir_server.services import page_tokens
from fhir_server.services.includes import Including
from fhir_server.services.listing import Chains, Document, Listing, listing
from fhir_server.services.world import World

__all__ = ["Chains", "Hit", "Page", "Place", "search"]

DEFAULT_SORT = {"Slot": "start", "Appointment": "date", "Encounter": "date"}


@dataclass(frozen=True, slots=True)
class Hit:
    """One resource of an answer; ``patients`` are those whom it is about."""

    type: str
    id: str
    body: bytes
    version: int = 0
    patients: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """Matches and what they include; ``total`` None if nobody asked; ``next`` an opaque token."""

    matches: tuple[Hit, ...] = ()
    included: tuple[Hit, ...] = ()
    total: int | None = None
    next: str = ""
    warnings: tuple[Issue, ...] = ()


class Place(NamedTuple):
    """Where a page begins: behind a row of ``type`` with these sort values (None: at the start).

    ``began`` is when the first page was asked for (ms), ``total`` what it counted: both stay for all pages.
    """

    values: list[Any] | None
    type: str
    total: int | None
    began: int


def sorted_by_default(world: World, query: Query) -> Query:
    """The query in the order of its type where it states none."""
    default = DEFAULT_SORT.get(query.type)
    if query.sort or default is None:
        return query
    return replace(query, sort=(SortKey(world.definitions.of(query.type)[default], descending=False),))


async def search(world: World, query: Query, bound: bytes) -> Page:
    """One page of a search.

    :param bound: what page tokens are bound to, see ``page_tokens.binding``.
    :raises Problem: 400 for a token that is none of this search, 410 for one that is over, 400 for a chain that matches
        too much.
    """
    place = await place_of(world, query, bound)
    found = await listing(world, sorted_by_default(world, query), place.began)
    if query.counts_only:
        return Page(total=await found.count(), warnings=found.warnings)
    rows = await found.page(place.values)
    shown = [document for _, document in rows[: query.count]]
    more = len(rows) > query.count
    total = await total_of([found], place, len(rows), more=more)
    token = ""
    if more:
        token = await page_tokens.write(world, bound, Place(rows[query.count - 1][0], "", total, place.began))
    return await page_of(world, [(query.type, one) for one in shown], found.warnings, total, token, [query], place)


async def place_of(world: World, query: Query, bound: bytes) -> Place:
    """Where the asked page begins.

    :raises Problem: 400 for a token that is none of this search, 410 for one that is over.
    """
    if not query.page:
        return Place(None, "", None, world.clock())
    return Place(*await page_tokens.read(world, bound, query.page))


async def total_of(found: Sequence[Listing], place: Place, shown: int, *, more: bool) -> int | None:
    """The number of matches: counted once and kept for all pages, or known because the first page holds them all."""
    query = found[0].query
    if place.values is not None:
        return place.total
    if query.total in {"accurate", "estimate"}:
        return sum([await one.count() for one in found])
    return None if more or query.total == "none" else shown


async def page_of(
    world: World,
    shown: Sequence[tuple[str, Document]],
    warnings: Sequence[Issue],
    total: int | None,
    token: str,
    queries: Sequence[Query],
    place: Place,
) -> Page:
    """The page of these matches with what they include."""
    types = [one.type for one in queries]
    including = Including(
        world,
        types,
        _of_all([one.includes for one in queries]),
        _of_all([one.revincludes for one in queries]),
        place.began,
    )
    level: dict[str, list[Document]] = {}
    for type_, document in shown:
        level.setdefault(type_, []).append(document)
    included = await including.of(level)
    return Page(
        tuple([await _hit(world, *one) for one in shown]),
        tuple([await _hit(world, *one) for one in included]),
        total,
        token,
        (*warnings, *including.warnings),
    )


def _of_all(several: Sequence[Sequence[Include]]) -> list[Include]:
    """The includes of a search on several types, each once: iterated if it is so whichever type is searched."""
    found: dict[Include, bool] = {}
    for one in [one for same in several for one in same]:
        key = replace(one, iterate=False)
        found[key] = found.get(key, True) and one.iterate
    return [replace(one, iterate=iterate) for one, iterate in found.items()]


async def _hit(world: World, type_: str, document: Mapping[str, Any]) -> Hit:
    """A row as the caller sees it."""
    body, patients = bytes(document["body"]), tuple(document.get("patients") or ())
    if world.policy.caller.role is not Role.SYSTEM:
        body = world.view.body(type_, body, patients)
    return Hit(type_, document["_id"], body, document["v"], patients)

"""Search on several types at once: ``/?_type=A,B`` and ``Patient/1/*``, https://hl7.org/fhir/R4/http.html#search.

Matches stand in the order of their type's name and then of their id; with ``_sort`` (``_lastUpdated``, ``_id``) in that
order over all types, ties in the order of the types' names. A page is one query for each type that it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_server.search.query import Query
from fhir_server.services import page_tokens
from fhir_server.services.listing import Document, Listing, in_order, listing
from fhir_server.services.search import Page, Place, page_of, place_of, total_of
from fhir_server.services.world import World
from fhir_server.store.search import to_sort

Match = tuple[list[Any], str, Document]
"""Sort values, type and document."""


async def search(world: World, queries: Sequence[Query], bound: bytes) -> Page:
    """One page of a search on several types; ``queries`` differ in their type and what depends on it.

    :raises Problem: as ``services.search.search`` does.
    """
    first = queries[0]
    place = await place_of(world, first, bound)
    found = [await listing(world, one, place.began) for one in sorted(queries, key=lambda one: one.type)]
    warnings = tuple(dict.fromkeys(issue for one in found for issue in one.warnings))
    if first.counts_only:
        return Page(total=sum([await one.count() for one in found]), warnings=warnings)
    rows = await (_sorted if first.sort else _one_by_one)(found, place)
    shown, more = rows[: first.count], len(rows) > first.count
    total = await total_of(found, place, len(rows), more=more)
    token = ""
    if more:
        values, type_, _ = shown[-1]
        token = await page_tokens.write(world, bound, Place(values, type_, total, place.began))
    matches = [(type_, document) for _, type_, document in shown]
    return await page_of(world, matches, warnings, total, token, queries, place)


async def _one_by_one(found: Sequence[Listing], place: Place) -> list[Match]:
    """The next matches, type after type."""
    rows: list[Match] = []
    for one in found:
        type_ = one.query.type
        if type_ >= place.type and len(rows) <= one.query.count:
            page = await one.page(place.values if type_ == place.type else None)
            rows += [(values, type_, document) for values, document in page]
    return rows[: found[0].query.count + 1]


async def _sorted(found: Sequence[Listing], place: Place) -> list[Match]:
    """The next matches in one order over all types: of a row with the values of the last one later types remain."""
    rows: list[Match] = []
    for one in found:
        type_ = one.query.type
        page = await one.page(place.values, inclusive=type_ > place.type)
        rows += [(values, type_, document) for values, document in page]
    return in_order(to_sort(found[0].query), rows)[: found[0].query.count + 1]

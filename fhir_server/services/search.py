"""Search: one indexed query a page, one more for each level of includes. https://hl7.org/fhir/R4/search.html"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from fhir_server.errors import Category, problem
from fhir_server.fhir.json import parse
from fhir_server.search.definitions import Definition
from fhir_server.search.extract import index_values
from fhir_server.search.query import Clause, Include, Query, SortKey
from fhir_server.services import slots
from fhir_server.services.slot_search import merges, slot_page
from fhir_server.services.upkeep import settle_this_second
from fhir_server.services.world import World
from fhir_server.store.search import resolve, seek, sort_values, to_filter, to_sort

HOLDING_TYPES = frozenset({"Appointment", "Slot"})
DEFAULT_SORT = {"Slot": "start", "Appointment": "date", "Encounter": "date"}
MOST_CHAINED = 10_000
MOST_INCLUDED = 1_000


@dataclass(frozen=True, slots=True)
class Hit:
    """One resource of an answer."""

    type: str
    id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """Matches and what they include; ``total`` None if nobody asked; ``next`` an opaque token."""

    matches: tuple[Hit, ...] = ()
    included: tuple[Hit, ...] = ()
    total: int | None = None
    next: str = ""
    warnings: tuple[str, ...] = field(default=())


class Chains:
    """Answers the questions that chains and ``_has`` ask of the store."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def ids(self, kind: str, clauses: tuple[Clause, ...]) -> Iterable[str]:
        found = await self._world.store.resources.find(
            kind, to_filter(clauses), limit=MOST_CHAINED + 1, fields={"_id": 1}
        )
        _check_chained(found)
        return [one["_id"] for one in found]

    async def referred(self, kind: str, clauses: tuple[Clause, ...], definition: Definition) -> Iterable[str]:
        found = await self._world.store.resources.find(
            kind, to_filter(clauses), limit=MOST_CHAINED + 1, fields={definition.field: 1}
        )
        _check_chained(found)
        return {value for one in found for value in _references(one, definition)}


def _check_chained(found: Sequence[Any]) -> None:
    if len(found) > MOST_CHAINED:
        text = f"a chained condition matches more than {MOST_CHAINED} resources; narrow it"
        raise problem(Category.INVALID, text, "", "too-costly")


async def search(world: World, query: Query) -> Page:
    """One page of a search.

    :raises Problem: 400 for a token that is none of ours and for a chain that matches too much.
    """
    if query.summary not in {None, "false", "count"}:
        raise problem(Category.NOT_SUPPORTED, "_summary is supported as count and false", "_summary")
    if query.elements:
        raise problem(Category.NOT_SUPPORTED, "_elements is not supported", "_elements")
    query = await resolve(_sorted(world, query), Chains(world))
    if query.type in HOLDING_TYPES:
        await settle_this_second(world, query.type)
    after = read_token(query) if query.page else None
    total: int | None
    if query.type == "Slot" and (schedules := await merges(world, query)):
        found, total = await slot_page(world, query, schedules, after)
    else:
        found, total = await _stored_page(world, query, after)
    if query.counts_only:
        return Page(total=total)
    more = len(found) > query.count
    shown = found[: query.count]
    included = await _included(world, query, shown)
    return Page(
        tuple(Hit(query.type, one["_id"], bytes(one["body"])) for one in shown),
        included,
        total,
        write_token(query, shown[-1]) if more else "",
    )


def _sorted(world: World, query: Query) -> Query:
    default = DEFAULT_SORT.get(query.type)
    if query.sort or default is None:
        return query
    return replace(query, sort=(SortKey(world.definitions.of(query.type)[default], descending=False),))


async def _stored_page(
    world: World, query: Query, after: list[Any] | None
) -> tuple[list[Mapping[str, Any]], int | None]:
    where = to_filter(query.clauses)
    resources = world.store.resources
    if query.counts_only:
        return [], await resources.count(query.type, where)
    page_filter = {"$and": [where, seek(query, after)]} if after is not None else where
    wanted = {"body": 1, "at": 1}
    wanted |= {field_: 1 for field_, _ in to_sort(query) if field_.startswith("idx.")}
    if query.includes or query.revincludes:
        wanted = {"body": 1, "at": 1, "idx": 1}
    found: list[Mapping[str, Any]] = list(
        await resources.find(query.type, page_filter, sort=to_sort(query), limit=query.count + 1, fields=wanted)
    )
    if query.total in {"accurate", "estimate"}:
        return found, await resources.count(query.type, where)
    if after is None and len(found) <= query.count and query.total != "none":
        return found, len(found)
    return found, None


async def _included(world: World, query: Query, shown: Sequence[Mapping[str, Any]]) -> tuple[Hit, ...]:
    """What includes and reverse includes add, each resource once, level by level.

    An include whose source is another type follows what was included before it, with or without ``:iterate``: EHRs
    send it so.
    """
    if not query.includes and not query.revincludes:
        return ()
    seen = {(query.type, one["_id"]) for one in shown}
    found: list[Hit] = []
    level: dict[str, list[Mapping[str, Any]]] = {query.type: list(shown)}
    first = True
    while level and len(found) < MOST_INCLUDED:
        wanted: dict[str, set[str]] = {}
        for one in query.includes:
            if first or one.iterate or one.source != query.type:
                for reference in _followed(world, one, level.get(one.source, ())):
                    type_, _, id_ = reference.partition("/")
                    if type_ in world.definitions.types and (one.target in {None, type_}):
                        wanted.setdefault(type_, set()).add(id_)
        fresh: dict[str, list[Mapping[str, Any]]] = {}
        for type_, ids in wanted.items():
            missing = sorted(id_ for id_ in ids if (type_, id_) not in seen)
            documents = await _fetch(world, type_, {"_id": {"$in": missing}})
            if type_ == "Slot":
                documents += await _computed(world, set(missing) - {one["_id"] for one in documents})
            fresh.setdefault(type_, []).extend(documents)
        for one in query.revincludes:
            if first or one.iterate or (one.target or query.type) != query.type:
                for type_, more in (await _pointing(world, one, level)).items():
                    fresh.setdefault(type_, []).extend(more)
        level = {}
        for type_, documents in fresh.items():
            for document in documents:
                if (type_, document["_id"]) not in seen:
                    seen.add((type_, document["_id"]))
                    found.append(Hit(type_, document["_id"], document["body"]))
                    level.setdefault(type_, []).append(document)
        first = False
    return tuple(found[:MOST_INCLUDED])


async def _computed(world: World, ids: Iterable[str]) -> list[Mapping[str, Any]]:
    """Computed Slots in the shape of stored documents."""
    found = [one for id_ in sorted(ids) if (one := await slots.computed(world, id_))]
    definitions = world.definitions.of("Slot")
    return [
        {
            "_id": one.id,
            "at": one.at,
            "body": one.body,
            "idx": index_values(parse(one.body), definitions, world.bases, world.zone),
        }
        for one in found
    ]


def _followed(world: World, include: Include, documents: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    definitions = (
        [include.definition]
        if include.definition
        else [one for one in world.definitions.of(include.source).values() if one.type == "reference"]
    )
    return [value for document in documents for one in definitions for value in _references(document, one)]


def _references(document: Mapping[str, Any], definition: Definition) -> list[str]:
    value = (document.get("idx") or {}).get(definition.code)
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


async def _fetch(world: World, type_: str, where: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(
        await world.store.resources.find(type_, where, limit=MOST_INCLUDED, fields={"body": 1, "at": 1, "idx": 1})
    )


async def _pointing(
    world: World, include: Include, level: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, list[Mapping[str, Any]]]:
    targets = [f"{type_}/{one['_id']}" for type_, documents in level.items() for one in documents]
    definitions = (
        [include.definition]
        if include.definition
        else [one for one in world.definitions.of(include.source).values() if one.type == "reference"]
    )
    ways = [{one.field: {"$in": targets}} for one in definitions]
    return {include.source: await _fetch(world, include.source, {"$or": ways})} if targets and ways else {}


def write_token(query: Query, last: Mapping[str, Any]) -> str:
    """Where the next page begins: the sort values of the last row."""
    raw = orjson.dumps(sort_values(query, {"idx": {}, **last}))
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def read_token(query: Query) -> list[Any]:
    """:raises Problem: 400 for anything that is not a token of this search."""
    try:
        raw = base64.b64decode(query.page + "=" * (-len(query.page) % 4), altchars=b"-_", validate=True)
        values = orjson.loads(raw)
    except (binascii.Error, orjson.JSONDecodeError, ValueError):
        values = None
    fields = to_sort(query)
    if (
        not isinstance(values, list)
        or len(values) != len(fields)
        or not all(one is None or isinstance(one, str | int | float) for one in values)
        or not isinstance(values[-1], str)
    ):
        raise problem(Category.INVALID, "this page token is none of this search", "_page", "param-invalid")
    return values

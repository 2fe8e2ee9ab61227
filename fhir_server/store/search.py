"""The search tree as MongoDB filters, sorts and seeks; a value is always a literal, never an operator or a pattern.

What is compared with a keyed hash stands in the filter as :class:`Hashed`, for which ``vault.py`` puts the hash on the
way to the database.

Missing values come first when ascending and last when descending; of several the first counts; ``_id`` breaks every
tie, in the direction of the last key, so that an index serves both directions.

Conditions that an index can begin with stand beside those that it cannot serve: whoever contains a text has a text,
whose name is exact has it in any case, a range that ends late began at most its longest time before, a patient who
takes part is an actor. What only excludes (``:not``, ``:missing``) walks the index of the sort, else that of ``_id``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from fhir_server.search.extract import normalised
from fhir_server.search.match import EARTH_METRES
from fhir_server.search.query import (
    All,
    Chain,
    Clause,
    DateCompare,
    Has,
    IdIn,
    Missing,
    Near,
    Not,
    OfType,
    Or,
    QuantityCompare,
    Query,
    ReferenceIn,
    SortKey,
    StringContains,
    StringExact,
    StringStarts,
    Together,
    TokenIn,
    TokenText,
    UriBelow,
    UriIn,
)
from fhir_server.search.sealed import LONGEST
from fhir_server.store.sealed_index import Hashed, day_text, domain_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fhir_server.search.definitions import Definition

Filter = dict[str, Any]

_LAST = "\U0010ffff"
"""Sorts after every text that continues a prefix."""

_ANY: Filter = {"$gte": ""}
"""Every text, of an index that has only texts."""

_ANY_HASH: Filter = {"$gte": b""}
"""The same of an index that has only hashes."""


class Lookup(Protocol):
    """What :func:`resolve` asks the store; an implementation applies the caller's access policy and its own limits."""

    async def ids(self, kind: str, clauses: tuple[Clause, ...]) -> Iterable[str]:
        """Ids of the resources of ``kind`` for which every clause is true."""
        ...

    async def referred(self, kind: str, clauses: tuple[Clause, ...], definition: Definition) -> Iterable[str]:
        """Distinct index values of the reference parameter ``definition`` (``Type/id``) of those resources."""
        ...


async def resolve(query: Query, lookup: Lookup) -> Query:
    """The query with every Chain replaced by ReferenceIn and every Has by IdIn, innermost first."""
    return replace(query, clauses=await resolve_clauses(query.type, query.clauses, lookup))


async def resolve_clauses(kind: str, clauses: tuple[Clause, ...], lookup: Lookup) -> tuple[Clause, ...]:
    """As :func:`resolve`, for clauses on ``kind``."""
    return tuple([await _resolved(kind, clause, lookup) for clause in clauses])


async def _resolved(kind: str, clause: Clause, lookup: Lookup) -> Clause:
    if isinstance(clause, Not):
        return Not(await _resolved(kind, clause.clause, lookup))
    if isinstance(clause, Or | All):
        return type(clause)(await resolve_clauses(kind, clause.clauses, lookup))
    if isinstance(clause, Chain):
        inner = await resolve_clauses(clause.target, clause.clauses, lookup)
        found = await lookup.ids(clause.target, inner)
        return ReferenceIn(clause.definition, tuple(f"{clause.target}/{found_id}" for found_id in found))
    if isinstance(clause, Has):
        inner = await resolve_clauses(clause.kind, clause.clauses, lookup)
        start = f"{kind}/"
        referred = await lookup.referred(clause.kind, inner, clause.definition)
        return IdIn(tuple(text.removeprefix(start) for text in referred if text.startswith(start)))
    return clause


def to_filter(clauses: Iterable[Clause]) -> Filter:
    """The filter that is true where ``fhir_server.search.match.matches`` is; ``{}`` for no clauses.

    Raises ``TypeError`` for a Chain or Has that was not resolved.
    """
    listed = list(clauses)
    filters = [_filter(clause) for clause in listed]
    if filters and not any(map(_narrows, listed)):
        filters.append({"_id": _ANY})
    if len(filters) == 1:
        return filters[0]
    return {"$and": filters} if filters else {}


def _narrows(clause: Clause) -> bool:
    """Whether an index of the parameter can begin where the clause may be true."""
    if isinstance(clause, Or):
        return all(map(_narrows, clause.clauses))
    if isinstance(clause, All):
        return any(map(_narrows, clause.clauses))
    return not isinstance(clause, Not | Missing)


def _filter(clause: Clause) -> Filter:
    build = _FILTERS.get(type(clause))
    if build is None:
        msg = f"{type(clause).__name__} looks at other resources: resolve it first"
        raise TypeError(msg)
    return build(clause)


def _one_of(values: Iterable[Any]) -> Filter:
    listed = list(values)
    return {"$eq": listed[0]} if len(listed) == 1 else {"$in": listed}


def _any(filters: list[Filter]) -> Filter:
    return filters[0] if len(filters) == 1 else {"$or": filters}


def _hashes(definition: Definition, texts: Iterable[str], part: str = "") -> Filter:
    """Whether the hash of one of the texts is among those of a part (``:exact`` …) of a parameter."""
    domain = domain_of(definition, part)
    return _one_of([Hashed(domain, text) for text in texts])


def _covered(definition: Definition, wanted: Filter) -> Filter:
    """The condition on the parameter, and on the one that has all of its values and an index."""
    return {definition.field: wanted} | ({definition.cover: wanted} if definition.cover else {})


def _in(clause: TokenIn | UriIn) -> Filter:
    if clause.definition.sealed:
        return _covered(clause.definition, _hashes(clause.definition, clause.values))
    return {clause.definition.field: _one_of(clause.values)}


def _refers(clause: ReferenceIn) -> Filter:
    values: Iterable[Any] = clause.values
    if clause.definition.personal and any(one.startswith("#") for one in clause.values):
        domain = domain_of(clause.definition)
        values = [Hashed(domain, one, reference=True) if one.startswith("#") else one for one in clause.values]
    return _covered(clause.definition, _one_of(values))


def _starts(clause: StringStarts) -> Filter:
    definition = clause.definition
    if definition.sealed:
        return _covered(definition, _hashes(definition, dict.fromkeys(text[:LONGEST] for text in clause.values)))
    return _any([_continues(definition.field, text, single=definition.single) for text in clause.values])


def _continues(field: str, start: str, *, single: bool) -> Filter:
    """Texts that begin with ``start``; on a list both ends of the range hold for one and the same text."""
    ends: Filter = {"$gte": start, "$lt": start + _LAST}
    return {field: ends if single else {"$elemMatch": ends}}


def _contains(clause: StringContains) -> Filter:
    field = f"${clause.definition.field}"
    texts: Any = [field] if clause.definition.single else {"$ifNull": [field, []]}
    found = [{"$gte": [{"$indexOfCP": ["$$text", {"$literal": text}]}, 0]} for text in clause.values]
    each = {"$map": {"input": texts, "as": "text", "in": {"$or": found}}}
    # A scalar that is absent makes one null, of which $indexOfCP says null, and null is less than 0.
    return {"$expr": {"$anyElementTrue": [each]}, clause.definition.field: _ANY}


def _text(clause: TokenText) -> Filter:
    definition = clause.definition
    field = definition.field
    there = _ANY_HASH if definition.sealed else _ANY
    if definition.personal:
        return {f"{field}:text": _hashes(definition, (text[:LONGEST] for text in clause.values), ":text"), field: there}
    found = [_continues(f"{field}:text", text, single=False) for text in clause.values]
    return {"$and": [_any(found), {field: there}]}


def _of_type(clause: OfType) -> Filter:
    definition = clause.definition
    field, typed = definition.field, ["|".join(value) for value in clause.values]
    values = [f"={value}" for _, _, value in clause.values]
    if definition.sealed:
        return {f"{field}:of-type": _hashes(definition, typed, ":of-type"), field: _hashes(definition, values)}
    return {f"{field}:of-type": _one_of(typed), field: _one_of(values)}


def _below(clause: UriBelow) -> Filter:
    definition = clause.definition
    deeper = [_continues(definition.field, f"{url}/", single=definition.single) for url in clause.values]
    return _any([{definition.field: _one_of(clause.values)}, *deeper])


def _together(clause: Together) -> Filter:
    return {clause.definition.field: {"$elemMatch": {"$and": [_filter(each) for each in clause.clauses]}}}


def _exact(clause: StringExact) -> Filter:
    field = clause.definition.field
    folded = dict.fromkeys(map(normalised, clause.values))
    if clause.definition.sealed:
        exact = {f"{field}:exact": _hashes(clause.definition, clause.values, ":exact")}
        if "" in folded:
            # Nothing to fold to: such a text has no beginning.
            return exact | _covered(clause.definition, {"$exists": True})
        starts = dict.fromkeys(text[:LONGEST] for text in folded)
        return exact | _covered(clause.definition, _hashes(clause.definition, starts))
    return {f"{field}:exact": _one_of(clause.values), field: _one_of(folded)}


def _date(clause: DateCompare) -> Filter:
    definition, low, high = clause.definition, clause.low, clause.high
    if not definition.indexed:
        return _written(clause.prefix, low, high)
    if definition.sealed:
        return {definition.field: _hashes(definition, [day_text(low, high)])}
    bounds = _DATES[clause.prefix](low, high)
    branches = [_began(definition, branch) for branch in bounds.get("$or", (bounds,))]
    return _any([_compound(definition, branch) for branch in branches])


def _began(definition: Definition, bounds: Filter) -> Filter:
    """The bounds with one on the beginning where only the end has one: indexes hold the beginning."""
    if not definition.longest or "$gt" not in bounds.get("h", {}):
        return bounds
    return bounds | {"l": bounds.get("l", {}) | {"$gt": bounds["h"]["$gt"] - definition.longest}}


def _written(prefix: str, low: int, high: int) -> Filter:
    """``_lastUpdated``: a field of whole milliseconds, each a range of one."""
    if prefix in ("eq", "ap"):
        return {"at": {"$gte": low, "$lt": high}}
    if prefix == "ne":
        return {"$or": [{"at": {"$lt": low}}, {"at": {"$gte": high}}]}
    return {"at": {"gt": {"$gte": high}, "sa": {"$gte": high}, "ge": {"$gte": low}, "le": {"$lt": high}}.get(
        prefix, {"$lt": low}
    )}  # fmt: skip


def _compound(definition: Definition, bounds: Filter) -> Filter:
    """Conditions on the parts of one value: on sub-fields of a scalar, inside ``$elemMatch`` of a list."""
    if not definition.single:
        return {definition.field: {"$elemMatch": bounds}}
    return {f"{definition.field}.{key}": value for key, value in bounds.items()}


def _quantity(clause: QuantityCompare) -> Filter:
    bounds = _QUANTITIES[clause.prefix](clause)
    unit: Filter = {"u": {"$eq": clause.unit}} if clause.unit else {}
    return _any([_compound(clause.definition, branch | unit) for branch in bounds.get("$or", (bounds,))])


def _near(clause: Near) -> Filter:
    circle = [[clause.longitude, clause.latitude], clause.metres / EARTH_METRES]
    return {clause.definition.field: {"$geoWithin": {"$centerSphere": circle}}}


def _not(clause: Not) -> Filter:
    return {"$nor": [_filter(clause.clause)]}


_DATES: dict[str, Callable[[int, int], Filter]] = {
    # A range is never empty: h <= high bounds l as well, the field that indexes hold.
    "eq": lambda low, high: {"l": {"$gte": low, "$lt": high}, "h": {"$lte": high}},
    "ne": lambda low, high: {"$or": [{"l": {"$lt": low}}, {"h": {"$gt": high}}]},
    "gt": lambda _, high: {"h": {"$gt": high}},
    "lt": lambda low, _: {"l": {"$lt": low}},
    "ge": lambda low, _: {"h": {"$gt": low}},
    "le": lambda _, high: {"l": {"$lt": high}},
    "sa": lambda _, high: {"l": {"$gte": high}},
    "eb": lambda low, _: {"l": {"$lt": low}, "h": {"$lte": low}},
    "ap": lambda low, high: {"l": {"$lt": high}, "h": {"$gt": low}},
}

_QUANTITIES: dict[str, Callable[[QuantityCompare], Filter]] = {
    "eq": lambda q: {"v": {"$gte": q.low, "$lt": q.high}},
    "ne": lambda q: {"$or": [{"v": {"$lt": q.low}}, {"v": {"$gte": q.high}}]},
    "gt": lambda q: {"v": {"$gt": q.value}},
    "lt": lambda q: {"v": {"$lt": q.value}},
    "ge": lambda q: {"v": {"$gte": q.value}},
    "le": lambda q: {"v": {"$lte": q.value}},
    "sa": lambda q: {"v": {"$gt": q.value}},
    "eb": lambda q: {"v": {"$lt": q.value}},
    "ap": lambda q: {"v": {"$gte": q.low, "$lte": q.high}},
}

_FILTERS: dict[type, Callable[[Any], Filter]] = {
    TokenIn: _in,
    ReferenceIn: _refers,
    UriIn: _in,
    TokenText: _text,
    OfType: _of_type,
    UriBelow: _below,
    Together: _together,
    StringStarts: _starts,
    StringContains: _contains,
    StringExact: _exact,
    DateCompare: _date,
    QuantityCompare: _quantity,
    Missing: lambda clause: {clause.definition.field: {"$exists": not clause.missing}},
    IdIn: lambda clause: {"_id": _one_of(clause.ids)},
    Near: _near,
    Not: _not,
    All: lambda clause: {"$and": [_filter(each) for each in clause.clauses]},
    Or: lambda clause: _any([_filter(each) for each in clause.clauses]),
}


def to_sort(query: Query) -> list[tuple[str, int]]:
    """Field and direction of each sort key, ``_id`` last."""
    keys = [(_sort_field(key), -1 if key.descending else 1) for key in query.sort]
    if any(field == "_id" for field, _ in keys):
        return keys
    return [*keys, ("_id", keys[-1][1] if keys else 1)]


def _sort_field(key: SortKey) -> str:
    definition = key.definition
    if not definition.indexed:
        return definition.field
    field = definition.field if definition.scalar else f"{definition.field}:sort"
    return f"{field}.{_SORT_PARTS[definition.type]}" if definition.type in _SORT_PARTS else field


_SORT_PARTS = {"date": "l", "quantity": "v", "number": "v"}


def sort_values(query: Query, doc: Mapping[str, Any]) -> list[Any]:
    """The values by which :func:`to_sort` places ``doc`` (``_id``, ``at``, ``idx``), ``None`` where it has none."""
    found: list[Any] = []
    for field, _ in to_sort(query):
        value: Any = doc
        for step in field.split("."):
            value = None if value is None else value.get(step)
        found.append(value)
    return found


def seek(query: Query, last: list[Any]) -> Filter:
    """The filter for what comes after the document whose :func:`sort_values` are ``last``, in the order of the sort."""
    branches: list[Filter] = []
    equal: list[Filter] = []
    bound: Filter = {}
    for (field, direction), value in zip(to_sort(query), last, strict=True):
        after = _after(field, direction, value)
        if after is not None:
            branches.append({"$and": [*equal, after]} if equal else after)
        if not equal and direction > 0 and value is not None:
            # Implied by every branch; it lets an index scan begin at the page.
            bound = {field: {"$gte": value}}
        equal.append({field: {"$exists": False}} if value is None else {field: {"$eq": value}})
    return bound | _any(branches)


def _after(field: str, direction: int, value: Any) -> Filter | None:
    """Documents whose value comes later; ``None`` when none can."""
    if value is None:
        return {field: {"$exists": True}} if direction > 0 else None
    if direction > 0:
        return {field: {"$gt": value}}
    return {"$or": [{field: {"$lt": value}}, {field: {"$exists": False}}]}

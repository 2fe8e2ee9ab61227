"""A search tree evaluated on one resource, with the same meaning as ``fhir_server.store.search`` in MongoDB.

Dates, with the resource's range [l, h) and the searched range [low, high); true when one of its ranges satisfies it:

    eq  l >= low and h <= high      the searched range contains it
    ne  not eq
    gt  h > high                    some of it lies after the searched range
    lt  l < low
    ge  h > low                     some of it lies in or after
    le  l < high
    sa  l >= high                   all of it lies after
    eb  h <= low
    ap  l < high and h > low        they overlap; the searched range is widened by a tenth of the time from now
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fhir_server.search.query import (
    All,
    Clause,
    DateCompare,
    IdIn,
    Missing,
    Near,
    Not,
    OfType,
    Or,
    QuantityCompare,
    ReferenceIn,
    StringContains,
    StringExact,
    StringStarts,
    Together,
    TokenIn,
    TokenText,
    UriBelow,
    UriIn,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

EARTH_METRES = 6_378_100.0
"""The radius of the earth with which MongoDB turns metres into radians."""


class NeedsOtherResourcesError(Exception):
    """The tree holds a chain or ``_has``, which one resource alone cannot answer: resolve it first."""


def matches(clauses: Iterable[Clause], doc: Mapping[str, Any]) -> bool:
    """Whether every clause is true for ``doc``: ``{"_id": id, "at": ms, "idx": index values}``.

    Raises ``NeedsOtherResourcesError`` for a Chain or Has.
    """
    return all(_true(clause, doc) for clause in clauses)


def _true(clause: Clause, doc: Mapping[str, Any]) -> bool:
    evaluate = _EVALUATORS.get(type(clause))
    if evaluate is None:
        raise NeedsOtherResourcesError
    return evaluate(clause, doc)


def _values(doc: Mapping[str, Any], code: str) -> list[Any]:
    value = doc["idx"].get(code)
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _in(clause: TokenIn | ReferenceIn | UriIn, doc: Mapping[str, Any]) -> bool:
    return any(value in clause.values for value in _values(doc, clause.definition.code))


def _starts(clause: StringStarts, doc: Mapping[str, Any]) -> bool:
    return any(value.startswith(clause.values) for value in _values(doc, clause.definition.code))


def _contains(clause: StringContains, doc: Mapping[str, Any]) -> bool:
    return any(text in value for value in _values(doc, clause.definition.code) for text in clause.values)


def _exact(clause: StringExact, doc: Mapping[str, Any]) -> bool:
    return any(value in clause.values for value in _values(doc, f"{clause.definition.code}:exact"))


def _text(clause: TokenText, doc: Mapping[str, Any]) -> bool:
    return any(value.startswith(clause.values) for value in _values(doc, f"{clause.definition.code}:text"))


def _of_type(clause: OfType, doc: Mapping[str, Any]) -> bool:
    wanted = {"|".join(value) for value in clause.values}
    return any(value in wanted for value in _values(doc, f"{clause.definition.code}:of-type"))


def _below(clause: UriBelow, doc: Mapping[str, Any]) -> bool:
    starts = tuple(f"{value}/" for value in clause.values)
    return any(value in clause.values or value.startswith(starts) for value in _values(doc, clause.definition.code))


def _together(clause: Together, doc: Mapping[str, Any]) -> bool:
    return any(matches(clause.clauses, {**doc, "idx": element}) for element in _values(doc, clause.definition.code))


def compares(clause: DateCompare, low: int, high: int) -> bool:
    """Whether a range ``[low, high)`` in milliseconds stands to the clause's as its prefix says."""
    return _DATES[clause.prefix](low, high, clause.low, clause.high)


def _date(clause: DateCompare, doc: Mapping[str, Any]) -> bool:
    if not clause.definition.indexed:
        return _DATES[clause.prefix](doc["at"], doc["at"] + 1, clause.low, clause.high)
    compare = _DATES[clause.prefix]
    return any(compare(at["l"], at["h"], clause.low, clause.high) for at in _values(doc, clause.definition.code))


def _quantity(clause: QuantityCompare, doc: Mapping[str, Any]) -> bool:
    compare = _QUANTITIES[clause.prefix]
    return any(
        (not clause.unit or clause.unit in amount["u"]) and compare(amount["v"], clause)
        for amount in _values(doc, clause.definition.code)
    )


def _missing(clause: Missing, doc: Mapping[str, Any]) -> bool:
    absent = clause.definition.indexed and clause.definition.code not in doc["idx"]
    return absent is clause.missing


def _near(clause: Near, doc: Mapping[str, Any]) -> bool:
    for point in _values(doc, clause.definition.code):
        longitude, latitude = point["coordinates"]
        if distance(latitude, longitude, clause.latitude, clause.longitude) <= clause.metres:
            return True
    return False


def distance(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """Metres along the great circle between two positions in degrees."""
    north, other_north = math.radians(latitude), math.radians(other_latitude)
    east = math.radians(other_longitude - longitude)
    half = math.sin((other_north - north) / 2) ** 2 + math.cos(north) * math.cos(other_north) * math.sin(east / 2) ** 2
    return 2 * EARTH_METRES * math.asin(min(1.0, math.sqrt(half)))


_DATES: dict[str, Callable[[int, int, int, int], bool]] = {
    "eq": lambda start, end, low, high: start >= low and end <= high,
    "ne": lambda start, end, low, high: start < low or end > high,
    "gt": lambda _, end, __, high: end > high,
    "lt": lambda start, _, low, __: start < low,
    "ge": lambda _, end, low, __: end > low,
    "le": lambda start, _, __, high: start < high,
    "sa": lambda start, _, __, high: start >= high,
    "eb": lambda _, end, low, __: end <= low,
    "ap": lambda start, end, low, high: start < high and end > low,
}

_QUANTITIES: dict[str, Callable[[float, QuantityCompare], bool]] = {
    "eq": lambda v, q: q.low <= v < q.high,
    "ne": lambda v, q: v < q.low or v >= q.high,
    "gt": lambda v, q: v > q.value,
    "lt": lambda v, q: v < q.value,
    "ge": lambda v, q: v >= q.value,
    "le": lambda v, q: v <= q.value,
    "sa": lambda v, q: v > q.value,
    "eb": lambda v, q: v < q.value,
    "ap": lambda v, q: q.low <= v <= q.high,
}

_EVALUATORS: dict[type, Callable[[Any, Mapping[str, Any]], bool]] = {
    TokenIn: _in,
    ReferenceIn: _in,
    UriIn: _in,
    StringStarts: _starts,
    StringContains: _contains,
    StringExact: _exact,
    TokenText: _text,
    OfType: _of_type,
    UriBelow: _below,
    DateCompare: _date,
    QuantityCompare: _quantity,
    Together: _together,
    Missing: _missing,
    IdIn: lambda clause, doc: doc["_id"] in clause.ids,
    Near: _near,
    Not: lambda clause, doc: not _true(clause.clause, doc),
    All: lambda clause, doc: all(_true(each, doc) for each in clause.clauses),
    Or: lambda clause, doc: any(_true(each, doc) for each in clause.clauses),
}

"""The matches of a search on one type, in order: stored resources, and computed Slots merged into them.

A stored page is one indexed query that begins behind the last row of the page before (keyset), so rows that others
insert or delete shift nothing. A row whose own sort value changes meanwhile is shown where it then stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from fhir_server.errors import Category, Issue, problem
from fhir_server.search.definitions import Definition
from fhir_server.search.query import Clause, IdIn, Query
from fhir_server.services.access.questions import narrow, narrowed
from fhir_server.services.slot_search import Computed, computed
from fhir_server.services.upkeep import settle_this_second
from fhir_server.services.world import World
from fhir_server.store.search import resolve, seek, sort_values, to_filter, to_sort

HOLDING_TYPES = frozenset({"Appointment", "Slot"})
MOST_CHAINED = 10_000
MOST_STORED = 20_000
"""Most stored Slots that are counted one by one beside computed ones."""

Document = Mapping[str, Any]
Row = tuple[list[Any], Document]
"""A document with its sort values."""

AnyRow = TypeVar("AnyRow", bound=tuple[Any, ...])


class Chains:
    """Answers the questions that chains and ``_has`` ask, from what the caller sees.

    What refers to a computed Slot makes a stored one of it, unless it is a proposal: ``ids`` asks the store alone.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    async def ids(self, kind: str, clauses: tuple[Clause, ...]) -> Iterable[str]:
        return [one["_id"] for one in await self._find(kind, clauses, "_id")]

    async def referred(self, kind: str, clauses: tuple[Clause, ...], definition: Definition) -> Iterable[str]:
        if kind == "Slot":
            found = await self._slots(clauses, definition.field)
        else:
            found = await self._find(kind, clauses, definition.field)
        return {value for one in found for value in references(one, definition)}

    async def _slots(self, clauses: tuple[Clause, ...], field_: str) -> Sequence[Document]:
        asked = await narrowed(self._world, "Slot", clauses)
        if asked is None:
            return []
        query = Query("Slot", asked)
        slots = Listing(self._world, query, await computed(self._world, query, self._world.clock()))
        if any(one.severity == "warning" for one in slots.warnings):
            text = "a condition on computed Slots would look at too many; name schedule, or narrow start"
            raise problem(Category.INVALID, text, "_has", "too-costly")
        return await slots.every(field_)

    async def _find(self, kind: str, clauses: tuple[Clause, ...], field_: str) -> Sequence[Document]:
        found = await self._world.view.find(kind, clauses, limit=MOST_CHAINED + 1, fields={field_: 1})
        if len(found) > MOST_CHAINED:
            text = f"a chained condition matches more than {MOST_CHAINED} resources; narrow it"
            raise problem(Category.INVALID, text, "", "too-costly")
        return found


def references(document: Document, definition: Definition) -> list[str]:
    """The index values of a reference parameter."""
    value = (document.get("idx") or {}).get(definition.code)
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


@dataclass(frozen=True, slots=True)
class Listing:
    """A search that is ready to be read; ``query`` has its sort and no chains."""

    world: World
    query: Query
    computed: Computed = field(default_factory=Computed)

    @property
    def warnings(self) -> tuple[Issue, ...]:
        return self.computed.warnings

    async def page(self, after: list[Any] | None, *, inclusive: bool = False) -> list[Row]:
        """The next rows, one more than the page holds if there are more.

        :param after: sort values of the row before; ``inclusive``: a row with just these values comes too.
        """
        wanted = self.query.count + 1
        if not self.computed.rows and not self.computed.ruled:
            return await self._stored(after, wanted, inclusive=inclusive)
        order = to_sort(self.query)
        fresh = await self._fresh(after, wanted, inclusive=inclusive)
        return in_order(order, [*await self._kept(after, wanted, inclusive=inclusive), *fresh])[:wanted]

    async def count(self) -> int:
        """How many matches there are."""
        if not self.computed.rows and not self.computed.ruled:
            return await self.world.store.resources.count(self.query.type, to_filter(self.query.clauses))
        return len(await self.every("_id"))

    async def every(self, field_: str) -> list[Document]:
        """Every Slot with one field of the document, stored and computed."""
        stored = await self.world.store.resources.find(
            "Slot", to_filter(self.query.clauses), limit=MOST_STORED + 1, fields=_STALE | {field_: 1}
        )
        if len(stored) > MOST_STORED:
            text = f"the search matches more than {MOST_STORED} Slots; narrow it"
            raise problem(Category.INVALID, text, "", "too-costly")
        known = {one["_id"] for one in self.computed.rows}
        written = await self._written(sorted(known))
        return [
            *(one for one in stored if not self._is_stale(one, known)),
            *(one for one in self.computed.rows if one["_id"] not in written),
        ]

    async def _stored(self, after: list[Any] | None, limit: int, *, inclusive: bool) -> list[Row]:
        query = self.query
        where = to_filter(query.clauses)
        if after is not None:
            behind = seek(query, after)
            if inclusive:
                same = {name: value for (name, _), value in zip(to_sort(query), after, strict=True)}
                behind = {"$or": [behind, same]}
            where = {"$and": [where, behind]}
        found = await self.world.store.resources.find(
            query.type, where, sort=to_sort(query), limit=limit, fields=self._fields()
        )
        return [(sort_values(query, {"idx": {}, **one}), one) for one in found]

    def _fields(self) -> dict[str, int]:
        """What a page needs of each document: its body, its sort values, and what includes follow."""
        if self.query.includes or self.query.revincludes:
            return {"v": 1, "body": 1, "at": 1, "idx": 1, "patients": 1}
        fields = {"v": 1, "body": 1, "at": 1, "patients": 1}
        fields |= {name: 1 for name, _ in to_sort(self.query) if name.startswith("idx.")}
        if self.computed.ruled:
            fields |= _STALE
        return fields

    async def _kept(self, after: list[Any] | None, wanted: int, *, inclusive: bool) -> list[Row]:
        """Stored rows without those that the rules no longer open."""
        known = {one["_id"] for one in self.computed.rows}
        kept: list[Row] = []
        while True:
            found = await self._stored(after, wanted, inclusive=inclusive)
            kept += [row for row in found if not self._is_stale(row[1], known)]
            if len(found) < wanted or len(kept) >= wanted:
                return kept[:wanted]
            after, inclusive = found[-1][0], False

    def _is_stale(self, slot: Document, known: set[str]) -> bool:
        index = slot["idx"]
        schedule = index.get("schedule")
        named = schedule if isinstance(schedule, list) else [schedule]
        return index.get("status") == "=free" and not self.computed.ruled.isdisjoint(named) and slot["_id"] not in known

    async def _fresh(self, after: list[Any] | None, wanted: int, *, inclusive: bool) -> list[Row]:
        """Computed rows that nobody has written yet."""
        order = to_sort(self.query)
        rows = in_order(order, [(sort_values(self.query, one), one) for one in self.computed.rows])
        if after is not None:
            rows = [row for row in rows if is_after(row[0], after, order) or (inclusive and row[0] == after)]
        fresh: list[Row] = []
        for first in range(0, len(rows), wanted):
            part = rows[first : first + wanted]
            written = await self._written([row[1]["_id"] for row in part])
            fresh += [row for row in part if row[1]["_id"] not in written]
            if len(fresh) >= wanted:
                break
        return fresh[:wanted]

    async def _written(self, ids: Sequence[str]) -> set[str]:
        """Those of computed Slots that are stored: the stored one is the truth, also where the search misses it."""
        found = await self.world.store.resources.find("Slot", {"_id": {"$in": list(ids)}}, fields={"_id": 1})
        return {one["_id"] for one in found}


_STALE = {"idx.status": 1, "idx.schedule": 1}


async def listing(world: World, query: Query, at: int) -> Listing:
    """Make a search ready: chains answered, holds that are over settled, Slots computed.

    :param at: milliseconds since the epoch at which the first page was asked for.
    :raises Problem: 400 for a chain or a window that is too much work.
    """
    seen = await narrow(world, query)
    query = await resolve(seen or replace(query, clauses=(IdIn(()),)), Chains(world))
    if query.type in HOLDING_TYPES:
        await settle_this_second(world, query.type)
    return Listing(world, query, await computed(world, query, at) if query.type == "Slot" else Computed())


def in_order(order: Sequence[tuple[str, int]], rows: Iterable[AnyRow]) -> list[AnyRow]:
    """Rows, each beginning with its sort values, sorted as the database does it: missing first when ascending."""
    found = list(rows)
    for place in range(len(order) - 1, -1, -1):
        found.sort(key=lambda row, at=place: _key(row[0][at]), reverse=order[place][1] < 0)  # type: ignore[misc]
    return found


def is_after(values: Sequence[Any], last: Sequence[Any], order: Sequence[tuple[str, int]]) -> bool:
    """Whether a row comes after another one."""
    for value, before, (_, direction) in zip(values, last, order, strict=True):
        if value != before:
            return (_key(value) > _key(before)) is (direction > 0)
    return False


def _key(value: Any) -> tuple[bool, Any]:
    return (value is not None, value if value is not None else 0)

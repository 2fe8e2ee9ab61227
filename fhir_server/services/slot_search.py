"""Searching Slots of Schedules with rules: stored and computed Slots as one list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fhir_server.errors import Category, problem
from fhir_server.fhir.parameters import Moment
from fhir_server.scheduling.interval import Interval
from fhir_server.scheduling.proposal import ProposalKey, encode, moved
from fhir_server.search.extract import index_values
from fhir_server.search.match import compares, matches
from fhir_server.search.query import Clause, DateCompare, Query, ReferenceIn
from fhir_server.services.appointments import virtual
from fhir_server.services.booking import LAST_INSTANT
from fhir_server.services.candidates import Candidate, Criteria
from fhir_server.services.facts import ScheduleFacts
from fhir_server.services.free_time import Free, calendars, free
from fhir_server.services.slot_faces import slot_resource
from fhir_server.services.world import World
from fhir_server.store.search import sort_values, to_filter, to_sort

OPEN_ENDED_DAYS = 31
"""How far computed Slots are listed when the search names no end."""

MOST_COMPUTED = 20_000
MOST_STORED = 20_000
INSTANT_MS = 1000
"""A start in whole seconds lasts so long in searches."""

BY_START = [("idx.start.l", 1), ("_id", 1)]

Document = Mapping[str, Any]


async def merges(world: World, query: Query) -> list[ScheduleFacts]:
    """The Schedules with rules that a Slot search names; empty if stored Slots are all there is."""
    named = [
        set(one.values) for one in query.clauses if isinstance(one, ReferenceIn) and one.definition.code == "schedule"
    ]
    if not named:
        return []
    facts = await world.catalogue.schedules(sorted(set.intersection(*named)))
    return [one for one in facts.values() if one.opening is not None and one.active]


async def slot_page(
    world: World, query: Query, schedules: Sequence[ScheduleFacts], after: list[Any] | None
) -> tuple[list[Document], int]:
    """A page (one row more than its size, if there are more) and the total."""
    ruled = {one.id for one in schedules}
    order = to_sort(query)
    computed = {one["_id"]: one for one in await _computed(world, query, schedules)}
    plain = order == BY_START and not query.includes and not query.revincludes
    idx = {"idx.start": 1, "idx.status": 1, "idx.schedule": 1} if plain else {"idx": 1}
    stored = await world.store.resources.find(
        "Slot", to_filter(query.clauses), limit=MOST_STORED, fields={"body": 1, "at": 1, **idx}
    )
    rows: dict[str, Document] = {
        one["_id"]: one
        for one in stored
        # A stored free Slot of a Schedule with rules is free only as long as the rules say so.
        if one["idx"].get("status") != "=free" or one["idx"].get("schedule") not in ruled or one["_id"] in computed
    }
    fresh = [id_ for id_ in computed if id_ not in rows]
    written = set() if _finds_all(query) else await _written(world, fresh)
    rows |= {id_: computed[id_] for id_ in fresh if id_ not in written}
    keyed = _ordered(query, order, rows.values())
    if after is not None:
        keyed = [row for row in keyed if _is_after(row[0], after, order)]
    return [row for _, row in keyed[: query.count + 1]], len(rows)


def _finds_all(query: Query) -> bool:
    """Whether the search finds every stored Slot of its Schedules and times, whatever its status."""
    return all(
        isinstance(one, ReferenceIn | DateCompare) and one.definition.code in {"schedule", "start"}
        for one in query.clauses
    )


async def _written(world: World, ids: Sequence[str]) -> set[str]:
    """Computed Slots that are stored with another status than the search asks for."""
    found = await world.store.resources.find("Slot", {"_id": {"$in": list(ids)}}, fields={"_id": 1, "idx.status": 1})
    return {one["_id"] for one in found if one.get("idx", {}).get("status") != "=free"}


def _ordered(query: Query, order: list[tuple[str, int]], rows: Iterable[Document]) -> list[tuple[list[Any], Document]]:
    """Rows with their sort values, in order."""
    if order == BY_START:
        keyed = [([one["idx"]["start"]["l"], one["_id"]], one) for one in rows]
        keyed.sort(key=lambda row: row[0])
        return keyed
    keyed = [(sort_values(query, one), one) for one in rows]
    for place in range(len(order) - 1, -1, -1):
        keyed.sort(key=lambda row, at=place: _key(row[0][at]), reverse=order[place][1] < 0)  # type: ignore[misc]
    return keyed


def _key(value: Any) -> tuple[bool, Any]:
    return (value is not None, value if value is not None else 0)


def _is_after(values: Sequence[Any], after: Sequence[Any], order: Sequence[tuple[str, int]]) -> bool:
    for value, last, (_, direction) in zip(values, after, order, strict=True):
        if value != last:
            return (_key(value) > _key(last)) is (direction > 0)
    return False


async def _computed(world: World, query: Query, schedules: Sequence[ScheduleFacts]) -> list[Document]:
    low, high = _window(world, query)
    if high <= low:
        return []
    found: list[Candidate] = []
    for facts in schedules:
        services = await world.catalogue.services(facts.offers)
        found += [Candidate((facts,), one, 0) for one in services.values() if one.active] or [
            Candidate((facts,), None, 0)
        ]
    # A visit that starts before the end of the window may end after it.
    window = Interval(low, high + 43200)
    asked = Criteria(Moment("", low, None), Moment("", high, None), channel="staff")
    times = await free(world, asked, found, dict.fromkeys((one.id for one in found), window), calendars(world))
    if len(times) > MOST_COMPUTED:
        text = f"the search covers {len(times)} computed Slots; narrow start or the service"
        raise problem(Category.INVALID, text, "start", "too-costly")
    when = [one for one in query.clauses if isinstance(one, DateCompare) and one.definition.code == "start"]
    rest = [one for one in query.clauses if one not in when]
    patterns: dict[str, _Pattern] = {}
    made = []
    for time in times:
        if time.start >= high:
            break
        at = time.start * 1000
        if not all(compares(one, at, at + INSTANT_MS) for one in when):
            continue
        pattern = patterns.get(time.name)
        if pattern is None:
            pattern = patterns[time.name] = _Pattern(world, time, rest)
        if pattern.fits:
            made.append(pattern.document(time))
    return made


def _window(world: World, query: Query) -> tuple[int, int]:
    """Seconds between which computed Slots may start: what the search says about ``start``, never the past."""
    low, high = world.now(), None
    for one in query.clauses:
        if not isinstance(one, DateCompare) or one.definition.code != "start":
            continue
        if one.prefix in {"eq", "ge", "gt", "sa"}:
            low = max(low, one.low // 1000)
        if one.prefix in {"eq", "le", "lt", "eb"}:
            high = min(high or one.high // 1000 + 1, one.high // 1000 + 1)
    end = high if high is not None else low + OPEN_ENDED_DAYS * 86400
    most = world.settings.find_window_days
    if end - low > (most + 1) * 86400:
        text = f"Slots of a Schedule with rules are listed for at most {most} days from now or from start=ge…"
        raise problem(Category.INVALID, text, "start", "too-costly")
    return low, min(end, LAST_INSTANT)


class _Pattern:
    """What the computed Slots of one Schedule and service have in common: everything but their start."""

    def __init__(self, world: World, time: Free, clauses: Sequence[Clause]) -> None:
        facts, service = time.candidate.schedules[0], time.candidate.service
        key = ProposalKey(time.start, time.end - time.start, service.key if service else "", "", (facts.key,))
        self._id = encode(key)
        self._at = world.clock()
        resource = slot_resource(facts, service, time.start, time.end, self._id)
        self._idx = index_values(resource, world.definitions.of("Slot"), world.bases, world.zone)
        self.fits = matches(clauses, self.document(time))

    def document(self, time: Free) -> Document:
        """A computed Slot in the shape of a stored document."""
        id_ = moved(self._id, time.start)
        start = {"l": time.start * 1000, "h": time.start * 1000 + INSTANT_MS}
        return {"_id": id_, "at": self._at, "idx": {**self._idx, "start": start}, "body": _Lazy(time, id_, self._at)}


class _Lazy:
    """The body of a computed Slot, written only for the page that shows it."""

    __slots__ = ("_at", "_id", "_time")

    def __init__(self, time: Free, id_: str, at: int) -> None:
        self._time = time
        self._id = id_
        self._at = at

    def __bytes__(self) -> bytes:
        time = self._time
        resource = slot_resource(time.candidate.schedules[0], time.candidate.service, time.start, time.end, self._id)
        return virtual("Slot", resource, self._at).body

"""Computed Slots in searches: which ones a query finds, so that they can be listed among the stored ones.

the query names …                  computed Slots that take part
---------------------------------  ---------------------------------------------------------------------------------
``_id``                            those ids
``schedule`` (also by a chain)     of these Schedules; refused when that is too much work
neither                            of every Schedule with rules, as long as that is little work, else none and a warning

A query that no computed Slot can match (``status=busy``) is one of stored Slots alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fhir_server.errors import Category, Issue, Problem, problem
from fhir_server.fhir.json import parse
from fhir_server.fhir.parameters import Moment
from fhir_server.scheduling.interval import Interval
from fhir_server.scheduling.proposal import ProposalKey, decode, encode, moved
from fhir_server.search.extract import index_values
from fhir_server.search.match import compares, matches
from fhir_server.search.query import All, Clause, DateCompare, IdIn, Not, Or, Query, ReferenceIn
from fhir_server.services import slots
from fhir_server.services.access.about import BESIDE, beside
from fhir_server.services.appointments import virtual
from fhir_server.services.booking import LAST_INSTANT
from fhir_server.services.candidates import Candidate, Criteria
from fhir_server.services.facts import ScheduleFacts
from fhir_server.services.free_time import NOMINAL_SECONDS, Free, calendars, free
from fhir_server.services.slot_faces import slot_resource
from fhir_server.services.world import World

OPEN_ENDED_DAYS = 31
"""How far computed Slots are listed when the search names no end."""

MOST_COMPUTED = 20_000
MOST_BY_ID = 200
MOST_WORK, LITTLE_WORK = 30_000, 1_000
"""Schedule-days that one search computes: of Schedules that it names, and of all that there are."""

INSTANT_MS = 1000
"""A start in whole seconds lasts so long in searches."""

_VARYING = frozenset({"_id", "start"})
"""What differs between the computed Slots of one Schedule and service."""

_OWN = frozenset({"schedule", "service-category", "service-type", "specialty"})
"""What differs between the computed Slots of several Schedules and services."""

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Computed:
    """Computed Slots that a query finds, in the shape of stored documents, in no order.

    A stored free Slot of one of ``ruled`` counts only while it is among them: rules may have changed since.
    """

    rows: Sequence[Document] = ()
    ruled: frozenset[str] = frozenset()
    warnings: tuple[Issue, ...] = ()


async def computed(world: World, query: Query, at: int) -> Computed:
    """What rules add to a search on Slot; chains are resolved.

    :param at: milliseconds since the epoch that are the ``lastUpdated`` of what is computed.
    :raises Problem: 400 when the query names Schedules or ids and that is too much work.
    """
    clauses = query.clauses
    anywhere = [one for one in clauses if not _codes(one) & (_VARYING | _OWN | BESIDE)]
    if not matches(anywhere, {"_id": "", "at": at, "idx": {"status": "=free"}}):
        return Computed()
    ids = _intersection(one.ids for one in clauses if isinstance(one, IdIn))
    if ids is not None:
        return await _by_id(world, clauses, sorted(one for one in ids if decode(one)), at)
    named = _intersection(
        one.values for one in clauses if isinstance(one, ReferenceIn) and one.definition.code == "schedule"
    )
    if named is not None:
        return await _of_schedules(world, clauses, sorted(named), at, MOST_WORK)
    try:
        return await _of_schedules(world, clauses, await world.catalogue.matching("Schedule", {}), at, LITTLE_WORK)
    except Problem:
        text = "computed Slots are left out: name schedule, or narrow start and the service; stored Slots are listed"
        return Computed(warnings=(Issue(text, "Slot.schedule", "too-costly", severity="warning"),))


async def _of_schedules(
    world: World, clauses: Sequence[Clause], references: Sequence[str], at: int, most_work: int
) -> Computed:
    """:raises Problem: 400 for more than ``most_work`` days of Schedules, too long a window or too many Slots."""
    low, high = _window(world, clauses)
    days, most = (high - low) // 86400 + 1, world.settings.find_window_days
    narrowed = any(_codes(one) & _OWN for one in clauses if not _codes(one) & BESIDE)
    if len(references) > most_work:
        raise _too_costly(f"{len(references)} Schedules are too many; narrow schedule", "schedule")
    ruled = [
        one for one in (await world.catalogue.schedules(references)).values() if one.opening is not None and one.active
    ]
    if not narrowed and len(ruled) * days > most_work:
        raise _too_costly("every Schedule over this window is too much; narrow schedule or start", "schedule")
    patterns = await _patterns(world, clauses, ruled, at)
    if not patterns:
        return Computed()
    if days > most + 1:
        text = f"Slots of a Schedule with rules are listed for at most {most} days from now or from start=ge…"
        raise _too_costly(text, "start")
    if len(patterns) * days > most_work:
        text = f"{len(patterns)} ways to give the time over this window are too many; narrow schedule or start"
        raise _too_costly(text, "schedule")
    times = await _times(world, patterns, Interval(low, high)) if low < high else []
    if len(times) > MOST_COMPUTED:
        raise _too_costly(f"the search covers {len(times)} computed Slots; narrow start or the service", "start")
    rows = _rows(clauses, patterns, times)
    return Computed(rows, frozenset(one.id for one in ruled), () if _upper(clauses) is not None else (_cut_off(),))


def _too_costly(text: str, place: str) -> Problem:
    return problem(Category.INVALID, text, place, "too-costly")


def _cut_off() -> Issue:
    text = f"computed Slots are listed for {OPEN_ENDED_DAYS} days; an end, such as start=lt2027-01-01, shows others"
    return Issue(text, "start", "too-costly", severity="information")


def _codes(clause: Clause) -> frozenset[str]:
    """The parameters that decide whether a clause is true."""
    match clause:
        case IdIn():
            return frozenset({"_id"})
        case Not(clause=inner):
            return _codes(inner)
        case Or(clauses=several) | All(clauses=several):
            return frozenset().union(*map(_codes, several))
        case _:
            return frozenset({clause.definition.code})


def _intersection(several: Iterable[Iterable[str]]) -> set[str] | None:
    found = [set(one) for one in several]
    return set.intersection(*found) if found else None


async def _by_id(world: World, clauses: Sequence[Clause], ids: Sequence[str], at: int) -> Computed:
    if len(ids) > MOST_BY_ID:
        raise _too_costly(f"at most {MOST_BY_ID} computed Slots can be named by _id", "_id")
    found = [await document_of(world, id_, at) for id_ in ids]
    return Computed([one for one in found if one and matches(clauses, one)])


async def document_of(world: World, id_: str, at: int) -> Document | None:
    """A computed Slot in the shape of a stored document; None where there is none."""
    slot = await slots.computed(world, id_)
    if slot is None:
        return None
    index = index_values(parse(slot.body), world.definitions.of("Slot"), world.bases, world.zone)
    index |= beside(slot.extra["patients"], slot.extra["clinics"])
    return {"_id": id_, "v": 0, "at": at, "idx": index, "body": slot.body}


async def _patterns(
    world: World, clauses: Sequence[Clause], ruled: Iterable[ScheduleFacts], at: int
) -> dict[str, _Pattern]:
    """One pattern for each Schedule and service whose computed Slots can match, by the id of its candidate."""
    fixed = [one for one in clauses if not _codes(one) & _VARYING]
    found = {}
    for facts in ruled:
        services = await world.catalogue.services(facts.offers)
        active = [one for one in services.values() if one.active]
        for service in active or (None,):
            pattern = _Pattern(world, Candidate((facts,), service, 0), at)
            if matches(fixed, pattern.document(0)):
                found[pattern.candidate.id] = pattern
    return found


async def _times(world: World, patterns: Mapping[str, _Pattern], window: Interval) -> list[Free]:
    """Free times that start in a window."""
    found = [one.candidate for one in patterns.values()]
    # A visit that starts before the end of the window may end after it.
    wide = Interval(window.start, window.end + 43200)
    asked = Criteria(Moment("", wide.start, None), Moment("", wide.end, None), channel="staff")
    times = await free(world, asked, found, dict.fromkeys((one.id for one in found), wide), calendars(world))
    return [one for one in times if one.start < window.end]


def _rows(clauses: Sequence[Clause], patterns: Mapping[str, _Pattern], times: Iterable[Free]) -> list[Document]:
    when = [one for one in clauses if isinstance(one, DateCompare) and one.definition.code == "start"]
    others = [one for one in clauses if _codes(one) & _VARYING and one not in when]
    made = []
    for time in times:
        at = time.start * 1000
        if all(compares(one, at, at + INSTANT_MS) for one in when):
            row = patterns[time.candidate.id].listed(time)
            if not others or matches(others, row):
                made.append(row)
    return made


def _window(world: World, clauses: Sequence[Clause]) -> tuple[int, int]:
    """Seconds between which computed Slots may start: what the search says about ``start``, never the past."""
    now = world.now()
    lows = [low for one in clauses if (low := _bounds(one)[0]) is not None]
    low = max([now, *(one // 1000 for one in lows)])
    upper = _upper(clauses)
    end = upper if upper is not None else low + OPEN_ENDED_DAYS * 86400
    return low, min(end, LAST_INSTANT)


def _upper(clauses: Sequence[Clause]) -> int | None:
    """The second before which the search wants Slots to start, None if it names none."""
    return min((high // 1000 + 1 for one in clauses if (high := _bounds(one)[1]) is not None), default=None)


def _bounds(clause: Clause) -> tuple[int | None, int | None]:
    """Milliseconds before and after which no start makes a clause true; None where it does not say."""
    if isinstance(clause, DateCompare) and clause.definition.code == "start":
        return (
            clause.low if clause.prefix in {"eq", "ap", "ge", "gt", "sa"} else None,
            clause.high if clause.prefix in {"eq", "ap", "le", "lt", "eb"} else None,
        )
    if isinstance(clause, Or):
        both = [_bounds(one) for one in clause.clauses]
        lows, highs = [low for low, _ in both], [high for _, high in both]
        return _if_all(lows, min), _if_all(highs, max)
    return None, None


def _if_all(values: Sequence[int | None], choose: Callable[[list[int]], int]) -> int | None:
    known = [one for one in values if one is not None]
    return choose(known) if known and len(known) == len(values) else None


class _Pattern:
    """What the computed Slots of one Schedule and service have in common: everything but their start."""

    def __init__(self, world: World, candidate: Candidate, at: int) -> None:
        facts, service = candidate.schedules[0], candidate.service
        duration = service.terms.durations[0] if service else NOMINAL_SECONDS
        key = ProposalKey(world.now(), duration, service.key if service else "", "", (facts.key,))
        self.candidate = candidate
        self._id = encode(key)
        self._at = at
        resource = slot_resource(facts, service, key.start, key.start + duration, self._id)
        self._idx = index_values(resource, world.definitions.of("Slot"), world.bases, world.zone)
        self._idx |= beside(facts.owners, sorted(facts.organizations))

    def listed(self, time: Free) -> Document:
        return self.document(time.start, _Lazy(time, moved(self._id, time.start), self._at))

    def document(self, start: int, body: Any = b"") -> Document:
        """A computed Slot in the shape of a stored document; its body is made when somebody asks for the bytes."""
        at = {"l": start * 1000, "h": start * 1000 + INSTANT_MS}
        return {"_id": moved(self._id, start), "v": 0, "at": self._at, "idx": {**self._idx, "start": at}, "body": body}


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
        return virtual("Slot", resource, self._at, time.candidate.schedules).body

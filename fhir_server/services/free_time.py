"""Free time, computed: openings of the rules or published Slots, less what the calendar days hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from operator import itemgetter
from typing import NamedTuple

from fhir_server.fhir.parameters import Moment
from fhir_server.scheduling.availability import Span
from fhir_server.scheduling.calendar_day import Entry
from fhir_server.scheduling.civil import day_interval, local_day
from fhir_server.scheduling.interval import Interval
from fhir_server.scheduling.policy import limit_refusals
from fhir_server.scheduling.seats import clashes
from fhir_server.scheduling.starts import free_starts
from fhir_server.scheduling.terms import Policy
from fhir_server.services.candidates import Candidate, Criteria
from fhir_server.services.facts import ScheduleFacts
from fhir_server.services.published import Published, published_between
from fhir_server.services.world import World

ONE_DAY = timedelta(days=1)
ORDER = itemgetter(0, 1, 2)
"""Start, stated preference, candidate: the order of every list of free times."""

READ_AT_ONCE = 2000
REACH = 7200
"""Seconds around a window in which busy time with its buffers may matter."""


class Free(NamedTuple):
    """One free time; orders by start, then stated preference, then candidate, so that lists are stable."""

    start: int
    preference: int
    name: str
    end: int
    candidate: Candidate
    location: str | None
    slot: Published | None


@dataclass(slots=True)
class Calendars:
    """Calendar entries read so far, by key; days are read once."""

    world: World
    read: set[tuple[str, int]]
    entries: dict[str, dict[tuple[str, int], Entry]]

    async def load(self, keys: Iterable[str], days: range) -> None:
        missing = [(key, day) for key in dict.fromkeys(keys) for day in days if (key, day) not in self.read]
        for first in range(0, len(missing), READ_AT_ONCE):
            part = missing[first : first + READ_AT_ONCE]
            for key, entries in (await self.world.store.calendar.on(part)).items():
                mine = self.entries.setdefault(key, {})
                for entry in entries:
                    mine[(entry.owner, entry.start)] = entry
            self.read.update(part)

    def of(self, key: str) -> list[Entry]:
        return list(self.entries.get(key, {}).values())


def calendars(world: World) -> Calendars:
    return Calendars(world, set(), {})


def bounds(moments: tuple[Moment, Moment], facts: ScheduleFacts) -> Interval:
    """The window in a Schedule's zone: a date stands for its local day, the last one included."""
    start, end = moments
    low = start.seconds if start.seconds is not None else day_interval(facts.zone, _day(start)).start
    high = end.seconds if end.seconds is not None else day_interval(facts.zone, _day(end)).end
    return Interval(low, high)


def _day(moment: Moment) -> date:
    assert moment.day is not None
    return moment.day


def bookable(policy: Policy, window: Interval, now: int, *, computed: bool) -> Interval:
    """The part of a window that notice and horizon leave; a published Slot has no notice but a stated one."""
    start, end = window
    if computed or policy.minimum_notice is not None:
        start = max(start, now + (policy.minimum_notice or 0))
    if policy.horizon is not None:
        # The horizon bounds the start of a visit; no visit is longer than a day.
        end = min(end, now + policy.horizon + 86400)
    return Interval(start, max(start, end))


async def free(
    world: World,
    asked: Criteria,
    found: Sequence[Candidate],
    window_of: Mapping[str, Interval],
    known: Calendars,
    *,
    first_only: bool = False,
) -> list[Free]:
    """Every free time of the candidates in their windows (by ``Candidate.id``), in order.

    :param first_only: the first of each candidate is enough.
    """
    first_only = first_only and not asked.preferred
    pools = {one.id: await _pools(world, one) for one in found}
    await _load(asked, found, window_of, pools, known)
    times: list[Free] = []
    for one in found:
        window = window_of[one.id]
        if window.start < window.end:
            mine = await _of_candidate(world, asked, one, window, known, pools[one.id], first_only=first_only)
            times += mine
    if asked.preferred:
        times = [
            one
            for one in times
            if any(wish.admits(one.start, one.candidate.schedules[0].zone) for wish in asked.preferred)
        ]
    times.sort(key=ORDER)
    return _capped(times, asked.per_day) if asked.per_day else times


async def _load(
    asked: Criteria,
    found: Sequence[Candidate],
    window_of: Mapping[str, Interval],
    pools: Mapping[str, Sequence[Sequence[str]]],
    known: Calendars,
) -> None:
    """Read the calendar days that the candidates need, together where their windows are the same."""
    needed: dict[tuple[int, int], set[str]] = {}
    for one in found:
        window = window_of[one.id]
        if window.start >= window.end:
            continue
        reach = _reach(one)
        days = ((window.start - reach) // 86400, (window.end + reach) // 86400 + 1)
        keys = needed.setdefault(days, set(asked.patients))
        keys.update(key for facts in one.schedules for key in facts.keys)
        keys.update(key for members in pools[one.id] for key in members)
    for (first, last), keys in needed.items():
        await known.load(sorted(keys), range(first, last))


def _reach(one: Candidate) -> int:
    """Seconds around a window that decide about it: buffers, and the window of weekly or monthly limits."""
    terms = one.service.terms if one.service else None
    buffers = (terms.buffer_before, terms.buffer_after) if terms else ()
    limits = [limit.per for facts in one.schedules for limit in facts.policy_for(one.service).limits or ()]
    reach = {"day": 86400, "week": 7 * 86400, "month": 31 * 86400}
    return max(REACH, *buffers, *(reach[per] for per in limits), 0)


async def _pools(world: World, one: Candidate) -> tuple[tuple[str, ...], ...]:
    if not one.service or not one.service.requires:
        return ()
    taken = {key for facts in one.schedules for key in facts.keys}
    return tuple(pool for pool in await world.catalogue.pools(one.schedules[0], one.service) if not taken & set(pool))


async def _of_candidate(
    world: World,
    asked: Criteria,
    one: Candidate,
    window: Interval,
    known: Calendars,
    pools: Sequence[Sequence[str]],
    *,
    first_only: bool,
) -> list[Free]:
    if len(one.schedules) == 1 and one.schedules[0].opening is None:
        return await _published(world, asked, one, window, known)
    terms = one.service.terms if one.service else None
    duration = asked.duration or (terms.durations[0] if terms else NOMINAL_SECONDS)
    people = [known.of(patient) for patient in asked.patients]
    members = [[known.of(key) for key in pool] for pool in pools]
    common: dict[int, str | None] | None = None
    for facts in one.schedules:
        policy = facts.policy_for(one.service)
        starts = free_starts(
            list(spans_between(facts, window, one.service.id if one.service else None, asked.modality or None)),
            duration,
            terms,
            facts.zone,
            bookable(policy, window, world.now(), computed=True),
            [*(known.of(key) for key in facts.keys), *people],
            members if facts is one.schedules[0] else (),
            schedule=facts.id,
            now=world.now(),
            ignore=asked.ignore,
        )
        if policy.horizon is not None:
            starts = [each for each in starts if each[0] <= world.now() + policy.horizon]
        if policy.limits:
            starts = _within_limits(world, asked, one, facts, policy, starts, known)
        common = dict(starts) if common is None else {at: common[at] for at, _ in starts if at in common}
    name = one.id
    free_times = sorted((common or {}).items())[: 1 if first_only else None]
    return [Free(at, one.preference, name, at + duration, one, location, None) for at, location in free_times]


NOMINAL_SECONDS = 30 * 60
"""Length of a visit where a Schedule with rules names no service."""


def spans_between(facts: ScheduleFacts, window: Interval, service: str | None, modality: str | None) -> Iterable[Span]:
    """Openings that may matter to a window, from the day before (windows over midnight) on."""
    day, last = local_day(facts.zone, window.start) - ONE_DAY, local_day(facts.zone, window.end)
    while day <= last:
        yield from facts.spans_on(day, service, modality)
        day += ONE_DAY


def _within_limits(
    world: World,
    asked: Criteria,
    one: Candidate,
    facts: ScheduleFacts,
    policy: Policy,
    starts: Sequence[tuple[int, str | None]],
    known: Calendars,
) -> list[tuple[int, str | None]]:
    """Drop the days whose limits are reached; one check a local day."""
    full: dict[date, bool] = {}
    entries = known.of(facts.keys[0])
    kept = []
    for at, location in starts:
        day = local_day(facts.zone, at)
        if day not in full:
            wanted = Entry(
                "", "booked", at, at + 60, at, at + 60, None, facts.id,
                one.service.id if one.service else "", asked.patients, asked.channel,
            )  # fmt: skip
            full[day] = bool(
                limit_refusals(policy.limits or (), entries, wanted, facts.zone, world.now(), asked.ignore)
            )
        if not full[day]:
            kept.append((at, location))
    return kept


async def _published(world: World, asked: Criteria, one: Candidate, window: Interval, known: Calendars) -> list[Free]:
    """Stored free Slots of a Schedule without rules, as long as they have a seat."""
    facts = one.schedules[0]
    policy = facts.policy_for(one.service)
    window = bookable(policy, window, world.now(), computed=False)
    types = {f"={each.code}" if each.system is None else f"{each.system}|{each.code}" for each in asked.service_types}
    found = []
    for slot in await published_between(world, facts.id, window.start, window.end):
        if slot.start < window.start or slot.end > window.end or slot.status not in {"free", "busy-tentative", "busy"}:
            continue
        if types and not (types & (slot.tokens or facts.tokens)) and not (one.service and one.service.tokens & types):
            continue
        if asked.duration and slot.end - slot.start != asked.duration:
            continue
        share = f"Slot/{slot.id}" if slot.capacity > 1 else ""
        wanted = Entry("", "booked", slot.start, slot.end, slot.start, slot.end, share=share, capacity=slot.capacity)
        held = [entry for key in (*facts.keys, *asked.patients) for entry in known.of(key)]
        if slot.status == "busy" and not held:
            continue
        if not clashes(held, wanted, world.now(), asked.ignore):
            found.append(Free(slot.start, one.preference, one.id + slot.id, slot.end, one, None, slot))
    return found


def _capped(times: Sequence[Free], per_day: int) -> list[Free]:
    """At most so many of one candidate on one local day."""
    seen: dict[tuple[str, date], int] = {}
    kept = []
    for one in times:
        key = (one.candidate.id, local_day(one.candidate.schedules[0].zone, one.start))
        seen[key] = seen.get(key, 0) + 1
        if seen[key] <= per_day:
            kept.append(one)
    return kept

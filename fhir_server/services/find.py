"""``$find``: free times of any number of providers, a page at a time, with an exact total; nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from fhir_server.errors import Category, Issue, problem
from fhir_server.fhir.parameters import Moment
from fhir_server.scheduling.interval import Interval
from fhir_server.services import candidates as candidate_search
from fhir_server.services.booking import FIRST_INSTANT, LAST_INSTANT
from fhir_server.services.candidates import Candidate, Criteria
from fhir_server.services.eligibility import eligible, latest_starts
from fhir_server.services.free_time import (
    NOMINAL_SECONDS,
    ORDER,
    REACH,
    Calendars,
    Free,
    bookable,
    bounds,
    calendars,
    free,
    spans_between,
)
from fhir_server.services.world import World

LOOK_AHEAD_DAYS = 180
EPOCH_DAY = 719163
WIDEST_OFFSET = 14 * 3600
LARGEST_SEARCH = 30_000
"""Most Schedule-days that one search computes; beyond it the caller is asked to narrow it."""


class Cursor(NamedTuple):
    """Where a page ended: the last time given out."""

    start: int
    preference: int
    name: str


@dataclass(frozen=True, slots=True)
class Found:
    """One page. ``total`` counts all times of the search; ``reasons`` say why there is none."""

    times: tuple[Free, ...]
    total: int
    next: Cursor | None
    reasons: tuple[Issue, ...] = ()
    next_available: Free | None = None


async def find(world: World, asked: Criteria, *, count: int, after: Cursor | None = None) -> Found:
    """A page of free times in order of start, stated preference and candidate.

    :param count: most times on the page; 0 only counts.
    :param after: the cursor of the page before.
    :raises Problem: a window that is empty, too long, or too much work (400).
    """
    _check_window(world, asked)
    found, barred = await eligible(world, asked, await candidate_search.candidates(world, asked))
    windows = {one.id: bounds((asked.start, asked.end), one.schedules[0]) for one in found}
    _check_work(found, windows)
    known = calendars(world)
    times = await (_first(world, asked, found, windows, known) if asked.first_available else free(
        world, asked, found, windows, known
    ))  # fmt: skip
    latest = await latest_starts(world, asked, found)
    times = [one for one in times if one.start <= latest.get(one.candidate.id, one.start)]
    rest = times if after is None else [one for one in times if ORDER(one) > tuple(after)]
    page = tuple(rest[:count])
    more = len(rest) > count > 0
    cursor = Cursor(*page[-1][:3]) if more else None
    if times:
        return Found(page, len(times), cursor)
    if latest:
        barred |= {"no-show-restricted"}
    reasons = _reasons(world, asked, found, windows, barred)
    next_ = await next_available(world, asked, found, windows)
    if next_ and next_.start > latest.get(next_.candidate.id, next_.start):
        next_ = None
    return Found((), 0, None, reasons, next_)


def _check_window(world: World, asked: Criteria) -> None:
    low, high = _around(asked.start)[0], _around(asked.end)[1]
    if high <= low or (asked.start.day and asked.end.day and asked.end.day < asked.start.day):
        raise problem(Category.INVALID, "end is not after start", "end", "param-invalid")
    if low < FIRST_INSTANT or high > LAST_INSTANT:
        raise problem(Category.INVALID, "the window lies before 1900 or after 2199", "start", "param-invalid")
    if high - low > (world.settings.find_window_days + 2) * 86400:
        text = f"the window is longer than {world.settings.find_window_days} days"
        raise problem(Category.INVALID, text, "end", "param-invalid")


def _around(moment: Moment) -> tuple[int, int]:
    """The earliest and latest instant that a moment can stand for: a local day begins and ends with its zone."""
    if moment.seconds is not None:
        return moment.seconds, moment.seconds
    assert moment.day is not None
    midnight = (moment.day.toordinal() - EPOCH_DAY) * 86400
    return midnight - WIDEST_OFFSET, midnight + 86400 + WIDEST_OFFSET


def _check_work(found: Sequence[Candidate], windows: dict[str, Interval]) -> None:
    work = sum((window.end - window.start) // 86400 + 1 for window in windows.values())
    if work > LARGEST_SEARCH:
        text = f"{len(found)} ways over this window are too many; narrow the window, the service or the provider"
        raise problem(Category.INVALID, text, "start", "too-costly")


async def _first(
    world: World, asked: Criteria, found: Sequence[Candidate], windows: dict[str, Interval], known: Calendars
) -> list[Free]:
    """The first free time of each candidate's Schedules, reading day after day until everybody has one."""
    first: dict[tuple[str, ...], Free] = {}
    now = world.now()
    waiting = list(found)
    open_windows = {
        one.id: bookable(one.schedules[0].policy_for(one.service), windows[one.id], now, computed=_computed(one))
        for one in found
    }
    at = min((window.start for window in open_windows.values()), default=0)
    end = max((window.end for window in open_windows.values()), default=0)
    longest = max((_longest(asked, one) for one in found), default=0)
    # The first stretch ends where reading one more calendar day would begin; later ones grow.
    step = (at // 86400 + 1) * 86400 - at - longest - REACH
    step += 86400 if step <= 0 else 0
    while waiting and at < end:
        part = {one.id: _part(one, windows[one.id], at, at + step + longest) for one in waiting}
        for time in await free(world, asked, waiting, part, known, first_only=True):
            if time.start < at + step or not _computed(time.candidate):
                first.setdefault(_givers(time.candidate), time)
        waiting = [one for one in waiting if _givers(one) not in first]
        at += step
        step = min(max(step, 43200) * 2, 16 * 86400)
    return sorted(first.values(), key=ORDER)


def _part(one: Candidate, window: Interval, low: int, high: int) -> Interval:
    """The stretch to look at now; of published Slots, which may be of any length, all that is left."""
    return Interval(max(low, window.start), min(high, window.end) if _computed(one) else window.end)


def _givers(one: Candidate) -> tuple[str, ...]:
    return tuple(each.id for each in one.schedules)


def _longest(asked: Criteria, one: Candidate) -> int:
    """Seconds of the longest visit: one that starts in a stretch of a search may end in the next."""
    if not _computed(one):
        return 0
    return asked.duration or (max(one.service.terms.durations) if one.service else NOMINAL_SECONDS)


def _computed(one: Candidate) -> bool:
    return one.schedules[0].opening is not None


async def next_available(
    world: World, asked: Criteria, found: Sequence[Candidate], windows: dict[str, Interval]
) -> Free | None:
    """The first free time after an empty window, up to half a year ahead."""
    if not found:
        return None
    end = max(window.end for window in windows.values())
    later = {one.id: Interval(end, end + LOOK_AHEAD_DAYS * 86400) for one in found}
    times = await _first(world, replace(asked, first_available=True), found, later, calendars(world))
    return times[0] if times else None


def _reasons(
    world: World, asked: Criteria, found: Sequence[Candidate], windows: dict[str, Interval], barred: frozenset[str]
) -> tuple[Issue, ...]:
    """Why nothing is free, in coded words: one reason a candidate, each reason once."""
    if not found and not barred:
        return (_reason("no-schedule", "no schedule offers what is asked for"),)
    now = world.now()
    codes = set(barred)
    for one in found:
        window, facts = windows[one.id], one.schedules[0]
        policy = facts.policy_for(one.service)
        usable = bookable(policy, window, now, computed=_computed(one))
        if window.end <= now + (policy.minimum_notice or 0) and usable.end <= usable.start:
            codes.add("min-notice")
        elif policy.horizon is not None and window.start > now + policy.horizon:
            codes.add("out-of-horizon")
        elif _computed(one) and not any(
            span.end > usable.start and span.start < usable.end
            for span in spans_between(facts, usable, one.service.id if one.service else None, asked.modality or None)
        ):
            codes.add("closed")
        elif policy.limits:
            codes.add("booking-limit")
        else:
            codes.add("no-free-time")
    return tuple(_reason(code, REASONS[code]) for code in REASONS if code in codes)


REASONS = {
    "no-free-time": "every time in the window is taken",
    "booking-limit": "every time in the window is taken, or the limit of bookings is reached",
    "closed": "nobody who offers this is open in the window",
    "min-notice": "the window ends before the notice that is needed",
    "out-of-horizon": "the window lies beyond the days that can be booked",
    "referral-required": "a referral is needed, and the patient has none that is active",
    "no-show-restricted": "after several missed visits only the near future can be booked",
    "prepayment-required": "after several missed visits the clinic asks for payment before it books",
    "not-eligible": "what is offered takes no online bookings, or no new patients",
}


def _reason(code: str, text: str) -> Issue:
    return Issue(text, "", code, severity="information")

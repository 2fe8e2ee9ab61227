"""Where a visit may start: on the grid, inside an opening, with everybody who is needed free.

A busy interval forbids a range of starts, so free starts are arithmetic progressions between forbidden ranges: the work
grows with bookings and results, not with minutes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_server.scheduling.calendar_day import Entry
from fhir_server.scheduling.civil import DAY, offset, stretches
from fhir_server.scheduling.interval import Interval, intersect, merge
from fhir_server.scheduling.seats import clashes, live, share_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from zoneinfo import ZoneInfo

    from fhir_server.scheduling.availability import Span
    from fhir_server.scheduling.terms import ServiceTerms

CONTINUOUS = 2 * DAY  # an opening longer than this steps anew from each local midnight

_NEVER = Interval(-(1 << 62), 1 << 62)  # a busy time that leaves nothing


def free_starts(
    spans: Iterable[Span],
    duration: int,
    service: ServiceTerms | None,
    zone: ZoneInfo,
    window: Interval,
    calendars: Sequence[Sequence[Entry]],
    pools: Sequence[Sequence[Sequence[Entry]]] = (),
    *,
    schedule: str,
    now: int,
    ignore: frozenset[str] = frozenset(),
) -> list[tuple[int, str | None]]:
    """``(start, location)`` of every visit of ``duration`` seconds that fits, earliest first.

    The visit lies in ``window`` and in one of ``spans`` (sorted); with the service's buffers it is free in every one of
    ``calendars`` and in at least one member of every pool. Starts lie on the service's alignment, else they step by the
    duration from the start of each span. A group visit of ``schedule`` is free while it has a seat. ``now`` tells
    which holds have expired; it does not bound the starts.
    """
    before, after = (0, 0) if service is None else (service.buffer_before, service.buffer_after)
    lead = duration + after
    forbidden = [
        Interval(entry.busy_start - lead + 1, entry.busy_end + before)
        for calendar in calendars
        for entry in calendar
        if (entry.expires is None or entry.expires > now) and entry.owner not in ignore
    ]
    for pool in pools:
        forbidden += _all_busy(pool, lead, before, now, ignore)
    group: frozenset[int] = frozenset()
    if service is not None and service.capacity > 1:
        group = _group_starts(duration, service, (calendars, pools), schedule, now, ignore)
    taken = forbidden if len(forbidden) < 2 else merge(forbidden)
    low, high = window.start, window.end - duration
    found: list[tuple[int, str | None]] = []
    latest, ordered = _NEVER.start, True
    for span in spans:
        if span.start > high or span.end - duration < low:
            continue
        place = span.location
        ordered = ordered and span.start >= latest
        latest = span.end
        for first, last, step in _progressions(span, duration, service, zone, low, high):
            if group:
                seats = [start for start in range(first, last + 1, step) if start in group]
                if seats:
                    ordered = False
                    found += [(start, place) for start in seats]
            at = first
            for busy_start, busy_end in taken:
                if busy_end <= at:
                    continue
                if busy_start > last:
                    break
                if busy_start > at:
                    found += [(start, place) for start in range(at, busy_start, step)]
                # The first start of the progression that the busy time no longer forbids.
                at = busy_end + (first - busy_end) % step
            found += [(start, place) for start in range(at, last + 1, step)]
    if not ordered:
        found = sorted(set(found), key=lambda one: (one[0], one[1] or ""))
    return found


def on_grid(start: int, spans: Iterable[Span], duration: int, service: ServiceTerms | None, zone: ZoneInfo) -> bool:
    """Whether a visit may be booked at ``start``: inside one span and on the service's alignment, if it has one."""
    return fits(start, spans, duration) and aligned(start, service, zone)


def fits(start: int, spans: Iterable[Span], duration: int) -> bool:
    """Whether ``[start, start + duration)`` lies inside one of ``spans``."""
    end = start + duration
    return any(span.start <= start and end <= span.end for span in spans)


def aligned(start: int, service: ServiceTerms | None, zone: ZoneInfo) -> bool:
    """Whether the wall clock shows a multiple of the service's alignment, counted from midnight plus its offset."""
    if service is None or service.alignment is None:
        return True
    return ((start + offset(zone, start)) % DAY - service.alignment_offset) % service.alignment == 0


def _progressions(
    span: Span, duration: int, service: ServiceTerms | None, zone: ZoneInfo, low: int, high: int
) -> Iterator[tuple[int, int, int]]:
    """``(first, last, step)`` of the grid's starts in a span that lie in ``[low, high]``."""
    last = min(span.end - duration, high)
    if service is None or service.alignment is None:
        if span.end - span.start <= CONTINUOUS:
            yield max(span.start, low + (span.start - low) % duration), last, duration
            return
        for start, until, shift in stretches(zone, max(span.start, low), last + 1):
            for first, end in _days(start, until, shift):
                midnight = max((first + shift) // DAY * DAY - shift, span.start)
                yield first + (midnight - first) % duration, end - 1, duration
        return
    step = service.alignment
    origin = service.alignment_offset
    for start, until, shift in stretches(zone, max(span.start, low), last + 1):
        if DAY % step == 0:
            yield start + (origin - start - shift) % step, until - 1, step
        else:
            for first, end in _days(start, until, shift):
                midnight = (first + shift) // DAY * DAY - shift
                yield first + (midnight + origin - first) % step, end - 1, step


def _days(start: int, until: int, shift: int) -> Iterator[tuple[int, int]]:
    """The local days in a stretch of one UTC offset."""
    while start < until:
        midnight = ((start + shift) // DAY + 1) * DAY - shift
        yield start, min(midnight, until)
        start = midnight


def _all_busy(
    pool: Sequence[Sequence[Entry]], lead: int, before: int, now: int, ignore: frozenset[str]
) -> tuple[Interval, ...]:
    """The starts at which no member of the pool is free; all of them for an empty pool."""
    forbidden: tuple[Interval, ...] = (_NEVER,)
    for member in pool:
        forbidden = intersect(
            forbidden,
            [
                Interval(entry.busy_start - lead + 1, entry.busy_end + before)
                for entry in member
                if live(entry, now, ignore)
            ],
        )
        if not forbidden:
            break
    return forbidden


def _group_starts(
    duration: int,
    service: ServiceTerms,
    everybody: tuple[Sequence[Sequence[Entry]], Sequence[Sequence[Sequence[Entry]]]],
    schedule: str,
    now: int,
    ignore: frozenset[str],
) -> frozenset[int]:
    """The starts of group visits that have begun to fill and still have a seat with everybody who is needed."""
    calendars, pools = everybody
    begun = {
        entry.start
        for calendar in calendars
        for entry in calendar
        if entry.share and entry.share == share_key(schedule, service.id, entry.start, entry.start + duration)
    }

    def seat(start: int) -> bool:
        end = start + duration
        wanted = Entry(
            owner="",
            kind="hold",
            start=start,
            end=end,
            busy_start=start - service.buffer_before,
            busy_end=end + service.buffer_after,
            share=share_key(schedule, service.id, start, end),
            capacity=service.capacity,
        )
        return not any(clashes(calendar, wanted, now, ignore) for calendar in calendars) and all(
            any(not clashes(member, wanted, now, ignore) for member in pool) for pool in pools
        )

    return frozenset(start for start in begun if seat(start))

"""Wall-clock time and instants in an IANA zone.

One definition serves everything: an instant lies in a window iff its wall-clock date-time does. So an hour that a
zone skips does not exist, and an hour that it repeats counts twice.

A zone is read once for each block of about a year as a list of *stretches* (a first instant and the UTC offset from
there on); after that a day without a transition costs one addition.
"""

from __future__ import annotations

from bisect import bisect_right
from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from fhir_server.scheduling.interval import Interval, merge

if TYPE_CHECKING:
    from collections.abc import Iterator
    from zoneinfo import ZoneInfo

DAY = 86400
EPOCH_ORDINAL = date(1970, 1, 1).toordinal()

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BLOCK = 1 << 25  # seconds, about 388 days
_MARGIN = 4 * DAY  # a block knows its neighbourhood, so that no window has to look at two blocks
_PROBE = DAY // 2  # no zone changes its offset twice within half a day
_FIRST, _LAST = -62_135_000_000, 253_402_000_000  # what datetime can express in every zone


def offset(zone: ZoneInfo, instant: int) -> int:
    """Seconds that the wall clock of ``zone`` is ahead of UTC at ``instant``."""
    starts, offsets = _stretches(zone, instant // _BLOCK)
    if len(offsets) == 1:
        return offsets[0]
    return offsets[bisect_right(starts, instant) - 1]


def stretches(zone: ZoneInfo, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """``(from, until, offset)`` pieces of ``[start, end)`` in each of which the UTC offset is one."""
    while start < end:
        block = start // _BLOCK
        starts, offsets = _stretches(zone, block)
        at = bisect_right(starts, start) - 1
        until = min(end, (block + 1) * _BLOCK, starts[at + 1] if at + 1 < len(starts) else end)
        yield start, until, offsets[at]
        start = until


def wall_intervals(zone: ZoneInfo, day: date, start: int, end: int) -> tuple[Interval, ...]:
    """The instants whose wall-clock date-time lies in ``[day + start, day + end)``.

    ``start`` and ``end`` are seconds from midnight on the wall clock; ``end <= start`` ends on the next day. The answer
    is sorted and disjoint: one interval as a rule, none where the zone skips the window, two where it repeats a part.
    """
    low = (day.toordinal() - EPOCH_ORDINAL) * DAY
    high = low + (end if end > start else end + DAY)
    low += start
    starts, offsets = _stretches(zone, low // _BLOCK)
    at = bisect_right(starts, low - DAY) - 1
    shift = offsets[at]
    if at + 1 == len(starts) or starts[at + 1] >= high + DAY:
        return (Interval(low - shift, high - shift),)
    found: list[Interval] = []
    for i in range(at, len(starts)):
        shift = offsets[i]
        first = max(low - shift, starts[i])
        last = min(high - shift, starts[i + 1]) if i + 1 < len(starts) else high - shift
        if first < last:
            found.append(Interval(first, last))
    return merge(found)


def local_day(zone: ZoneInfo, instant: int) -> date:
    """The date on the wall clock of ``zone`` at ``instant``; the first or last date there is where none is left."""
    ordinal = (instant + offset(zone, instant)) // DAY + EPOCH_ORDINAL
    try:
        return date.fromordinal(ordinal)
    except (ValueError, OverflowError):
        return date.min if ordinal < 1 else date.max


def day_interval(zone: ZoneInfo, day: date) -> Interval:
    """From the first to the last instant of a local date: 24 hours, or what the zone's rules make of it.

    A date that the zone skips (Samoa, 2011-12-30) is the empty interval at the instant of the jump.
    """
    pieces = wall_intervals(zone, day, 0, DAY)
    if pieces:
        return Interval(pieces[0].start, pieces[-1].end)
    jump = wall_intervals(zone, day + timedelta(days=1), 0, DAY)[0].start
    return Interval(jump, jump)


def week_interval(zone: ZoneInfo, day: date) -> Interval:
    """The ISO week (Monday to Sunday) around a local date."""
    monday, sunday = day.toordinal() - day.weekday(), day.toordinal() - day.weekday() + 6
    last = date.fromordinal(min(sunday, date.max.toordinal()))
    return Interval(day_interval(zone, date.fromordinal(monday)).start, day_interval(zone, last).end)


def month_interval(zone: ZoneInfo, day: date) -> Interval:
    """The calendar month around a local date."""
    last = day.replace(day=monthrange(day.year, day.month)[1])
    return Interval(day_interval(zone, day.replace(day=1)).start, day_interval(zone, last).end)


def _offset_of(zone: ZoneInfo, instant: int) -> int:
    clamped = min(max(instant, _FIRST), _LAST)
    ahead = (_EPOCH + timedelta(seconds=clamped)).astimezone(zone).utcoffset()
    return 0 if ahead is None else ahead // timedelta(seconds=1)


@lru_cache(maxsize=4096)
def _stretches(zone: ZoneInfo, block: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """First instants and offsets of a block's stretches; the first one starts a margin before the block."""
    at, last = block * _BLOCK - _MARGIN, (block + 1) * _BLOCK + _MARGIN
    shift = _offset_of(zone, at)
    starts, offsets = [at], [shift]
    while at < last:
        probe = min(at + _PROBE, last)
        if (probed := _offset_of(zone, probe)) != shift:
            before, after = at, probe
            while after - before > 1:
                middle = (before + after) // 2
                if _offset_of(zone, middle) == shift:
                    before = middle
                else:
                    after = middle
            # Between the two probes lies one transition, so what follows it is what the later probe saw.
            starts.append(after)
            offsets.append(probed)
            shift = probed
        at = probe
    return tuple(starts), tuple(offsets)

"""Half-open intervals of time in whole seconds since the epoch, UTC."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Interval(NamedTuple):
    """``[start, end)`` in seconds since 1970-01-01T00:00:00Z; ``start < end``."""

    start: int
    end: int


def merge(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """The same time as ``intervals``, sorted and disjoint; adjacent and overlapping ones are joined."""
    ordered = sorted(intervals)
    if len(ordered) < 2:
        return tuple(ordered)
    merged: list[Interval] = []
    start, end = ordered[0]
    for next_start, next_end in ordered:
        if next_start > end:
            merged.append(Interval(start, end))
            start, end = next_start, next_end
        elif next_end > end:
            end = next_end
    merged.append(Interval(start, end))
    return tuple(merged)


def subtract(a: Iterable[Interval], b: Iterable[Interval]) -> tuple[Interval, ...]:
    """The time that lies in ``a`` and not in ``b``, sorted and disjoint."""
    left: list[Interval] = []
    taken = merge(b)
    first = 0
    for start, end in merge(a):
        begin = start
        while first < len(taken) and taken[first].end <= start:
            first += 1
        for cut_start, cut_end in taken[first:]:
            if cut_start >= end:
                break
            if cut_start > begin:
                left.append(Interval(begin, cut_start))
            begin = cut_end
        if begin < end:
            left.append(Interval(begin, end))
    return tuple(left)


def intersect(a: Iterable[Interval], b: Iterable[Interval]) -> tuple[Interval, ...]:
    """The time that lies in both ``a`` and ``b``, sorted and disjoint."""
    ours, theirs = merge(a), merge(b)
    common: list[Interval] = []
    i = j = 0
    while i < len(ours) and j < len(theirs):
        start, end = max(ours[i].start, theirs[j].start), min(ours[i].end, theirs[j].end)
        if start < end:
            common.append(Interval(start, end))
        if ours[i].end < theirs[j].end:
            i += 1
        else:
            j += 1
    return tuple(common)


def overlaps(a: Interval, b: Interval) -> bool:
    """Whether some second lies in both; intervals that only touch do not overlap."""
    return a.start < b.end and b.start < a.end


def covers(intervals: Iterable[Interval], wanted: Interval) -> bool:
    """Whether every second of ``wanted`` lies in one of ``intervals``, alone or together."""
    return not subtract((wanted,), intervals)

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from fhir_server.scheduling.interval import Interval, covers, intersect, merge, overlaps, subtract

from .strategies import often

intervals = st.builds(lambda start, length: Interval(start, start + length), st.integers(0, 40), st.integers(1, 12))
sets = st.lists(intervals, max_size=6)


def seconds(found: object) -> set[int]:
    return {second for start, end in found for second in range(start, end)}


def tidy(found: tuple[Interval, ...]) -> bool:
    return all(one.start < one.end for one in found) and all(a.end < b.start for a, b in pairwise(found))


def test_adjacent_and_nested_intervals_become_one():
    assert merge([Interval(5, 9), Interval(0, 5), Interval(1, 2), Interval(20, 21)]) == ((0, 9), (20, 21))
    assert merge([]) == ()


def test_touching_is_not_overlapping():
    assert not overlaps(Interval(0, 5), Interval(5, 9))
    assert overlaps(Interval(0, 6), Interval(5, 9))


def test_two_intervals_cover_together():
    assert covers([Interval(0, 5), Interval(5, 9)], Interval(2, 8))
    assert not covers([Interval(0, 5), Interval(6, 9)], Interval(2, 8))


@often
@given(sets, sets)
def test_set_operations_agree_with_sets_of_seconds(a, b):
    for found, expected in (
        (merge(a), seconds(a)),
        (subtract(a, b), seconds(a) - seconds(b)),
        (intersect(a, b), seconds(a) & seconds(b)),
    ):
        assert seconds(found) == expected
        assert tidy(found)


@often
@given(sets, intervals, intervals)
def test_covers_and_overlaps_agree_with_sets_of_seconds(a, b, c):
    assert covers(a, b) == (seconds([b]) <= seconds(a))
    assert overlaps(b, c) == bool(seconds([b]) & seconds([c]))

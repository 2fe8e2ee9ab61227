from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.scheduling.ranking import Candidate, rank

from .strategies import often

A, B, C = ("Schedule/a", "Schedule/b", "Schedule/c")
EARLY, LATE = 1000, 2000


def order(
    assignment: str | None,
    *candidates: tuple[int, str],
    seen: dict[str, int] | None = None,
    load: dict[str, int] | None = None,
    turn: dict[str, int] | None = None,
    preference: dict[str, int] | None = None,
) -> list[tuple[int, str]]:
    ranked = rank(
        [Candidate(start, (schedule,)) for start, schedule in candidates],
        assignment,
        seen or {},
        load or {},
        turn or {},
        preference or {},
    )
    return [(one.start, one.schedule) for one in ranked]


@pytest.mark.parametrize("assignment", [None, "earliest", "established", "round-robin", "least-loaded"])
def test_the_earliest_start_comes_first(assignment):
    facts = {"seen": {A: 9}, "load": {B: 5}, "turn": {B: 5}, "preference": {A: 0}}
    assert order(assignment, (LATE, A), (EARLY, B), **facts) == [(EARLY, B), (LATE, A)]


def test_continuity_puts_providers_seen_before_the_start():
    found = order("continuity", (EARLY, A), (LATE, B), (LATE, C), (EARLY, C), seen={B: 20, C: 10})
    assert found == [(EARLY, C), (LATE, B), (LATE, C), (EARLY, A)]


@pytest.mark.parametrize(
    ("assignment", "facts", "first"),
    [
        ("established", {"seen": {B: 10, C: 20}}, [C, B, A]),
        ("least-loaded", {"load": {A: 2, B: 1}}, [C, B, A]),
        ("round-robin", {"turn": {A: 30, B: 20}}, [C, B, A]),
        ("earliest", {"preference": {C: 0, B: 1}}, [C, B, A]),
        ("established", {"preference": {B: 0}}, [B, A, C]),
        (None, {}, [A, B, C]),
    ],
)
def test_equal_starts_follow_the_strategy_then_the_preference_then_the_id(assignment, facts, first):
    found = order(assignment, (EARLY, A), (EARLY, C), (EARLY, B), **facts)
    assert [schedule for _, schedule in found] == first


candidates = st.builds(
    Candidate,
    st.integers(0, 3),
    st.lists(st.sampled_from([A, B, C]), min_size=1, max_size=2, unique=True).map(tuple),
    st.sampled_from([None, "L/1"]),
    st.sampled_from([900, 1800]),
)


@often
@given(
    st.lists(candidates),
    st.sampled_from([None, "earliest", "established", "continuity", "least-loaded", "round-robin"]),
    st.dictionaries(st.sampled_from([A, B, C]), st.integers(0, 2)),
    st.randoms(),
)
def test_the_order_does_not_depend_on_the_order_of_arrival(found, assignment, facts, chance):
    shuffled = list(found)
    chance.shuffle(shuffled)
    facts_for_all = (facts, facts, facts, facts)
    assert rank(found, assignment, *facts_for_all) == rank(shuffled, assignment, *facts_for_all)

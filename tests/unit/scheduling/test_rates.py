"""Rates of no-shows: what is counted, and how small groups are put together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fhir_server.scheduling.rates import GROUPS, OTHERS, Cell, Tally, Visit

VISITS = st.lists(
    st.builds(
        Visit,
        outcome=st.sampled_from(["attended", "missed", "suspected"]),
        keys=st.fixed_dictionaries({one: st.sampled_from(["a", "b", "c"]).map(lambda key: frozenset({key}))
                                    for one in GROUPS}),
    ),
    max_size=40,
)  # fmt: skip


@given(VISITS, st.integers(0, 12))
def test_every_group_adds_up_to_the_total(visits: list[Visit], least: int) -> None:
    tally = Tally()
    tally.count(visits)
    for group in GROUPS:
        added = Cell()
        for _, cell in tally.rows(group, least):
            added.add(cell)
        assert added == tally.total
    assert tally.total.visits == sum(one.outcome != "suspected" for one in visits)


@given(VISITS, st.integers(1, 12))
def test_no_small_group_has_a_row_of_its_own(visits: list[Visit], least: int) -> None:
    tally = Tally()
    tally.count(visits)
    for group in GROUPS:
        rows = tally.rows(group, least)
        assert all(cell.visits + cell.suspected >= least for key, cell in rows if key != OTHERS)
        assert [key for key, _ in rows].count(OTHERS) <= 1


def test_a_rate() -> None:
    assert Cell(8, 2).rate == 0.25
    assert Cell(suspected=3).rate is None

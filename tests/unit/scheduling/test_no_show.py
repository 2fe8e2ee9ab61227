"""No-shows: how they count, until when, and what they refuse."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fhir_server.scheduling.no_show import (
    ACTIONS,
    DEFAULT,
    TWELVE_MONTHS,
    NoShowTerms,
    denials,
    notices,
    standing,
    suspected_at,
)

NOW = 1_800_000_000
STARTS = st.lists(st.integers(NOW - 3 * TWELVE_MONTHS, NOW + TWELVE_MONTHS), max_size=12)


@given(STARTS, st.integers(1, 5))
def test_more_than_most_in_twelve_months_restrict(missed: list[int], most: int) -> None:
    found = standing(missed, most, NOW)
    recent = [at for at in missed if NOW - TWELVE_MONTHS < at <= NOW]
    assert found.count == len(recent)
    assert found.restricted is (len(recent) > most)


@given(STARTS, st.integers(1, 5))
def test_it_ends_by_itself_at_the_moment_that_it_says(missed: list[int], most: int) -> None:
    past = [at for at in missed if at <= NOW]
    found = standing(past, most, NOW)
    if found.until is None or found.since is None:
        return
    assert found.since <= NOW < found.until
    assert standing(past, most, found.until - 1).restricted
    assert not standing(past, most, found.until).restricted


@given(STARTS, st.integers(1, 5), st.data())
def test_one_less_never_makes_it_worse(missed: list[int], most: int, data: st.DataObject) -> None:
    if not missed:
        return
    gone = data.draw(st.integers(0, len(missed) - 1))
    less = standing([at for index, at in enumerate(missed) if index != gone], most, NOW)
    found = standing(missed, most, NOW)
    assert less.count in {found.count, found.count - 1}
    assert found.restricted or not less.restricted
    if found.until is not None and less.until is not None:
        assert less.until <= found.until


@given(STARTS)
def test_the_order_does_not_matter(missed: list[int]) -> None:
    assert standing(missed, 3, NOW) == standing(sorted(missed, reverse=True), 3, NOW)


TERMS = st.builds(
    NoShowTerms, actions=st.lists(st.sampled_from(ACTIONS), unique=True).map(tuple), advance=st.integers(1, 10**7)
)


@given(TERMS, st.integers(0, 2 * 10**7), st.booleans())
def test_only_what_is_stated_refuses(terms: NoShowTerms, ahead: int, moving: bool) -> None:
    found = {one.code for one in denials(terms, NOW + ahead, NOW, moving=moving)}
    assert ("no-show-restricted" in found) is ("restrict-advance" in terms.actions and ahead > terms.advance)
    assert ("prepayment-required" in found) is ("prepayment" in terms.actions and not moving)
    assert set(notices(terms)) == {"warn", "fee"} & set(terms.actions)


def test_a_clinic_that_says_nothing_warns() -> None:
    assert suspected_at(DEFAULT, NOW) == NOW + 900
    assert not standing([NOW - 1] * 3, DEFAULT.most, NOW).restricted
    assert standing([NOW - 1] * 4, DEFAULT.most, NOW).restricted
    assert (denials(DEFAULT, NOW + 10**8, NOW), notices(DEFAULT)) == ((), ("warn",))

"""Who waits for what, which times fit, and who comes first."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from typing import get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.scheduling import waitlist
from fhir_server.scheduling.interval import Interval
from fhir_server.scheduling.waitlist import Entry, Offer, Time, barred, declined, fits, next_for, rank
from fhir_server.scheduling.waitlist_terms import Criterion, WaitlistTerms
from tests.unit.scheduling.strategies import often

H = 3600
BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp())


NOW = at("2026-11-02T08:00")  # a Monday
TEN = at("2026-11-03T10:00")
TIME = Time(
    "Schedule/1", TEN, TEN + H // 2, BERLIN, "HealthcareService/1", frozenset({"=gp", "s|gp"}),
    frozenset({"Practitioner/1"}), frozenset({"Location/1"}), frozenset({"Organization/1"}),
)  # fmt: skip
ENTRY = Entry("1", "Patient/1", 1000 * (NOW - H), services=frozenset({"HealthcareService/1"}))


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"services": frozenset(), "types": frozenset({"=gp"})},
        {"services": frozenset({"HealthcareService/1", "HealthcareService/2"})},
        {"duration": H // 2},
        {"actors": frozenset({"Practitioner/1", "Practitioner/2"})},
        {"places": frozenset({"Location/1"}), "clinics": frozenset({"Organization/2"})},
        {"services": frozenset(), "types": frozenset({"=gp"}), "clinics": frozenset({"Organization/1"})},
        {"clinics": frozenset({"Organization/2"})},
        {"windows": (Interval(NOW, NOW + 1), Interval(TEN, TEN + H // 2))},
        {"days": frozenset({1})},
        {"parts": frozenset({"morning", "evening"})},
        {"earliest": 10 * H, "latest": 10 * H + H // 2},
        {"notice": TEN - NOW},
        {"kept": "Appointment/2", "kept_start": TEN + 1},
        {"offers": (Offer(TEN, TEN + H, "Schedule/2", "declined"), Offer(TEN + H, TEN + H, "Schedule/1", "declined"))},
    ],
)
def test_a_time_fits_who_asks_for_it(wish):
    assert fits(replace(ENTRY, **wish), TIME, NOW) is None


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({"services": frozenset({"HealthcareService/2"})}, "service"),
        ({"services": frozenset(), "types": frozenset({"=other"})}, "service"),
        ({"services": frozenset()}, "service"),
        ({"duration": H}, "length"),
        ({"actors": frozenset({"Practitioner/2"})}, "actor"),
        ({"places": frozenset({"Location/2"})}, "place"),
        (
            {"services": frozenset(), "types": frozenset({"=gp"}), "clinics": frozenset({"Organization/2"})},
            "place",
        ),
        ({"modality": "video"}, "modality"),
        ({"windows": (Interval(NOW, TEN), Interval(TEN + 1, TEN + H))}, "window"),
        ({"days": frozenset({0, 2})}, "day"),
        ({"parts": frozenset({"afternoon"})}, "hours"),
        ({"earliest": 10 * H + 1}, "hours"),
        ({"latest": 10 * H + H // 2 - 1}, "hours"),
        ({"notice": TEN - NOW + 1}, "notice"),
        ({"kept": "Appointment/2", "kept_start": TEN}, "move-up"),
        ({"offers": (Offer(TEN, TEN + H // 2, "Schedule/1", "expired"),)}, "had"),
    ],
)
def test_what_does_not_fit_says_why(wish, code):
    found = fits(replace(ENTRY, **wish), TIME, NOW)
    assert found is not None
    assert found.code == code
    assert found.code in waitlist.__doc__
    assert found.text


def test_every_reason_that_is_drawn_occurs():
    drawn = {line.split()[0] for line in waitlist.__doc__.splitlines()[6:] if line[:1].isalpha()}
    cases = test_what_does_not_fit_says_why.pytestmark[0].args[1]
    assert {code for _, code in cases} == drawn


def test_who_is_offered_a_time_or_had_enough_offers_is_not_asked():
    assert barred(ENTRY, WaitlistTerms(max_offers=2)) is None
    opened = replace(ENTRY, offers=(Offer(TEN, TEN + H, "Schedule/1", "open"),))
    assert barred(opened, WaitlistTerms()).code == "offered"
    had = replace(ENTRY, offers=tuple(Offer(TEN, TEN + H, "Schedule/1", one) for one in ("declined", "expired")))
    assert barred(had, WaitlistTerms(max_offers=2)).code == "offers"
    assert barred(had, WaitlistTerms(max_offers=3)) is None
    assert barred(had, WaitlistTerms()) is None
    withdrawn = replace(ENTRY, offers=(Offer(TEN, TEN + H, "Schedule/1", "withdrawn"),) * 3)
    assert barred(withdrawn, WaitlistTerms(max_offers=1)) is None


def test_urgency_then_established_then_the_time_of_entry():
    late = replace(ENTRY, id="late", since=1000 * NOW)
    early = replace(ENTRY, id="early", since=1000 * (NOW - 9 * H))
    known = replace(ENTRY, id="known", since=1000 * NOW, established=True)
    urgent = replace(ENTRY, id="urgent", since=1000 * NOW, urgency=8)
    found = rank([late, early, known, urgent])
    assert [one.entry.id for one in found] == ["urgent", "known", "early", "late"]
    assert [one.place for one in found] == [1, 2, 3, 4]
    assert found[0].reason == "urgency 8, new patient, waiting since 2026-11-02 07:00 UTC"
    assert found[1].reason == "urgency 0, established, waiting since 2026-11-02 07:00 UTC"


def test_a_clinic_may_order_otherwise_and_the_words_say_so():
    kept = replace(ENTRY, id="kept", since=1000 * (NOW - 9 * H), kept="Appointment/1", kept_start=TEN)
    asked = replace(
        ENTRY, id="asked", since=1000 * (NOW - 8 * H), offers=(Offer(TEN, TEN + H, "Schedule/1", "declined"),) * 2
    )
    once = replace(
        ENTRY, id="once", since=1000 * (NOW - 7 * H), offers=(Offer(TEN, TEN + H, "Schedule/1", "declined"),)
    )
    found = rank([kept, asked, once], ("without-appointment", "fewest-offers"))
    assert [one.entry.id for one in found] == ["once", "asked", "kept"]
    assert [one.reason.rpartition(", waiting")[0] for one in found] == [
        "no appointment, 1 offer", "no appointment, 2 offers", "keeps an appointment, 0 offers",
    ]  # fmt: skip


def test_the_next_is_the_first_who_fits_and_is_not_left_out():
    ranked = rank([replace(ENTRY, id=name, urgency=urgency) for name, urgency in (("a", 9), ("b", 5), ("c", 1))])
    terms = WaitlistTerms(max_offers=1)
    assert next_for(TIME, ranked, terms, NOW).entry.id == "a"
    assert next_for(TIME, ranked, terms, NOW, frozenset({"a"})).entry.id == "b"
    assert next_for(replace(TIME, service="other"), ranked, terms, NOW) is None
    full = rank([replace(ENTRY, offers=(Offer(TEN, TEN, "Schedule/2", "expired"),))])
    assert next_for(TIME, full, terms, NOW) is None


some_offers = st.lists(
    st.builds(
        Offer, st.sampled_from([TEN, TEN + H]), st.just(TEN + 2 * H), st.sampled_from(["Schedule/1", "Schedule/2"]),
        st.sampled_from(["open", "declined", "expired", "withdrawn"]),
    ),
    max_size=3,
).map(tuple)  # fmt: skip
entries = st.lists(
    st.builds(
        Entry, st.uuids().map(str), st.just("Patient/1"), st.integers(1000 * NOW - 3, 1000 * NOW),
        urgency=st.integers(0, 3),
        established=st.booleans(), kept=st.sampled_from(["", "Appointment/1"]), offers=some_offers,
        days=st.frozensets(st.integers(0, 6), max_size=2), services=st.just(frozenset({"HealthcareService/1"})),
    ),
    max_size=12,
)  # fmt: skip
orderings = st.lists(st.sampled_from(get_args(Criterion)), unique=True)


@often
@given(entries, orderings, st.randoms(use_true_random=False))
def test_the_order_is_the_same_whatever_order_they_come_in(waiting, ordering, chance: random.Random):
    shuffled = list(waiting)
    chance.shuffle(shuffled)
    found = rank(waiting, ordering)
    assert found == rank(shuffled, ordering)
    assert [one.place for one in found] == list(range(1, len(waiting) + 1))
    assert all(one.reason.count("waiting since") == 1 for one in found)


@often
@given(entries)
def test_nobody_is_before_somebody_more_urgent_or_longer_waiting_of_the_same_kind(waiting):
    order = [one.entry for one in rank(waiting)]
    for first, second in pairwise(order):
        assert first.urgency >= second.urgency
        if first.urgency == second.urgency and first.established == second.established:
            assert first.since <= second.since
        if first.urgency == second.urgency:
            assert first.established >= second.established


@often
@given(entries, st.integers(0, 3))
def test_whoever_is_next_may_have_the_time_and_nobody_before_them_may(waiting, most):
    terms = WaitlistTerms(max_offers=most)
    ranked = rank(waiting)
    found = next_for(TIME, ranked, terms, NOW)
    before = ranked[: found.place - 1] if found else ranked
    if found:
        assert barred(found.entry, terms) is None
        assert fits(found.entry, TIME, NOW) is None
    assert all(barred(one.entry, terms) or fits(one.entry, TIME, NOW) for one in before)


@pytest.mark.parametrize(
    ("start", "outcome", "schedule", "same", "bars"),
    [
        (TEN - 600, "declined", "Schedule/1", True, True),
        (TEN + 600, "expired", "Schedule/1", True, True),
        (TEN - 600, "withdrawn", "Schedule/1", True, False),
        (TEN - 600, "declined", "Schedule/2", True, False),
        (TEN - 600, "declined", "Schedule/1", False, False),
        (TEN - H // 2, "declined", "Schedule/1", True, False),
        (TEN + H // 2, "declined", "Schedule/1", True, False),
    ],
)
def test_what_meets_a_declined_time_of_the_same_freed_time_is_not_offered(start, outcome, schedule, same, bars):
    freed = Interval(TEN, TEN + H)
    of = freed if same else Interval(TEN - H, TEN + H)
    entry = replace(ENTRY, offers=(Offer(start, start + H // 2, schedule, outcome, of),))
    time = replace(TIME, freed=freed)
    assert declined(entry.offers, time) is bars
    assert (fits(entry, time, NOW) is not None) is bars
    assert not declined(entry.offers, TIME)

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.scheduling.calendar_day import Entry
from fhir_server.scheduling.civil import day_interval, month_interval, week_interval
from fhir_server.scheduling.policy import cutoff_passed, limit_refusals, limit_window, merge, window_refusals
from fhir_server.scheduling.terms import Limit, Policy

from .oracle import epoch, limited
from .strategies import BERLIN, NEW_YORK, entries, often, zone_days

DAY = date(2026, 7, 6)
NINE = epoch(BERLIN, DAY, 9)


def test_the_most_specific_policy_wins_field_by_field():
    clinic = Policy(minimum_notice=3600, horizon=86400, limits=(Limit("all", "day", 9),), max_holds=0)
    provider = Policy(minimum_notice=0, limits=())
    assert merge(clinic, Policy(), provider) == Policy(minimum_notice=0, horizon=86400, limits=(), max_holds=0)
    assert merge() == Policy()


@pytest.mark.parametrize(
    ("start", "codes"),
    [(3599, ["min-notice"]), (3600, []), (86400, []), (86401, ["out-of-horizon"])],
)
def test_notice_and_horizon_are_inclusive(start, codes):
    found = window_refusals(Policy(minimum_notice=3600, horizon=86400), start, 0)
    assert [(one.code, one.element, one.conflict) for one in found] == [(code, "start", False) for code in codes]


def test_a_policy_that_says_nothing_refuses_nothing():
    assert window_refusals(Policy(), -5, 0) == ()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(86400, "1 day"), (172800, "2 days"), (7200, "2 hours"), (90 * 60, "90 minutes"), (61, "61 seconds")],
)
def test_a_refusal_says_the_length_in_words(seconds, words):
    (refusal,) = window_refusals(Policy(minimum_notice=seconds), 0, 0)
    assert refusal.text == f"The start is sooner than the minimum notice of {words}."


def test_the_window_of_limits_is_what_they_count():
    day, week, month = (Limit("all", per, 1) for per in ("day", "week", "month"))
    assert limit_window((), NINE, BERLIN) is None
    assert limit_window((day,), NINE, BERLIN) == day_interval(BERLIN, DAY)
    assert limit_window((day, week), NINE, BERLIN) == week_interval(BERLIN, DAY)
    sunday = epoch(BERLIN, date(2026, 8, 2), 9)
    both = limit_window((week, month), sunday, BERLIN)
    assert both == (epoch(BERLIN, date(2026, 7, 27)), month_interval(BERLIN, date(2026, 8, 2)).end)


def booking(owner: str, start: int = NINE, **more) -> Entry:
    return Entry(
        owner, more.pop("kind", "booked"), start, start + 1800, start, start + 1800, schedule="Schedule/1", **more
    )


def refused(limit: Limit, others: list[Entry], wanted: Entry, ignore: frozenset[str] = frozenset()) -> bool:
    found = limit_refusals([limit], others, wanted, BERLIN, 0, ignore)
    assert all((one.code, one.conflict) == ("booking-limit", False) for one in found)
    return bool(found)


def test_a_limit_counts_holds_and_bookings_of_its_schedule_once():
    limit, wanted = Limit("all", "day", 2), booking("Appointment/9")
    one, two = booking("Appointment/1"), booking("Appointment/2", NINE + 3600, kind="hold", expires=1)
    assert not refused(limit, [one, one._replace(busy_start=0)], wanted)
    assert refused(limit, [one, two], wanted)
    assert not refused(limit, [one, two], wanted, frozenset({"Appointment/2"}))
    assert not refused(limit, [one, two._replace(kind="blocked", expires=None)], wanted)
    assert not refused(limit, [one, two._replace(expires=0)], wanted)
    assert not refused(limit, [one, two._replace(schedule="Schedule/2")], wanted)
    assert not refused(limit, [one, two._replace(owner="Appointment/9")], wanted)
    assert not refused(limit, [one, booking("Appointment/2", NINE + 86400)], wanted)


@pytest.mark.parametrize(
    ("scope", "counted", "not_counted"),
    [
        ("online", {"channel": "online"}, {"channel": "phone"}),
        ("new-patient", {"new_patient": True}, {"new_patient": False}),
        ("service", {"service": "S/1"}, {"service": "S/2"}),
        ("patient", {"patients": ("Patient/1", "Patient/2")}, {"patients": ("Patient/3",)}),
    ],
)
def test_a_scope_concerns_only_what_it_names(scope, counted, not_counted):
    limit = Limit(scope, "week", 1)
    wanted = booking("Appointment/9", channel="online", new_patient=True, service="S/1", patients=("Patient/1",))
    assert refused(limit, [booking("Appointment/1", NINE + 86400, **counted)], wanted)
    assert not refused(limit, [booking("Appointment/1", **not_counted)], wanted)
    other = wanted._replace(channel="phone", new_patient=False, service="S/3", patients=("Patient/4",))
    assert not refused(limit, [booking("Appointment/1", **counted)], other)


def test_each_patient_is_counted_apart():
    wanted = booking("Appointment/9", patients=("Patient/1", "Patient/2"))
    others = [booking("Appointment/1", patients=("Patient/1",)), booking("Appointment/2", patients=("Patient/2",))]
    assert not refused(Limit("patient", "day", 2), others, wanted)
    assert not refused(Limit("patient", "day", 1), others, booking("Appointment/9"))


def test_a_limit_of_none_refuses_the_first():
    assert refused(Limit("all", "day", 0), [], booking("Appointment/9"))


def test_a_local_day_of_25_hours_is_one_day():
    day = date(2026, 11, 1)
    first, last = epoch(NEW_YORK, day), epoch(NEW_YORK, day + timedelta(days=1)) - 1800
    found = limit_refusals([Limit("all", "day", 1)], [booking("Appointment/1", first)], booking("x", last), NEW_YORK, 0)
    assert len(found) == 1


limits = st.lists(
    st.builds(
        Limit,
        st.sampled_from(["all", "online", "new-patient", "service", "patient"]),
        st.sampled_from(["day", "week", "month"]),
        st.integers(1, 4),
    ),
    max_size=4,
)


@often
@given(zone_days, limits, st.frozensets(st.sampled_from(["Appointment/1", "Appointment/2"])), st.data())
def test_limits_agree_with_counting_by_the_calendar(zone_day, rules, ignore, data):
    zone, day = zone_day
    low, high = epoch(zone, day - timedelta(days=9)), epoch(zone, day + timedelta(days=9))
    others = data.draw(st.lists(entries(low, high), max_size=10))
    wanted = data.draw(entries(epoch(zone, day), epoch(zone, day + timedelta(days=1))))
    found = limit_refusals(rules, others, wanted, zone, low, ignore)
    assert len(found) == limited(rules, others, wanted, zone, low, ignore)
    window = limit_window(rules, wanted.start, zone)
    seen = [] if window is None else [one for one in others if window.start <= one.start < window.end]
    assert limit_refusals(rules, seen, wanted, zone, low, ignore) == found


@pytest.mark.parametrize(
    ("cutoff", "now", "passed"), [(None, 99, False), (10, 90, False), (10, 91, True), (0, 101, True)]
)
def test_a_cutoff_passes_when_less_is_left(cutoff, now, passed):
    assert cutoff_passed(cutoff, 100, now) is passed

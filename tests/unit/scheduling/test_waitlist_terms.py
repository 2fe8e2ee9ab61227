"""Settings of the waitlist, and when an offer may be made."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.scheduling.waitlist_terms import (
    DEFAULTS,
    Deadline,
    WaitlistTerms,
    completed,
    deadline,
    merge,
    quiet_until,
)
from tests.unit.scheduling.strategies import often, zone_days

H = 3600
NEW_YORK = ZoneInfo("America/New_York")


def at(text: str, zone: ZoneInfo = NEW_YORK) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp())


def test_the_most_specific_statement_wins_field_by_field():
    clinic = WaitlistTerms(offer_duration=600, stop_before=60)
    schedule = WaitlistTerms(offer_duration=900, max_offers=2)
    assert merge(clinic, schedule) == WaitlistTerms(offer_duration=900, stop_before=60, max_offers=2)


def test_defaults_stand_where_nothing_is_said():
    assert completed(None) == DEFAULTS
    assert completed(WaitlistTerms(offer_duration=600)) == merge(DEFAULTS, WaitlistTerms(offer_duration=600))
    assert completed(WaitlistTerms(show_position=False)).show_position is False


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-11-02T12:00", "2026-11-02T12:00"),
        ("2026-11-02T20:59", "2026-11-02T20:59"),
        ("2026-11-02T21:00", "2026-11-03T08:00"),
        ("2026-11-03T03:00", "2026-11-03T08:00"),
        ("2026-11-03T07:59", "2026-11-03T08:00"),
        ("2026-11-03T08:00", "2026-11-03T08:00"),
    ],
)
def test_quiet_hours_end_in_the_morning_of_the_zone(now, until):
    assert quiet_until(at(now), DEFAULTS, NEW_YORK) == at(until)


@pytest.mark.parametrize("terms", [WaitlistTerms(), WaitlistTerms(quiet_start=H, quiet_end=H)])
def test_without_quiet_hours_every_hour_is_loud(terms):
    assert quiet_until(at("2026-11-03T03:00"), terms, NEW_YORK) == at("2026-11-03T03:00")


def test_an_offer_ends_after_its_length():
    now, start = at("2026-11-02T12:00"), at("2026-11-02T15:00")
    assert deadline(now, start, DEFAULTS, NEW_YORK) == Deadline(now, now + H // 2)
    assert deadline(now, start, DEFAULTS, NEW_YORK, length=H) == Deadline(now, now + H)


def test_an_offer_in_quiet_hours_is_told_and_runs_when_they_are_over():
    now, start = at("2026-11-02T23:00"), at("2026-11-03T11:00")
    assert deadline(now, start, DEFAULTS, NEW_YORK) == Deadline(at("2026-11-03T08:00"), at("2026-11-03T08:30"))


def test_an_offer_that_would_end_too_near_to_the_visit_is_not_made():
    now = at("2026-11-02T12:00")
    assert deadline(now, now + H + H // 2, DEFAULTS, NEW_YORK) is not None
    assert deadline(now, now + H + H // 2 - 1, DEFAULTS, NEW_YORK) is None
    assert deadline(at("2026-11-02T22:00"), at("2026-11-03T09:00"), DEFAULTS, NEW_YORK) is None
    # An empty policy is completed by the defaults, so that it does not let offers end at once.
    assert deadline(now, now + H, WaitlistTerms(), NEW_YORK) is None


@often
@given(zone_days, st.integers(-2 * 24 * H, 2 * 24 * H), st.integers(0, 24 * H - 1), st.integers(0, 24 * H - 1))
def test_nobody_is_told_in_quiet_hours(where, shift, start, end):
    zone, day = where
    now = int(datetime(day.year, day.month, day.day, 12, tzinfo=zone).timestamp()) + shift
    terms = WaitlistTerms(quiet_start=start, quiet_end=end)
    tell = quiet_until(now, terms, zone)
    assert now <= tell <= now + 26 * H
    assert tell == now or quiet_until(tell - 1, terms, zone) == tell
    if start != end:
        local = datetime.fromtimestamp(now, zone)
        wall = local.hour * H + local.minute * 60 + local.second
        quiet = start <= wall < end if start < end else (wall >= start or wall < end)
        assert quiet or tell == now


@often
@given(zone_days, st.integers(0, 3 * 24 * H), st.integers(60, 4 * H), st.integers(0, 12 * H))
def test_an_offer_never_ends_after_the_stop(where, ahead, length, stop):
    zone, day = where
    now = int(datetime(day.year, day.month, day.day, 23, tzinfo=zone).timestamp())
    terms = WaitlistTerms(offer_duration=length, stop_before=stop)
    found = deadline(now, now + ahead, terms, zone)
    if found is None:
        assert quiet_until(now, completed(terms), zone) + length > now + ahead - stop
    else:
        assert now <= found.tell < found.until <= now + ahead - stop
        assert found.until - found.tell == length

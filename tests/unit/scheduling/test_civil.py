from __future__ import annotations

from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.scheduling.civil import (
    day_interval,
    local_day,
    month_interval,
    offset,
    stretches,
    wall_intervals,
    week_interval,
)

from .oracle import STEP, epoch, wall
from .strategies import BERLIN, LORD_HOWE, NEW_YORK, SAO_PAULO, some, times, zone_days

HOUR = 3600


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        (NEW_YORK, date(2026, 3, 8), 23),
        (NEW_YORK, date(2026, 11, 1), 25),
        (NEW_YORK, date(2026, 7, 1), 24),
        (BERLIN, date(2026, 3, 29), 23),
        (BERLIN, date(2026, 10, 25), 25),
        (LORD_HOWE, date(2026, 10, 4), 23.5),
        (LORD_HOWE, date(2026, 4, 5), 24.5),
        (SAO_PAULO, date(2018, 11, 4), 23),
        (SAO_PAULO, date(2018, 2, 17), 25),
        (ZoneInfo("UTC"), date(2026, 3, 8), 24),
        (ZoneInfo("Asia/Kathmandu"), date(2026, 3, 8), 24),
    ],
)
def test_a_day_has_the_hours_that_the_zone_gives_it(zone, day, hours):
    start, end = day_interval(zone, day)
    assert (end - start) / HOUR == hours
    assert start == epoch(zone, day)
    assert local_day(zone, start) == local_day(zone, end - 1) == day
    assert local_day(zone, start - 1) < day < local_day(zone, end)


def test_a_skipped_hour_does_not_exist():
    assert wall_intervals(NEW_YORK, date(2026, 3, 8), 2 * HOUR, 3 * HOUR) == ()
    (only,) = wall_intervals(NEW_YORK, date(2026, 3, 8), HOUR, 4 * HOUR)
    assert only.end - only.start == 2 * HOUR


def test_a_repeated_hour_counts_twice():
    day = date(2026, 11, 1)
    (whole,) = wall_intervals(NEW_YORK, day, HOUR, 2 * HOUR)
    assert whole.end - whole.start == 2 * HOUR
    first, second = wall_intervals(NEW_YORK, day, HOUR + 900, HOUR + 1800)
    assert (first.end - first.start, second.start - first.start) == (900, HOUR)
    first, second = wall_intervals(LORD_HOWE, date(2026, 4, 5), HOUR + 1800, HOUR + 2700)
    assert second.start - first.start == 1800


def test_a_window_may_run_over_midnight():
    (night,) = wall_intervals(BERLIN, date(2026, 10, 24), 22 * HOUR, 6 * HOUR)
    assert night.end - night.start == 9 * HOUR
    (full,) = wall_intervals(BERLIN, date(2026, 7, 1), 9 * HOUR, 9 * HOUR)
    assert full.end - full.start == 24 * HOUR


def test_a_skipped_date_is_empty():
    apia = ZoneInfo("Pacific/Apia")
    assert wall_intervals(apia, date(2011, 12, 30), 0, 24 * HOUR) == ()
    start, end = day_interval(apia, date(2011, 12, 30))
    assert start == end == day_interval(apia, date(2011, 12, 29)).end == day_interval(apia, date(2011, 12, 31)).start


def test_a_week_is_monday_to_sunday():
    week = week_interval(NEW_YORK, date(2026, 3, 8))
    assert week == (epoch(NEW_YORK, date(2026, 3, 2)), epoch(NEW_YORK, date(2026, 3, 9)))
    assert week.end - week.start == 7 * 24 * HOUR - HOUR


@pytest.mark.parametrize("day", [date(2026, 2, 1), date(2026, 2, 28), date(2028, 2, 29), date(2026, 12, 31)])
def test_a_month_is_the_calendar_month(day):
    following = (day.replace(day=28) + timedelta(days=7)).replace(day=1)
    assert month_interval(BERLIN, day) == (epoch(BERLIN, day.replace(day=1)), epoch(BERLIN, following))


def test_the_first_and_last_dates_there_are_do_not_fail():
    last = day_interval(NEW_YORK, date.max)
    assert last.end - last.start == 24 * HOUR
    assert month_interval(NEW_YORK, date.max).end == week_interval(NEW_YORK, date.max).end == last.end
    assert local_day(NEW_YORK, last.end + 10**9) == date.max
    assert local_day(NEW_YORK, -(10**12)) == date.min


@some
@given(zone_days, st.integers(-3, 3), times, times)
def test_a_window_holds_exactly_the_instants_whose_wall_clock_lies_in_it(zone_day, shift, start, end):
    zone, around = zone_day
    day = around + timedelta(days=shift)
    found = wall_intervals(zone, day, start, end)
    low = (day - date(1970, 1, 1)).days * 86400 + start
    high = low - start + (end if end > start else end + 86400)
    for instant in range(low - 86400, high + 86400, STEP):
        clock = wall(zone, instant)
        seconds = (clock.date() - date(1970, 1, 1)).days * 86400 + clock.hour * HOUR + clock.minute * 60
        assert any(one.start <= instant < one.end for one in found) == (low <= seconds < high)


@some
@given(st.sampled_from(["America/New_York", "Africa/Casablanca", "Asia/Tehran", "Antarctica/Troll"]), st.data())
def test_offsets_and_days_agree_with_datetime(name, data):
    zone = ZoneInfo(name)
    instant = data.draw(st.integers(0, 4_000_000_000))
    ahead = wall(zone, instant) - wall(ZoneInfo("UTC"), instant)
    assert offset(zone, instant) == ahead.total_seconds()
    assert local_day(zone, instant) == wall(zone, instant).date()


def test_stretches_are_seamless_and_of_one_offset():
    low, high = epoch(BERLIN, date(2025, 1, 1)), epoch(BERLIN, date(2028, 1, 1))
    at = low
    for start, until, shift in stretches(BERLIN, low, high):
        assert start == at
        assert offset(BERLIN, start) == offset(BERLIN, until - 1) == shift
        at = until
    assert at == high

"""FHIR dates and times as numbers."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.fhir.temporal import (
    calendar_date,
    date_range,
    duration_seconds,
    format_instant,
    instant_ms,
    instant_seconds,
    time_seconds,
)

NEW_YORK = ZoneInfo("America/New_York")
ZONES = [
    NEW_YORK,
    ZoneInfo("Australia/Lord_Howe"),
    ZoneInfo("Asia/Kathmandu"),
    ZoneInfo("UTC"),
    ZoneInfo("Asia/Manila"),
]
moments = st.datetimes(datetime(1583, 1, 1), datetime(9999, 12, 30)).map(lambda moment: moment.replace(microsecond=0))  # noqa: DTZ001
offsets = st.integers(-14 * 60, 14 * 60)


def _ms(*parts, zone=UTC):
    return int(datetime(*parts, tzinfo=zone).timestamp()) * 1000


@given(moments, offsets, st.integers(0, 999))
def test_an_instant_is_what_the_clock_says_less_its_offset(moment, offset, ms):
    sign = "-" if offset < 0 else "+"
    text = f"{moment.isoformat()}.{ms:03}{sign}{abs(offset) // 60:02}:{abs(offset) % 60:02}"
    expected = (moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1) - offset * 60
    assert instant_ms(text) == expected * 1000 + ms
    assert instant_seconds(text) == expected
    assert instant_seconds(text, floor=False) == expected + (ms > 0)
    assert date_range(text, UTC) == (expected * 1000 + ms, expected * 1000 + ms + 1)


@given(st.integers(-62135510400, 253402214400), st.sampled_from(ZONES))
def test_a_formatted_instant_reads_back(seconds, zone):
    text = format_instant(seconds, zone)
    assert instant_seconds(text) == seconds
    assert date_range(text, zone) == (seconds * 1000, seconds * 1000 + 1000)


def test_instants_look_as_the_wall_clock_shows_them():
    assert format_instant(1795442400, NEW_YORK) == "2026-11-23T09:00:00-05:00"
    assert format_instant(1795442400, ZoneInfo("UTC")) == "2026-11-23T14:00:00Z"
    assert format_instant(1795442400, UTC) == "2026-11-23T14:00:00Z"
    assert format_instant(1795442400, ZoneInfo("Europe/London")) == "2026-11-23T14:00:00+00:00"
    assert format_instant(-10_000_000_000, NEW_YORK).endswith("Z")


def test_a_leap_second_is_the_second_after():
    assert instant_seconds("2016-12-31T23:59:60Z") == 1483228800
    assert instant_ms("2016-12-31T18:59:60.250-05:00") == 1483228800250
    assert date_range("2016-12-31T23:59:60Z", UTC) == (1483228800000, 1483228801000)


def test_digits_finer_than_a_millisecond_are_cut_off_but_round_up():
    assert instant_ms("2026-01-01T00:00:00.0009999Z") == _ms(2026, 1, 1)
    assert instant_seconds("2026-01-01T00:00:00.0000001-00:00", floor=False) == _ms(2026, 1, 1) // 1000 + 1
    assert instant_seconds("2026-01-01T00:00:00.000+05:30", floor=False) == _ms(2025, 12, 31, 18, 30) // 1000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-01",
        "2026-01-01T09:00:00",
        "2026-01-01T09:00Z",
        "2026-13-01T09:00:00Z",
        "2026-02-29T09:00:00Z",
        "0000-01-01T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T09:60:00Z",
        "2026-01-01T09:00:61Z",
        "2026-01-01T09:00:00+14:01",
        "2026-01-01T09:00:00+15:00",
        "2026-01-01t09:00:00z",
        "2026-01-01 09:00:00Z",
        "2026-W01-1T09:00:00Z",
        " 2026-01-01T09:00:00Z",
        "2026-01-01T09:00:00Z\n",
        "٢٠٢٦-01-01T09:00:00Z",
        "2026-01-01T09:00:00.Z",
    ],
)
def test_what_is_no_instant_is_refused(text):
    with pytest.raises(ValueError, match="not an instant"):
        instant_ms(text)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2026", (2026, 1, 1), (2027, 1, 1)),
        ("2026-02", (2026, 2, 1), (2026, 3, 1)),
        ("2026-12", (2026, 12, 1), (2027, 1, 1)),
        ("2026-03-08", (2026, 3, 8), (2026, 3, 9)),
        ("2026-11-01", (2026, 11, 1), (2026, 11, 2)),
        ("2026-03-08T09:30", (2026, 3, 8, 9, 30), (2026, 3, 8, 9, 31)),
        ("2026-03-08T09:30:05", (2026, 3, 8, 9, 30, 5), (2026, 3, 8, 9, 30, 6)),
    ],
)
def test_a_partial_date_lasts_as_long_as_it_says_in_the_zone(text, low, high):
    assert date_range(text, NEW_YORK) == (_ms(*low, zone=NEW_YORK), _ms(*high, zone=NEW_YORK))


def test_the_days_of_the_change_have_23_and_25_hours():
    assert [
        (high - low) // 3_600_000 for low, high in (date_range(f"2026-{day}", NEW_YORK) for day in ("03-08", "11-01"))
    ] == [23, 25]


def test_the_last_day_of_the_calendar_has_an_end():
    low, high = date_range("9999-12-31", UTC)
    assert high - low == 86_400_000
    assert date_range("9999", UTC)[1] == high == date_range("9999-12", UTC)[1]
    assert date_range("0001-01-01", UTC)[0] == -62135596800000


@pytest.mark.parametrize(
    "text", ["", "26", "2026-1", "2026-13", "2026-02-30", "0000", "2026-01-01T", "2026-01-01T09", "gt2026", "2026-01Z"]
)
def test_what_is_no_date_is_refused(text):
    with pytest.raises(ValueError, match="not a date"):
        date_range(text, UTC)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text):
    for read in (instant_ms, calendar_date, time_seconds, lambda one: date_range(one, NEW_YORK)):
        try:
            read(text)
        except ValueError as fault:
            assert str(fault).startswith("not a")  # noqa: PT017  the words are the point


def test_dates_and_times_of_day():
    assert calendar_date("2028-02-29") == date(2028, 2, 29)
    assert time_seconds("09:30:15.5") == 9 * 3600 + 30 * 60 + 15
    for text in ("2027-02-29", "2028-02", "2028-02-29T00:00:00Z"):
        with pytest.raises(ValueError, match="not a"):
            calendar_date(text)
    for text in ("9:30:00", "09:30", "24:00:00", "09:30:60"):
        with pytest.raises(ValueError, match="not a time"):
            time_seconds(text)


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        ({"value": 30, "unit": "min"}, 1800),
        ({"value": Decimal("1.50"), "system": "http://unitsofmeasure.org", "code": "h", "unit": "hours"}, 5400),
        ({"value": 2, "code": "d"}, 172800),
        ({"value": 1, "code": "wk"}, 604800),
        ({"value": 0, "code": "s"}, 0),
        ({"value": 0.5, "code": "min"}, 30),
    ],
)
def test_durations_in_seconds(duration, seconds):
    assert duration_seconds(duration) == seconds


@pytest.mark.parametrize(
    "duration",
    [
        {},
        {"value": 1},
        {"code": "min"},
        {"value": "1", "code": "min"},
        {"value": True, "code": "min"},
        {"value": 1, "code": "mo"},
        {"value": 1, "code": "a"},
        {"value": 1, "code": ["min"]},
        {"value": 1, "code": "min", "system": "http://example.org"},
        {"value": 1, "code": "min", "comparator": "<"},
        {"value": -1, "code": "min"},
        {"value": Decimal("0.5"), "code": "s"},
        {"value": Decimal("1E+300"), "code": "s"},
    ],
)
def test_what_is_no_duration_is_refused(duration):
    with pytest.raises(ValueError, match="not a duration"):
        duration_seconds(duration)

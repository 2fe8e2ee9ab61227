"""Calendar entries, read back by the library as a calendar would read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icalendar import Calendar

from fhir_server.messages.ics import Entry, calendar, google_link, outlook_link

NOW = datetime(2026, 11, 1, 9, tzinfo=UTC)
BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
START = datetime(2026, 11, 26, 14, 30, tzinfo=UTC)
ENTRY = Entry(
    START, START + timedelta(minutes=20), "Appointment, Praxis Süd; " + "x" * 80, "1 Main Street, Springfield",
    "Line\nnext", "https://ehr.example/a/1", "pat@mail.example",
)  # fmt: skip


def made(
    entry: Entry, zone: ZoneInfo = BERLIN, method: Literal["REQUEST", "CANCEL"] = "REQUEST", sequence: int = 0
) -> tuple[bytes, Any, Any]:
    raw = calendar(
        entry, method, sequence=sequence, uid="a1@clinic.example", organizer=('Dr. "X", Y', "mail@clinic.example"),
        zone=zone, now=NOW,
    )  # fmt: skip
    parsed = Calendar.from_ical(raw)
    [event] = parsed.walk("VEVENT")
    return raw, parsed, event


def _at(start: datetime, minutes: int = 20) -> Entry:
    return Entry(start, start + timedelta(minutes=minutes), "Appointment")


def test_what_is_in_it() -> None:
    raw, parsed, event = made(ENTRY)
    assert raw.startswith(b"BEGIN:VCALENDAR\r\n")
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert max(len(line) for line in raw.split(b"\r\n")) <= 75
    assert (parsed["METHOD"], parsed["VERSION"]) == ("REQUEST", "2.0")
    assert (event["UID"], event["SEQUENCE"], event["STATUS"]) == ("a1@clinic.example", 0, "CONFIRMED")
    assert event.decoded("DTSTAMP") == NOW
    assert (event.decoded("DTSTART"), event.decoded("DTEND")) == (ENTRY.start, ENTRY.end)
    assert event["DTSTART"].params["TZID"] == "Europe/Berlin"
    assert str(event["SUMMARY"]) == ENTRY.summary
    assert str(event["LOCATION"]) == ENTRY.location
    assert str(event["DESCRIPTION"]) == ENTRY.description
    assert str(event["ORGANIZER"]) == "mailto:mail@clinic.example"
    assert event["ORGANIZER"].params["CN"] == "Dr. 'X', Y"
    assert str(event["ATTENDEE"]) == "mailto:pat@mail.example"
    assert event["ATTENDEE"].params["PARTSTAT"] == "ACCEPTED"
    assert event["CLASS"] == "PRIVATE"


def test_a_cancellation_takes_the_same_entry_out() -> None:
    _, parsed, event = made(ENTRY, method="CANCEL", sequence=3)
    assert parsed["METHOD"] == "CANCEL"
    assert (event["UID"], event["SEQUENCE"], event["STATUS"]) == ("a1@clinic.example", 3, "CANCELLED")


@pytest.mark.parametrize(
    ("zone", "start", "local"),
    [
        (BERLIN, datetime(2026, 3, 29, 0, 30, tzinfo=UTC), "20260329T013000"),
        (BERLIN, datetime(2026, 3, 29, 1, 30, tzinfo=UTC), "20260329T033000"),
        (BERLIN, datetime(2026, 10, 24, 23, 30, tzinfo=UTC), "20261025T013000"),
        (BERLIN, datetime(2026, 10, 25, 0, 15, tzinfo=UTC), "20261025T021500"),
        (BERLIN, datetime(2026, 10, 25, 2, 30, tzinfo=UTC), "20261025T033000"),
        (NEW_YORK, datetime(2026, 3, 8, 7, 30, tzinfo=UTC), "20260308T033000"),
        (NEW_YORK, datetime(2026, 11, 1, 5, 10, tzinfo=UTC), "20261101T011000"),
        (ZoneInfo("Australia/Lord_Howe"), datetime(2026, 10, 3, 15, 45, tzinfo=UTC), "20261004T024500"),
        (ZoneInfo("Asia/Kathmandu"), START, "20261126T201500"),
    ],
)
def test_both_days_of_a_clock_change(zone: ZoneInfo, start: datetime, local: str) -> None:
    raw, parsed, event = made(_at(start), zone)
    assert f"DTSTART;TZID={zone.key}:{local}".encode() in raw
    assert event.decoded("DTSTART").astimezone(UTC) == start
    assert event.decoded("DTEND").astimezone(UTC) == start + timedelta(minutes=20)
    assert _by_vtimezone(parsed, event["DTSTART"].dt.replace(tzinfo=None)) == start.astimezone(zone).utcoffset()


@pytest.mark.parametrize(
    "start", [datetime(2026, 10, 25, 1, 30, tzinfo=UTC), datetime(2026, 10, 25, 0, 45, tzinfo=UTC)]
)
def test_the_second_of_two_equal_hours_is_said_in_utc(start: datetime) -> None:
    raw, parsed, event = made(_at(start))
    assert f"DTSTART:{start:%Y%m%dT%H%M%SZ}".encode() in raw
    assert event.decoded("DTSTART").astimezone(UTC) == start
    assert parsed.walk("VTIMEZONE") == []


def _by_vtimezone(parsed: Any, local: datetime) -> timedelta:
    """The offset that a calendar finds which knows the zone from the file alone."""
    [zone] = parsed.walk("VTIMEZONE")
    begun = [one for one in zone.subcomponents if one.decoded("DTSTART") <= local]
    offset: timedelta = max(begun, key=lambda one: one.decoded("DTSTART")).decoded("TZOFFSETTO")
    return offset


@given(
    st.sampled_from(sorted(available_timezones() - {"localtime", "Factory"})),
    st.integers(1_577_836_800, 2_051_222_400).map(lambda at: datetime.fromtimestamp(at, UTC)),
    st.integers(5, 600),
)
@settings(max_examples=150, deadline=None)
def test_the_time_is_the_same_in_every_zone(name: str, start: datetime, minutes: int) -> None:
    zone = ZoneInfo(name)
    _, parsed, event = made(_at(start, minutes), zone)
    assert event.decoded("DTSTART").astimezone(UTC) == start
    assert event.decoded("DTEND").astimezone(UTC) == start + timedelta(minutes=minutes)
    if parsed.walk("VTIMEZONE"):
        local = event["DTSTART"].dt.replace(tzinfo=None)
        assert _by_vtimezone(parsed, local) == start.astimezone(zone).utcoffset()


def test_an_appointment_ends_after_it_starts() -> None:
    with pytest.raises(ValueError, match="after it starts"):
        made(_at(START, 0))


def test_nothing_in_a_text_makes_a_line_of_its_own() -> None:
    _, parsed, event = made(Entry(START, ENTRY.end, "a\r\nATTENDEE:mailto:x@y.example\r\nEND:VEVENT", "b;c,d\\e"))
    assert "ATTENDEE" not in event
    assert str(event["LOCATION"]) == "b;c,d\\e"
    assert len(parsed.walk("VEVENT")) == 1


def test_links_carry_the_entry() -> None:
    google, outlook = urlsplit(google_link(ENTRY)), urlsplit(outlook_link(ENTRY))
    assert google.netloc == "calendar.google.com"
    said = {name: values[0] for name, values in parse_qs(google.query).items()}
    assert said == {
        "action": "TEMPLATE", "text": ENTRY.summary, "dates": "20261126T143000Z/20261126T145000Z",
        "location": ENTRY.location, "details": "Line\nnext\nhttps://ehr.example/a/1",
    }  # fmt: skip
    assert outlook.netloc == "outlook.live.com"
    said = {name: values[0] for name, values in parse_qs(outlook.query).items()}
    assert (said["startdt"], said["enddt"]) == ("2026-11-26T14:30:00Z", "2026-11-26T14:50:00Z")
    assert said["subject"] == ENTRY.summary
    assert "location" not in google_link(_at(START))

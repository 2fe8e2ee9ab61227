"""An appointment for a person's own calendar: an iCalendar that comes by e-mail, and links that make an entry.

A calendar knows an appointment again by its UID; a REQUEST of a higher SEQUENCE moves it, a CANCEL takes it out.
https://www.rfc-editor.org/rfc/rfc5545 https://www.rfc-editor.org/rfc/rfc5546#section-3.2
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from icalendar import Calendar, Event, Timezone, TimezoneDaylight, TimezoneStandard, vCalAddress, vText

PRODUCT = "-//fhir-server//appointments//EN"
_GOOGLE = "https://calendar.google.com/calendar/render"
_OUTLOOK = "https://outlook.live.com/calendar/0/deeplink/compose"
_AROUND = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class Entry:
    """What a calendar shows. Times are aware, ``end`` is after ``start``; texts say as little as messages do.

    ``attendee`` is the person's e-mail address. ``url`` leads to the appointment.
    """

    start: datetime
    end: datetime
    summary: str
    location: str = ""
    description: str = ""
    url: str = ""
    attendee: str = ""


def calendar(
    entry: Entry,
    method: Literal["REQUEST", "CANCEL"],
    *,
    sequence: int,
    uid: str,
    organizer: tuple[str, str],
    zone: ZoneInfo,
    now: datetime,
) -> bytes:
    """The iCalendar, UTF-8 with CRLF.

    :param sequence: 0 at first, one more at every change of this appointment.
    :param uid: the same for all of an appointment's life, such as ``<id>@clinic.example``.
    :param organizer: name and e-mail address of the clinic.
    :param zone: that of the place; it comes along as VTIMEZONE.
    :raises ValueError: the appointment does not end after it starts.
    """
    if entry.end <= entry.start:
        msg = "an appointment ends after it starts"
        raise ValueError(msg)
    made = Calendar()
    made.add("prodid", PRODUCT)
    made.add("version", "2.0")
    made.add("calscale", "GREGORIAN")
    made.add("method", method)
    start, end = entry.start.astimezone(zone), entry.end.astimezone(zone)
    if start.fold or end.fold or zone.key in {"UTC", "Etc/UTC"}:
        # The second of two equal hours has no local name in iCalendar: TZID means the first.
        start, end = entry.start.astimezone(UTC), entry.end.astimezone(UTC)
    else:
        made.add_component(_timezone(zone, start, end))
    made.add_component(_event(entry, method, start, end, sequence, uid, organizer, now))
    raw: bytes = made.to_ical()
    return raw


def _event(
    entry: Entry,
    method: str,
    start: datetime,
    end: datetime,
    sequence: int,
    uid: str,
    organizer: tuple[str, str],
    now: datetime,
) -> Event:
    event = Event()
    event.add("uid", uid)
    event.add("sequence", sequence)
    event.add("dtstamp", now.astimezone(UTC))
    event.add("dtstart", start)
    event.add("dtend", end)
    event.add("status", "CANCELLED" if method == "CANCEL" else "CONFIRMED")
    event.add("summary", entry.summary)
    event.add("class", "PRIVATE")
    event.add("transp", "OPAQUE")
    for name, text in (("location", entry.location), ("description", entry.description), ("url", entry.url)):
        if text:
            event.add(name, text)
    name, address = organizer
    event["organizer"] = _person(address, name)
    if entry.attendee:
        attendee = _person(entry.attendee, "")
        attendee.params["PARTSTAT"] = vText("DECLINED" if method == "CANCEL" else "ACCEPTED")
        attendee.params["RSVP"] = vText("FALSE")
        event.add("attendee", attendee, encode=False)
    return event


def _person(address: str, name: str) -> vCalAddress:
    made = vCalAddress(f"mailto:{address}")
    if name:
        # A quotation mark has no place in a parameter. https://www.rfc-editor.org/rfc/rfc5545#section-3.1
        made.params["CN"] = vText(name.replace('"', "'"))
    return made


def _timezone(zone: ZoneInfo, start: datetime, end: datetime) -> Timezone:
    """The zone as far as this appointment needs it: the clock changes of the year around, each by itself.

    One date each and no rule: every calendar reads that, and it stays right where a country changes its mind.
    """
    made = Timezone()
    made.add("tzid", zone.key)
    first = start - _AROUND
    changes = [first, *_changes(zone, first, end + _AROUND)]
    for at in changes:
        local = at.astimezone(zone)
        before = (at - timedelta(seconds=1)).astimezone(zone) if at is not first else local
        part = TimezoneDaylight() if local.dst() else TimezoneStandard()
        part.add("dtstart", (at.astimezone(UTC) + _offset(before)).replace(tzinfo=None))
        part.add("tzoffsetfrom", _offset(before))
        part.add("tzoffsetto", _offset(local))
        part.add("tzname", local.tzname() or zone.key)
        made.add_component(part)
    return made


def _changes(zone: tzinfo, first: datetime, last: datetime) -> list[datetime]:
    """The instants, to the second, at which the clock of a zone is put forward or back."""
    found, at, last = [], first.astimezone(UTC).replace(microsecond=0), last.astimezone(UTC)
    while at < last:
        later = min(at + timedelta(days=7), last)
        if _offset(at.astimezone(zone)) != _offset(later.astimezone(zone)):
            low, high = at, later
            while high - low > timedelta(seconds=1):
                middle = (low + (high - low) / 2).replace(microsecond=0)
                if _offset(middle.astimezone(zone)) == _offset(at.astimezone(zone)):
                    low = middle
                else:
                    high = middle
            found.append(high)
        at = later
    return found


def _offset(at: datetime) -> timedelta:
    return at.utcoffset() or timedelta(0)


def google_link(entry: Entry) -> str:
    """A page of Google Calendar with the entry filled in. What is in it goes to Google when it is followed."""
    times = "/".join(one.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ") for one in (entry.start, entry.end))
    said = {"text": entry.summary, "dates": times, "location": entry.location, "details": _details(entry)}
    return f"{_GOOGLE}?{urlencode({'action': 'TEMPLATE', **_without_empty(said)})}"


def outlook_link(entry: Entry) -> str:
    """A page of Outlook with the entry filled in. What is in it goes to Microsoft when it is followed."""
    start, end = (one.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for one in (entry.start, entry.end))
    said = {
        "subject": entry.summary, "startdt": start, "enddt": end, "location": entry.location, "body": _details(entry),
    }  # fmt: skip
    return f"{_OUTLOOK}?{urlencode({'path': '/calendar/action/compose', 'rru': 'addevent', **_without_empty(said)})}"


def _details(entry: Entry) -> str:
    return "\n".join(filter(None, (entry.description, entry.url)))


def _without_empty(said: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in said.items() if text}

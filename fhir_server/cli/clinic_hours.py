"""When the demo clinic is open: each practitioner's weekly hours, vacation and the public holidays, as a Schedule.

The twelve practices repeat for every twelve practitioners. Bookings are made from the same hours, so that they fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Any

from fhir_server.cli.clinic_places import DOWNTOWN, RIVERSIDE, time_zone
from fhir_server.cli.clinic_services import (
    EDUCATION,
    EMERGENCY,
    INTERNAL,
    PRIMARY_CARE,
    SONOGRAPHY,
    THERAPY,
    duration,
    extension,
    limit,
    specialty_of,
    type_of,
)
from fhir_server.settings import CANONICAL

FIRST_WEEK = date(2024, 1, 1)
"""A Monday: hours that hold every second week count from here."""

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Hours:
    """One ``availability`` rule: days of week, minutes from local midnight, what is offered, how, where.

    ``end <= start`` ends on the next day; ``every`` is the week interval.
    """

    days: str
    start: int
    end: int
    services: tuple[str, ...]
    location: str
    modality: str = "in-person"
    every: int = 1

    def holds_on(self, day: date) -> bool:
        """Whether these hours start on this day, exceptions aside."""
        if _DAYS[day.weekday()] not in self.days:
            return False
        return (day - FIRST_WEEK).days // 7 % self.every == 0


@dataclass(frozen=True, slots=True)
class Practice:
    """What one kind of practitioner does and when."""

    title: str
    specialty: tuple[str, str]
    hours: tuple[Hours, ...]
    policy: tuple[dict[str, Any], ...] = ()

    @property
    def offers(self) -> tuple[str, ...]:
        """Ids of the services, in the order of the hours."""
        return tuple(dict.fromkeys(service for hours in self.hours for service in hours.services))

    @property
    def sites(self) -> tuple[str, ...]:
        """Ids of the Locations, in the order of the hours."""
        return tuple(dict.fromkeys(hours.location for hours in self.hours))


_VISITS = ("new-patient-visit", "follow-up")
_FAMILY = Practice(
    "Family physician",
    PRIMARY_CARE,
    (
        Hours("mon tue wed thu fri", 8 * 60, 12 * 60, _VISITS, DOWNTOWN),
        Hours("mon tue wed thu", 13 * 60, 17 * 60, _VISITS, DOWNTOWN),
        Hours("fri", 13 * 60, 16 * 60, ("telehealth",), DOWNTOWN, "video"),
    ),
)
_INTERNAL = Practice(
    "Internist",
    INTERNAL,
    (
        Hours("mon wed fri", 9 * 60, 12 * 60 + 30, _VISITS, RIVERSIDE),
        Hours("mon wed fri", 13 * 60 + 30, 18 * 60, _VISITS, RIVERSIDE),
        Hours("tue", 9 * 60, 13 * 60, _VISITS, DOWNTOWN, every=2),
    ),
)
_URGENT = Practice(
    "Urgent care physician",
    EMERGENCY,
    (Hours("thu fri sat", 18 * 60, 2 * 60, _VISITS, DOWNTOWN),),
    (duration("minimumNotice", 15), limit("online", "day", 12), limit("all", "day", 40)),
)
_SONOGRAPHER = Practice(
    "Sonographer",
    SONOGRAPHY,
    (
        Hours("mon tue wed thu fri", 8 * 60, 12 * 60, ("ultrasound",), DOWNTOWN),
        Hours("mon tue wed thu fri", 13 * 60, 16 * 60, ("ultrasound",), DOWNTOWN),
    ),
)
_THERAPIST = Practice(
    "Physical therapist",
    THERAPY,
    (
        Hours("mon tue wed thu fri", 7 * 60, 11 * 60, ("physical-therapy",), RIVERSIDE),
        Hours("mon tue wed thu fri", 12 * 60, 15 * 60, ("physical-therapy",), RIVERSIDE),
    ),
)
_EDUCATOR = Practice(
    "Diabetes educator",
    EDUCATION,
    (
        Hours("tue thu", 10 * 60, 12 * 60 + 20, ("group-education",), RIVERSIDE),
        Hours("tue thu", 13 * 60, 16 * 60, ("follow-up",), RIVERSIDE),
        Hours("mon wed", 9 * 60, 12 * 60, ("telehealth",), RIVERSIDE, "video"),
    ),
)
_PRACTICES = (
    *(_FAMILY, _INTERNAL, _URGENT, _SONOGRAPHER, _THERAPIST, _EDUCATOR),
    *(_FAMILY, _INTERNAL, _FAMILY, _INTERNAL, _FAMILY, _INTERNAL),
)


def practice_of(index: int) -> Practice:
    """The practice of a practitioner; ``index`` counts from 0."""
    return _PRACTICES[index % len(_PRACTICES)]


@cache
def holidays(year: int) -> dict[date, str]:
    """The public holidays on which the clinic is closed."""
    november = date(year, 11, 1)
    thanksgiving = november + timedelta(days=(3 - november.weekday()) % 7 + 21)
    return {
        date(year, 1, 1): "New Year's Day",
        date(year, 7, 4): "Independence Day",
        thanksgiving: "Thanksgiving Day",
        date(year, 12, 25): "Christmas Day",
    }


@cache
def vacation(index: int, year: int) -> tuple[date, date] | None:
    """First and last day of a practitioner's vacation week in a year; the first practitioner takes none.

    The weeks are spread over the year and never reach into another one.
    """
    if index == 0:
        return None
    monday = date.fromisocalendar(year, 2 + index * 4 % 50, 1)
    return monday, monday + 6 * _ONE_DAY


def is_closed(index: int, day: date) -> bool:
    """Whether an override closes this day for a practitioner."""
    if day in holidays(day.year):
        return True
    away = vacation(index, day.year)
    return away is not None and away[0] <= day <= away[1]


def windows(index: int, day: date) -> Iterator[tuple[Hours, int, int]]:
    """Hours that start on a day with start and end in minutes from its midnight, in order, overrides applied.

    A window that runs over midnight into a closed day ends at midnight.
    """
    if is_closed(index, day):
        return
    for hours in sorted(practice_of(index).hours, key=lambda one: one.start):
        if hours.holds_on(day):
            end = hours.end if hours.end > hours.start else hours.end + 1440
            yield hours, hours.start, min(end, 1440) if is_closed(index, day + _ONE_DAY) else end


def schedule(index: int, practitioner: str, name: str, today: date) -> dict[str, Any]:
    """The Schedule of one practitioner; overrides cover this year and the next."""
    practice = practice_of(index)
    extensions = [time_zone(), *(_availability(hours) for hours in practice.hours)]
    for year in (today.year, today.year + 1):
        away = vacation(index, year)
        if away:
            extensions.append(_closed(away[0], away[1], "vacation"))
        extensions += [_closed(day, day, reason) for day, reason in holidays(year).items()]
    extensions += [
        {"url": f"{CANONICAL}StructureDefinition/offers", "valueReference": {"reference": f"HealthcareService/{id_}"}}
        for id_ in practice.offers
    ]
    if practice.policy:
        extensions.append(extension("booking-policy", *practice.policy))
    return {
        "resourceType": "Schedule",
        "id": f"schedule-{index + 1}",
        "extension": extensions,
        "active": True,
        "serviceType": [type_of(id_) for id_ in practice.offers],
        "specialty": [specialty_of(practice.specialty)],
        "actor": [{"reference": f"Practitioner/{practitioner}", "display": name}],
    }


def _availability(hours: Hours) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"url": "daysOfWeek", "valueCode": day} for day in hours.days.split()]
    parts.append({"url": "startTime", "valueTime": _clock(hours.start)})
    parts.append({"url": "endTime", "valueTime": _clock(hours.end)})
    if hours.every > 1:
        parts.append({"url": "effective", "valuePeriod": {"start": FIRST_WEEK.isoformat()}})
        parts.append({"url": "weekInterval", "valuePositiveInt": hours.every})
    parts += [{"url": "service", "valueReference": {"reference": f"HealthcareService/{id_}"}} for id_ in hours.services]
    parts.append({"url": "modality", "valueCode": hours.modality})
    parts.append({"url": "location", "valueReference": {"reference": f"Location/{hours.location}"}})
    return extension("availability", *parts)


def _closed(first: date, last: date, reason: str) -> dict[str, Any]:
    return extension(
        "availability-override",
        {"url": "kind", "valueCode": "closed"},
        {"url": "period", "valuePeriod": {"start": first.isoformat(), "end": last.isoformat()}},
        {"url": "reason", "valueCodeableConcept": {"text": reason}},
    )


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}:00"

"""The clinic that is measured: names, times and resources that follow from numbers alone.

Schedules 0…199 have rules (Monday to Friday, 08:00 to 17:00, follow-up visits of 15, 20 or 30 minutes). Each Schedule
of the other kind holds published Slots. Days count working days from ``first``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from fhir_server.settings import CANONICAL

OWN = f"{CANONICAL}StructureDefinition/"
ZONE = ZoneInfo("America/New_York")
TYPES = "https://clinic.example/service-type"

RULED = 200
PATIENTS = 1000
PUBLISHED_SCHEDULES = 40
SLOTS_EACH = 250
MINUTES = (15, 20, 30)
OPEN_HOURS = range(8, 17)
WINDOW_DAYS = 14
FULL = 0.4
PAGE = 50
HOUSEHOLD = 10
BUNDLED_AFTER = 10_000
"""Published Slots of the bundles begin behind all others."""


@dataclass(frozen=True, slots=True)
class Clinic:
    """``first`` is the Monday on which the searched fortnight begins."""

    first: date

    @classmethod
    def now(cls) -> Clinic:
        today = datetime.now(ZONE).date()
        return cls(today + timedelta(days=14 - today.weekday()))

    def day(self, number: int) -> date:
        """The n-th working day."""
        week, weekday = divmod(number, 5)
        return self.first + timedelta(days=7 * week + weekday)

    def cell(self, schedule: int, number: int) -> tuple[datetime, datetime]:
        """The n-th visit of a Schedule, counted over its working days."""
        length = minutes(schedule)
        day, cell = divmod(number, cells(schedule))
        start = datetime.combine(self.day(day), datetime.min.time(), ZONE) + timedelta(hours=8, minutes=cell * length)
        return start, start + timedelta(minutes=length)

    @property
    def window(self) -> tuple[str, str]:
        """First and last day of the searched fortnight, as dates."""
        return self.first.isoformat(), (self.first + timedelta(days=WINDOW_DAYS - 1)).isoformat()


def minutes(schedule: int) -> int:
    return MINUTES[schedule % len(MINUTES)]


def cells(schedule: int) -> int:
    """Visits in one day of a Schedule."""
    return len(OPEN_HOURS) * 60 // minutes(schedule)


def epoch(moment: datetime) -> int:
    return int(moment.timestamp())


def service_name(schedule: int) -> str:
    return f"follow-up-{minutes(schedule)}"


def slot_name(schedule: int, number: int) -> str:
    return f"published-{schedule:02d}-{number:03d}"


def patient(number: int) -> dict[str, Any]:
    """A Patient of usual size, without an id."""
    return {
        "resourceType": "Patient",
        "identifier": [{"system": "https://clinic.example/mrn", "value": f"MRN{number:08d}"}],
        "active": True,
        "name": [{"use": "official", "family": f"Family{number % 500}", "given": [f"Given{number}", "Q"]}],
        "telecom": [
            {"system": "phone", "value": f"+1 555 {number % 10_000_000:07d}", "use": "mobile"},
            {"system": "email", "value": f"person{number}@mail.example"},
        ],
        "gender": ("female", "male", "other")[number % 3],
        "birthDate": (date(1940, 1, 1) + timedelta(days=number * 37 % 27_000)).isoformat(),
        "address": [
            {"line": [f"{number % 900 + 1} Main Street"], "city": "Springfield", "state": "NY", "postalCode": "10001"}
        ],
    }


def appointment(clinic: Clinic, schedule: int, number: int, person: int) -> dict[str, Any]:
    """A booked Appointment of the n-th visit of a Schedule, as a client posts it."""
    start, end = clinic.cell(schedule, number)
    people = [f"Patient/patient-{person:04d}", f"Practitioner/doctor-{schedule:03d}"]
    return {
        "resourceType": "Appointment",
        "status": "booked",
        "serviceType": [{"coding": [{"system": TYPES, "code": service_name(schedule)}]}],
        "start": start.isoformat(),
        "end": end.isoformat(),
        "participant": [{"actor": {"reference": one}, "status": "accepted"} for one in people],
    }


def published_slot(clinic: Clinic, schedule: int, number: int, comment: str = "") -> dict[str, Any]:
    """A free Slot as an EHR posts it: 20 minutes, 25 a day."""
    day, place = divmod(number, 25)
    start = datetime.combine(clinic.day(day), datetime.min.time(), ZONE) + timedelta(hours=8, minutes=20 * place)
    slot: dict[str, Any] = {
        "resourceType": "Slot",
        "id": slot_name(schedule, number),
        "serviceType": [{"coding": [{"system": TYPES, "code": "published"}]}],
        "schedule": {"reference": f"Schedule/published-{schedule:02d}"},
        "status": "free",
        "start": start.isoformat(),
        "end": (start + timedelta(minutes=20)).isoformat(),
    }
    return slot | ({"comment": comment} if comment else {})


def household(number: int) -> dict[str, Any]:
    """A transaction Bundle of ten Patients and a RelatedPerson of each, twenty entries."""
    entries = []
    for one in range(HOUSEHOLD):
        urn = f"urn:uuid:00000000-0000-4000-8000-{one:012d}"
        related = {
            "resourceType": "RelatedPerson", "patient": {"reference": urn},
            "name": [{"family": f"Family{number % 500}", "given": [f"Parent{one}"]}],
            "relationship": [
                {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-RoleCode", "code": "PRN"}]}
            ],
        }  # fmt: skip
        resource = patient(1_000_000 + number * HOUSEHOLD + one)
        entries.append({"fullUrl": urn, "resource": resource, "request": {"method": "POST", "url": "Patient"}})
        entries.append({"resource": related, "request": {"method": "POST", "url": "RelatedPerson"}})
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def slot_and_appointment(clinic: Clinic, number: int) -> dict[str, Any]:
    """A transaction Bundle: the n-th new Slot of a Schedule without rules, and the Appointment that fills it."""
    schedule, place = number % PUBLISHED_SCHEDULES, BUNDLED_AFTER + number // PUBLISHED_SCHEDULES
    urn = "urn:uuid:00000000-0000-4000-8000-000000000001"
    slot = published_slot(clinic, schedule, place)
    del slot["id"]
    people = [f"Patient/patient-{number % PATIENTS:04d}", f"Practitioner/locum-{schedule:02d}"]
    booked = {
        "resourceType": "Appointment", "status": "booked", "slot": [{"reference": urn}],
        "start": slot["start"], "end": slot["end"],
        "participant": [{"actor": {"reference": one}, "status": "accepted"} for one in people],
    }  # fmt: skip
    entries = [
        {"fullUrl": urn, "resource": slot, "request": {"method": "POST", "url": "Slot"}},
        {"resource": booked, "request": {"method": "POST", "url": "Appointment"}},
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def surroundings() -> Iterator[dict[str, Any]]:
    """Organization, services, practitioners, Schedules and Patients, each with its id."""
    yield {"resourceType": "Organization", "id": "clinic", "name": "Benchmark clinic"}
    for length in MINUTES:
        yield _service(length)
    for number in range(RULED):
        yield {
            "resourceType": "Practitioner", "id": f"doctor-{number:03d}",
            "name": [{"family": f"Doctor{number}", "prefix": ["Dr."]}],
        }  # fmt: skip
        yield _ruled(number)
    for number in range(PUBLISHED_SCHEDULES):
        yield {
            "resourceType": "Practitioner", "id": f"locum-{number:02d}",
            "name": [{"family": f"Locum{number}", "prefix": ["Dr."]}],
        }  # fmt: skip
        yield {
            "resourceType": "Schedule", "id": f"published-{number:02d}",
            "actor": [{"reference": f"Practitioner/locum-{number:02d}"}],
        }  # fmt: skip
    for number in range(PATIENTS):
        yield {**patient(number), "id": f"patient-{number:04d}"}


def _service(length: int) -> dict[str, Any]:
    duration = {"value": length, "unit": "min", "system": "http://unitsofmeasure.org", "code": "min"}
    return {
        "resourceType": "HealthcareService",
        "id": f"follow-up-{length}",
        "extension": [
            {"url": f"{OWN}service-parameters", "extension": [{"url": "duration", "valueDuration": duration}]}
        ],
        "providedBy": {"reference": "Organization/clinic"},
        "type": [
            {"coding": [{"system": TYPES, "code": "follow-up"}, {"system": TYPES, "code": f"follow-up-{length}"}]}
        ],
    }


def _ruled(number: int) -> dict[str, Any]:
    days = [{"url": "daysOfWeek", "valueCode": day} for day in ("mon", "tue", "wed", "thu", "fri")]
    hours = [{"url": "startTime", "valueTime": "08:00:00"}, {"url": "endTime", "valueTime": "17:00:00"}]
    return {
        "resourceType": "Schedule",
        "id": f"ruled-{number:03d}",
        "extension": [
            {"url": "http://hl7.org/fhir/StructureDefinition/timezone", "valueCode": ZONE.key},
            {"url": f"{OWN}offers", "valueReference": {"reference": f"HealthcareService/{service_name(number)}"}},
            {"url": f"{OWN}availability", "extension": [*days, *hours]},
        ],
        "actor": [{"reference": f"Practitioner/doctor-{number:03d}"}],
    }


def utc(moment: datetime) -> str:
    """``2026-11-02T13:00:00Z``, which needs no escape in a query."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

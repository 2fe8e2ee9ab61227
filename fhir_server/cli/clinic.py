"""The demo clinic: a pure, deterministic generator of FHIR resources in the order in which they can be stored."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

from fhir_server.cli import clinic_people as people
from fhir_server.cli import clinic_places as places
from fhir_server.cli.clinic_bookings import appointments
from fhir_server.cli.clinic_hours import schedule
from fhir_server.cli.clinic_services import duration, extension, services

MOST_DAYS = 120
"""Working days that stay within the clinic's booking horizon of 180 days."""


def clinic(practitioners: int, patients: int, days: int, seed: int, today: date) -> Iterator[dict[str, Any]]:
    """Every resource of the demo clinic (FHIR R4 JSON), each after those that it refers to.

    ``today`` is the local date in the clinic's zone, America/New_York; bookings start on the next working day and cover
    ``days`` working days (0 … ``MOST_DAYS``, else ``ValueError``). Times are local with their offset. The same
    arguments give the same resources; ``patient-1`` has no Appointment.
    """
    if not 0 <= days <= MOST_DAYS:
        msg = f"days must lie between 0 and {MOST_DAYS}"
        raise ValueError(msg)
    yield from places.organizations(_policy())
    yield from places.locations()
    yield from places.devices()
    yield from people.practitioners(practitioners)
    yield from people.staff()
    yield from services()
    yield from people.roles(practitioners)
    treated = list(people.patients(patients, practitioners, seed))
    yield from treated
    yield from people.related_persons(treated)
    yield from people.coverages(patients)
    for index in range(practitioners):
        yield schedule(index, people.practitioner_id(index), people.practitioner_name(index), today)
    yield from people.referrals(patients, practitioners)
    yield from appointments(practitioners, patients, days, seed, today)


def _policy() -> dict[str, Any]:
    return extension(
        "booking-policy",
        duration("minimumNotice", 1, "h"),
        duration("horizon", 180, "d"),
        duration("holdDuration", 10),
        duration("maxHoldDuration", 30),
        {"url": "maxHolds", "valuePositiveInt": 5},
        duration("cancelCutoff", 2, "h"),
        duration("rescheduleCutoff", 2, "h"),
        {"url": "maxReschedules", "valuePositiveInt": 3},
        {"url": "assignment", "valueCode": "earliest"},
    )

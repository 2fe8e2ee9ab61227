"""What is booked in the demo clinic: Appointments on the hours of the Schedules, free of conflicts by construction.

One cursor walks each practitioner's day, so visits and their buffers never overlap; rooms and the device are taken only
where free; a patient has at most one visit a day. A day depends on the seed and its date, not on when it is made, so
that the clinic of tomorrow holds the same bookings as the clinic of today.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

from fhir_server.cli.clinic_hours import holidays, windows
from fhir_server.cli.clinic_people import practitioner_id, practitioner_name, referred
from fhir_server.cli.clinic_places import IMAGING_ROOMS, ULTRASOUND, ZONE
from fhir_server.cli.clinic_services import SERVICES, Service, type_of
from fhir_server.settings import CANONICAL

FILLED = 0.35
"""Share of the visits that fit into the hours which are booked."""

_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Visit:
    """One booked seat; ``start`` in minutes from the midnight of the day, ``seat`` counts from 1."""

    index: int
    service: Service
    start: int
    seat: int
    actors: tuple[str, ...]
    channel: str
    confirmed: bool


def working_days(today: date, count: int) -> Iterator[date]:
    """The next ``count`` days after ``today`` that are neither weekend nor public holiday."""
    day = today
    while count > 0:
        day += _ONE_DAY
        if day.weekday() < 5 and day not in holidays(day.year):
            yield day
            count -= 1


def appointments(practitioners: int, patients: int, days: int, seed: int, today: date) -> Iterator[dict[str, Any]]:
    """Booked Appointments of the next ``days`` working days, by day and start; none for ``patient-1``."""
    for day in working_days(today, days):
        taken: dict[str, list[tuple[int, int]]] = {}
        visits = [visit for index in range(practitioners) for visit in _visits(index, day, seed, taken)]
        visits.sort(key=lambda visit: (visit.start, visit.index, visit.seat))
        for visit, patient in _assign(visits, day, patients, seed):
            yield _appointment(visit, day, patient)


def _visits(index: int, day: date, seed: int, taken: dict[str, list[tuple[int, int]]]) -> Iterator[Visit]:
    """One practitioner's day. ``taken`` are the minutes in which rooms and devices are busy, and is added to."""
    random = Random(f"{seed}/{day}/{index}")  # noqa: S311  an invented calendar, not a secret
    free_from = 0
    for hours, opens, closes in windows(index, day):
        while True:
            service = SERVICES[random.choice(hours.services)]
            earliest = max(opens, free_from + service.before)
            start = -(-earliest // service.alignment) * service.alignment
            end = start + service.minutes[0]
            if end > closes:
                break
            free_from = end + service.after
            booked = random.random() < FILLED
            seats = random.randint(3, service.capacity - 1) if service.capacity > 1 else 1
            channel = random.choice(("online", "phone", "staff")) if service.online else "phone"
            # Urgent care counts its online bookings; those made here leave that limit to the caller.
            channel = "phone" if closes > 1200 else channel
            actors = _resources(service, start - service.before, free_from, taken) if booked else None
            if actors is None:
                continue
            for seat in range(1, seats + 1):
                yield Visit(index, service, start, seat, actors, channel, random.random() < 0.5)


def _resources(
    service: Service, start: int, end: int, taken: dict[str, list[tuple[int, int]]]
) -> tuple[str, ...] | None:
    """The device and the room that a visit fills, buffers included; None where one of them is not free."""
    if not service.imaging:
        return ()
    device = f"Device/{ULTRASOUND}"
    rooms = [f"Location/{room}" for room in IMAGING_ROOMS]
    free = [
        actor
        for actor in (device, *rooms)
        if all(until <= start or end <= since for since, until in taken.get(actor, ()))
    ]
    if len(free) < 2 or free[0] != device:
        return None
    for actor in free[:2]:
        taken.setdefault(actor, []).append((start, end))
    return tuple(free[:2])


def _assign(visits: list[Visit], day: date, patients: int, seed: int) -> Iterator[tuple[Visit, int]]:
    """A patient for each visit, nobody twice; visits beyond the number of patients stay free."""
    random = Random(f"{seed}/{day}/patients")  # noqa: S311  as above
    holders = referred(patients)[1:]
    wanted = sum(visit.service.referral for visit in visits)
    with_referral = random.sample(holders, min(len(holders), wanted))
    everybody = range(2, patients + 1)
    used = set(with_referral)
    others = [one for one in random.sample(everybody, min(len(everybody), len(visits))) if one not in used]
    for visit in visits:
        source = with_referral if visit.service.referral else others
        if source:
            yield visit, source.pop()


def _appointment(visit: Visit, day: date, patient: int) -> dict[str, Any]:
    service = visit.service
    start = datetime(day.year, day.month, day.day, tzinfo=ZONE) + timedelta(minutes=visit.start)
    extensions = [{"url": f"{CANONICAL}StructureDefinition/booking-channel", "valueCode": visit.channel}]
    if service.video:
        extensions.append({"url": f"{CANONICAL}StructureDefinition/modality", "valueCode": "video"})
    participants = [
        _participant(f"Patient/patient-{patient}", "accepted" if visit.confirmed else "needs-action"),
        _participant(f"Practitioner/{practitioner_id(visit.index)}", "accepted", practitioner_name(visit.index)),
        *(_participant(actor, "accepted") for actor in visit.actors),
    ]
    resource: dict[str, Any] = {
        "resourceType": "Appointment",
        "id": f"demo-{start:%Y%m%d-%H%M}-{visit.index + 1}-{visit.seat}",
        "extension": extensions,
        "status": "booked",
        "serviceType": [type_of(service.id)],
        "start": start.isoformat(),
        "end": (start + timedelta(minutes=service.minutes[0])).isoformat(),
        "minutesDuration": service.minutes[0],
        "participant": participants,
    }
    if service.code:
        system = "http://terminology.hl7.org/CodeSystem/v2-0276"
        resource["appointmentType"] = {"coding": [{"system": system, "code": service.code}]}
    if service.referral:
        resource["basedOn"] = [{"reference": f"ServiceRequest/referral-{patient}"}]
    return resource


def _participant(actor: str, status: str, name: str = "") -> dict[str, Any]:
    reference = {"reference": actor, "display": name} if name else {"reference": actor}
    return {"actor": reference, "required": "required", "status": status}

"""Stores the clinic: catalogue and Patients through the use case, the many Slots and bookings in bulk."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from bench.clinic import (
    FULL,
    PATIENTS,
    PUBLISHED_SCHEDULES,
    RULED,
    SLOTS_EACH,
    Clinic,
    appointment,
    cells,
    epoch,
    published_slot,
    service_name,
    surroundings,
)
from fhir_server.bootstrap import open_world
from fhir_server.scheduling.calendar_day import Entry, utc_days
from fhir_server.scheduling.proposal import ProposalKey, encode, short_key
from fhir_server.services.booking import claim_of
from fhir_server.services.versions import version_of
from fhir_server.services.world import World
from fhir_server.settings import Settings
from fhir_server.store.calendar_days import CALENDAR, day_id, to_document
from fhir_server.store.resources import document

BULK = 2000
WORKING_DAYS = 10
SEED = 7
CLINICS = ("Organization/clinic",)

Documents = dict[str, list[dict[str, Any]]]


async def seed(settings: Settings, clinic: Clinic, say: Callable[[str], None]) -> None:
    """Fill an empty database; the same numbers on the same day make the same clinic."""
    async with open_world(settings) as opened:
        say("seeding: catalogue and patients")
        for resource in surroundings():
            await opened.put(resource)
        world = opened.world
        found: Documents = {"Slot": [], "Appointment": [], CALENDAR: []}
        _published(world, clinic, found)
        _bookings(world, clinic, found)
        for name, documents in found.items():
            say(f"seeding: {len(documents)} in {name}")
            for first in range(0, len(documents), BULK):
                await world.store.connection.collection(name).insert_many(documents[first : first + BULK])


def _published(world: World, clinic: Clinic, found: Documents) -> None:
    for schedule in range(PUBLISHED_SCHEDULES):
        for number in range(SLOTS_EACH):
            _add(world, found, published_slot(clinic, schedule, number), {})


def _bookings(world: World, clinic: Clinic, found: Documents) -> None:
    """Visits in about two of five cells of the fortnight, each with its Slot and its calendar days."""
    chance = random.Random(SEED)
    days: dict[str, list[dict[str, Any]]] = {}
    for schedule in range(RULED):
        for number in range(cells(schedule) * WORKING_DAYS):
            if chance.random() >= FULL:
                continue
            person = (schedule + RULED * (number % (PATIENTS // RULED))) % PATIENTS
            for id_, entry in _booking(world, clinic, found, schedule, number, person):
                days.setdefault(id_, []).append(entry)
    found[CALENDAR] = [{"_id": id_, "v": 1, "e": entries} for id_, entries in sorted(days.items())]


def _booking(
    world: World, clinic: Clinic, found: Documents, schedule: int, number: int, person: int
) -> list[tuple[str, dict[str, Any]]]:
    start, end = map(epoch, clinic.cell(schedule, number))
    resource = appointment(clinic, schedule, number, person) | {"id": f"seeded-{schedule:03d}-{number:04d}"}
    who = f"Patient/patient-{person:04d}"
    named, service = f"Schedule/ruled-{schedule:03d}", f"HealthcareService/{service_name(schedule)}"
    slot_id = encode(ProposalKey(start, end - start, short_key(service), "", (short_key(named),)))
    entry = Entry(
        f"Appointment/{resource['id']}", "booked", start, end, start, end,
        schedule=named, service=service, patients=(who,), channel="online",
    )  # fmt: skip
    claim = {f"Practitioner/doctor-{schedule:03d}": entry, who: entry}
    _add(world, found, resource, {"claim": claim_of(claim), "slots": [f"Slot/{slot_id}"]})
    face = {
        "resourceType": "Slot", "id": slot_id, "schedule": {"reference": named}, "status": "busy",
        "start": resource["start"], "end": resource["end"],
    }  # fmt: skip
    _add(world, found, face, {"wall": f"{named}|{start}"})
    return [(day_id(key, day), to_document(entry)) for key in claim for day in utc_days(start, end)]


def _add(world: World, found: Documents, resource: dict[str, Any], extra: dict[str, Any]) -> None:
    written, index = version_of(
        world, resource, id_=resource["id"], version=1, at=world.clock(), method="PUT", clinics=CLINICS, extra=extra
    )
    found[written.type].append(world.store.vault.current(written.type, document(written, index)))

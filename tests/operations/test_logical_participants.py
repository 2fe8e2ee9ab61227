"""People whom a booking names by an identifier alone: they are busy too, and their calendar does not say who."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fhir_server.services.booking import claimed
from fhir_server.services.rebuild import rebuild_calendar
from fhir_server.services.world import World
from fhir_server.store.calendar_days import day_id
from tests.builders.visits import Visits


@pytest.fixture
async def clinic(client: Any) -> Visits:
    return await Visits(client).opened()


def _visit(clinic: Visits, clock: str, end: str, number: str, **more: str) -> dict[str, Any]:
    """An Appointment of somebody of whom only a number is known."""
    actor = {"identifier": {"system": "urn:mrn", "value": number}, **more}
    return {
        "resourceType": "Appointment", "status": "booked", "start": clinic.at(clock), "end": clinic.at(end),
        "participant": [{"actor": actor, "status": "accepted"}],
    }  # fmt: skip


async def test_two_bookings_of_one_number_conflict(clinic: Visits, client: Any, world: World) -> None:
    number = clinic.id("SEC-777")
    body = _visit(clinic, "09:00", "09:30", number)
    answers = await asyncio.gather(*(client.post("Appointment", json=body) for _ in range(4)))
    assert sorted(one.status_code for one in answers) == [201, 409, 409, 409]
    later = await client.post("Appointment", json=_visit(clinic, "09:15", "09:45", number))
    assert later.status_code == 409
    other = await client.post("Appointment", json=_visit(clinic, "09:00", "09:30", clinic.id("SEC-778")))
    assert other.status_code == 201

    typed = await client.post("Appointment", json=_visit(clinic, "09:00", "09:30", number, type="Patient"))
    assert typed.status_code == 409, "the same number"

    made = next(one.json() for one in answers if one.status_code == 201)
    stored = await world.store.resources.get("Appointment", made["id"])
    assert stored
    ((key, entry),) = claimed(stored).items()
    assert key == world.store.vault.calendar_key(f"#urn:mrn|{number}") == world.store.vault.calendar_key(key)
    assert number not in key
    assert (await world.store.calendar.on([(key, entry.start // 86400)]))[key] == [entry]
    (row,) = await world.store.resources.rows("Appointment", {"_id": made["id"]})
    assert key in row["idx"]["actor"], "searches by calendar key find it"
    report = await rebuild_calendar(world, verify=True)
    assert not [one for one in report.differences if day_id(key, entry.start // 86400) in one]

    moved = {**made, "start": clinic.at("10:00"), "end": clinic.at("10:30")}
    assert (await client.put(f"Appointment/{made['id']}", json=moved)).status_code == 200
    assert (await client.post("Appointment", json=body)).status_code == 201, "the old time is free again"
    again = await client.post("Appointment", json=_visit(clinic, "10:00", "10:30", number))
    assert again.status_code == 409


async def test_a_schedule_of_a_number_is_found_by_it(clinic: Visits, client: Any) -> None:
    number = clinic.id("LIC-1")
    actor = {"identifier": {"system": "urn:mrn", "value": number}}
    schedule = await clinic.read(f"Schedule/{clinic.id('s')}")
    await clinic.put({**schedule, "id": clinic.id("numbered"), "actor": [actor]})
    assert (await client.post("Appointment", json=_visit(clinic, "09:00", "09:30", number))).status_code == 201
    assert (await client.post("Appointment", json=_visit(clinic, "09:00", "09:30", number))).status_code == 409
    night = await client.post("Appointment", json=_visit(clinic, "03:00", "03:30", number))
    assert night.status_code == 422, "its Schedule says when it is open"

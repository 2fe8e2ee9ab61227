"""A database that loses its primary, its connection or its answer: the effect is there once or not at all.

The faults are MongoDB's own fail points, https://github.com/mongodb/mongo/wiki/The-%22failCommand%22-fail-point
"""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.services.world import World
from tests.builders.bundles import create, of, statuses, update
from tests.builders.clinic import Clinic, parameters, proposals
from tests.concurrency.faulty import (
    NO_ANSWER,
    NOT_CONFIRMED,
    NOT_PRIMARY,
    STEPPED_DOWN,
    WRITE_CONFLICT,
    failing,
)
from tests.concurrency.rush import appointment, book, sound


async def _bookings(clinic: Clinic, patient: str) -> int:
    found = await clinic.client.get("Appointment", params={"patient": patient, "status": "booked"})
    assert found.status_code == 200, found.text
    return int(found.json()["total"])


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("commitTransaction", NOT_PRIMARY),
        ("commitTransaction", STEPPED_DOWN),
        ("commitTransaction", NO_ANSWER),
        ("commitTransaction", NOT_CONFIRMED),
        ("commitTransaction", WRITE_CONFLICT),
        ("update", NOT_PRIMARY),
        ("update", WRITE_CONFLICT),
        ("insert", STEPPED_DOWN),
        ("insert", NO_ANSWER),
    ],
)
async def test_a_fault_that_passes_is_not_noticed(
    clinic: Clinic, faulty_world: World, command: str, fault: dict[str, Any], times: int
) -> None:
    first, second = proposals(await clinic.find())[:2]
    patient = await clinic.patient()
    # A day that exists already is updated, one that does not is inserted.
    assert (await clinic.book(second["id"], await clinic.patient("before"))).status_code == 201
    async with failing(faulty_world, [command], fault, times):
        answer = await clinic.book(first["id"], patient)
    assert answer.status_code == 201, answer.text
    assert await _bookings(clinic, patient) == 1
    await sound(faulty_world)


@pytest.mark.parametrize("fault", [NOT_PRIMARY, NO_ANSWER, WRITE_CONFLICT])
async def test_an_answer_that_never_comes_is_503_and_the_key_tells_the_truth(
    clinic: Clinic, faulty_world: World, fault: dict[str, Any]
) -> None:
    first = proposals(await clinic.find())[0]["id"]
    patient = await clinic.patient()
    key = {"Idempotency-Key": clinic.id("key")}
    async with failing(faulty_world, ["commitTransaction"], fault):
        answer = await book(first, patient, key)(clinic.client)
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["Retry-After"]) > 0
    assert await _bookings(clinic, patient) <= 1
    again = await book(first, patient, key)(clinic.client)
    assert again.status_code == 201, again.text
    assert await _bookings(clinic, patient) == 1
    await sound(faulty_world)


async def test_a_database_that_is_away_is_503_for_everybody(clinic: Clinic, faulty_world: World) -> None:
    first = proposals(await clinic.find())[0]
    patient = await clinic.patient()
    made = appointment(first["start"], first["end"], f"Practitioner/{clinic.id('doc')}", patient)
    commands = ["find", "insert", "update", "commitTransaction", "aggregate"]
    async with failing(faulty_world, commands, NOT_PRIMARY):
        answers = [
            await clinic.client.get(patient),
            await clinic.client.get("Patient", params={"name": "x"}),
            await clinic.client.put(patient, json={"resourceType": "Patient", "id": patient.removeprefix("Patient/")}),
            await clinic.client.post("Appointment", json=made),
            await clinic.book(first["id"], patient),
            await clinic.client.post("Appointment/none/$cancel", json=parameters()),
        ]
    assert [one.status_code for one in answers] == [503] * len(answers)
    assert all("Retry-After" in one.headers for one in answers)
    assert await _bookings(clinic, patient) == 0
    await sound(faulty_world)


async def test_a_write_without_a_transaction_happens_once(clinic: Clinic, faulty_world: World) -> None:
    patient = {"resourceType": "Patient", "id": clinic.id("lone"), "name": [{"family": "Lone"}]}
    async with failing(faulty_world, ["insert"], NO_ANSWER, 1):
        created = await clinic.client.put(f"Patient/{patient['id']}", json=patient)
    assert created.status_code == 201
    async with failing(faulty_world, ["update"], NOT_CONFIRMED, 1):
        changed = await clinic.client.put(f"Patient/{patient['id']}", json={**patient, "gender": "other"})
    assert changed.status_code in {200, 503}
    again = await clinic.client.put(f"Patient/{patient['id']}", json={**patient, "gender": "other"})
    assert again.status_code == 200
    assert again.headers["ETag"] == 'W/"2"'


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("commitTransaction", NO_ANSWER), ("commitTransaction", NOT_PRIMARY), ("commitTransaction", WRITE_CONFLICT),
        ("insert", WRITE_CONFLICT), ("update", STEPPED_DOWN), ("find", NOT_PRIMARY),
    ],
)  # fmt: skip
async def test_a_transaction_is_there_whole_or_not_at_all(
    clinic: Clinic, faulty_world: World, command: str, fault: dict[str, Any]
) -> None:
    first = proposals(await clinic.find())[0]
    await clinic.patient()
    people = [f"Practitioner/{clinic.id('doc')}", f"Patient/{clinic.id('new')}"]
    entries = [
        create(appointment(first["start"], first["end"], *people)),
        update({"resourceType": "Patient", "id": clinic.id("new")}),
        update({"resourceType": "Patient", "id": clinic.id("pat"), "active": True}, ifMatch='W/"1"'),
    ]
    key = {"Idempotency-Key": clinic.id("key")}
    body = of("transaction", entries)
    async with failing(faulty_world, [command], fault):
        lost = await clinic.client.post("", json=body, headers=key)
    assert lost.status_code == 503, lost.text
    assert int(lost.headers["Retry-After"]) > 0
    again = await clinic.client.post("", json=body, headers=key)
    assert statuses(again.json()["entry"]) == [201, 201, 200], again.text
    async with failing(faulty_world, [command], fault, 2):
        other = await clinic.client.post("", json=of("transaction", [create({"resourceType": "Patient"})]))
    assert other.status_code == 200, other.text
    assert await _bookings(clinic, f"Patient/{clinic.id('new')}") == 1
    assert (await clinic.client.get(f"Patient/{clinic.id('pat')}")).headers["ETag"] == 'W/"2"'
    await sound(faulty_world)

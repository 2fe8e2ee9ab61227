"""The same request many times at once has one effect: Idempotency-Key, placer's identifier, If-None-Exist."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.services.world import World
from tests.builders.clinic import Clinic, parameters, proposals
from tests.concurrency.rush import Rush, appointment, book, codes, post, reasons, sound

AT_ONCE = 20


@pytest.fixture
async def clinic(client: Any) -> Clinic:
    made = Clinic(client)
    await made.schedule("s", [await made.practitioner()], [await made.service()])
    return made


async def test_one_key_has_one_effect_and_one_answer(clinic: Clinic, client: Any, rush: Rush, world: World) -> None:
    first = proposals(await clinic.find(service=f"HealthcareService/{clinic.id('visit')}"))[0]["id"]
    patient = await clinic.patient()
    key = {"Idempotency-Key": clinic.id("key")}
    answers = await rush([book(first, patient, key) for _ in range(AT_ONCE)])
    served = [one for one in answers if one.status_code == 201]
    assert served
    assert {one.json()["id"] for one in served} == {served[0].json()["id"]}
    assert set(reasons(answers)) <= {"in-progress"}
    again = await rush([book(first, patient, key)] * 2)
    for one in again:
        assert one.status_code == 201
        assert one.headers["Idempotent-Replayed"] == "true"
        # The Location names the server that was asked first; the body is the same to the byte.
        assert one.content == served[0].content
    assert again[0].headers["Location"] == again[1].headers["Location"]
    found = (await client.get("Appointment", params={"patient": patient})).json()
    assert found["total"] == 1
    await sound(world)


async def test_one_key_books_one_of_the_pool(clinic: Clinic, client: Any, rush: Rush, world: World) -> None:
    patient = await clinic.patient()
    body = parameters(
        start=("Date", clinic.first.isoformat()),
        end=("Date", clinic.first.isoformat()),
        service=("Reference", {"reference": f"HealthcareService/{clinic.id('visit')}"}),
        first_available=("Boolean", True),
        patient=("Reference", {"reference": patient}),
    )
    key = {"Idempotency-Key": clinic.id("key")}
    answers = await rush([lambda door: door.post("Appointment/$book", json=body, headers=key)] * AT_ONCE)
    assert len({one.json()["id"] for one in answers if one.status_code == 201}) == 1
    assert set(reasons(answers)) <= {"in-progress"}
    assert (await client.get("Appointment", params={"patient": patient})).json()["total"] == 1
    await sound(world)


@pytest.mark.parametrize("conditional", [False, True])
async def test_one_key_creates_one_patient(clinic: Clinic, client: Any, rush: Rush, *, conditional: bool) -> None:
    identifier = {"system": "https://clinic.example/mrn", "value": clinic.id("mrn")}
    patient = {"resourceType": "Patient", "identifier": [identifier]}
    criteria = f"identifier={identifier['system']}|{identifier['value']}"
    headers = {"Idempotency_Key": clinic.id("key")} | ({"If_None_Exist": criteria} if conditional else {})
    answers = await rush([post(patient, **headers)] * AT_ONCE)
    assert len({one.json()["id"] for one in answers if one.status_code in {200, 201}}) == 1
    assert set(reasons(answers)) <= {"in-progress"}
    assert (await client.get("Patient", params={"identifier": criteria.partition("=")[2]})).json()["total"] == 1
    again = await rush([post(patient, **headers)])
    assert (again[0].status_code, again[0].headers.get("Idempotent-Replayed")) == (201, "true")


async def test_one_placer_identifier_is_one_appointment(clinic: Clinic, client: Any, rush: Rush, world: World) -> None:
    placer = {
        "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "PLAC"}]},
        "system": "https://ehr.example/orders",
        "value": clinic.id("order"),
    }
    doc, patient = f"Practitioner/{clinic.id('doc')}", await clinic.patient()
    wanted = appointment(clinic.at("09:00"), clinic.at("09:30"), doc, patient, identifier=[placer])
    answers = await rush([post(wanted)] * AT_ONCE)
    assert set(codes(answers)) <= {200, 201}
    assert len({one.json()["id"] for one in answers}) == 1
    assert (await client.get("Appointment", params={"patient": patient})).json()["total"] == 1
    await sound(world)


async def test_if_none_exist_creates_one(clinic: Clinic, client: Any, rush: Rush, world: World) -> None:
    mrn, number = clinic.id("mrn"), clinic.id("number")
    patient = {"resourceType": "Patient", "identifier": [{"system": "https://clinic.example/mrn", "value": mrn}]}
    answers = await rush([post(patient, If_None_Exist=f"identifier=https://clinic.example/mrn|{mrn}")] * AT_ONCE)
    assert codes(answers) == {201: 1, 200: AT_ONCE - 1}
    assert len({one.json()["id"] for one in answers}) == 1
    wanted = appointment(
        clinic.at("09:00"), clinic.at("09:30"), f"Practitioner/{clinic.id('doc')}", await clinic.patient(),
        identifier=[{"system": "https://clinic.example/number", "value": number}],
    )  # fmt: skip
    answers = await rush([post(wanted, If_None_Exist=f"identifier=https://clinic.example/number|{number}")] * AT_ONCE)
    assert codes(answers) == {201: 1, 200: AT_ONCE - 1}
    assert len({one.json()["id"] for one in answers}) == 1
    await sound(world)

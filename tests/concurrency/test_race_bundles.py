"""Transactions and conditional writes over two server processes: one wins, and nobody leaves half of it behind."""

from __future__ import annotations

import random
from typing import Any

import pytest

from fhir_server.services.world import World
from tests.builders.bundles import create, entry, of, statuses, update, urn
from tests.builders.clinic import Clinic
from tests.builders.visits import Visits
from tests.concurrency.rush import Call, Rush, appointment, codes, crowd, sound

AT_ONCE = 20
MRN = "urn:mrn"


@pytest.fixture
async def clinic(client: Any) -> Clinic:
    made = Clinic(client)
    await made.practitioner()
    await made.schedule("s", [f"Practitioner/{made.id('doc')}"], [], open_=False)
    await made.put(_slot(made, "free"))
    return made


def _slot(clinic: Clinic, status: str) -> dict[str, Any]:
    return {
        "resourceType": "Slot", "id": clinic.id("slot"), "schedule": {"reference": f"Schedule/{clinic.id('s')}"},
        "status": status, "start": clinic.at("09:00"), "end": clinic.at("09:30"),
    }  # fmt: skip


def _send(*entries: Any, **headers: str) -> Call:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda door: door.post("", json=of("transaction", entries), headers=named)


def _visit(clinic: Clinic, patient: str, **more: Any) -> dict[str, Any]:
    doc, slot = f"Practitioner/{clinic.id('doc')}", [{"reference": f"Slot/{clinic.id('slot')}"}]
    return appointment(clinic.at("09:00"), clinic.at("09:30"), doc, patient, slot=slot, **more)


@pytest.mark.parametrize("condition", ['W/"1"', ""])
async def test_one_slot_is_booked_by_one_bundle(
    clinic: Clinic, client: Any, rush: Rush, world: World, condition: str
) -> None:
    patients = await crowd(clinic, AT_ONCE)
    calls = []
    for place, patient in enumerate(patients):
        put = update(_slot(clinic, "busy"), **({"ifMatch": condition} if condition else {}))
        marker = {"resourceType": "Flag", "status": "active", "code": {"text": clinic.name},
                  "subject": {"reference": patient}}  # fmt: skip
        entries = [create(_visit(clinic, patient)), put, create(marker)]
        random.Random(place).shuffle(entries)
        calls.append(_send(*entries))
    answers = await rush(calls)
    assert set(codes(answers)) <= {200, 409, 412}, [one.text for one in answers if one.status_code >= 500]
    assert codes(answers)[200] == 1
    booked = (await client.get("Appointment", params={"slot": f"Slot/{clinic.id('slot')}"})).json()
    assert booked["total"] == 1
    assert [(await client.get("Flag", params={"subject": one})).json()["total"] for one in patients].count(1) == 1
    assert (await client.get(f"Slot/{clinic.id('slot')}")).json()["status"] == "busy"
    await sound(world)


async def test_bundles_and_single_requests_for_one_time(client: Any, rush: Rush, world: World) -> None:
    clinic = await Visits(client).opened()
    patients = await crowd(clinic, AT_ONCE)
    doc = f"Practitioner/{clinic.id('doc')}"
    calls: list[Call] = []
    for place, patient in enumerate(patients):
        body = appointment(clinic.at("09:00"), clinic.at("09:30"), doc, patient)
        calls.append(
            _send(create(body)) if place % 4 < 2 else lambda door, body=body: door.post("Appointment", json=body)
        )
    answers = await rush(calls)
    assert set(codes(answers)) <= {200, 201, 409}, codes(answers)
    assert codes(answers)[200] + codes(answers)[201] == 1
    await sound(world)


async def test_one_bundle_many_times(client: Any, rush: Rush) -> None:
    name = Clinic(client).name
    who, criteria = urn(), f"identifier={MRN}|{name}"
    identifier = [{"system": MRN, "value": name}]
    entries = [
        create({"resourceType": "Patient", "identifier": identifier}, who, ifNoneExist=criteria),
        entry("PUT", f"Flag?{criteria}", {"resourceType": "Flag", "identifier": identifier, "status": "active",
                                          "code": {"text": "x"}, "subject": {"reference": who}}),
    ]  # fmt: skip
    answers = await rush([_send(*entries)] * AT_ONCE)
    assert codes(answers) == {200: AT_ONCE}
    assert sorted(statuses(one.json()["entry"]) for one in answers) == [[200, 200]] * (AT_ONCE - 1) + [[201, 201]]
    for type_ in ("Patient", "Flag"):
        assert (await client.get(f"{type_}?{criteria}")).json()["total"] == 1
    assert {one.json()["entry"][1]["response"]["etag"] for one in answers} == {'W/"1"'}


async def test_one_key_has_one_effect(client: Any, rush: Rush) -> None:
    clinic = Clinic(client)
    made = {"resourceType": "Patient", "identifier": [{"system": MRN, "value": clinic.name}]}
    answers = await rush([_send(create(made), Idempotency_Key=clinic.id("key"))] * AT_ONCE)
    assert set(codes(answers)) <= {200, 409}
    served = [one for one in answers if one.status_code == 200]
    assert len({one.content for one in served}) == 1
    assert (await client.get(f"Patient?identifier={MRN}|{clinic.name}")).json()["total"] == 1


async def test_conditional_updates_create_one(client: Any, rush: Rush, world: World) -> None:
    clinic = await Visits(client).opened()
    url = f"Patient?identifier={MRN}|{clinic.name}"
    identifier = [{"system": MRN, "value": clinic.name}]
    bodies = [{"resourceType": "Patient", "identifier": identifier, "language": f"x-{one}"} for one in range(AT_ONCE)]
    answers = await rush([lambda door, body=body: door.put(url, json=body) for body in bodies])
    assert codes(answers) == {201: 1, 200: AT_ONCE - 1}, [one.text for one in answers if one.status_code >= 400]
    assert len({one.json()["id"] for one in answers}) == 1
    assert len({one.headers["ETag"] for one in answers}) == AT_ONCE
    wanted = clinic.appointment(identifier=identifier)
    answers = await rush([lambda door: door.put(f"Appointment?identifier={MRN}|{clinic.name}", json=wanted)] * AT_ONCE)
    assert codes(answers) == {201: 1, 200: AT_ONCE - 1}, [one.text for one in answers if one.status_code >= 400]
    await sound(world)


async def test_crossing_transactions_end(client: Any, rush: Rush) -> None:
    """Two resources in opposite orders, beside single updates of both: nobody waits for ever, nothing is lost."""
    clinic = Clinic(client)
    await clinic.patient("a")
    await clinic.patient("b")

    def change(name: str, number: int) -> Any:
        return {"resourceType": "Patient", "id": clinic.id(name), "language": f"x-{number}"}

    calls: list[Call] = []
    for number in range(AT_ONCE):
        names = ("a", "b") if number % 2 else ("b", "a")
        if number % 5:
            calls.append(_send(*(update(change(name, number)) for name in names)))
        else:
            one = change(names[0], number)
            calls.append(lambda door, one=one: door.put(f"Patient/{one['id']}", json=one))
    answers = await rush(calls)
    assert codes(answers) == {200: AT_ONCE}, [one.text for one in answers if one.status_code >= 400]
    versions = [int((await client.get(f"Patient/{clinic.id(name)}")).json()["meta"]["versionId"]) for name in "ab"]
    assert sum(versions) == 2 + 16 * 2 + 4

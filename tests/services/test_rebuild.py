"""Rebuild: a calendar or an index that was damaged is found, mended, and then found sound; under load too."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fhir_server.fhir.json import parse
from fhir_server.scheduling.calendar_day import Entry
from fhir_server.services.rebuild import rebuild_calendar, rebuild_index
from fhir_server.services.world import World
from fhir_server.store.calendar_days import CALENDAR, to_document
from tests.builders.clinic import Clinic, parameters, proposals


@pytest.fixture
async def clinic(client: Any) -> Clinic:
    made = Clinic(client)
    await made.schedule("s", [await made.practitioner()], [await made.service()])
    return made


async def _booked(clinic: Clinic, count: int) -> list[dict[str, Any]]:
    found = proposals(await clinic.find(service=f"HealthcareService/{clinic.id('visit')}"))
    answers = [await clinic.book(one["id"], await clinic.patient(f"p{at}")) for at, one in enumerate(found[:count])]
    assert {one.status_code for one in answers} == {201}
    return [one.json() for one in answers]


def _mine(clinic: Clinic, lines: list[str]) -> list[str]:
    return [one for one in lines if clinic.name in one]


async def test_a_damaged_calendar_is_found_and_mended(clinic: Clinic, client: Any, world: World) -> None:
    lost, kept = await _booked(clinic, 2)
    days = world.store.connection.collection(CALENDAR)
    mine = {"_id": {"$regex": clinic.id("doc")}}
    before = await days.find_one(mine)
    ghost = Entry("Appointment/ghost", "booked", 1_700_000_000, 1_700_000_600, 1_700_000_000, 1_700_000_600)
    entries = [one for one in before["e"] if one["o"] != f"Appointment/{lost['id']}"]
    await days.update_one(mine, {"$set": {"e": [*entries, to_document(ghost)]}})

    report = await rebuild_calendar(world, verify=True)
    assert report.mended == 0
    assert _mine(clinic, report.differences) == [
        f"calendar day {before['_id']}: Appointment/{lost['id']} is missing",
        f"calendar day {before['_id']}: Appointment/ghost holds no such time",
    ]
    again = parameters(
        slot=("Reference", lost["slot"][0]), patient=("Reference", {"reference": f"Patient/{clinic.id('p1')}"})
    )
    await rebuild_calendar(world, verify=False)
    after = await days.find_one(mine)
    assert after["e"] == before["e"]
    assert after["v"] > before["v"]
    assert (await rebuild_calendar(world, verify=True)).differences == []
    assert (await client.post("Appointment/$book", json=again)).status_code == 409
    assert kept["status"] == "booked"


async def test_days_that_are_gone_come_back(clinic: Clinic, world: World) -> None:
    await _booked(clinic, 2)
    days = world.store.connection.collection(CALENDAR)
    mine = {"_id": {"$regex": f"{clinic.name}-"}}
    before = {one["_id"]: one["e"] for one in await days.find(mine).to_list(None)}
    await days.delete_many(mine)
    report = await rebuild_calendar(world, verify=False)
    assert report.mended == len(before) == 3
    assert {one["_id"]: one["e"] for one in await days.find(mine).to_list(None)} == before
    assert (await rebuild_calendar(world, verify=True)).differences == []


async def test_an_appointment_that_disagrees_with_its_time_is_named(clinic: Clinic, world: World) -> None:
    (booked,) = await _booked(clinic, 1)
    appointments = world.store.connection.collection("Appointment")
    document = await appointments.find_one({"_id": booked["id"]})
    place = ("Appointment", booked["id"], document["v"])
    before = world.store.sealer.open(*place, document["body"])
    after = before.replace(clinic.at("09:30").encode(), clinic.at("09:45").encode())
    assert after != before
    sealed = world.store.sealer.seal(*place, after)
    await appointments.update_one({"_id": booked["id"]}, {"$set": {"body": sealed}})
    report = await rebuild_calendar(world, verify=True)
    assert report.differences == [f"Appointment/{booked['id']}: holds another time than its start and end"]
    await appointments.replace_one({"_id": booked["id"]}, document)
    assert (await rebuild_calendar(world, verify=True)).differences == []


async def test_mending_under_load_loses_no_booking(clinic: Clinic, client: Any, world: World) -> None:
    found = proposals(await clinic.find(service=f"HealthcareService/{clinic.id('visit')}"))
    patients = [await clinic.patient(f"p{at}") for at in range(len(found))]
    days = world.store.connection.collection(CALENDAR)
    mine = {"_id": {"$regex": clinic.id("doc")}}
    seen: list[str] = []
    ghost = Entry("Appointment/ghost", "booked", 1_700_000_000, 1_700_000_600, 1_700_000_000, 1_700_000_600)

    async def damage_and_mend() -> None:
        for _ in range(6):
            await days.update_one(mine, {"$push": {"e": to_document(ghost)}})
            seen.extend((await rebuild_calendar(world, verify=False)).differences)

    answers = []
    for at in range(0, len(found), 4):
        calls = [clinic.book(one["id"], patients[at + place]) for place, one in enumerate(found[at : at + 4])]
        *booked, _ = await asyncio.gather(*calls, damage_and_mend())
        answers += booked
    assert {one.status_code for one in answers} == {201}
    await rebuild_calendar(world, verify=False)
    day = await days.find_one(mine)
    assert {one["o"] for one in day["e"]} == {f"Appointment/{one.json()['id']}" for one in answers}
    # Read at one moment, a booking under way is never taken for a difference.
    assert [one for one in seen if "is missing" in one] == []


async def test_a_damaged_index_is_found_and_mended(clinic: Clinic, client: Any, world: World) -> None:
    await clinic.put({"resourceType": "Patient", "id": clinic.id("pat"), "name": [{"family": f"Rare{clinic.name}"}]})
    patients = world.store.connection.collection("Patient")
    before = await patients.find_one({"_id": clinic.id("pat")})
    await patients.update_one({"_id": clinic.id("pat")}, {"$set": {"idx.family": ["wrong"]}, "$unset": {"key": ""}})
    found = await client.get("Patient", params={"family": f"Rare{clinic.name}"})
    assert found.json()["total"] == 0
    report = await rebuild_index(world, verify=True)
    assert report.differences == [f"Patient/{clinic.id('pat')}: search values differ"]
    assert report.mended == 0
    assert (await rebuild_index(world, verify=False)).mended == 1
    assert await patients.find_one({"_id": clinic.id("pat")}) == before
    assert (await rebuild_index(world, verify=True)).differences == []
    found = await client.get("Patient", params={"family": f"Rare{clinic.name}"})
    assert found.json()["total"] == 1
    body = world.store.sealer.open("Patient", clinic.id("pat"), before["v"], before["body"])
    assert parse(body)["id"] == clinic.id("pat")

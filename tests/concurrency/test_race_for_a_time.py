"""N callers want one time: one is served, everybody else hears so with alternatives, whatever door they use."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.services.world import World
from tests.builders.clinic import Clinic, duration, parameters, part, proposals
from tests.concurrency.rush import (
    Call,
    Rush,
    appointment,
    book,
    codes,
    crowd,
    hold,
    only_winners,
    post,
    reasons,
    sound,
    winners,
)


@pytest.mark.parametrize(
    "callers", [pytest.param(50), pytest.param(200), pytest.param(2000, marks=pytest.mark.soak, id="soak-2000")]
)
async def test_one_books_and_everybody_else_hears_what_is_free(
    client: Any, rush: Rush, world: World, callers: int
) -> None:
    clinic = Clinic(client)
    service = await clinic.service()
    await clinic.schedule("s", [await clinic.practitioner()], [service])
    first = proposals(await clinic.find(service=service))[0]["id"]
    answers = await rush([book(first, patient) for patient in await crowd(clinic, callers)])
    only_winners(answers, 1)
    await sound(world)


async def test_overlapping_unequal_intervals_of_a_service_have_one_winner(
    client: Any, rush: Rush, world: World
) -> None:
    clinic = Clinic(client)
    lengths = [part("duration", "Duration", duration(one)) for one in (40, 50)]
    service = await clinic.service("visit", 30, *lengths, part("alignment", "Duration", duration(5)))
    await clinic.schedule("s", [await clinic.practitioner()], [service])
    wanted = [
        one["id"]
        for minutes in ("30", "40", "50")
        for one in proposals(await clinic.find(service=service, duration=minutes, _count="100"))
        # All of them hold 10:30.
        if clinic.at("10:05") <= one["start"] <= clinic.at("10:25") and one["end"] > clinic.at("10:30")
    ]
    assert len(wanted) == 15
    patients = await crowd(clinic, 56)
    answers = await rush([book(wanted[at % len(wanted)], patient) for at, patient in enumerate(patients)])
    only_winners(answers, 1)
    await sound(world)


async def test_overlapping_appointments_by_plain_create_have_one_winner(client: Any, rush: Rush, world: World) -> None:
    clinic = Clinic(client)
    doc = await clinic.practitioner()
    await clinic.schedule("s", [doc], [])
    patients = await crowd(clinic, 48)
    times = [(f"10:0{at % 10}", f"10:{30 + at % 7}") for at in range(48)]
    answers = await rush(
        [
            post(appointment(clinic.at(start), clinic.at(end), doc, patient))
            for patient, (start, end) in zip(patients, times, strict=True)
        ]
    )
    only_winners(answers, 1)
    await sound(world)


async def test_one_person_with_two_schedules_is_one(client: Any, rush: Rush, world: World) -> None:
    clinic = Clinic(client)
    visit, call = await clinic.service("visit"), await clinic.service("call", 20)
    doc = await clinic.practitioner()
    await clinic.put(
        {
            "resourceType": "PractitionerRole", "id": clinic.id("role"), "practitioner": {"reference": doc},
        }
    )  # fmt: skip
    await clinic.schedule("s", [doc], [visit])
    await clinic.schedule("t", [f"PractitionerRole/{clinic.id('role')}"], [call])
    wanted = [proposals(await clinic.find(service=one))[0]["id"] for one in (visit, call)]
    patients = await crowd(clinic, 50)
    answers = await rush([book(wanted[at // 2 % 2], patient) for at, patient in enumerate(patients)])
    only_winners(answers, 1)
    await sound(world)


async def test_every_door_leads_to_one_calendar(client: Any, rush: Rush, world: World) -> None:
    clinic = Clinic(client)
    service = await clinic.service()
    doc = await clinic.practitioner()
    await clinic.schedule("s", [doc], [service])
    first = proposals(await clinic.find(service=service))[0]
    slot = first["slot"][0]["reference"]
    patients = await crowd(clinic, 45)
    block = [{"op": "replace", "path": "/status", "value": "busy-unavailable"}]
    patching = {"Content-Type": "application/json-patch+json"}
    calls: list[Call] = []
    for patient in patients[:15]:
        calls += [book(first["id"], patient), lambda door: door.patch(slot, json=block, headers=patching)]
    for patient in patients[15:30]:
        calls += [hold(first["id"], patient), post(appointment(first["start"], first["end"], doc, patient))]
    for patient in patients[30:]:
        body = parameters(slot=("Reference", {"reference": slot}), patient=("Reference", {"reference": patient}))
        calls.append(lambda door, body=body: door.post("Appointment/$book", json=body))  # type: ignore[misc]
    answers = await rush(calls)
    # A block that is written again as it is changes nothing and is answered with 200 too.
    blocked = [one for one in answers if one.status_code in {200, 201} and one.json()["resourceType"] == "Slot"]
    booked = [one for one in winners(answers) if one["resourceType"] == "Appointment"]
    assert len(booked) == (0 if blocked else 1)
    assert set(codes(answers)) <= {200, 201, 409, 422}
    # 422: a Slot that somebody else made busy meanwhile cannot become busy-unavailable by the state table.
    assert set(reasons(answers)) <= {"slot-taken", "illegal-transition", "closed"}
    await sound(world)


async def test_a_patient_is_at_one_provider(client: Any, rush: Rush, world: World) -> None:
    clinic = Clinic(client)
    service = await clinic.service()
    for name in ("a", "b"):
        await clinic.schedule(name, [await clinic.practitioner(name)], [service])
    wanted = [one["id"] for one in proposals(await clinic.find(service=service))[:2]]
    patient = await clinic.patient()
    answers = await rush([book(wanted[at // 2 % 2], patient) for at in range(30)])
    assert codes(answers) == {201: 1, 409: 29}
    assert set(reasons(answers)) <= {"slot-taken", "patient-conflict"}
    await sound(world)


async def test_a_group_visit_takes_exactly_its_seats(client: Any, rush: Rush, world: World) -> None:
    clinic = Clinic(client)
    service = await clinic.service("group", 60, part("capacity", "PositiveInt", 3))
    await clinic.schedule("s", [await clinic.practitioner()], [service])
    first = proposals(await clinic.find(service=service))[0]["id"]
    answers = await rush([book(first, patient) for patient in await crowd(clinic, 40)])
    only_winners(answers, 3)
    await sound(world)


@pytest.mark.parametrize("seats", [12, pytest.param(100, marks=pytest.mark.soak)])
async def test_a_published_slot_takes_exactly_its_capacity(client: Any, rush: Rush, world: World, seats: int) -> None:
    clinic = Clinic(client)
    schedule = await clinic.schedule("s", [f"Location/{clinic.id('site')}"], [], open_=False)
    capacity = {
        "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/slot-capacity", "valueInteger": seats,
    }  # fmt: skip
    await clinic.put(
        {
            "resourceType": "Slot", "id": clinic.id("slot"), "extension": [capacity], "status": "free",
            "schedule": {"reference": schedule}, "start": clinic.at("09:00"), "end": clinic.at("18:00"),
        }
    )  # fmt: skip
    patients = await crowd(clinic, seats + 1)
    slot = {"reference": f"Slot/{clinic.id('slot')}"}
    bodies = [parameters(slot=("Reference", slot), patient=("Reference", {"reference": one})) for one in patients]
    answers = await rush([lambda door, body=body: door.post("Appointment/$book", json=body) for body in bodies])  # type: ignore[misc]
    assert codes(answers) == {201: seats, 409: 1}
    assert (await client.get(f"Slot/{clinic.id('slot')}")).json()["status"] == "busy"
    await sound(world)


async def test_a_slot_over_midnight_shows_what_is_in_it(client: Any, rush: Rush, world: World) -> None:
    clinic = Clinic(client, zone="UTC")
    doc = await clinic.practitioner()
    schedule = await clinic.schedule("s", [doc], [], open_=False)
    for day in range(4):
        slot = {
            "resourceType": "Slot", "id": clinic.id(f"slot{day}"), "status": "free",
            "schedule": {"reference": schedule}, "start": clinic.at("22:00", day), "end": clinic.at("02:00", day + 1),
        }  # fmt: skip
        await clinic.put(slot)
        named = {"slot": [{"reference": f"Slot/{slot['id']}"}]}
        calls = [
            post(
                appointment(clinic.at(start, on), clinic.at(end, on), doc, await clinic.patient(f"{day}-{on}"), **named)
            )
            for start, end, on in (("22:30", "23:00", day), ("01:00", "01:30", day + 1))
        ]
        ids = [one["id"] for one in winners(await rush(calls))]
        assert len(ids) == 2
        cancels = [
            lambda door, id_=id_: door.post(f"Appointment/{id_}/$cancel", json=parameters())  # type: ignore[misc]
            for id_ in ids
        ]
        if day == 0:
            assert codes(await rush(cancels[:1])) == {200: 1}
            assert (await client.get(f"Slot/{slot['id']}")).json()["status"] == "busy"
        assert codes(await rush(cancels)) == {200: 2}
        assert (await client.get(f"Slot/{slot['id']}")).json()["status"] == "free"
    await sound(world)

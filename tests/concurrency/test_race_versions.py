"""Versions under a rush: one If-Match wins, and no patch is lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fhir_server.services.world import World
from tests.builders.clinic import Clinic
from tests.concurrency.rush import Call, Rush, appointment, codes, sound

PATCHING = {"Content-Type": "application/json-patch+json"}


async def test_one_of_the_same_if_match_wins(client: Any, rush: Rush) -> None:
    clinic = Clinic(client)
    reference = await clinic.patient()

    def put(at: int) -> Call:
        body = {"resourceType": "Patient", "id": clinic.id("pat"), "name": [{"family": f"Name {at}"}]}
        return lambda door: door.put(reference, json=body, headers={"If-Match": 'W/"1"'})

    answers = await rush([put(at) for at in range(30)])
    assert codes(answers) == {200: 1, 412: 29}
    winner = next(one for one in answers if one.status_code == 200)
    assert (await client.get(reference)).json() == winner.json()


@pytest.mark.parametrize("kind", ["Patient", "Appointment"])
async def test_two_who_patch_different_fields_lose_nothing(client: Any, rush: Rush, world: World, kind: str) -> None:
    clinic = Clinic(client)
    if kind == "Patient":
        reference, fields = await clinic.patient(), ("gender", "birthDate")
        values = ([*["male", "female"] * 25], [f"19{at + 10}-01-01" for at in range(50)])
    else:
        doc = await clinic.practitioner()
        await clinic.schedule("s", [doc], [await clinic.service()])
        made = await client.post(
            "Appointment", json=appointment(clinic.at("09:00"), clinic.at("09:30"), doc, await clinic.patient())
        )
        assert made.status_code == 201, made.text
        reference, fields = f"Appointment/{made.json()['id']}", ("comment", "description")
        values = tuple([f"{name} {at}" for at in range(50)] for name in fields)  # type: ignore[assignment]

    async def patcher(door: Any, field: str, mine: list[str]) -> None:
        for value in mine:
            change = [{"op": "add", "path": f"/{field}", "value": value}]
            answer = await door.patch(reference, json=change, headers=PATCHING)
            assert answer.status_code == 200, answer.text
            assert answer.json()[field] == value

    await asyncio.gather(*(patcher(door, *one) for door, *one in zip(rush.doors, fields, values, strict=True)))
    last = (await client.get(reference)).json()
    assert [last[field] for field in fields] == [mine[-1] for mine in values]
    history = (await client.get(f"{reference}/_history", params={"_count": "200"})).json()
    assert history["total"] == 101
    await sound(world)


async def test_an_update_that_creates_creates_once(client: Any, rush: Rush, world: World) -> None:
    clinic = Clinic(client)
    doc = await clinic.practitioner()
    await clinic.schedule("s", [doc], [await clinic.service()])
    patient = await clinic.patient()
    for status in ("booked", "waitlist"):
        id_ = clinic.id(status)
        body = {"id": id_, **appointment(clinic.at("09:00"), clinic.at("09:30"), doc, patient), "status": status}
        answers = await rush([lambda door, body=body: door.put(f"Appointment/{body['id']}", json=body)] * 20)  # type: ignore[misc]
        assert codes(answers) == {201: 1, 200: 19}
        assert (await client.get(f"Appointment/{id_}")).json()["meta"]["versionId"] == "1"
    await sound(world)


async def test_a_booking_and_its_history_as_it_happened_do_not_mix(client: Any, rush: Rush, world: World) -> None:
    clinic = Clinic(client)
    doc = await clinic.practitioner()
    await clinic.schedule("s", [doc], [await clinic.service()])
    patient = await clinic.patient()
    for at in range(10):
        start, end = (
            clinic.at(f"{9 + at // 2:02}:{30 * (at % 2):02}"),
            clinic.at(f"{9 + (at + 1) // 2:02}:{30 * ((at + 1) % 2):02}"),
        )
        booked = {"id": clinic.id(f"a{at}"), **appointment(start, end, doc, patient)}
        calls: list[Call] = [
            lambda door, body=body: door.put(f"Appointment/{body['id']}", json=body)  # type: ignore[misc]
            for body in (booked, {**booked, "status": "cancelled"}) * 2
        ]
        answers = await rush(calls)
        # cancelled cannot become booked; booked can become cancelled, and its time is free then.
        assert set(codes(answers)) <= {200, 201, 422}
        await sound(world)

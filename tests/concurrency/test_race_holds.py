"""Around the end of a hold there is one owner, by the clock alone; tidying up changes nothing for anybody."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from typing import Any

import pytest

from fhir_server.services.upkeep import settle
from fhir_server.services.world import World
from tests.builders.clinic import Clinic, parameters, proposals
from tests.concurrency.rush import Rush, appointment, book, codes, crowd, hold, only_winners, post, reasons, sound


@pytest.fixture
async def clinic(client: Any) -> Clinic:
    made = Clinic(client)
    services = [await made.service(), await made.service("check", 60)]
    await made.schedule("s", [await made.practitioner()], services)
    return made


async def _first(clinic: Clinic, service: str = "visit") -> str:
    return str(proposals(await clinic.find(service=f"HealthcareService/{clinic.id(service)}"))[0]["id"])


async def _held(clinic: Clinic, client: Any, proposal: str, seconds: int) -> tuple[str, int]:
    """A hold of so many seconds: its id, and the second at which it is over."""
    body = parameters(
        appointment=("Uri", f"Appointment/{proposal}"),
        patient=("Reference", {"reference": await clinic.patient("holder")}),
        hold_duration=("Duration", {"value": seconds, "unit": "s", "system": "http://unitsofmeasure.org", "code": "s"}),
    )
    answer = await client.post("Appointment/$hold", json=body)
    assert answer.status_code == 201, answer.text
    until = next(one["valueInstant"] for one in answer.json()["extension"] if one["url"].endswith("/held-until"))
    return answer.json()["id"], int(datetime.fromisoformat(until).timestamp())


async def _until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - time.time()))


@pytest.mark.parametrize("tidy", [False, True])
async def test_the_end_of_a_hold_has_one_owner(
    clinic: Clinic, client: Any, rush: Rush, world: World, *, tidy: bool
) -> None:
    first = await _first(clinic)
    id_, end = await _held(clinic, client, first, 2)
    patients = await crowd(clinic, 30)

    early = []

    async def at(moment: float, door: Any, patient: str) -> Any:
        await _until(moment)
        answer = await book(first, patient)(door)
        if time.time() < end:
            early.append(answer)
        return answer

    async def convert(moment: float, door: Any) -> Any:
        await _until(moment)
        return await door.post(f"Appointment/{id_}/$book", json=parameters())

    moments = [end - 0.3 + 0.015 * step for step in range(30)]
    others = [at(moment, rush.doors[place % 2], patients[place]) for place, moment in enumerate(moments)]
    owner = [convert(end - 0.005 + 0.005 * place, rush.doors[place % 2]) for place in range(4)]
    sweeps = [_sweep(world, end + 0.01 * place) for place in range(3)] if tidy else []
    answers = [one for one in await asyncio.gather(*others, *owner, *sweeps) if one is not None]
    assert codes(answers)[201] == 1, (codes(answers), reasons(answers))
    assert set(codes(answers)) <= {201, 409, 422}
    assert {one.status_code for one in early} <= {409}
    await sound(world)


async def _sweep(world: World, moment: float) -> None:
    await _until(moment)
    await settle(world)


@pytest.mark.parametrize("path", ["book", "create", "block"])
async def test_a_hold_that_is_over_is_in_nobodys_way(
    clinic: Clinic, client: Any, rush: Rush, world: World, path: str
) -> None:
    # The hold is for another service that starts at the same time, so another Slot shows it.
    visit, check = await _first(clinic), await _first(clinic, "check")
    _, end = await _held(clinic, client, check, 1)
    assert (await clinic.book(visit, await clinic.patient("early"))).status_code == 409
    await _until(end + 0.01)
    patients = await crowd(clinic, 8)
    if path == "book":
        only_winners(await rush([book(visit, one) for one in patients]), 1)
    elif path == "create":
        doc = f"Practitioner/{clinic.id('doc')}"
        only_winners(
            await rush([post(appointment(clinic.at("09:00"), clinic.at("09:30"), doc, one)) for one in patients]), 1
        )
    else:
        slot = {
            "resourceType": "Slot", "status": "busy-unavailable",
            "start": clinic.at("09:00"), "end": clinic.at("10:00"),
            "schedule": {"reference": f"Schedule/{clinic.id('s')}"},
        }  # fmt: skip
        only_winners(await rush([post(slot)] * 8), 1)
    await sound(world)


async def test_everybody_may_tidy_up_at_once(clinic: Clinic, client: Any, rush: Rush, world: World) -> None:
    times = [one["id"] for one in proposals(await clinic.find(service=f"HealthcareService/{clinic.id('visit')}"))]
    ends = [(await _held(clinic, client, time_, 2))[1] for time_ in times[:4]]
    await _until(max(ends) + 0.01)
    # Both servers tidy up before they search, and so does this process.
    searches = [lambda door: door.get("Appointment", params={"status": "pending", "_count": "1"})] * 20
    answers, *_ = await asyncio.gather(rush(searches), settle(world), settle(world))
    assert codes(answers) == {200: 20}
    assert await settle(world) == 0
    found = await client.get("Appointment", params={"patient": f"Patient/{clinic.id('holder')}"})
    held = [one["resource"] for one in found.json()["entry"]]
    assert {(one["status"], one["meta"]["versionId"]) for one in held} == {("cancelled", "2")}
    await sound(world)


async def test_a_hold_that_is_released_while_it_is_booked_is_one_of_both(
    clinic: Clinic, client: Any, rush: Rush, world: World
) -> None:
    times = [one["id"] for one in proposals(await clinic.find(service=f"HealthcareService/{clinic.id('visit')}"))]
    for at in range(8):
        id_ = (await hold(times[at], await clinic.patient(f"h{at}"))(client)).json()["id"]
        ways = [f"Appointment/{id_}/$book", f"Appointment/{id_}/$release"]
        answers = await rush(
            [lambda door, way=ways[(at + who) % 2]: door.post(way, json=parameters()) for who in (0, 1)]
        )  # type: ignore[misc]
        by_way = {ways[(at + who) % 2].rpartition("$")[2]: answer.status_code for who, answer in enumerate(answers)}
        status = (await client.get(f"Appointment/{id_}")).json()["status"]
        assert (by_way["book"], by_way["release"], status) in {(201, 422, "booked"), (422, 200, "cancelled")}
    await sound(world)


async def test_a_hold_that_moves_while_it_is_booked_or_extended_keeps_its_time(
    clinic: Clinic, client: Any, rush: Rush, world: World
) -> None:
    service = await clinic.service("short", 10)
    await clinic.schedule("t", [await clinic.practitioner("other")], [service])
    times = proposals(await clinic.find(service=service, _count="100"))
    for at, verb in enumerate(["$book", "$extend-hold"] * 12):
        id_ = (await hold(times[at * 2]["id"], await clinic.patient(f"h{at}"))(client)).json()["id"]
        new = times[at * 2 + 1]["start"]
        body = parameters(start=("DateTime", new))

        def move(door: Any, id_: str = id_, body: Any = body) -> Any:
            return door.post(f"Appointment/{id_}/$reschedule", json=body)

        def other(door: Any, id_: str = id_, verb: str = verb) -> Any:
            return door.post(f"Appointment/{id_}/{verb}", json=parameters())

        answers = await rush([move, other, other] if at % 4 < 2 else [other, move, other])
        moved = answers.pop(0 if at % 4 < 2 else 1)
        found = (await client.get(f"Appointment/{id_}")).json()
        assert moved.status_code == 200, moved.text
        assert found["start"] == new
        assert found["status"] == ("booked" if codes(answers)[201] else "pending")
        assert set(codes(answers)) <= {200, 201, 409, 422}
        await sound(world)

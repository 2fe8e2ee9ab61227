"""Moving under a rush: all or nothing, never lost, never both."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.services.world import World
from tests.builders.clinic import Clinic, parameters, policy, proposals
from tests.concurrency.rush import Call, Rush, book, codes, crowd, reasons, sound

SERVED = {200, 201}


@pytest.fixture
async def clinic(client: Any) -> Clinic:
    made = Clinic(client)
    service = await made.service("visit", 30)
    for name in ("a", "b"):
        await made.schedule(name, [await made.practitioner(name)], [service])
    return made


async def _times(clinic: Clinic, name: str = "a") -> list[dict[str, Any]]:
    return proposals(await clinic.find(schedule=f"Schedule/{clinic.id(name)}"))


async def _booked(clinic: Clinic, proposal: str, name: str) -> str:
    answer = await clinic.book(proposal, await clinic.patient(name))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def _move(id_: str, start: str, *more: str) -> Call:
    body = parameters(start=("DateTime", start))
    for schedule in more:
        body["parameter"].append({"name": "schedule", "valueReference": {"reference": schedule}})
    return lambda door: door.post(f"Appointment/{id_}/$reschedule", json=body)


def _cancel(id_: str) -> Call:
    return lambda door: door.post(f"Appointment/{id_}/$cancel", json=parameters())


async def _read(client: Any, id_: str) -> dict[str, Any]:
    return dict((await client.get(f"Appointment/{id_}")).json())


async def test_two_cannot_swap_but_both_keep_a_time(clinic: Clinic, client: Any, rush: Rush, world: World) -> None:
    times = await _times(clinic)
    for at in range(0, 12, 2):
        one, other = times[at], times[at + 1]
        first, second = await _booked(clinic, one["id"], f"x{at}"), await _booked(clinic, other["id"], f"y{at}")
        answers = await rush([_move(first, other["start"]), _move(second, one["start"])])
        assert codes(answers) == {409: 2}
        assert [(await _read(client, id_))["start"] for id_ in (first, second)] == [one["start"], other["start"]]
    await sound(world)


async def test_many_move_to_one_time_and_one_gets_it(clinic: Clinic, client: Any, rush: Rush, world: World) -> None:
    times = await _times(clinic)
    ids = [await _booked(clinic, times[at]["id"], f"p{at}") for at in range(10)]
    target = times[12]["start"]
    strangers = await crowd(clinic, 10)
    calls = [_move(id_, target) for id_ in ids]
    answers = await rush([*calls, *(book(times[12]["id"], one) for one in strangers)])
    assert sum(codes(answers)[code] for code in SERVED) == 1
    assert codes(answers)[409] == 19
    starts = [(await _read(client, id_))["start"] for id_ in ids]
    moved = [answer.status_code == 200 for answer in answers[:10]]
    assert starts == [target if gone else times[at]["start"] for at, gone in enumerate(moved)]
    await sound(world)


async def test_a_time_that_is_left_can_be_taken_but_only_then(
    clinic: Clinic, client: Any, rush: Rush, world: World
) -> None:
    times = await _times(clinic)
    for at in range(0, 12, 2):
        id_ = await _booked(clinic, times[at]["id"], f"m{at}")
        patients = [await clinic.patient(f"n{at}-{one}") for one in range(4)]
        answers = await rush([_move(id_, times[at + 1]["start"]), *(book(times[at]["id"], one) for one in patients)])
        assert answers[0].status_code == 200
        assert codes(answers[1:])[201] <= 1
        assert (await _read(client, id_))["start"] == times[at + 1]["start"]
    await sound(world)


async def test_moved_and_cancelled_at_once_is_cancelled(clinic: Clinic, client: Any, rush: Rush, world: World) -> None:
    times = await _times(clinic)
    for at in range(6):
        id_ = await _booked(clinic, times[at]["id"], f"c{at}")
        calls = [_move(id_, times[15 - at]["start"]), _cancel(id_)]
        answers = await rush(calls if at % 2 else calls[::-1])
        moved, cancelled = answers if at % 2 else reversed(answers)
        assert cancelled.status_code == 200
        assert moved.status_code in {200, 422}
        assert (await _read(client, id_))["status"] == "cancelled"
        await sound(world)
    assert len(await _times(clinic)) == len(times)


async def test_moves_are_counted_one_by_one(clinic: Clinic, client: Any, rush: Rush, world: World) -> None:
    service = f"HealthcareService/{clinic.id('visit')}"
    schedule = await clinic.schedule("few", [await clinic.practitioner("few")], [service], policy(maxReschedules=2))
    times = await _times(clinic, "few")
    id_ = await _booked(clinic, times[0]["id"], "mover")
    answers = await rush([_move(id_, one["start"]) for one in times[1:9]])
    assert codes(answers) == {200: 2, 422: 6}
    assert reasons(answers) == {"booking-limit": 6}
    assert len(await _times(clinic, "few")) == len(times) - 1, schedule
    await sound(world)


async def test_a_move_that_fails_leaves_the_old_time(clinic: Clinic, client: Any, rush: Rush, world: World) -> None:
    mine, theirs = await _times(clinic), await _times(clinic, "b")
    id_ = await _booked(clinic, mine[0]["id"], "mover")
    await _booked(clinic, theirs[3]["id"], "other")
    before = await _read(client, id_)
    refused = await rush([_move(id_, theirs[3]["start"], f"Schedule/{clinic.id('b')}")] * 4)
    assert codes(refused) == {409: 4}
    assert await _read(client, id_) == before
    again = await clinic.book(mine[0]["id"], await clinic.patient("late"))
    assert again.status_code == 409
    await sound(world)


async def test_a_booking_that_replaces_another_leaves_no_trace_of_it(
    clinic: Clinic, client: Any, rush: Rush, world: World
) -> None:
    times = await _times(clinic)
    id_ = await _booked(clinic, times[0]["id"], "p")
    patient = f"Patient/{clinic.id('p')}"
    answers = await rush(
        [book(times[at]["id"], patient, replaces=("Reference", {"reference": f"Appointment/{id_}"})) for at in range(8)]
    )
    assert codes(answers) == {201: 1, 422: 7}
    assert (await _read(client, id_))["status"] == "cancelled"
    assert len(await _times(clinic)) == len(times) - 1
    await sound(world)

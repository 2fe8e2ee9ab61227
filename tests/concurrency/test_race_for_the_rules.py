"""What no unique index can say is exact under a rush too: limits, pools of rooms, seats that staff add."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from fhir_server.services.world import World
from tests.builders.clinic import Clinic, parameters, part, policy, proposals
from tests.concurrency.rush import Rush, book, codes, crowd, only_winners, post, reasons, sound, winners

ROOM = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/location-physical-type", "code": "ro"}]}


async def _times(clinic: Clinic, service: str, *days: date) -> list[str]:
    found: list[str] = []
    for day in days:
        page = await clinic.find(service=service, start=day.isoformat(), end=day.isoformat(), _count="100")
        found += [one["id"] for one in proposals(page)]
    return found


async def test_eight_online_a_day_are_exactly_eight(client: Any, rush: Rush, world: World) -> None:
    clinic = Clinic(client)
    service = await clinic.service("visit", 15)
    await clinic.schedule("s", [await clinic.practitioner()], [service], policy(("online", "day", 8)))
    times = await _times(clinic, service, clinic.first)
    patients = await crowd(clinic, 30)
    answers = await rush([book(time, patient) for time, patient in zip(times, patients, strict=False)])
    assert codes(answers) == {201: 8, 422: 22}
    assert reasons(answers) == {"booking-limit": 22}
    await sound(world)


@pytest.mark.parametrize("per", ["week", "month"])
async def test_a_limit_over_several_days_is_exact(client: Any, rush: Rush, world: World, per: str) -> None:
    clinic = Clinic(client)
    service = await clinic.service("visit", 15)
    await clinic.schedule("s", [await clinic.practitioner()], [service], policy(("all", per, 5)))
    first = clinic.first.replace(day=1) + timedelta(days=32) if per == "month" else clinic.first
    days = [first + timedelta(days=one) for one in (1, 3)]
    one, other = [await _times(clinic, service, day) for day in days]
    patients = await crowd(clinic, 24)
    calls = [book((one, other)[(at + at // 2) % 2][at], patient) for at, patient in enumerate(patients)]
    answers = await rush(calls)
    assert codes(answers) == {201: 5, 422: 19}
    await sound(world)


async def test_a_weekly_limit_is_exact_where_two_months_share_the_week(client: Any, rush: Rush, world: World) -> None:
    clinic = Clinic(client)
    service = await clinic.service("visit", 15)
    limits = policy(("all", "week", 1), ("all", "month", 20))
    await clinic.schedule("s", [await clinic.practitioner()], [service], limits)
    weeks = [month for month in _months_from(clinic.first) if month.weekday() != 0][:6]
    for at, month in enumerate(weeks):
        last, first = [await _times(clinic, service, day) for day in (month - timedelta(days=1), month)]
        patients = await crowd(clinic, 4)
        answers = await rush([book((last, first)[who % 2][at], patient) for who, patient in enumerate(patients)])
        assert codes(answers) == {201: 1, 422: 3}
    await sound(world)


def _months_from(day: date) -> list[date]:
    """The first days of the next months."""
    found = []
    for _ in range(9):
        day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
        found.append(day)
    return found


async def test_two_rooms_hold_two_visits(client: Any, rush: Rush, world: World) -> None:
    clinic = Clinic(client)
    kind = {"coding": [{"system": "https://clinic.example/room", "code": clinic.id("room")}]}
    for name in ("r1", "r2"):
        await clinic.put({"resourceType": "Location", "id": clinic.id(name), "type": [kind], "physicalType": ROOM})
    service = await clinic.service("visit", 30, part("requires", "CodeableConcept", kind))
    for at in range(6):
        await clinic.schedule(f"s{at}", [await clinic.practitioner(f"d{at}")], [service])
    found = proposals(await clinic.find(service=service))
    at_nine = [one["id"] for one in found if one["start"] == clinic.at("09:00")]
    assert len(at_nine) == 6
    patients = await crowd(clinic, 36)
    answers = await rush([book(at_nine[at // 2 % 6], patient) for at, patient in enumerate(patients)])
    booked = only_winners(answers, 2)
    rooms = {
        one["actor"]["reference"]
        for each in booked
        for one in each["participant"]
        if one["actor"]["reference"].startswith("Location/")
    }
    assert rooms == {f"Location/{clinic.id('r1')}", f"Location/{clinic.id('r2')}"}
    await sound(world)


async def test_staff_have_the_seats_that_the_policy_adds(client: Any, rush: Rush, world: World) -> None:
    clinic = Clinic(client)
    visit, check = await clinic.service("visit"), await clinic.service("check", 60)
    doc = await clinic.practitioner()
    await clinic.schedule("s", [doc], [visit, check], policy(overbooking=2))
    wanted = [proposals(await clinic.find(service=one))[0]["id"] for one in (visit, check)]
    patients = await crowd(clinic, 20)
    forced: dict[str, tuple[str, Any]] = {
        "override": ("Boolean", True), "override_reason": ("String", "acute pain"),
        "booking_channel": ("Code", "staff"),
    }  # fmt: skip
    calls = [book(wanted[at // 2 % 2], patient, **forced) for at, patient in enumerate(patients)]
    answers = await rush(calls)
    assert codes(answers) == {201: 3, 409: 17}
    await sound(world)
    # All three leave again, in any order, and the time is free for one.
    cancelled = await rush(
        [
            lambda door, id_=one["id"]: door.post(f"Appointment/{id_}/$cancel", json=parameters())  # type: ignore[misc]
            for one in winners(answers)
        ]
    )
    assert codes(cancelled) == {200: 3}
    await sound(world)
    only_winners(await rush([book(wanted[0], patient) for patient in patients[:6]]), 1)


async def test_a_held_extra_seat_can_be_extended_and_booked(client: Any, world: World) -> None:
    clinic = Clinic(client)
    service = await clinic.service()
    await clinic.schedule("s", [await clinic.practitioner()], [service], policy(overbooking=1))
    first = proposals(await clinic.find(service=service))[0]["id"]
    assert (await clinic.book(first, await clinic.patient("a"))).status_code == 201
    body = parameters(
        appointment=("Uri", f"Appointment/{first}"),
        patient=("Reference", {"reference": await clinic.patient("b")}),
        override=("Boolean", True),
        override_reason=("String", "acute pain"),
        booking_channel=("Code", "staff"),
    )
    held = await client.post("Appointment/$hold", json=body)
    assert held.status_code == 201, held.text
    id_ = held.json()["id"]
    extended = await client.post(f"Appointment/{id_}/$extend-hold", json=parameters())
    assert extended.status_code == 200, extended.text
    booked = await client.post(f"Appointment/{id_}/$book", json=parameters())
    assert booked.status_code == 201, booked.text
    await sound(world)


async def test_the_rules_hold_for_plain_create_too(client: Any, rush: Rush, world: World) -> None:
    clinic = Clinic(client)
    service = await clinic.service("visit", 15)
    doc = await clinic.practitioner()
    await clinic.schedule("s", [doc], [service], policy(("all", "day", 3)))
    found = proposals(await clinic.find(service=service, _count="100"))
    patients = await crowd(clinic, 20)
    bodies = [
        {
            "resourceType": "Appointment", "status": "booked", "start": time["start"], "end": time["end"],
            "participant": [{"actor": {"reference": one}, "status": "accepted"} for one in (doc, patient)],
        }
        for time, patient in zip(found, patients, strict=False)
    ]  # fmt: skip
    answers = await rush([post(one) for one in bodies])
    assert codes(answers) == {201: 3, 422: 17}
    await sound(world)

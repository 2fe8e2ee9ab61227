"""``$release``: a held time is free again at once."""

from __future__ import annotations

from typing import Any

from tests.builders.answers import refused
from tests.builders.persistence import until
from tests.builders.visits import Visits, seconds


async def test_the_time_is_free_at_once(client: Any) -> None:
    clinic = await Visits(client).opened()
    held = await clinic.held()
    answer = await clinic.act(held["id"], "$release")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert {one["status"] for one in answer.json()["participant"]} == {"declined"}
    assert (await clinic.read(held["slot"][0]["reference"]))["status"] == "free"
    await clinic.booked(patient="other")


async def test_releasing_twice_is_no_fault(client: Any) -> None:
    clinic = await Visits(client).opened()
    held = await clinic.held()
    first, again = [await clinic.act(held["id"], "$release") for _ in range(2)]
    assert again.status_code == 200
    assert again.headers["ETag"] == first.headers["ETag"]


async def test_releasing_after_expiry_is_no_fault(client: Any) -> None:
    clinic = await Visits(client).opened()
    held = await clinic.held(hold_duration=("Duration", seconds(1)))

    async def over() -> bool:
        return "09:00" in await clinic.free()

    await until(over, within=5)
    answer = await clinic.act(held["id"], "$release")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")


async def test_a_booking_is_cancelled_not_released(client: Any) -> None:
    clinic = await Visits(client).opened()
    booked = await clinic.booked()
    refused(await clinic.act(booked["id"], "$release"), 422, "illegal-transition")
    assert (await clinic.read(f"Appointment/{booked['id']}"))["status"] == "booked"
    refused(await clinic.act("nothing", "$release"), 404)


async def test_a_released_hold_is_not_booked(client: Any) -> None:
    clinic = await Visits(client).opened()
    held = await clinic.held()
    await clinic.act(held["id"], "$release")
    refused(await clinic.act(held["id"], "$book"), 422, "illegal-transition")

"""``$extend-hold``: the owner keeps a time longer, as far as the policy allows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from tests.builders.answers import refused
from tests.builders.clinic import duration, parameters, policy
from tests.builders.persistence import until
from tests.builders.visits import Visits, seconds


async def test_the_hold_runs_anew_from_now(client: Any) -> None:
    clinic = await Visits(client).opened(policy(holdDuration=2, maxHoldDuration=30))
    held = await clinic.held()
    answer = await clinic.act(held["id"], "$extend-hold", hold_duration=("Duration", duration(15)))
    assert answer.status_code == 200, answer.text
    left = parsedate_to_datetime(answer.headers["Expires"]) - datetime.now(UTC)
    assert timedelta(minutes=14) < left <= timedelta(minutes=15)
    assert answer.json()["status"] == "pending"
    assert answer.headers["ETag"] == 'W/"2"'
    slot = await clinic.read(held["slot"][0]["reference"])
    assert slot["status"] == "busy-tentative"
    assert slot["extension"] == [one for one in answer.json()["extension"] if one["url"].endswith("/held-until")]


async def test_the_whole_hold_is_no_longer_than_the_policy_allows(client: Any) -> None:
    clinic = await Visits(client).opened(policy(holdDuration=2, maxHoldDuration=3))
    held = await clinic.held()
    answer = await clinic.act(held["id"], "$extend-hold", hold_duration=("Duration", duration(60)))
    left = parsedate_to_datetime(answer.headers["Expires"]) - datetime.now(UTC)
    assert timedelta(minutes=2) < left <= timedelta(minutes=3)


async def test_an_expired_hold_is_not_extended(client: Any) -> None:
    clinic = await Visits(client).opened()
    held = await clinic.held(hold_duration=("Duration", seconds(1)))

    async def over() -> bool:
        return "09:00" in await clinic.free()

    await until(over, within=5)
    refused(await clinic.act(held["id"], "$extend-hold"), 409, "hold-expired")


async def test_only_a_hold_can_be_extended(client: Any) -> None:
    clinic = await Visits(client).opened()
    booked = await clinic.booked()
    refused(await clinic.act(booked["id"], "$extend-hold"), 422, "illegal-transition")
    refused(await clinic.act("nothing", "$extend-hold"), 404)
    refused(await clinic.client.post("Appointment/$extend-hold", json=parameters()), 404)
    refused(await clinic.client.get(f"Appointment/{booked['id']}/$extend-hold"), 405)

"""Upkeep: holds that are over become cancelled and their Slots free, once, whoever notices."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from fhir_server.services.upkeep import settle
from fhir_server.services.world import World
from tests.builders.clinic import Clinic, parameters, proposals


async def _held(clinic: Clinic, client: Any) -> dict[str, Any]:
    await clinic.schedule("s", [await clinic.practitioner()], [await clinic.service()])
    first = proposals(await clinic.find(service=f"HealthcareService/{clinic.id('visit')}"))[0]
    body = parameters(
        appointment=("Uri", f"Appointment/{first['id']}"),
        patient=("Reference", {"reference": await clinic.patient()}),
    )
    answer = await client.post("Appointment/$hold", json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def _an_hour_later(world: World) -> World:
    return replace(world, clock=lambda: world.clock() + 3_600_000)


async def _tidied(world: World) -> None:
    """Whatever other tests left held is over and done with."""
    while await settle(_an_hour_later(world)):
        pass


async def test_a_hold_that_is_over_becomes_cancelled_once(client: Any, world: World) -> None:
    await _tidied(world)
    held = await _held(Clinic(client), client)
    assert await settle(world) == 0
    later = _an_hour_later(world)
    # An hour later the Appointment is settled first, and its Slot with it.
    assert await settle(later) == 1
    assert await settle(later) == 0
    after = (await client.get(f"Appointment/{held['id']}")).json()
    assert after["status"] == "cancelled"
    assert after["meta"]["versionId"] == "2"
    assert (await client.get(held["slot"][0]["reference"])).json()["status"] == "free"


async def test_everybody_may_tidy_at_once(client: Any, world: World) -> None:
    held = await _held(Clinic(client), client)
    await asyncio.gather(*(settle(_an_hour_later(world)) for _ in range(12)))
    assert (await client.get(f"Appointment/{held['id']}")).json()["meta"]["versionId"] == "2"
    assert await settle(_an_hour_later(world)) == 0


async def test_a_slot_held_by_itself_is_free_again(client: Any, world: World) -> None:
    clinic = Clinic(client)
    schedule = await clinic.schedule("s", [await clinic.practitioner()], [await clinic.service()])
    slot = {
        "resourceType": "Slot", "id": clinic.id("slot"), "status": "busy-tentative",
        "schedule": {"reference": schedule}, "start": clinic.at("09:00"), "end": clinic.at("10:00"),
    }  # fmt: skip
    await _tidied(world)
    await clinic.put(slot)
    assert await settle(_an_hour_later(world)) == 1
    after = (await client.get(f"Slot/{slot['id']}")).json()
    assert (after["status"], "held-until" in str(after)) == ("free", False)
    assert await settle(_an_hour_later(world)) == 0


async def test_a_hold_on_a_schedule_that_is_gone_does_not_stay_forever(client: Any, world: World) -> None:
    clinic = Clinic(client)
    held = await _held(clinic, client)
    assert (await client.delete(f"Schedule/{clinic.id('s')}")).status_code == 204
    later = _an_hour_later(world)
    await settle(later)
    assert await settle(later) == 0
    assert (await client.get(held["slot"][0]["reference"])).json()["status"] == "free"

"""Slots by plain REST: computed ones are read, included, blocked and freed; filled ones belong to their appointment."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders.answers import refused
from tests.builders.clinic import proposals
from tests.builders.visits import Visits

JSON_PATCH = {"Content-Type": "application/json-patch+json"}
CAPACITY = "http://fhir-registry.smarthealthit.org/StructureDefinition/slot-capacity"


@pytest.fixture
async def clinic(client: Any) -> Visits:
    return await Visits(client).opened()


async def _slots(clinic: Visits, **more: Any) -> list[dict[str, Any]]:
    query = {"schedule": f"Schedule/{clinic.id('s')}", "start": clinic.first.isoformat(), "_count": "100", **more}
    answer = await clinic.client.get("Slot", params=query)
    assert answer.status_code == 200, answer.text
    return [one["resource"] for one in answer.json().get("entry", ()) if one["search"]["mode"] == "match"]


async def _slot(clinic: Visits, clock: str = "09:00") -> str:
    """The reference of the computed Slot at a time."""
    found = proposals(await clinic.find(service=clinic.visit))
    return next(one["slot"][0]["reference"] for one in found if one["start"] == clinic.at(clock))


async def _turn(clinic: Visits, slot: str, status: str, **headers: str) -> Any:
    body = [{"op": "replace", "path": "/status", "value": status}]
    return await clinic.client.patch(slot, json=body, headers={**JSON_PATCH, **headers})


async def test_computed_and_stored_slots_are_one_list(clinic: Visits) -> None:
    slots = await _slots(clinic)
    assert [one["start"] for one in slots][:2] == [clinic.at("09:00"), clinic.at("09:30")]
    assert len(slots) == 16
    booked = await clinic.booked("10:00")
    after = await _slots(clinic)
    assert [one["id"] for one in after] == [one["id"] for one in slots]
    assert [one["status"] for one in after if one["start"] == booked["start"]] == ["busy"]
    assert len(await _slots(clinic, status="free")) == 15
    assert [one["start"] for one in await _slots(clinic, status="busy")] == [booked["start"]]


async def test_the_list_is_paged(clinic: Visits) -> None:
    await clinic.booked("09:30")
    query = {"schedule": f"Schedule/{clinic.id('s')}", "start": clinic.first.isoformat(), "_count": "6"}
    query["_total"] = "accurate"
    page = (await clinic.client.get("Slot", params=query)).json()
    assert page["total"] == 16
    seen = proposals(page)
    while url := next((one["url"] for one in page["link"] if one["relation"] == "next"), None):
        page = (await clinic.client.get(url)).json()
        seen += proposals(page)
    assert [one["id"] for one in seen] == [one["id"] for one in await _slots(clinic)]


async def test_a_computed_slot_is_read_and_included(clinic: Visits) -> None:
    slot = await _slot(clinic)
    read = await clinic.client.get(slot)
    assert (read.status_code, read.json()["status"], read.json()["start"]) == (200, "free", clinic.at("09:00"))
    assert read.json()["schedule"] == {"reference": f"Schedule/{clinic.id('s')}"}
    query = {"schedule": f"Schedule/{clinic.id('s')}", "start": clinic.at("09:00"), "_include": "Slot:schedule"}
    bundle = (await clinic.client.get("Slot", params=query)).json()
    modes = [(one["resource"]["resourceType"], one["search"]["mode"]) for one in bundle["entry"]]
    assert modes == [("Slot", "match"), ("Schedule", "include")]


async def test_blocked_and_freed_again(clinic: Visits) -> None:
    slot = await _slot(clinic)
    blocked = await _turn(clinic, slot, "busy-unavailable")
    assert (blocked.status_code, blocked.json()["status"]) == (200, "busy-unavailable"), blocked.text
    assert "09:00" not in await clinic.free()
    body = clinic.appointment()
    refused(await clinic.client.post("Appointment", json=body), 409, "slot-taken")
    freed = await _turn(clinic, slot, "free", **{"If-Match": blocked.headers["ETag"]})
    assert (freed.status_code, freed.json()["status"]) == (200, "free"), freed.text
    assert "09:00" in await clinic.free()
    assert (await clinic.client.post("Appointment", json=body)).status_code == 201


async def test_a_block_by_post_and_by_put_takes_its_time(clinic: Visits) -> None:
    block = {
        "resourceType": "Slot",
        "schedule": {"reference": f"Schedule/{clinic.id('s')}"},
        "status": "busy-unavailable",
        "start": clinic.at("12:00"),
        "end": clinic.at("13:00"),
        "comment": "lunch",
    }
    posted = await clinic.client.post("Slot", json=block)
    assert posted.status_code == 201, posted.text
    assert {"12:00", "12:30"}.isdisjoint(await clinic.free())
    overlapping = {**block, "id": clinic.id("more"), "start": clinic.at("12:30"), "end": clinic.at("13:30")}
    refused(await clinic.client.put(f"Slot/{overlapping['id']}", json=overlapping), 409, "slot-taken")
    await clinic.booked("14:00")
    over = {**block, "id": clinic.id("more"), "start": clinic.at("13:30"), "end": clinic.at("14:30")}
    refused(await clinic.client.put(f"Slot/{over['id']}", json=over), 409, "slot-taken")
    assert (await clinic.client.delete(f"Slot/{posted.json()['id']}")).status_code == 204
    assert {"12:00", "12:30"} <= set(await clinic.free())


async def test_a_block_is_moved(clinic: Visits) -> None:
    slot = {"resourceType": "Slot", "id": clinic.id("lunch"), "status": "busy-unavailable",
            "schedule": {"reference": f"Schedule/{clinic.id('s')}"}}  # fmt: skip
    await clinic.put({**slot, "start": clinic.at("12:00"), "end": clinic.at("12:30")})
    await clinic.put({**slot, "start": clinic.at("12:15"), "end": clinic.at("12:45")})
    free = await clinic.free()
    assert {"12:00", "12:30"}.isdisjoint(free)
    await clinic.put({**slot, "start": clinic.at("13:00"), "end": clinic.at("13:30")})
    assert {"12:00", "12:30"} <= set(await clinic.free())


async def test_a_slot_that_an_appointment_fills_cannot_be_freed(clinic: Visits) -> None:
    booked = await clinic.booked()
    slot = booked["slot"][0]["reference"]
    for status in ("free", "busy-unavailable"):
        refused(await _turn(clinic, slot, status), 409, "slot-taken")
    stored = await clinic.read(slot)
    refused(await clinic.client.put(slot, json={**stored, "status": "free"}), 409, "slot-taken")
    refused(await clinic.client.delete(slot), 409, "slot-taken")
    assert (await clinic.read(slot))["status"] == "busy"
    assert "09:00" not in await clinic.free()


async def test_a_held_slot_belongs_to_its_hold(clinic: Visits) -> None:
    held = await clinic.held()
    slot = held["slot"][0]["reference"]
    refused(await _turn(clinic, slot, "free"), 409, "slot-taken")
    refused(await _turn(clinic, slot, "busy-unavailable"), 409, "slot-taken")


async def test_a_slot_held_by_itself_is_booked_by_its_holder_as_ehrs_do(clinic: Visits) -> None:
    slot = await _slot(clinic)
    kept = await _turn(clinic, slot, "busy-tentative")
    assert (kept.status_code, kept.json()["status"]) == (200, "busy-tentative")
    assert "09:00" not in await clinic.free()
    assert (await _turn(clinic, slot, "free")).status_code == 200
    assert "09:00" in await clinic.free()


async def test_the_state_table(clinic: Visits) -> None:
    slot = await _slot(clinic)
    assert (await _turn(clinic, slot, "busy")).status_code == 200
    refused(await _turn(clinic, slot, "busy-unavailable"), 422, "illegal-transition")
    assert (await _turn(clinic, slot, "entered-in-error")).status_code == 200
    refused(await _turn(clinic, slot, "free"), 422, "illegal-transition")
    assert "09:00" in await clinic.free()


async def test_a_computed_slot_cannot_move(clinic: Visits) -> None:
    slot = await _slot(clinic)
    stored = await clinic.read(slot)
    moved = {**stored, "start": clinic.at("10:00"), "end": clinic.at("10:30")}
    refused(await clinic.client.put(slot, json=moved), 422, "not-offered")


async def test_a_busy_slot_needs_a_schedule(clinic: Visits) -> None:
    body = {
        "resourceType": "Slot",
        "schedule": {"reference": "Schedule/none"},
        "status": "busy",
        "start": clinic.at("12:00"),
        "end": clinic.at("13:00"),
    }
    refused(await clinic.client.post("Slot", json=body), 422, "not-offered")


async def test_published_slots_have_their_seats(client: Any) -> None:
    clinic = Visits(client)
    await clinic.schedule("s", [await clinic.practitioner()], [], open_=False)
    slot = {
        "resourceType": "Slot",
        "id": clinic.id("flu"),
        "extension": [{"url": CAPACITY, "valueInteger": 2}],
        "schedule": {"reference": f"Schedule/{clinic.id('s')}"},
        "status": "free",
        "start": clinic.at("09:00"),
        "end": clinic.at("18:00"),
    }
    await clinic.put(slot)
    for name, status in (("p1", 201), ("p2", 201), ("p3", 409)):
        reference = {"reference": await clinic.patient(name)}
        body = {
            "resourceType": "Appointment",
            "status": "booked",
            "slot": [{"reference": f"Slot/{clinic.id('flu')}"}],
            "start": slot["start"],
            "end": slot["end"],
            "participant": [{"actor": reference, "status": "accepted"}],
        }
        answer = await client.post("Appointment", json=body)
        assert answer.status_code == status, answer.text
    assert (await clinic.read(f"Slot/{clinic.id('flu')}"))["status"] == "busy"


async def test_the_same_key_blocks_once(clinic: Visits) -> None:
    body = {
        "resourceType": "Slot",
        "schedule": {"reference": f"Schedule/{clinic.id('s')}"},
        "status": "busy-unavailable",
        "start": clinic.at("12:00"),
        "end": clinic.at("13:00"),
    }
    key = {"Idempotency-Key": clinic.id("key")}
    first, again = [await clinic.client.post("Slot", json=body, headers=key) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 201), again.text
    assert again.content == first.content


async def test_slots_by_location_as_oracle_health_asks(clinic: Visits, client: Any) -> None:
    room = {"resourceType": "Location", "id": clinic.id("site"), "name": "Site"}
    await clinic.put(room)
    schedule = await clinic.read(f"Schedule/{clinic.id('s')}")
    there = {"reference": f"Location/{clinic.id('site')}"}
    await clinic.put({**schedule, "actor": [*schedule["actor"], there]})
    asked = {"-location": clinic.id("site"), "start": [f"ge{clinic.at('09:00')}", f"lt{clinic.at('10:00')}"]}
    found = (await client.get("Slot", params=asked)).json()
    assert found["total"] == 2
    assert "-location=" in found["link"][0]["url"]

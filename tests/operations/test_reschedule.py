"""``$reschedule``: to another time, Slot, proposal or provider under the same id; all or nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders.answers import actors, refused
from tests.builders.clinic import OWN, part, policy, proposals
from tests.builders.visits import Visits


@pytest.fixture
async def clinic(client: Any) -> Visits:
    made = await Visits(client).opened()
    await made.schedule("t", [await made.practitioner("second")], [made.visit])
    return made


async def _mine(clinic: Visits, name: str = "doc") -> dict[str, dict[str, Any]]:
    """Free proposals of one provider by time of day."""
    found = await clinic.find(service=clinic.visit, practitioner=f"Practitioner/{clinic.id(name)}", _count="1000")
    return {one["start"][11:16]: one for one in proposals(found)}


async def _booked(clinic: Visits, clock: str = "09:00", patient: str = "pat", name: str = "doc") -> dict[str, Any]:
    answer = await clinic.book((await _mine(clinic, name))[clock]["id"], f"Patient/{clinic.id(patient)}")
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_by_start(clinic: Visits) -> None:
    booked = await _booked(clinic)
    answer = await clinic.act(booked["id"], "$reschedule", start=("DateTime", clinic.at("11:00")))
    moved = answer.json()
    assert answer.status_code == 200, answer.text
    assert (moved["id"], moved["status"]) == (booked["id"], "booked")
    assert (moved["start"], moved["end"]) == (clinic.at("11:00"), clinic.at("11:30"))
    assert answer.headers["ETag"] == 'W/"2"'
    assert moved["identifier"] == booked["identifier"]
    free = await _mine(clinic)
    assert "09:00" in free
    assert "11:00" not in free
    statuses = [(await clinic.read(one["slot"][0]["reference"]))["status"] for one in (booked, moved)]
    assert statuses == ["free", "busy"]


async def test_over_itself_by_a_quarter_of_an_hour(clinic: Visits) -> None:
    booked = await _booked(clinic)
    answer = await clinic.act(booked["id"], "$reschedule", start=("DateTime", clinic.at("09:15")))
    assert (answer.status_code, answer.json()["start"]) == (200, clinic.at("09:15"))
    assert "09:00" not in await _mine(clinic)


async def test_by_slot(clinic: Visits) -> None:
    booked = await _booked(clinic)
    slot = (await _mine(clinic))["10:00"]["slot"][0]
    answer = await clinic.act(booked["id"], "$reschedule", slot=("Reference", slot))
    assert (answer.status_code, answer.json()["start"]) == (200, clinic.at("10:00"))
    assert answer.json()["slot"] == [slot]


async def test_by_proposal_to_another_provider(clinic: Visits) -> None:
    booked = await _booked(clinic)
    proposal = (await _mine(clinic, "second"))["09:00"]
    answer = await clinic.act(
        booked["id"], "$reschedule", appointment=("Reference", {"reference": f"Appointment/{proposal['id']}"})
    )
    assert answer.status_code == 200, answer.text
    assert actors(answer.json()) == [f"Practitioner/{clinic.id('second')}"]
    assert "09:00" in await _mine(clinic)
    assert "09:00" not in await _mine(clinic, "second")


async def test_to_another_schedule_at_another_time(clinic: Visits) -> None:
    booked = await _booked(clinic)
    answer = await clinic.act(
        booked["id"], "$reschedule", start=("DateTime", clinic.at("12:00")),
        schedule=("Reference", {"reference": f"Schedule/{clinic.id('t')}"}),
    )  # fmt: skip
    assert (answer.status_code, actors(answer.json())) == (200, [f"Practitioner/{clinic.id('second')}"])
    assert actors(answer.json(), "Patient") == [f"Patient/{clinic.id('pat')}"]


async def test_a_refused_move_leaves_the_old_booking_intact(clinic: Visits) -> None:
    booked = await _booked(clinic)
    taken = await _booked(clinic, "10:00", "other")
    answer = await clinic.act(booked["id"], "$reschedule", start=("DateTime", clinic.at("10:00")))
    outcome = refused(answer, 409, "slot-taken")
    assert outcome["contained"][0]["start"] == clinic.at("10:30")
    closed = await clinic.act(booked["id"], "$reschedule", start=("DateTime", clinic.at("20:00")))
    refused(closed, 422, "closed")
    for one in (booked, taken):
        assert await clinic.read(f"Appointment/{one['id']}") == one
        assert (await clinic.read(one["slot"][0]["reference"]))["status"] == "busy"
    assert "09:00" not in await _mine(clinic)


async def test_the_patient_is_not_in_two_places(clinic: Visits) -> None:
    booked = await _booked(clinic)
    await _booked(clinic, "10:00", name="second")
    answer = await clinic.act(booked["id"], "$reschedule", start=("DateTime", clinic.at("10:00")))
    refused(answer, 409, "patient-conflict")


async def test_so_many_moves_and_no_more(client: Any) -> None:
    clinic = await Visits(client).opened(policy(maxReschedules=1))
    booked = await clinic.booked()
    first = await clinic.act(booked["id"], "$reschedule", start=("DateTime", clinic.at("10:00")))
    counts = [one["valuePositiveInt"] for one in first.json()["extension"] if one["url"] == f"{OWN}reschedule-count"]
    assert counts == [1]
    again = await clinic.act(booked["id"], "$reschedule", start=("DateTime", clinic.at("11:00")))
    refused(again, 422, "booking-limit")
    staff = await clinic.act(
        booked["id"], "$reschedule", start=("DateTime", clinic.at("11:00")), booking_channel=("Code", "staff")
    )
    assert staff.status_code == 200, staff.text


async def test_the_cut_off_binds_also_plain_rest(client: Any) -> None:
    clinic = await Visits(client).opened(policy(rescheduleCutoff=60 * 24 * 60))
    booked = await clinic.booked()
    refused(await clinic.act(booked["id"], "$reschedule", start=("DateTime", clinic.at("10:00"))), 422, "cutoff-passed")
    moved = {**booked, "start": clinic.at("10:00"), "end": clinic.at("10:30"), "slot": []}
    del moved["slot"]
    refused(await client.put(f"Appointment/{booked['id']}", json=moved), 422, "cutoff-passed")


async def test_the_reason_is_kept(clinic: Visits) -> None:
    booked = await _booked(clinic)
    answer = await clinic.act(
        booked["id"], "$reschedule", start=("DateTime", clinic.at("10:00")), reason=("String", "traffic")
    )
    kept = [
        one["valueCodeableConcept"] for one in answer.json()["extension"] if one["url"] == f"{OWN}reschedule-reason"
    ]
    assert kept == [{"text": "traffic"}]


async def test_a_room_of_a_pool_moves_along(client: Any) -> None:
    clinic = Visits(client)
    kind = {"coding": [{"system": "https://clinic.example/room-type", "code": clinic.id("exam")}]}
    room = {"coding": [{"code": "ro"}]}
    for name in ("r1", "r2"):
        await clinic.put({"resourceType": "Location", "id": clinic.id(name), "type": [kind], "physicalType": room})
    await clinic.opened(parts=(part("requires", "CodeableConcept", kind),))
    booked = await clinic.booked()
    answer = await clinic.act(booked["id"], "$reschedule", start=("DateTime", clinic.at("10:00")))
    assert answer.status_code == 200, answer.text
    assert len(actors(answer.json(), "Location")) == 1


async def test_a_hold_moves_and_stays_a_hold(clinic: Visits) -> None:
    held = (await clinic.hold("09:00")).json()
    answer = await clinic.act(held["id"], "$reschedule", start=("DateTime", clinic.at("10:00")))
    assert (answer.status_code, answer.json()["status"]) == (200, "pending")
    slot = await clinic.read(answer.json()["slot"][0]["reference"])
    assert slot["status"] == "busy-tentative"


async def test_where_to_must_be_said(clinic: Visits) -> None:
    booked = await _booked(clinic)
    refused(await clinic.act(booked["id"], "$reschedule"), 400, "param-missing")
    day = await clinic.act(booked["id"], "$reschedule", start=("Date", clinic.first.isoformat()))
    refused(day, 400, "param-invalid")
    nowhere = await clinic.act(booked["id"], "$reschedule", slot=("Reference", {"reference": "Slot/nothing"}))
    refused(nowhere, 404)
    await clinic.act(booked["id"], "$cancel")
    over = await clinic.act(booked["id"], "$reschedule", start=("DateTime", clinic.at("10:00")))
    refused(over, 422, "illegal-transition")

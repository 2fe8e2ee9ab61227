"""``$confirm``, ``$checkin``, ``$noshow`` and ``$undo``: who may, when, and what they leave."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.attendance.house import House, minutes
from tests.builders.answers import refused
from tests.builders.clinic import OWN


async def test_a_patient_confirms(house: House) -> None:
    await house.opened()
    id_ = (await house.booked())["id"]
    assert (await house.state(id_)) == ("booked", {"pat": "needs-action", "doc": "accepted"})
    first, again = [await house.act("pat", id_, "$confirm") for _ in range(2)]
    assert (first.status_code, again.status_code) == (200, 200), first.text
    assert first.headers["ETag"] == again.headers["ETag"] == 'W/"2"'
    assert (await house.state(id_)) == ("booked", {"pat": "accepted", "doc": "accepted"})


@pytest.mark.parametrize(
    ("caller", "status"), [("other", 404), ("far", 404), ("desk", 200), ("doc", 200), ("colleague", 404)]
)
async def test_who_else_confirms(house: House, caller: str, status: int) -> None:
    await house.opened()
    id_ = (await house.booked())["id"]
    answer = await house.act(caller, id_, "$confirm")
    assert answer.status_code == status, answer.text
    assert ((await house.state(id_))[1]["pat"] == "accepted") is (status == 200)


async def test_what_cannot_be_confirmed(house: House) -> None:
    await house.opened()
    visit = await house.booked()
    id_ = visit["id"]
    refused(await house.act("desk", id_, "$confirm", patient=("Reference", house.ref("other"))), 422, "not-eligible")
    refused(await house.act("pat", id_, "$confirm", {"If-Match": 'W/"9"'}), 412, "version-conflict")
    house.clock.to(visit["start"], 1)
    refused(await house.act("pat", id_, "$confirm"), 422, "cutoff-passed")
    assert (await house.act("desk", id_, "$confirm")).status_code == 200
    assert (await house.act("desk", id_, "$cancel")).status_code == 200
    refused(await house.act("desk", id_, "$confirm"), 422, "illegal-transition")
    refused(await house.act("desk", "nothing", "$confirm"), 404)


async def test_a_hold_is_not_confirmed(house: House) -> None:
    await house.opened()
    held = await house.ask("pat", "POST", "Appointment", {**house.appointment(), "status": "pending"})
    assert held.status_code == 201, held.text
    refused(await house.act("pat", held.json()["id"], "$confirm"), 422, "illegal-transition")


@pytest.mark.parametrize(("to", "steps"), [("arrived", ["arrived", "checked-in"]), ("checked-in", ["checked-in"])])
async def test_check_in(house: House, to: str, steps: list[str]) -> None:
    await house.opened()
    visit = await house.booked()
    house.clock.to(visit["start"], -10)
    for step in dict.fromkeys([to, *steps]):
        answer = await house.act("desk", visit["id"], "$checkin", status=("Code", step))
        assert (answer.status_code, answer.json().get("status")) == (200, step), answer.text
    last = await house.act("desk", visit["id"], "$checkin")
    assert (last.status_code, last.json()["status"]) == (200, "checked-in")
    assert (await house.act("desk", visit["id"], "$checkin", status=("Code", "arrived"))).json() == last.json()


@pytest.mark.parametrize(("caller", "status"), [("pat", 403), ("other", 403), ("far", 404), ("colleague", 404),
                                                ("desk", 200), ("doc", 200), ("system", 200)])  # fmt: skip
@pytest.mark.parametrize("operation", ["$checkin", "$noshow"])
async def test_who_says_what_became_of_a_visit(house: House, caller: str, status: int, operation: str) -> None:
    await house.opened()
    visit = await house.booked()
    house.clock.to(visit["start"], 20)
    answer = await house.act(caller, visit["id"], operation)
    assert answer.status_code == status, answer.text
    assert ((await house.state(visit["id"]))[0] == "booked") is (status != 200)


async def test_check_in_has_a_window(house: House) -> None:
    await house.opened(policy=(minutes("checkInOpens", 60), minutes("checkInCloses", 20)))
    visit = await house.booked()
    for at, status in ((-61, 422), (21, 422), (-59, 200)):
        house.clock.to(visit["start"], at)
        answer = await house.act("desk", visit["id"], "$checkin")
        if status == 422:
            refused(answer, 422, "outside-window")
        else:
            assert answer.status_code == 200, answer.text


async def test_staff_set_the_window_aside_with_a_reason(house: House) -> None:
    await house.opened()
    visit = await house.booked()
    refused(await house.act("desk", visit["id"], "$checkin"), 422, "outside-window")
    refused(await house.act("desk", visit["id"], "$checkin", override=("Boolean", True)), 400, "param-missing")
    answer = await house.act(
        "desk", visit["id"], "$checkin", override=("Boolean", True), override_reason=("String", "came with a friend")
    )
    assert answer.status_code == 200, answer.text
    assert {"url": f"{OWN}override-reason", "valueString": "came with a friend"} in answer.json()["extension"]


async def test_no_show_waits_until_the_patient_is_late(house: House) -> None:
    await house.opened()
    visit = await house.booked()
    house.clock.to(visit["start"], 14)
    refused(await house.act("desk", visit["id"], "$noshow"), 422, "outside-window")
    house.clock.to(visit["start"], 16)
    answer = await house.act("desk", visit["id"], "$noshow", reason=("Code", "forgot"))
    assert answer.status_code == 200, answer.text
    missed = answer.json()
    assert missed["status"] == "noshow"
    assert "cancelationReason" not in missed  # app-4 of R4
    [why] = [one for one in missed["extension"] if one["url"].endswith("extension-Appointment.cancellationReason")]
    assert why["valueCodeableConcept"]["coding"][0]["system"].endswith("CodeSystem/no-show-reason")
    assert (await house.act("desk", visit["id"], "$noshow")).json() == missed
    refused(await house.act("desk", visit["id"], "$checkin"), 422, "illegal-transition")


async def test_who_has_checked_in_was_not_missed(house: House) -> None:
    await house.opened()
    visit = await house.booked()
    house.clock.to(visit["start"], 16)
    await house.act("desk", visit["id"], "$checkin")
    refused(await house.act("desk", visit["id"], "$noshow"), 422, "illegal-transition")


@pytest.mark.parametrize("operation", ["$checkin", "$noshow", "$confirm"])
async def test_the_last_act_is_taken_back_once(house: House, operation: str) -> None:
    await house.opened()
    visit = await house.booked()
    before = await house.state(visit["id"])
    house.clock.to(visit["start"], 16)
    refused(await house.act("desk", visit["id"], "$undo"), 422, "illegal-transition")
    assert (await house.act("desk", visit["id"], operation)).status_code == 200
    noted = await house.patch("system", f"Appointment/{visit['id']}", ("/minutesDuration", 31))
    assert noted.status_code == 200, noted.text
    answer = await house.act("desk", visit["id"], "$undo")
    assert answer.status_code == 200, answer.text
    assert await house.state(visit["id"]) == before
    assert answer.json()["minutesDuration"] == 31
    assert "cancellationReason" not in answer.text
    refused(await house.act("desk", visit["id"], "$undo"), 422, "illegal-transition")
    assert (await house.read(visit["slot"][0]["reference"]))["status"] == "busy"


async def test_two_steps_are_taken_back_one_by_one(house: House) -> None:
    await house.opened()
    visit = await house.booked()
    house.clock.to(visit["start"], -5)
    for step in ("arrived", "checked-in"):
        await house.act("desk", visit["id"], "$checkin", status=("Code", step))
    assert (await house.act("desk", visit["id"], "$undo")).json()["status"] == "arrived"
    refused(await house.act("desk", visit["id"], "$undo"), 422, "illegal-transition")


async def test_what_is_taken_back_in_time_and_by_whom(house: House) -> None:
    await house.opened(policy=(minutes("undoWindow", 30),))
    visit = await house.booked()
    await house.act("pat", visit["id"], "$confirm")
    assert (await house.act("other", visit["id"], "$undo")).status_code == 404
    assert (await house.act("pat", visit["id"], "$undo")).status_code == 200
    assert (await house.state(visit["id"]))[1]["pat"] == "needs-action"
    house.clock.to(visit["start"], 16)
    await house.act("desk", visit["id"], "$noshow")
    refused(await house.act("pat", visit["id"], "$undo"), 403)
    house.clock.to(visit["start"], 47)
    refused(await house.act("desk", visit["id"], "$undo"), 422, "outside-window")


async def test_what_became_of_it_since_stays(house: House) -> None:
    await house.opened()
    visit = await house.booked()
    house.clock.to(visit["start"], -5)
    await house.act("desk", visit["id"], "$checkin")
    house.clock.to(visit["start"], 25)
    seen = await house.patch("doc", f"Appointment/{visit['id']}", ("/status", "fulfilled"))
    assert seen.status_code == 200, seen.text
    refused(await house.act("desk", visit["id"], "$undo"), 422, "illegal-transition")


async def test_two_check_ins_are_one(house: House) -> None:
    await house.opened()
    visit = await house.booked()
    house.clock.to(visit["start"], -5)
    await house.callers.token("desk")
    told = await asyncio.gather(*(house.act("desk", visit["id"], "$checkin") for _ in range(6)))
    assert {one.status_code for one in told} == {200}, [one.text for one in told]
    assert {one.headers["ETag"] for one in told} == {'W/"2"'}


async def test_a_check_in_against_a_no_show(house: House) -> None:
    await house.opened()
    visit = await house.booked()
    house.clock.to(visit["start"], 20)
    await house.callers.token("desk")
    told = await asyncio.gather(*(house.act("desk", visit["id"], one) for one in ("$checkin", "$noshow")))
    assert sorted(one.status_code for one in told) == [200, 422], [one.text for one in told]
    state = (await house.state(visit["id"]))[0]
    assert state == next(one.json()["status"] for one in told if one.status_code == 200)


async def test_a_key_brings_the_first_answer_again(house: House) -> None:
    await house.opened()
    visit = await house.booked()
    key: dict[str, Any] = {"Idempotency-Key": house.id("key")}
    house.clock.to(visit["start"], -5)
    await house.act("desk", visit["id"], "$checkin")
    first, again = [await house.act("desk", visit["id"], "$undo", key) for _ in range(2)]
    assert (first.status_code, again.content) == (200, first.content)
    assert again.headers["Idempotent-Replayed"] == "true"

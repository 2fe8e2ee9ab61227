"""``$hold``: how long, for whom, how many; a hold ends by the clock alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from tests.builders.answers import refused
from tests.builders.clinic import OWN, duration, parameters, part, policy, proposals
from tests.builders.persistence import until
from tests.builders.visits import Visits, seconds


@pytest.fixture
async def clinic(client: Any) -> Visits:
    return await Visits(client).opened()


def _held_until(appointment: dict[str, Any]) -> datetime:
    found = [one["valueInstant"] for one in appointment["extension"] if one["url"] == f"{OWN}held-until"]
    assert len(found) == 1
    return datetime.fromisoformat(found[0])


async def test_a_held_time_says_until_when(clinic: Visits) -> None:
    answer = await clinic.hold()
    held = answer.json()
    assert answer.status_code == 201
    assert held["status"] == "pending"
    assert {one["status"] for one in held["participant"]} == {"tentative"}
    until_ = _held_until(held)
    assert parsedate_to_datetime(answer.headers["Expires"]) == until_
    assert timedelta(minutes=9) < until_ - datetime.now(UTC) <= timedelta(minutes=10)
    assert answer.headers["Location"].endswith(f"/Appointment/{held['id']}/_history/1")
    slot = await clinic.read(held["slot"][0]["reference"])
    assert slot["status"] == "busy-tentative"
    assert _held_until(slot) == until_


async def test_a_held_time_is_refused_to_others_and_has_no_free_slot(clinic: Visits) -> None:
    id_ = (await clinic.free())["09:00"]
    await clinic.held()
    body = parameters(appointment=("Uri", f"Appointment/{id_}"), patient=("Reference", clinic.who("other")))
    for operation in ("$hold", "$book"):
        answer = await clinic.client.post(f"Appointment/{operation}", json=body, headers={"X-Client-Id": "another"})
        refused(answer, 409, "slot-taken")
    assert (await clinic.client.get(f"Appointment/{id_}")).status_code == 404


@pytest.mark.parametrize(("wanted", "given"), [(2, 2), (15, 15), (90, 20)])
async def test_the_length_is_as_wanted_up_to_the_policys(client: Any, wanted: int, given: int) -> None:
    clinic = await Visits(client).opened(policy(holdDuration=5, maxHoldDuration=20))
    held = await clinic.held(hold_duration=("Duration", duration(wanted)))
    left = _held_until(held) - datetime.now(UTC)
    assert timedelta(minutes=given) - timedelta(seconds=10) < left <= timedelta(minutes=given)


async def test_the_policy_says_the_usual_length(client: Any) -> None:
    clinic = await Visits(client).opened(policy(holdDuration=3))
    left = _held_until(await clinic.held()) - datetime.now(UTC)
    assert timedelta(minutes=2, seconds=50) < left <= timedelta(minutes=3)


async def test_one_client_holds_so_many_times_for_one_patient(client: Any) -> None:
    clinic = await Visits(client).opened(policy(maxHolds=2))
    for clock in ("09:00", "09:30"):
        await clinic.held(clock)
    answer = await clinic.hold("10:00")
    refused(answer, 429, "hold-limit")
    assert int(answer.headers["Retry-After"]) > 0
    await clinic.held("10:00", patient="other")


async def test_a_released_hold_does_not_count(client: Any) -> None:
    clinic = await Visits(client).opened(policy(maxHolds=1))
    held = await clinic.held()
    assert (await clinic.act(held["id"], "$release")).status_code == 200
    await clinic.held("10:00")


async def test_an_expired_hold_is_free_at_once(clinic: Visits) -> None:
    held = await clinic.held(hold_duration=("Duration", seconds(1)))

    async def free() -> bool:
        return "09:00" in await clinic.free()

    await until(free, within=5)
    slot = await clinic.read(held["slot"][0]["reference"])
    assert slot["status"] == "free"
    assert "extension" not in slot
    over = await clinic.read(f"Appointment/{held['id']}")
    assert (over["status"], over["cancelationReason"]["text"]) == ("cancelled", "the hold expired")
    await clinic.booked(patient="other")


async def test_an_expired_hold_is_found_as_cancelled_by_search(clinic: Visits) -> None:
    held = await clinic.held(hold_duration=("Duration", seconds(1)))

    async def over() -> bool:
        found = (await clinic.client.get("Appointment", params={"_id": held["id"], "status": "pending"})).json()
        return "entry" not in found

    await until(over, within=5)
    slots = (await clinic.client.get("Slot", params={"schedule": f"Schedule/{clinic.id('s')}", "status": "free",
                                                     "start": clinic.at("09:00")})).json()  # fmt: skip
    assert [one["resource"]["id"] for one in slots["entry"]] == [held["slot"][0]["reference"].partition("/")[2]]


async def test_booking_after_expiry_books_anew_if_the_time_is_free(clinic: Visits) -> None:
    held = await clinic.held(hold_duration=("Duration", seconds(1)))
    await until(_is_free(clinic), within=5)
    answer = await clinic.act(held["id"], "$book")
    assert answer.status_code == 201, answer.text
    assert (answer.json()["status"], answer.json()["start"]) == ("booked", clinic.at("09:00"))


async def test_booking_after_expiry_is_refused_when_somebody_has_the_time(clinic: Visits) -> None:
    held = await clinic.held(hold_duration=("Duration", seconds(1)))
    await until(_is_free(clinic), within=5)
    await clinic.booked(patient="other")
    outcome = refused(await clinic.act(held["id"], "$book"), 409, "hold-expired")
    assert outcome["contained"][0]["start"] == clinic.at("09:30")


async def test_an_unrelated_edit_does_not_extend_a_hold(clinic: Visits) -> None:
    held = await clinic.held(hold_duration=("Duration", seconds(2)))
    edit = await clinic.client.put(f"Appointment/{held['id']}", json={**held, "comment": "wheelchair"})
    assert edit.status_code == 200, edit.text
    assert _held_until(edit.json()) == _held_until(held)
    await until(_is_free(clinic), within=5)
    assert _held_until(held) <= datetime.now(UTC)


async def test_a_client_cannot_write_itself_a_longer_hold(clinic: Visits) -> None:
    held = await clinic.held(hold_duration=("Duration", seconds(1)))
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat(timespec="seconds")
    forged = {**held, "extension": [{"url": f"{OWN}held-until", "valueInstant": later}]}
    await clinic.client.put(f"Appointment/{held['id']}", json=forged)
    await until(_is_free(clinic), within=5)


async def test_a_foreign_client_can_do_nothing_with_a_hold(clinic: Visits) -> None:
    held = await clinic.held(client="mine")
    for operation in ("$book", "$extend-hold", "$release", "$cancel"):
        refused(await clinic.act(held["id"], operation, "yours"), 409, "hold-foreign")
    move = await clinic.act(held["id"], "$reschedule", "yours", start=("DateTime", clinic.at("11:00")))
    refused(move, 409, "hold-foreign")
    yours = {"X-Client-Id": "yours"}
    url = f"Appointment/{held['id']}"
    refused(await clinic.client.put(url, json={**held, "comment": "x"}, headers=yours), 409, "hold-foreign")
    refused(await clinic.client.delete(url, headers=yours), 409, "hold-foreign")
    booked = await clinic.act(held["id"], "$book", "mine")
    assert (booked.status_code, booked.json()["id"]) == (201, held["id"])


async def test_hold_by_slot_by_resource_and_at_instance_level(clinic: Visits) -> None:
    found = {one["start"][11:16]: one for one in proposals(await clinic.find(service=clinic.visit))}
    client = clinic.client
    by_slot = parameters(slot=("Reference", found["09:00"]["slot"][0]), patient=("Reference", clinic.who()))
    by_resource = {**found["10:00"], "participant": [*found["10:00"]["participant"],
                                                     {"actor": clinic.who(), "status": "needs-action"}]}  # fmt: skip
    at_instance = parameters(patient=("Reference", clinic.who()))
    answers = [
        await client.post("Appointment/$hold", json=by_slot),
        await client.post("Appointment/$hold", json=by_resource),
        await client.post(f"Appointment/{found['11:00']['id']}/$hold", json=at_instance),
    ]
    assert [(one.status_code, one.json()["start"]) for one in answers] == [
        (201, clinic.at("09:00")),
        (201, clinic.at("10:00")),
        (201, clinic.at("11:00")),
    ]


async def test_the_same_key_holds_once(clinic: Visits) -> None:
    body = parameters(
        appointment=("Uri", f"Appointment/{(await clinic.free())['09:00']}"), patient=("Reference", clinic.who())
    )
    key = {"Idempotency-Key": clinic.id("key")}
    first, again = [await clinic.client.post("Appointment/$hold", json=body, headers=key) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["Expires"] == first.headers["Expires"]


async def test_what_does_not_exist_cannot_be_held(clinic: Visits) -> None:
    body = parameters(appointment=("Uri", "Appointment/nothing"), patient=("Reference", clinic.who()))
    refused(await clinic.client.post("Appointment/$hold", json=body), 404)
    refused(await clinic.client.post("Appointment/$hold", json=parameters()), 400, "param-missing")
    refused(await clinic.client.get("Appointment/$hold"), 405)


async def test_a_group_time_is_held_seat_by_seat(client: Any) -> None:
    clinic = await Visits(client).opened(parts=(part("capacity", "PositiveInt", 2),))
    await clinic.held()
    await clinic.held(patient="other")
    assert "09:00" not in await clinic.free()


def _is_free(clinic: Visits, clock: str = "09:00") -> Any:
    async def free() -> bool:
        return clock in await clinic.free()

    return free

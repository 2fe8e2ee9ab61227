"""``$cancel``: the reason is kept, the time is free at once, the cut-off binds everybody but staff."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.builders.answers import refused
from tests.builders.clinic import NEW_YORK, OWN, availability, parameters, part, policy, proposals
from tests.builders.visits import Visits

REASONS = "http://terminology.hl7.org/CodeSystem/appointment-cancellation-reason"
MOVED = {"coding": [{"system": REASONS, "code": "pat-mv"}], "text": "moved house"}


@pytest.fixture
async def clinic(client: Any) -> Visits:
    return await Visits(client).opened()


@pytest.mark.parametrize(
    ("kind", "sent", "kept"),
    [
        ("CodeableConcept", MOVED, MOVED),
        ("Code", "pat-mv", {"coding": [{"system": REASONS, "code": "pat-mv"}]}),
        ("Coding", {"system": "urn:x", "code": "y"}, {"coding": [{"system": "urn:x", "code": "y"}]}),
        ("String", "moved house", {"text": "moved house"}),
    ],
)
async def test_the_reason_is_kept(clinic: Visits, kind: str, sent: Any, kept: Any) -> None:
    booked = await clinic.booked()
    answer = await clinic.act(booked["id"], "$cancel", reason=(kind, sent), comment=("String", "called at noon"))
    assert answer.status_code == 200, answer.text
    cancelled = answer.json()
    assert (cancelled["status"], cancelled["cancelationReason"]) == ("cancelled", kept)
    assert cancelled["comment"] == "called at noon"
    assert {one["status"] for one in cancelled["participant"]} == {"declined"}
    assert answer.headers["ETag"] == 'W/"2"'


async def test_the_time_is_free_at_once_for_everybody_concerned(clinic: Visits) -> None:
    booked = await clinic.booked()
    assert (await clinic.act(booked["id"], "$cancel")).status_code == 200
    slot = await clinic.read(booked["slot"][0]["reference"])
    assert slot["status"] == "free"
    again = await clinic.booked()
    assert again["id"] != booked["id"]
    assert (await clinic.read(booked["slot"][0]["reference"]))["status"] == "busy"


async def test_cancelling_twice_changes_nothing(clinic: Visits) -> None:
    booked = await clinic.booked()
    first, again = [await clinic.act(booked["id"], "$cancel") for _ in range(2)]
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.headers["ETag"] == first.headers["ETag"]


async def test_the_same_key_replays(clinic: Visits) -> None:
    booked = await clinic.booked()
    body = parameters(reason=("Code", "pat"))
    key = {"Idempotency-Key": clinic.id("key")}
    url = f"Appointment/{booked['id']}/$cancel"
    first, again = [await clinic.client.post(url, json=body, headers=key) for _ in range(2)]
    assert again.content == first.content
    assert again.headers["Idempotent-Replayed"] == "true"
    other = await clinic.client.post(url, json=parameters(reason=("Code", "prov")), headers=key)
    refused(other, 422, "idempotency-mismatch")


async def test_a_stale_version_is_not_cancelled(clinic: Visits) -> None:
    booked = await clinic.booked()
    url = f"Appointment/{booked['id']}/$cancel"
    refused(await clinic.client.post(url, json=parameters(), headers={"If-Match": 'W/"7"'}), 412, "version-conflict")
    assert (await clinic.client.post(url, json=parameters(), headers={"If-Match": 'W/"1"'})).status_code == 200


async def _soon(client: Any) -> tuple[Visits, str]:
    """A booking of the next hours in a clinic with a cut-off of a week for cancelling and moving."""
    clinic = Visits(client)
    await clinic.opened(availability("00:00:00", "00:00:00"), policy(cancelCutoff=7 * 24 * 60, rescheduleCutoff=60))
    day = datetime.now(ZoneInfo(NEW_YORK)).date() + timedelta(days=1)
    found = proposals(await clinic.find(service=clinic.visit, start=day.isoformat(), end=day.isoformat()))
    answer = await clinic.book(found[-1]["id"], f"Patient/{clinic.id('pat')}")
    assert answer.status_code == 201
    return clinic, answer.json()["id"]


async def test_the_cut_off_binds_every_way_of_cancelling(client: Any) -> None:
    clinic, id_ = await _soon(client)
    refused(await clinic.act(id_, "$cancel"), 422, "cutoff-passed")
    url = f"Appointment/{id_}"
    stored = await clinic.read(url)
    refused(await client.put(url, json={**stored, "status": "cancelled"}), 422, "cutoff-passed")
    refused(await client.delete(url), 422, "cutoff-passed")
    patch = [{"op": "replace", "path": "/status", "value": "cancelled"}]
    answer = await client.patch(url, json=patch, headers={"Content-Type": "application/json-patch+json"})
    refused(answer, 422, "cutoff-passed")
    assert (await clinic.read(url))["status"] == "booked"


async def test_staff_are_exempt_and_named(client: Any) -> None:
    clinic, id_ = await _soon(client)
    answer = await clinic.act(id_, "$cancel", booking_channel=("Code", "staff"))
    assert answer.status_code == 200, answer.text
    by = [one["valueCode"] for one in answer.json()["extension"] if one["url"] == f"{OWN}cancelled-by"]
    assert by == ["staff"]


async def test_a_visit_that_took_place_is_not_cancelled(clinic: Visits, go: Callable[[str], None]) -> None:
    booked = await clinic.booked()
    go(clinic.at("09:20"))
    for status in ("arrived", "checked-in", "fulfilled"):
        booked = await clinic.put({**booked, "status": status})
    refused(await clinic.act(booked["id"], "$cancel"), 422, "illegal-transition")


async def test_what_does_not_exist_is_not_cancelled(clinic: Visits) -> None:
    refused(await clinic.act("nothing", "$cancel"), 404)
    refused(await clinic.client.get("Appointment/nothing/$cancel"), 405)


async def test_one_of_a_group_leaves_the_others(client: Any) -> None:
    clinic = await Visits(client).opened(parts=(part("capacity", "PositiveInt", 2),))
    mine, other = await clinic.booked(), await clinic.booked(patient="other")
    assert "09:00" not in await clinic.free()
    await clinic.act(mine["id"], "$cancel")
    assert "09:00" in await clinic.free()
    assert (await clinic.read(f"Appointment/{other['id']}"))["status"] == "booked"
    third = await clinic.patient("third")
    assert (await clinic.book((await clinic.free())["09:00"], third)).status_code == 201
    assert "09:00" not in await clinic.free()

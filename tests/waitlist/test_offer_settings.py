"""Offers as a clinic sets them, as its staff choose them, and what patients are told of them."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.access.caller import Role
from fhir_server.services.following.table import PERFORMERS
from fhir_server.services.world import World
from fhir_server.store.work import Task
from tests.builders.answers import refused
from tests.builders.clinic import OWN, availability, parameters
from tests.builders.visits import seconds
from tests.builders.waiting import NO_NIGHT, Waiting, outcomes, reference, waitlist_policy

HELD_UNTIL = f"{OWN}held-until"


async def test_staff_offer_a_time_to_whom_they_choose(clinic: Waiting) -> None:
    first, second = await clinic.joined("pat", urgency=("UnsignedInt", 9)), await clinic.joined("other")
    patient = await clinic.token(Role.PATIENT, f"Patient/{clinic.id('other')}")
    proposal = ("Uri", f"Appointment/{(await clinic.free())['10:00']}")
    body = parameters(appointment=proposal)
    answer = await clinic.client.post(f"Appointment/{second['id']}/$offer", json=body, headers=patient)
    refused(answer, 403, "withheld")
    answer = await clinic.act(second["id"], "$offer", appointment=proposal, offer_duration=("Duration", seconds(7200)))
    assert answer.status_code == 200, answer.text
    assert "Expires" in answer.headers
    offered: dict[str, Any] = answer.json()
    assert (offered["status"], offered["start"]) == ("pending", clinic.at("10:00"))
    assert await clinic.states(first) == ["waitlist"]
    refused(await clinic.act(second["id"], "$offer", appointment=proposal), 409, "offer-open")
    refused(await clinic.act(first["id"], "$offer", appointment=proposal), 409, "slot-taken")
    start = {"schedule": reference(f"Schedule/{clinic.id('s')}"), "start": ("DateTime", clinic.at("12:00"))}
    answer = await clinic.act(first["id"], "$offer", **start)
    assert answer.json()["start"] == clinic.at("12:00")
    await clinic.act(first["id"], "$release")
    refused(await clinic.act(first["id"], "$offer"), 400, "param-missing")
    refused(await clinic.act("nothing", "$offer", **start), 404)
    booked = await clinic.booked("15:00")
    refused(await clinic.act(booked["id"], "$offer", **start), 422, "illegal-transition")


async def test_enough_offers_are_enough(clinic: Waiting) -> None:
    await clinic.opened(waitlist_policy(maxOffers=1, **NO_NIGHT))
    entry = await clinic.joined("pat")
    await clinic.freed("09:00", patient="other")
    assert (await clinic.respond(entry, "declined")).status_code == 201
    await clinic.freed("10:00", patient="other")
    assert await clinic.states(entry) == ["waitlist"]
    start = {"schedule": reference(f"Schedule/{clinic.id('s')}"), "start": ("DateTime", clinic.at("12:00"))}
    assert (await clinic.act(entry["id"], "$offer", **start)).status_code == 200


async def test_no_offer_is_made_that_would_end_too_late(clinic: Waiting) -> None:
    await clinic.opened(waitlist_policy(stopBefore=60 * 24 * 60, **NO_NIGHT))
    entry = await clinic.joined("pat")
    await clinic.freed("09:00", patient="other")
    assert await clinic.states(entry) == ["waitlist"]
    start = {"schedule": reference(f"Schedule/{clinic.id('s')}"), "start": ("DateTime", clinic.at("12:00"))}
    refused(await clinic.act(entry["id"], "$offer", **start), 422, "min-notice")


async def test_an_offer_in_quiet_hours_is_held_at_once_and_told_later(clinic: Waiting) -> None:
    await clinic.opened(waitlist_policy(quietStart="00:00:01", quietEnd="00:00:00"))
    entry = await clinic.joined("pat")
    await clinic.freed("09:00", patient="other")
    offered = await clinic.entry(entry)
    assert offered["status"] == "pending"
    key = f"waitlist-offer/{entry['id']}/{offered['meta']['versionId']}"
    plan = await clinic.world.store.work.planned("message", key)
    assert plan
    found = await clinic.world.store.resources.get("Appointment", entry["id"])
    assert found
    assert found.extra["expires"] * 1000 == plan.due + 30 * 60_000
    assert (await clinic.respond(entry, "declined")).status_code == 201
    assert await clinic.world.store.work.planned("message", key) is None


async def test_a_new_entry_is_offered_what_is_free_where_the_clinic_does_so(clinic: Waiting) -> None:
    entry = await clinic.joined("pat")
    await clinic.follow()
    assert await clinic.states(entry) == ["waitlist"]
    await clinic.opened(waitlist_policy(offerFreeTime=True, **NO_NIGHT))
    other = await clinic.joined("other", earliest_time=("Time", "10:00:00"), start=("Date", clinic.first.isoformat()))
    await clinic.follow()
    # What is free goes to the first who waits for it, and that is not the new one.
    found = [(await clinic.entry(one)).get("start") for one in (entry, other)]
    assert found == [clinic.at("10:00"), clinic.at("10:30")]


async def test_new_hours_are_offered(clinic: Waiting) -> None:
    await clinic.opened(availability("09:00:00", "10:00:00"), waitlist_policy(**NO_NIGHT))
    await clinic.follow()
    period = {"start": ("Date", clinic.first.isoformat()), "end": ("Date", clinic.first.isoformat())}
    entries = [await clinic.joined(name, part_of_day=("Code", "afternoon"), **period) for name in ("pat", "other")]
    await clinic.follow()
    assert await clinic.states(*entries) == ["waitlist", "waitlist"]
    await clinic.opened(
        availability("09:00:00", "10:00:00"), availability("13:00:00", "14:00:00"), waitlist_policy(**NO_NIGHT)
    )
    await clinic.follow()
    found = [await clinic.entry(one) for one in entries]
    assert [one.get("start") for one in found] == [clinic.at("13:00"), clinic.at("13:30")]


async def test_who_was_told_of_an_offer_is_told_that_it_ended(clinic: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = await clinic.joined("pat")
    told: list[tuple[str, int]] = []

    async def send(world: World, task: Task) -> None:
        if task.about["appointment"] == entry["id"]:
            told.append((task.about["kind"], task.about["version"]))

    monkeypatch.setitem(PERFORMERS, "message", send)
    await clinic.freed("09:00", patient="other")
    assert told == [("waitlist-offer", 2)]
    await clinic.follow(31)
    assert told[1:] == [("waitlist-offer-ended", 2)]


async def test_staff_note_what_the_patient_says_and_may_take_an_offer_back(clinic: Waiting) -> None:
    doc, org = f"Practitioner/{clinic.id('doc')}", f"Organization/{clinic.id('org')}"
    await clinic.put({"resourceType": "Organization", "id": clinic.id("org"), "name": "clinic"})
    await clinic.put({
        "resourceType": "PractitionerRole", "id": clinic.id("role"), "practitioner": {"reference": doc},
        "organization": {"reference": org},
    })  # fmt: skip
    desk = await clinic.token(Role.FRONT_DESK, f"Practitioner/{clinic.id('desk')}", clinics=frozenset({org}))
    entry = await clinic.joined("pat", practitioner=reference(doc))
    await clinic.freed("09:00", patient="other")
    answer = await clinic.respond(entry, "declined", headers=desk)
    assert answer.status_code == 201, answer.text
    start = {"schedule": reference(f"Schedule/{clinic.id('s')}"), "start": ("DateTime", clinic.at("12:00"))}
    url = f"Appointment/{entry['id']}"
    answer = await clinic.client.post(f"{url}/$offer", json=parameters(**start), headers=desk)
    assert answer.status_code == 200, answer.text
    answer = await clinic.client.post(f"{url}/$release", json=parameters(), headers=desk)
    assert answer.status_code == 200, answer.text
    assert [one for _, one in outcomes(await clinic.entry(entry))] == ["declined", "withdrawn"]

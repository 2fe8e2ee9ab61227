"""Freed time is held for the first who fits, offered, and answered in every way there is."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from fhir_server.access.caller import Role
from fhir_server.services import resources
from tests.builders.answers import refused
from tests.builders.clinic import OWN, parameters
from tests.builders.waiting import NO_NIGHT, Waiting, outcomes, reference, waitlist_policy

HELD_UNTIL = f"{OWN}held-until"


async def test_freed_time_is_held_for_the_first_who_waits(clinic: Waiting) -> None:
    first, second = await clinic.joined("pat"), await clinic.joined("other")
    await clinic.patient("third")
    await clinic.freed("09:00", patient="third")
    offered = await clinic.entry(first)
    assert offered["status"] == "pending"
    assert (offered["start"], offered["end"]) == (clinic.at("09:00"), clinic.at("09:30"))
    assert any(one["url"] == HELD_UNTIL for one in offered["extension"])
    assert outcomes(offered) == [(outcomes(offered)[0][0], "open")]
    doc = next(one for one in offered["participant"] if "Practitioner" in one["actor"]["reference"])
    assert doc["status"] == "tentative"
    assert (await clinic.entry(second))["status"] == "waitlist"
    assert "09:00" not in await clinic.free()
    assert await clinic.told(first) == ["waitlist-offer"]
    assert await clinic.told(second) == []
    history = (await clinic.client.get(f"Appointment/{first['id']}/_history")).json()
    assert [one["resource"]["status"] for one in history["entry"]] == ["pending", "waitlist"]


async def test_time_that_nobody_waits_for_is_free(clinic: Waiting) -> None:
    await clinic.joined("other", day=("Code", "tue"))
    await clinic.freed("09:00")
    assert "09:00" in await clinic.free()


@pytest.mark.parametrize("way", ["$book", "AppointmentResponse", "PUT", "PATCH"])
async def test_an_offer_is_accepted(clinic: Waiting, way: str) -> None:
    patient = await clinic.token(Role.PATIENT, f"Patient/{clinic.id('pat')}")
    entry = await clinic.joined(headers=patient)
    await clinic.freed("09:00", patient="other")
    offered = (await clinic.client.get(f"Appointment/{entry['id']}", headers=patient)).json()
    assert offered["status"] == "pending"
    url = f"Appointment/{entry['id']}"
    if way == "$book":
        answer = await clinic.client.post(f"{url}/$book", json=parameters(), headers=patient)
        assert answer.status_code == 201, answer.text
        assert answer.json()["id"] == entry["id"]
    elif way == "AppointmentResponse":
        answer = await clinic.respond(entry, "accepted", headers=patient)
        assert answer.status_code == 201, answer.text
        assert answer.json()["resourceType"] == "AppointmentResponse"
    elif way == "PUT":
        answer = await clinic.client.put(url, json={**offered, "status": "booked"}, headers=patient)
        assert answer.status_code == 200, answer.text
    else:
        patch = [{"op": "replace", "path": "/status", "value": "booked"}]
        headers = {**patient, "Content-Type": "application/json-patch+json"}
        answer = await clinic.client.patch(url, json=patch, headers=headers)
        assert answer.status_code == 200, answer.text
    booked = await clinic.entry(entry)
    assert (booked["status"], booked["start"]) == ("booked", clinic.at("09:00"))
    assert [one for _, one in outcomes(booked)] == ["accepted"]
    assert not any(one["url"] == HELD_UNTIL for one in booked["extension"])
    assert {"url": f"{OWN}booking-channel", "valueCode": "waitlist"} in booked["extension"]
    assert {one["status"] for one in booked["participant"]} == {"accepted"}
    assert (await clinic.read(booked["slot"][0]["reference"]))["status"] == "busy"
    await clinic.follow(60)
    assert await clinic.states(entry) == ["booked"]
    assert await clinic.order() == []


@pytest.mark.parametrize("way", ["$release", "AppointmentResponse", "PUT"])
async def test_declined_time_goes_to_the_next_at_once(clinic: Waiting, way: str) -> None:
    await clinic.patient("third")
    patient = await clinic.token(Role.PATIENT, f"Patient/{clinic.id('pat')}")
    first, second = await clinic.joined("pat"), await clinic.joined("other")
    await clinic.freed("09:00", patient="third")
    offered = await clinic.entry(first)
    url = f"Appointment/{first['id']}"
    if way == "$release":
        answer = await clinic.client.post(f"{url}/$release", json=parameters(), headers=patient)
    elif way == "AppointmentResponse":
        answer = await clinic.respond(first, "declined", headers=patient)
    else:
        answer = await clinic.client.put(url, json={**offered, "status": "waitlist"}, headers=patient)
    assert answer.status_code in {200, 201}, answer.text
    after = await clinic.entry(first)
    assert after["status"] == "waitlist"
    assert not {"start", "end", "slot", "minutesDuration"} & after.keys()
    assert [one for _, one in outcomes(after)] == ["declined"]
    same = {name: value for name, value in after.items() if name not in {"meta", "extension"}}
    assert same == {name: value for name, value in first.items() if name not in {"meta", "extension"}}
    await clinic.follow()
    assert (await clinic.entry(second))["start"] == clinic.at("09:00")
    assert await clinic.states(first, second) == ["waitlist", "pending"]


async def test_what_nobody_answers_goes_round_and_is_free_at_the_end(clinic: Waiting) -> None:
    await clinic.patient("third")
    first, second = await clinic.joined("pat"), await clinic.joined("other")
    await clinic.freed("09:00", patient="third")
    await clinic.follow(31)
    assert await clinic.states(first, second) == ["waitlist", "pending"]
    assert await clinic.told(first) == ["waitlist-offer", "waitlist-offer-ended"]
    await clinic.follow(62)
    assert await clinic.states(first, second) == ["waitlist", "waitlist"]
    assert "09:00" in await clinic.free()
    assert [one for _, one in outcomes(await clinic.entry(first))] == ["expired"]
    await clinic.follow(120)
    assert await clinic.states(first, second) == ["waitlist", "waitlist"]


async def test_whoever_reads_first_settles_an_offer_that_is_over(clinic: Waiting) -> None:
    await clinic.opened(waitlist_policy(offerDuration=1, **NO_NIGHT))
    await clinic.patient("third")
    first, second = await clinic.joined("pat"), await clinic.joined("other")
    await clinic.freed("09:00", patient="third")
    assert await clinic.states(first, second) == ["pending", "waitlist"]
    clock = clinic.world.clock
    later = replace(clinic.world, clock=lambda: clock() + 61_000)
    found = await resources.read(later, "Appointment", first["id"])
    assert b'"waitlist"' in found.body
    await clinic.follow(1)
    assert await clinic.states(first, second) == ["waitlist", "pending"]


async def test_a_late_answer_books_nothing(clinic: Waiting) -> None:
    patient = await clinic.token(Role.PATIENT, f"Patient/{clinic.id('pat')}")
    entry = await clinic.joined("pat")
    await clinic.freed("09:00", patient="other")
    first = await clinic.entry(entry)
    await clinic.follow(31)
    url = f"Appointment/{entry['id']}"
    for answer in (
        await clinic.client.post(f"{url}/$book", json=parameters(), headers=patient),
        await clinic.respond(entry, "accepted", headers=patient),
    ):
        refused(answer, 409, "hold-expired")
    answer = await clinic.client.put(url, json={**first, "status": "booked"}, headers=patient)
    refused(answer, 422, "illegal-transition")
    await clinic.freed("11:00", patient="other")
    second = await clinic.entry(entry)
    assert second["start"] == clinic.at("11:00")
    # Two times were offered by now: a yes that names neither is none, and one to the first is too late.
    refused(await clinic.client.post(f"{url}/$book", json=parameters(), headers=patient), 409, "offer-unnamed")
    refused(await clinic.respond(entry, "accepted", headers=patient), 409, "offer-unnamed")
    refused(await clinic.respond(entry, "accepted", headers=patient, start=first["start"]), 409, "hold-expired")
    answer = await clinic.client.put(url, json={**first, "status": "booked"}, headers=patient)
    refused(answer, 409, "hold-expired")
    stale = {**patient, "If-Match": f'W/"{first["meta"]["versionId"]}"'}
    refused(await clinic.client.post(f"{url}/$book", json=parameters(), headers=stale), 412)
    assert await clinic.states(entry) == ["pending"]
    fresh = {**patient, "If-Match": f'W/"{second["meta"]["versionId"]}"'}
    assert (await clinic.client.post(f"{url}/$book", json=parameters(), headers=fresh)).status_code == 201
    assert (await clinic.entry(entry))["start"] == clinic.at("11:00")


async def test_an_offer_is_the_patients_alone(clinic: Waiting) -> None:
    stranger = await clinic.token(Role.PATIENT, f"Patient/{clinic.id('other')}")
    entry = await clinic.joined("pat")
    await clinic.freed("09:00", patient="other")
    url = f"Appointment/{entry['id']}"
    refused(await clinic.client.get(url, headers=stranger), 404)
    answer = await clinic.client.post(f"{url}/$book", json=parameters(), headers=stranger)
    assert answer.status_code in {403, 404}, answer.text
    answer = await clinic.respond(entry, "accepted", "other", headers=stranger)
    assert answer.status_code in {403, 404}, answer.text
    body = parameters(patient=("Reference", clinic.who("other")))
    refused(await clinic.client.post(f"{url}/$book", json=body), 409, "hold-foreign")
    refused(await clinic.client.post("Appointment/$book", json=parameters(
        slot=("Reference", {"reference": (await clinic.entry(entry))["slot"][0]["reference"]}),
        patient=("Reference", clinic.who("other")),
    )), 409, "slot-taken")  # fmt: skip
    assert await clinic.states(entry) == ["pending"]


async def test_an_entry_that_is_offered_a_time_is_answered_before_it_changes(clinic: Waiting) -> None:
    entry = await clinic.joined("pat")
    await clinic.freed("09:00", patient="other")
    offered = await clinic.entry(entry)
    url = f"Appointment/{entry['id']}"
    refused(await clinic.client.put(url, json={**offered, "comment": "x"}), 409, "offer-open")
    refused(await clinic.act(entry["id"], "$extend-hold"), 422, "illegal-transition")
    refused(await clinic.act(entry["id"], "$reschedule", start=("DateTime", clinic.at("12:00"))), 409, "offer-open")
    assert (await clinic.entry(entry))["meta"] == offered["meta"]


@pytest.mark.parametrize("way", ["$cancel", "PUT", "DELETE"])
async def test_leaving_while_a_time_is_offered_lets_the_next_have_it(clinic: Waiting, way: str) -> None:
    await clinic.patient("third")
    first, second = await clinic.joined("pat"), await clinic.joined("other")
    await clinic.freed("09:00", patient="third")
    url = f"Appointment/{first['id']}"
    offered = await clinic.entry(first)
    if way == "$cancel":
        answer = await clinic.act(first["id"], "$cancel")
    elif way == "PUT":
        answer = await clinic.client.put(url, json={**offered, "status": "cancelled"})
    else:
        answer = await clinic.client.delete(url)
    assert answer.status_code in {200, 204}, answer.text
    if way != "DELETE":
        assert [one for _, one in outcomes(await clinic.entry(first))] == ["withdrawn"]
    await clinic.follow()
    assert (await clinic.entry(second))["start"] == clinic.at("09:00")


async def test_an_accepted_offer_withdraws_the_same_wish_elsewhere(clinic: Waiting) -> None:
    period = {"start": ("Date", clinic.first.isoformat()), "end": ("Date", clinic.first.isoformat())}
    doc = reference(f"Practitioner/{clinic.id('doc')}")
    first = await clinic.joined("pat", **period)
    same = await clinic.joined("pat", practitioner=doc, end=("Date", clinic.first.isoformat()))
    second = await clinic.service("second", 60)
    other = await clinic.joined("pat", service=reference(second), **period)
    later = await clinic.joined("pat", start=("Date", "2028-01-03"), end=("Date", "2028-01-07"))
    await clinic.freed("09:00", patient="other")
    assert await clinic.states(first, same) == ["pending", "waitlist"]
    assert (await clinic.respond(first, "accepted")).status_code == 201
    assert await clinic.states(first, same, other, later) == ["booked", "cancelled", "waitlist", "waitlist"]
    assert "another time was accepted" in (await clinic.entry(same))["cancelationReason"]["text"]


async def test_moving_up_frees_the_old_time_in_the_same_act_and_the_next_has_it(clinic: Waiting) -> None:
    await clinic.patient("third")
    late = await clinic.booked("14:00", "pat")
    mover = await clinic.joined("pat", keep_appointment=reference(f"Appointment/{late['id']}"))
    follower = await clinic.joined("other", part_of_day=("Code", "afternoon"))
    await clinic.freed("15:00", patient="third")  # later than what is kept: nothing for the one who moves up
    assert await clinic.states(mover, follower) == ["waitlist", "pending"]
    assert (await clinic.respond(follower, "declined", "other")).status_code == 201
    await clinic.freed("09:00", patient="third")
    assert await clinic.states(mover, follower) == ["pending", "waitlist"]
    assert (await clinic.read(f"Appointment/{late['id']}"))["status"] == "booked"
    assert (await clinic.respond(mover, "accepted")).status_code == 201
    moved = await clinic.entry(mover)
    assert (await clinic.read(f"Appointment/{late['id']}"))["status"] == "cancelled"
    replaces = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Appointment.replaces"
    assert {"url": replaces, "valueReference": {"reference": f"Appointment/{late['id']}"}} in moved["extension"]
    await clinic.follow()
    offered = await clinic.entry(follower)
    assert (offered["status"], offered["start"]) == ("pending", clinic.at("14:00"))


async def test_what_others_take_part_in_is_not_given_up_with_it(clinic: Waiting) -> None:
    together = clinic.appointment("14:00", "14:30")
    together["participant"].append({"actor": clinic.who("other"), "status": "accepted"})
    answer = await clinic.client.post("Appointment", json=together)
    assert answer.status_code == 201, answer.text
    kept = f"Appointment/{answer.json()['id']}"
    refused(await clinic.join("pat", keep_appointment=reference(kept)), 422, "not-eligible")
    entry = await clinic.joined("pat")
    wish = next(one for one in entry["extension"] if one["url"].endswith("waitlist-preference"))
    wish["extension"].append({"url": "keepAppointment", "valueReference": {"reference": kept}})
    await clinic.put(entry)
    await clinic.patient("third")
    await clinic.freed("09:00", patient="third")
    assert (await clinic.respond(entry, "accepted")).status_code == 201
    assert (await clinic.read(kept))["status"] == "booked"


async def test_two_answers_at_once_book_once(clinic: Waiting) -> None:
    entry = await clinic.joined("pat")
    await clinic.freed("09:00", patient="other")
    url = f"Appointment/{entry['id']}"
    answers = await asyncio.gather(
        *(clinic.client.post(f"{url}/$book", json=parameters()) for _ in range(4)),
        *(clinic.respond(entry, "accepted") for _ in range(4)),
        *(clinic.respond(entry, "declined") for _ in range(4)),
    )
    good = [one for one in answers if one.status_code == 201]
    assert all(one.status_code in {201, 409, 422} for one in answers), [one.text for one in answers]
    (state,) = await clinic.states(entry)
    history = (await clinic.client.get(f"Appointment/{entry['id']}/_history")).json()
    assert history["total"] == 3, "waitlist, pending, and one answer"
    assert state in {"booked", "waitlist"}
    assert len([one for one in good if one.json()["resourceType"] == "Appointment"]) <= 1


async def test_offers_of_the_callers_patients_are_listed(clinic: Waiting) -> None:
    patient = await clinic.token(Role.PATIENT, f"Patient/{clinic.id('pat')}")
    entry = await clinic.joined("pat")
    await clinic.held("16:00", "pat")  # an ordinary hold is no offer
    assert (await clinic.client.get("Appointment/$offers", headers=patient)).json()["total"] == 0
    await clinic.freed("09:00", patient="other")
    found = (await clinic.client.get("Appointment/$offers", headers=patient)).json()
    assert [one["resource"]["id"] for one in found["entry"]] == [entry["id"]]
    query = {"patient": f"Patient/{clinic.id('pat')}"}
    assert (await clinic.client.get("Appointment/$offers", params=query)).json()["total"] == 1
    query = {"patient": f"Patient/{clinic.id('other')}"}
    refused(await clinic.client.get("Appointment/$offers", params=query, headers=patient), 403, "withheld")
    assert (await clinic.client.get("Appointment/$offers", params=query)).json()["total"] == 0

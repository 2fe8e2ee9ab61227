"""What a plain write says twice (Slot and time, holder and patient, our base in a reference) is held against itself."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders.answers import codes, refused
from tests.builders.clinic import parameters, proposals
from tests.builders.visits import Visits

JSON_PATCH = {"Content-Type": "application/json-patch+json"}
FHIR = {"Content-Type": "application/fhir+json"}


@pytest.fixture
async def clinic(client: Any) -> Visits:
    return await Visits(client).opened()


async def _patch(clinic: Visits, url: str, *operations: dict[str, Any]) -> Any:
    return await clinic.client.patch(url, json=list(operations), headers=JSON_PATCH)


async def test_an_absolute_reference_to_our_base_is_the_same_human(clinic: Visits, client: Any) -> None:
    body = clinic.appointment()
    for participant in body["participant"]:
        participant["actor"]["reference"] = f"http://fhir.test/fhir/{participant['actor']['reference']}"
    first = await client.post("Appointment", json=body)
    assert first.status_code == 201, first.text
    assert first.json()["participant"] == body["participant"]
    refused(await client.post("Appointment", json=body), 409, "slot-taken")
    assert "09:00" not in await clinic.free()
    patient = body["participant"][0]["actor"]["reference"].rsplit("/", 1)[1]
    assert (await client.get("Appointment", params={"patient": patient})).json()["total"] == 1


async def test_a_new_slot_alone_moves_the_appointment(clinic: Visits, client: Any) -> None:
    booked = await clinic.booked("09:00")
    slot = next(one for one in proposals(await clinic.find(service=clinic.visit)) if "T14:00" in one["start"])["slot"]
    moved = await _patch(clinic, f"Appointment/{booked['id']}", {"op": "replace", "path": "/slot", "value": slot})
    assert moved.status_code == 200, moved.text
    assert moved.json()["start"] == clinic.at("14:00")
    free = await clinic.free()
    assert "09:00" in free
    assert "14:00" not in free


async def test_a_new_time_alone_takes_its_own_slot(clinic: Visits, client: Any) -> None:
    booked = await clinic.booked("09:00")
    moved = await _patch(
        clinic,
        f"Appointment/{booked['id']}",
        {"op": "replace", "path": "/start", "value": clinic.at("10:00")},
        {"op": "replace", "path": "/end", "value": clinic.at("10:30")},
    )
    assert moved.status_code == 200, moved.text
    (slot,) = moved.json()["slot"]
    assert slot != booked["slot"][0]
    assert (await clinic.read(slot["reference"]))["start"] == clinic.at("10:00")


async def test_a_slot_of_another_hour_is_refused(clinic: Visits, client: Any) -> None:
    slot = proposals(await clinic.find(service=clinic.visit))[0]["slot"]
    body = clinic.appointment("11:00", end="11:30", slot=slot)
    refused(await client.post("Appointment", json=body), 422, "not-offered")


async def test_a_comment_on_a_filled_slot_is_kept(clinic: Visits, client: Any) -> None:
    reference = (await clinic.booked("09:00"))["slot"][0]["reference"]
    slot = await clinic.read(reference)
    written = await client.put(reference, json={**slot, "comment": "bring the films"}, headers=FHIR)
    assert written.status_code == 200, written.text
    assert (await clinic.read(reference))["comment"] == "bring the films"
    assert "09:00" not in await clinic.free()


async def test_computed_slots_are_included(clinic: Visits, client: Any) -> None:
    slot = proposals(await clinic.find(service=clinic.visit))[0]["slot"]
    proposed = clinic.appointment(status="proposed", slot=slot)
    made = (await client.post("Appointment", json=proposed)).json()
    found = (await client.get("Appointment", params={"_id": made["id"], "_include": "Appointment:slot"})).json()
    assert [one["resource"]["resourceType"] for one in found["entry"]] == ["Appointment", "Slot"]


async def test_a_hold_that_is_put_as_booked_is_held_no_more(clinic: Visits, client: Any) -> None:
    held = await clinic.held("09:00")
    body = {**held, "status": "booked"}
    booked = await client.put(f"Appointment/{held['id']}", json=body, headers=FHIR)
    assert booked.status_code == 200, booked.text
    assert "held-until" not in booked.text


async def test_a_hold_is_for_its_patient(clinic: Visits, client: Any) -> None:
    held = await clinic.held("09:00", "pat")
    other = await clinic.act(held["id"], "$book", patient=("Reference", clinic.who("other")))
    refused(other, 409, "hold-foreign")
    same = await clinic.act(held["id"], "$book", patient=("Reference", clinic.who("pat")))
    assert same.status_code == 201, same.text
    assert [one["actor"]["reference"] for one in same.json()["participant"]].count(clinic.who("pat")["reference"]) == 1


async def test_a_proposal_is_booked_for_whom_the_request_names(clinic: Visits, client: Any) -> None:
    searched = proposals(await clinic.find(service=clinic.visit, patient=clinic.who("pat")["reference"]))[0]
    booked = await clinic.book(searched["id"], clinic.who("other")["reference"])
    patients = [one["actor"]["reference"] for one in booked.json()["participant"] if "Patient/" in str(one["actor"])]
    assert patients == [clinic.who("other")["reference"]]


async def test_an_appointment_outlives_its_schedule(clinic: Visits, client: Any) -> None:
    booked = await clinic.booked("09:00")
    assert (await client.delete(f"Schedule/{clinic.id('s')}")).status_code == 204
    assert (await clinic.act(booked["id"], "$cancel")).status_code == 200


@pytest.mark.parametrize("year", ["0001", "9999"])
async def test_the_edges_of_the_calendar_are_refused(clinic: Visits, client: Any, year: str) -> None:
    start, end = f"{year}-01-01T00:00:00Z", f"{year}-01-01T00:30:00Z"
    post = await client.post("Appointment", json={**clinic.appointment(), "start": start, "end": end})
    assert "out-of-horizon" in codes(post)
    booked = await clinic.booked("09:00")
    moved = await clinic.act(booked["id"], "$reschedule", start=("DateTime", start))
    assert "out-of-horizon" in codes(moved)
    find = await client.get("Appointment/$find", params={"start": start, "end": end})
    assert find.status_code == 400
    slots = await client.get("Slot", params={"schedule": f"Schedule/{clinic.id('s')}", "start": f"ge{start}"})
    assert slots.status_code == 200


async def test_alternatives_without_a_short_id_are_left_out(clinic: Visits, client: Any) -> None:
    name = clinic.id("published")
    doctor = {"reference": f"Practitioner/{clinic.id('doc')}"}
    await clinic.put({"resourceType": "Schedule", "id": name, "actor": [doctor]})
    for id_, clock, end in ((f"{name}-a", "19:00", "19:30"), ("x" * (64 - len(name)) + name, "20:00", "20:30")):
        await clinic.put(
            {
                "resourceType": "Slot", "id": id_, "schedule": {"reference": f"Schedule/{name}"}, "status": "free",
                "start": clinic.at(clock), "end": clinic.at(end),
            }
        )  # fmt: skip
    answers = [
        await client.post(
            "Appointment/$book",
            json=parameters(
                slot=("Reference", {"reference": f"Slot/{name}-a"}), patient=("Reference", clinic.who(one))
            ),
        )
        for one in ("pat", "other")
    ]
    assert [one.status_code for one in answers] == [201, 409]


async def test_the_bare_base_leads_to_the_capabilities(client: Any) -> None:
    answer = await client.get("http://fhir.test/fhir")
    assert (answer.status_code, answer.headers["location"]) == (302, "http://fhir.test/fhir/metadata")
    refused(await client.get("http://fhir.test/fhir?_id=1"), 400)


async def test_who_holds_a_slot_books_it_and_nobody_else(clinic: Visits, client: Any) -> None:
    slot = proposals(await clinic.find(service=clinic.visit))[0]["slot"][0]["reference"]
    tentative = {"op": "replace", "path": "/status", "value": "busy-tentative"}
    assert (await _patch(clinic, slot, tentative)).status_code == 200
    body = parameters(slot=("Reference", {"reference": slot}), patient=("Reference", clinic.who()))
    foreign = await client.post("Appointment/$book", json=body, headers={"X-Client-Id": "another"})
    refused(foreign, 409, "slot-taken")
    release = [{"op": "replace", "path": "/status", "value": "free"}]
    freed = await client.patch(slot, json=release, headers={**JSON_PATCH, "X-Client-Id": "another"})
    refused(freed, 409, "hold-foreign")
    booked = await client.post("Appointment/$book", json=body)
    assert booked.status_code == 201, booked.text
    assert (await clinic.read(slot))["status"] == "busy"


async def test_slots_cannot_be_hoarded(clinic: Visits) -> None:
    slots = [one["slot"][0]["reference"] for one in proposals(await clinic.find(service=clinic.visit))]
    tentative = {"op": "replace", "path": "/status", "value": "busy-tentative"}
    hoarder = {**JSON_PATCH, "X-Client-Id": clinic.id("hoarder")}
    answers = [await clinic.client.patch(one, json=[tentative], headers=hoarder) for one in slots[:6]]
    assert [one.status_code for one in answers] == [200] * 5 + [429]


async def test_consecutive_published_slots_are_all_shown_busy(clinic: Visits, client: Any) -> None:
    name = clinic.id("pub")
    await clinic.put({"resourceType": "Schedule", "id": name, "actor": [{"reference": f"Device/{name}"}]})
    for place, (clock, end) in enumerate((("09:00", "09:30"), ("09:30", "10:00"))):
        await clinic.put(
            {
                "resourceType": "Slot", "id": f"{name}-{place}", "schedule": {"reference": f"Schedule/{name}"},
                "status": "free", "start": clinic.at(clock), "end": clinic.at(end),
            }
        )  # fmt: skip
    body = {
        "resourceType": "Parameters",
        "parameter": [
            *({"name": "slot", "valueReference": {"reference": f"Slot/{name}-{place}"}} for place in (0, 1)),
            {"name": "patient", "valueReference": clinic.who()},
        ],
    }
    booked = await client.post("Appointment/$book", json=body)
    assert booked.status_code == 201, booked.text
    assert booked.json()["minutesDuration"] == 60
    found = (await client.get("Slot", params={"schedule": f"Schedule/{name}"})).json()
    assert [one["resource"]["status"] for one in found["entry"]] == ["busy", "busy"]
    assert (await clinic.act(booked.json()["id"], "$cancel")).status_code == 200
    found = (await client.get("Slot", params={"schedule": f"Schedule/{name}"})).json()
    assert [one["resource"]["status"] for one in found["entry"]] == ["free", "free"]


async def test_a_schedule_that_knows_a_licence_number_is_the_same_human(clinic: Visits, client: Any) -> None:
    npi = {"system": "http://hl7.org/fhir/sid/us-npi", "value": clinic.id("npi")}
    doc = await clinic.read(f"Practitioner/{clinic.id('doc')}")
    await clinic.put({**doc, "identifier": [npi]})
    schedule = await clinic.read(f"Schedule/{clinic.id('s')}")
    await clinic.put({**schedule, "id": clinic.id("second"), "actor": [{"type": "Practitioner", "identifier": npi}]})
    times = proposals(await clinic.find(schedule=f"Schedule/{clinic.id('second')}"))
    assert (await clinic.book(times[0]["id"], clinic.who()["reference"])).status_code == 201
    assert "09:00" not in await clinic.free(schedule=f"Schedule/{clinic.id('s')}")

"""The Argonaut contract, http://fhir.org/guides/argonaut/scheduling/: requests, answers and refusals."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from tests.builders.answers import actors, outcome_in, refused, starts
from tests.builders.clinic import SERVICE_SYSTEM, parameters, proposals
from tests.builders.visits import Visits

BASE = "http://fhir.test/fhir"
REPLACES = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Appointment.replaces"


@pytest.fixture
async def clinic(client: Any) -> Visits:
    return await Visits(client).opened()


async def _found(clinic: Visits) -> list[dict[str, Any]]:
    answer = await clinic.client.get(
        "Appointment/$find",
        params={
            "start": clinic.at("09:00"),
            "end": clinic.at("17:00"),
            "visit-type": f"{SERVICE_SYSTEM}|{clinic.id('visit')}",
            "practitioner": f"{BASE}/Practitioner/{clinic.id('doc')}",
            "patient-reference": f"{BASE}/Patient/{clinic.id('pat')}",
            "_count": "20",
        },
    )
    assert answer.status_code == 200, answer.text
    return proposals(answer.json())


def _one(answer: Any, status: int = 200) -> dict[str, Any]:
    """The Appointment of an Argonaut answer: a searchset."""
    assert answer.status_code == status, answer.text
    bundle = answer.json()
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "searchset")
    found = [one["resource"] for one in bundle["entry"] if one["resource"]["resourceType"] == "Appointment"]
    assert len(found) == 1
    return dict(found[0])


async def test_find_by_visit_type_and_uris(clinic: Visits) -> None:
    found = await _found(clinic)
    assert len(found) == 16
    assert {one["status"] for one in found} == {"proposed"}
    assert {each["status"] for one in found for each in one["participant"]} == {"needs-action"}
    assert all("requestedPeriod" in one for one in found)


async def test_no_match_is_an_empty_searchset(clinic: Visits) -> None:
    answer = await clinic.client.get(
        "Appointment/$find", params={"start": clinic.at("20:00"), "end": clinic.at("21:00"), "specialty": "urn:x|none"}
    )
    assert (answer.status_code, answer.json()["total"]) == (200, 0)


async def test_hold_by_id_and_by_resource(clinic: Visits) -> None:
    first, second, third = (await _found(clinic))[:3]
    post = clinic.client.post
    by_id = await post("Appointment/$hold", json=parameters(appt_id=("Uri", f"{BASE}/Appointment/{first['id']}")))
    held = _one(by_id)
    assert held["status"] == "pending"
    assert {one["status"] for one in held["participant"]} == {"tentative"}
    assert parsedate_to_datetime(by_id.headers["Expires"]) > parsedate_to_datetime(by_id.headers["Last-Modified"])
    assert f"{BASE}/Appointment/{held['id']}" == by_id.json()["entry"][0]["fullUrl"]
    by_resource = await post("Appointment/$hold", json=parameters(appt_resource=("resource", second)))
    assert _one(by_resource, 201)["start"] == second["start"]
    assert f"/Appointment/{_one(by_resource, 201)['id']}" in by_resource.headers["Location"]
    assert "Expires" in by_resource.headers
    assert third["id"] in {one["id"] for one in await _found(clinic)}
    assert first["start"] not in {one["start"] for one in await _found(clinic)}


async def test_hold_then_book_with_patient_and_comment(clinic: Visits) -> None:
    first = (await _found(clinic))[0]
    held = _one(await clinic.client.post("Appointment/$hold", json=parameters(appt_id=("Uri", first["id"]))))
    answer = await clinic.client.post(
        "Appointment/$book",
        json=parameters(
            appt_id=("Uri", f"Appointment/{held['id']}"),
            patient_id=("Uri", f"{BASE}/Patient/{clinic.id('pat')}"),
            comment=("String", "knee"),
        ),
    )
    booked = _one(answer)
    assert (booked["id"], booked["status"], booked["comment"]) == (held["id"], "booked", "knee")
    assert actors(booked, "Patient") == [f"Patient/{clinic.id('pat')}"]
    assert answer.headers["ETag"] == 'W/"2"'


async def test_a_booking_without_a_hold(clinic: Visits) -> None:
    first = (await _found(clinic))[0]
    answer = await clinic.client.post("Appointment/$book", json=parameters(appt_id=("Uri", first["id"])))
    assert (_one(answer)["status"], _one(answer)["start"]) == ("booked", first["start"])


async def test_a_refusal_is_a_cancelled_appointment_with_an_outcome(clinic: Visits) -> None:
    first = (await _found(clinic))[0]
    assert (await clinic.book(first["id"], f"Patient/{clinic.id('other')}")).status_code == 201
    for operation in ("$hold", "$book"):
        for sent in (parameters(appt_id=("Uri", first["id"])), parameters(appt_resource=("resource", first))):
            answer = await clinic.client.post(f"Appointment/{operation}", json=sent)
            turned = _one(answer)
            assert turned["status"] == "cancelled"
            assert {one["status"] for one in turned["participant"]} == {"declined"}
            outcome = outcome_in(answer.json())
            assert outcome is not None
            assert outcome["issue"][0]["details"]["coding"][0]["code"] == "slot-taken"
            assert outcome["contained"][0]["start"] == clinic.at("09:30")


async def test_what_is_malformed_is_an_http_fault(clinic: Visits) -> None:
    post = clinic.client.post
    refused(await post("Appointment/$hold", json=parameters(appt_id=("Uri", "no reference"))), 400, "param-invalid")
    refused(await post("Appointment/$book", json=parameters(patient_id=("Uri", "Patient/1"))), 400, "param-missing")


async def test_reschedule_by_cancelled_appt_id(clinic: Visits) -> None:
    old = await clinic.booked()
    proposal = (await clinic.free())["10:00"]
    answer = await clinic.client.post(
        "Appointment/$book",
        json=parameters(
            appt_id=("Uri", f"{BASE}/Appointment/{proposal}"),
            cancelled_appt_id=("Uri", f"{BASE}/Appointment/{old['id']}"),
            patient_id=("Uri", f"{BASE}/Patient/{clinic.id('pat')}"),
        ),
    )
    moved = _one(answer)
    assert (moved["status"], moved["start"]) == ("booked", clinic.at("10:00"))
    lineage = [one["valueReference"]["reference"] for one in moved["extension"] if one["url"] == REPLACES]
    assert lineage == [f"Appointment/{old['id']}"]
    assert (await clinic.read(f"Appointment/{old['id']}"))["status"] == "cancelled"
    assert "09:00" in await clinic.free()


async def test_a_refused_reschedule_keeps_the_old_booking(clinic: Visits) -> None:
    old = await clinic.booked()
    taken = await clinic.booked("10:00", "other")
    answer = await clinic.client.post(
        "Appointment/$book",
        json=parameters(
            appt_resource=("resource", {**clinic.appointment("10:00", "10:30"), "status": "proposed"}),
            cancelled_appt_id=("Uri", f"Appointment/{old['id']}"),
        ),
    )
    assert _one(answer)["status"] == "cancelled"
    for one in (old, taken):
        assert (await clinic.read(f"Appointment/{one['id']}"))["status"] == "booked"


async def test_a_hold_is_released_by_patching_it_cancelled(clinic: Visits) -> None:
    first = (await _found(clinic))[0]
    held = _one(await clinic.client.post("Appointment/$hold", json=parameters(appt_id=("Uri", first["id"]))))
    answer = await clinic.client.patch(
        f"Appointment/{held['id']}",
        json=[{"op": "replace", "path": "/status", "value": "cancelled"}],
        headers={"Content-Type": "application/json-patch+json"},
    )
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert starts({"entry": [{"resource": one, "search": {"mode": "match"}} for one in await _found(clinic)]})[
        0
    ] == clinic.at("09:00")


async def test_at_instance_level(clinic: Visits) -> None:
    first = (await _found(clinic))[0]
    answer = await clinic.client.post(
        f"Appointment/{first['id']}/$book",
        json=parameters(patient_id=("Uri", f"Patient/{clinic.id('pat')}")),
    )
    assert _one(answer)["status"] == "booked"


async def test_the_same_key_replays_the_same_bundle(clinic: Visits) -> None:
    first = (await _found(clinic))[0]
    key = {"Idempotency-Key": clinic.id("key")}
    body = parameters(appt_id=("Uri", first["id"]))
    once, again = [await clinic.client.post("Appointment/$book", json=body, headers=key) for _ in range(2)]
    assert _one(once)["status"] == "booked"
    assert again.content == once.content

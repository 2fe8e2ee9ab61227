"""Requests that mean harm: they are refused quickly, in words, and leave nothing behind."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from tests.builders.answers import codes, outcome_of, refused
from tests.builders.clinic import parameters, policy, proposals
from tests.builders.visits import Visits

JSON_PATCH = {"Content-Type": "application/json-patch+json"}
FHIR = {"Content-Type": "application/fhir+json"}


@pytest.fixture
async def clinic(client: Any) -> Visits:
    return await Visits(client).opened()


async def test_copies_that_double_are_stopped(clinic: Visits, client: Any) -> None:
    booked = await clinic.booked()
    bomb = [{"op": "copy", "from": "/participant", "path": "/participant/-"}] * 40
    started = time.monotonic()
    refused(await client.patch(f"Appointment/{booked['id']}", json=bomb, headers=JSON_PATCH), 413)
    assert time.monotonic() - started < 5
    assert await clinic.read(f"Appointment/{booked['id']}") == booked


async def test_thousands_of_faults_are_named_up_to_a_hundred(client: Any) -> None:
    started = time.monotonic()
    body = {"resourceType": "Patient"} | {f"k{number}": 1 for number in range(20_000)}
    answer = await client.post("Patient", json=body, headers=FHIR)
    assert answer.status_code == 400
    assert len(outcome_of(answer)["issue"]) == 101
    assert time.monotonic() - started < 5


async def test_a_computed_slot_stays_with_its_schedule_and_time(clinic: Visits, client: Any) -> None:
    await clinic.schedule("other", [await clinic.practitioner("else")], [clinic.visit])
    slot = proposals(await clinic.find(schedule=f"Schedule/{clinic.id('s')}"))[0]["slot"][0]["reference"]
    block = {"op": "replace", "path": "/status", "value": "busy-unavailable"}
    elsewhere = {"op": "replace", "path": "/schedule/reference", "value": f"Schedule/{clinic.id('other')}"}
    refused(await client.patch(slot, json=[elsewhere, block], headers=JSON_PATCH), 422, "not-offered")
    later = {"op": "replace", "path": "/start", "value": clinic.at("09:00").replace(":00-", ":00.500-")}
    refused(await client.patch(slot, json=[later, block], headers=JSON_PATCH), 422, "not-offered")
    assert (await clinic.read(slot))["status"] == "free"


async def test_replacing_is_bound_by_the_cutoff_and_the_patient(client: Any) -> None:
    clinic = await Visits(client).opened(policy(cancelCutoff=60 * 24 * 60, rescheduleCutoff=60 * 24 * 60))
    booked = await clinic.booked("09:00")
    free = await clinic.free()

    async def replacing(patient: str, **more: tuple[str, Any]) -> Any:
        body = parameters(
            appointment=("Uri", f"Appointment/{free['10:00']}"),
            patient=("Reference", clinic.who(patient)),
            replaces=("Reference", {"reference": f"Appointment/{booked['id']}"}),
            **more,
        )
        return await client.post("Appointment/$book", json=body)

    refused(await replacing("pat"), 422, "cutoff-passed")
    refused(await replacing("other", booking_channel=("Code", "staff")), 422, "not-eligible")
    wrong = {"op": "replace", "path": "/status", "value": "entered-in-error"}
    refused(await client.patch(f"Appointment/{booked['id']}", json=[wrong], headers=JSON_PATCH), 422, "cutoff-passed")
    assert (await clinic.read(f"Appointment/{booked['id']}"))["status"] == "booked"


async def test_pending_by_plain_rest_is_a_hold_like_any_other(clinic: Visits, client: Any) -> None:
    clocks = ["09:00", "09:30", "10:00", "10:30", "11:00", "11:30"]
    ends = [*clocks[1:], "12:00"]
    answers = [
        await client.post("Appointment", json=clinic.appointment(clock, end, status="pending"))
        for clock, end in zip(clocks, ends, strict=True)
    ]
    assert [one.status_code for one in answers] == [201] * 5 + [429]
    assert "held-until" in answers[0].text
    assert codes(answers[-1]) == ["hold-limit"]


async def test_held_until_is_the_servers_word(clinic: Visits, client: Any) -> None:
    held = await clinic.held()
    forged = {**held, "extension": [{**one} for one in held["extension"]], "comment": "longer please"}
    for one in forged["extension"]:
        if one["url"].endswith("held-until"):
            one["valueInstant"] = "2099-01-01T00:00:00Z"
    answer = await client.put(f"Appointment/{held['id']}", json=forged, headers=FHIR)
    assert answer.status_code == 200, answer.text
    assert "2099" not in answer.text
    assert answer.json()["comment"] == "longer please"
    released = await clinic.act(held["id"], "$release")
    assert "held-until" not in released.text


async def test_a_window_of_years_is_refused(clinic: Visits, client: Any) -> None:
    asked = {"schedule": f"Schedule/{clinic.id('s')}", "start": "lt2099-01-01"}
    refused(await client.get("Slot", params=asked), 400, "too-costly")


async def test_what_is_too_large_is_said_to_be(clinic: Visits, client: Any) -> None:
    many = {"resourceType": "Patient", "identifier": [{"value": str(number)} for number in range(6_000)]}
    refused(await client.post("Patient", json=many, headers=FHIR), 413)
    long = clinic.appointment() | {"end": clinic.at("09:00", 40)}
    refused(await client.post("Appointment", json=long), 422)
    block = {
        "resourceType": "Slot", "schedule": {"reference": f"Schedule/{clinic.id('s')}"}, "status": "busy-unavailable",
        "start": clinic.at("09:00"), "end": clinic.at("09:00", 40),
    }  # fmt: skip
    refused(await client.post("Slot", json=block), 422)


async def test_a_foreign_host_name_is_refused(client: Any) -> None:
    refused(await client.get("Patient", headers={"Host": "evil.example"}), 400)
    assert (await client.get("Patient", headers={"Host": "localhost:8080"})).status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 400), ("/metrics", 400), ("/auth/login", 400), ("/.well-known/openid-configuration", 400),
        ("/fhir/.well-known/smart-configuration", 400), ("/auth/static/style.css", 400), ("/health/live", 200),
    ],
)  # fmt: skip
async def test_a_foreign_host_name_opens_nothing_beside_the_base_either(client: Any, path: str, status: int) -> None:
    answer = await client.get(f"http://fhir.test{path}", headers={"Host": "evil.example"})
    assert answer.status_code == status
    assert status != 400 or "not known by that Host" in answer.text
    assert (await client.get(f"http://fhir.test{path}")).status_code == 200


async def test_leaving_out_the_service_leaves_no_rule_out(clinic: Visits, client: Any) -> None:
    answer = await client.post("Appointment", json=clinic.appointment("14:07", "14:09"))
    refused(answer, 422, "not-offered")


async def test_what_is_over_cannot_be_moved(clinic: Visits, client: Any) -> None:
    booked = await clinic.booked()
    assert (await clinic.act(booked["id"], "$cancel")).status_code == 200
    later = {"op": "replace", "path": "/start", "value": clinic.at("09:10")}
    refused(await client.patch(f"Appointment/{booked['id']}", json=[later], headers=JSON_PATCH), 422)


async def test_losers_of_a_race_for_a_slot_hear_that_it_is_taken(clinic: Visits, client: Any) -> None:
    slot = proposals(await clinic.find(service=clinic.visit))[0]["slot"][0]["reference"]
    block = [{"op": "replace", "path": "/status", "value": "busy-unavailable"}]
    booking = clinic.book(slot.rsplit("/", 1)[1], clinic.who()["reference"])
    booked, *blocks = await asyncio.gather(
        booking, *(client.patch(slot, json=block, headers=JSON_PATCH) for _ in "123")
    )
    assert booked.status_code in {201, 409}
    assert {one.status_code for one in blocks} <= {200, 409}


INCLUDES = b",".join([b'{"system":"http://hl7.org/fhir/slotstatus"}'] * 10_000)
BOMBS = {
    "deep arrays": (b'{"resourceType":"Patient","name":' + b"[" * 100_000, 400),
    "deep objects": (b'{"resourceType":"Patient","name":' + b'{"extension":[' * 50_000, 400),
    "closed arrays": (b'{"resourceType":"Patient","name":' + b"[" * 5_000 + b"]" * 5_000 + b"}", 400),
    "a long number": (b'{"resourceType":"Patient","multipleBirthInteger":' + b"9" * 1_000_000 + b"}", 400),
    "a large body": (b'{"resourceType":"Patient","language":"' + b"x" * 3_000_000 + b'"}', 413),
    "escapes": (b'{"resourceType":"Patient","language":"' + rb"\u0041" * 200_000 + rb"\ud800" + b'"}', 400),
    "one name many times": (b'{"resourceType":"Patient",' + b'"a":1,' * 100_000 + b'"b":2}', 400),
    "many includes": (b'{"resourceType":"ValueSet","status":"draft","compose":{"include":[%b]}}' % INCLUDES, 422),
}


@pytest.mark.parametrize("bomb", BOMBS)
async def test_bombs_are_refused_within_a_second(client: Any, bomb: str) -> None:
    body, status = BOMBS[bomb]
    paths = ["ValueSet/$expand"] if bomb == "many includes" else ["Patient", "Patient/$validate"]
    for path in paths:
        started = time.monotonic()
        refused(await client.post(path, content=body, headers=FHIR), status)
        assert time.monotonic() - started < 5


@pytest.mark.parametrize("number", ["1E+999999999999999999999", "1e-999999999999999999999", "0e999999999999999999999"])
async def test_an_exponent_without_end_is_refused(client: Any, number: str) -> None:
    body = f'{{"resourceType":"Patient","extension":[{{"url":"http://x","valueDecimal":{number}}}]}}'
    refused(await client.post("Patient", content=body), 400)
    merge = f'{{"extension":[{{"url":"http://x","valueDecimal":{number}}}]}}'
    made = await client.post("Patient", json={"resourceType": "Patient"})
    kind = {"Content-Type": "application/merge-patch+json"}
    refused(await client.patch(f"Patient/{made.json()['id']}", content=merge, headers=kind), 400)


@pytest.mark.parametrize(
    "host", ["[::1].evil.example", "[::1]evil", "localhost:evil", "localhost:80:80", "a, localhost"]
)
async def test_a_host_that_only_begins_like_ours_is_refused(client: Any, host: str) -> None:
    refused(await client.get("metadata", headers={"Host": host}), 400)


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
async def test_an_empty_condition_protects_nothing_and_is_refused(client: Any, header: str) -> None:
    made = (await client.post("Patient", json={"resourceType": "Patient"})).json()
    refused(await client.put(f"Patient/{made['id']}", json=made, headers={header: ""}), 400)
    if header == "If-Match":
        refused(await client.delete(f"Patient/{made['id']}", headers={header: " "}), 400)
    assert (await client.get(f"Patient/{made['id']}")).headers["ETag"] == 'W/"1"'


@pytest.mark.parametrize(
    "reference",
    ["http://fhir.test//fhir/Patient/1", "https://fhir.test/fhir/Patient/1", "http://fhir.test:80/fhir//Patient/1",
     "http://FHIR.test/fhir/./Patient/1", "http://fhir.test/other/Patient/1", "http://fhir.test./fhir/Patient/1"],
)  # fmt: skip
async def test_our_own_name_in_another_form_is_no_reference(client: Any, reference: str) -> None:
    flag = {"resourceType": "Flag", "status": "active", "code": {"text": "x"}, "subject": {"reference": reference}}
    outcome = refused(await client.post("Flag", json=flag), 400)
    assert outcome["issue"][0]["expression"] == ["Flag.subject"]
    for good in ("http://fhir.test/fhir/Patient/1", "HTTP://fhir.test/fhir/Patient/1", "http://ehr.example//Patient/1"):
        flag["subject"] = {"reference": good}
        assert (await client.post("Flag", json=flag)).status_code == 201


async def test_a_resource_of_too_many_parts_is_refused_quickly(client: Any) -> None:
    body = {"resourceType": "Patient", "name": [{"given": ["a"]}] * 30_000}
    refused(await client.post("Patient", json=body), 413)
    body = {"resourceType": "Patient", "name": [{"given": ["a"] * 60_000}]}
    refused(await client.post("Patient", json=body), 413)


async def test_provenance_is_not_dropped_in_silence(client: Any) -> None:
    refused(await client.post("Patient", json={"resourceType": "Patient"}, headers={"X-Provenance": "{}"}), 400)

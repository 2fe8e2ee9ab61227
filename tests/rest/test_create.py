"""``create``: ids, round trip to the letter, faults, conditional create, keys. https://hl7.org/fhir/R4/http.html#create"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.builders.answers import expressions, refused
from tests.builders.clinic import Clinic


@pytest.fixture
def name(client: Any) -> str:
    """A name that no other test has."""
    return Clinic(client).name


async def test_an_id_of_ours_and_where_it_is(client: Any) -> None:
    sent = {
        "resourceType": "Patient",
        "id": "hack",
        "meta": {
            "versionId": "99",
            "lastUpdated": "2001-01-01T00:00:00Z",
            "tag": [{"system": "urn:t", "code": "keep"}],
        },
        "active": True,
    }
    answer = await client.post("Patient", json=sent)
    made = answer.json()
    assert answer.status_code == 201
    assert made["id"] != "hack"
    assert answer.headers["Location"] == f"http://fhir.test/fhir/Patient/{made['id']}/_history/1"
    assert answer.headers["ETag"] == 'W/"1"'
    assert "Last-Modified" in answer.headers
    assert made["meta"]["versionId"] == "1"
    assert made["meta"]["lastUpdated"][:4] != "2001"
    assert made["meta"]["tag"] == [{"system": "urn:t", "code": "keep"}]
    assert (await client.get(f"Patient/{made['id']}")).json() == made


LETTERS = """{"resourceType":"Encounter","status":"planned","class":{"code":"AMB"},
"extension":[{"url":"https://unknown.example/weight","valueDecimal":1.00},
{"url":"https://unknown.example/nested","extension":[{"url":"x","valueDateTime":"2026-03"},
{"url":"y","valueInstant":"2026-03-29T01:30:00.120+01:00"}]}],
"length":{"value":0.10,"unit":"min","system":"http://unitsofmeasure.org","code":"min"},
"period":{"start":"2026-03-29T01:30:00.123+01:00","end":"2026-03-29T03:30:00.1+02:00"},
"identifier":[{"value":"\\u00e9\\ud83d\\ude00 \\"quoted\\" \\\\ / tab\\t"}]}"""


async def test_the_round_trip_is_to_the_letter(client: Any) -> None:
    made = await client.post("Encounter", content=LETTERS.encode())
    assert made.status_code == 201, made.text
    for text in (made.text, (await client.get(f"Encounter/{made.json()['id']}")).text):
        for piece in (
            '"valueDecimal":1.00', '"value":0.10', '"2026-03-29T01:30:00.123+01:00"', '"2026-03-29T03:30:00.1+02:00"',
            '"valueDateTime":"2026-03"', '"2026-03-29T01:30:00.120+01:00"',
        ):  # fmt: skip
            assert piece in text
        body = json.loads(text)
        assert {name: value for name, value in body.items() if name not in {"id", "meta"}} == json.loads(LETTERS)


async def test_a_slot_keeps_offset_and_milliseconds(client: Any) -> None:
    sent = {
        "resourceType": "Slot",
        "schedule": {"reference": "Schedule/elsewhere"},
        "status": "free",
        "start": "2026-03-29T01:30:00.123+01:00",
        "end": "2026-03-29T03:30:00.100+02:00",
    }
    made = await client.post("Slot", json=sent)
    assert made.status_code == 201, made.text
    read = (await client.get(f"Slot/{made.json()['id']}")).json()
    assert {name: read[name] for name in sent} == sent


@pytest.mark.parametrize("number", ["1.00", "0.0000001", "1e2", "-0", "3.141592653589793238462643383279", "100"])
async def test_decimals_come_back_as_they_were_written(client: Any, number: str) -> None:
    body = (
        '{"resourceType":"Patient","extension":[{"url":"https://unknown.example/d","valueDecimal":%s}]}' % number  # noqa: UP031
    )
    made = await client.post("Patient", content=body.encode())
    assert made.status_code == 201, made.text
    read = await client.get(f"Patient/{made.json()['id']}")
    assert f'"valueDecimal":{number}' in read.text.replace(": ", ":")


MALFORMED = [
    b"", b"  ", b"{", b"[]", b"[{}]", b'"x"', b"null", b"NaN", b"{}", b'{"resourceType":5}', b'{"resourceType":"Nope"}',
    b'{"resourceType":"Patient"} trailing', b'{"resourceType":"Patient","active":NaN}',
    b'{"resourceType":"Patient","active":true,"active":false}', b'{"resourceType":"Patient","gender":null}',
    b'{"resourceType":"Patient","bogus":1}', b'{"resourceType":"Patient","active":"true"}',
    b'{"resourceType":"Patient","name":[]}', b'{"resourceType":"Patient","name":{}}',
    b'{"resourceType":"Patient","language":"\\ud800"}', b'\xef\xbb\xbf{"resourceType":"Patient"}',
    b'{"resourceType":"Patient","language":"\xff"}', b'{"resourceType":"Patient","language":"a\\u0000b"}',
    b'{"resourceType":"Patient","birthDate":"2026-13-40"}', b'{"resourceType":"Patient","gender":"odd"}',
    b'{"resourceType":"Practitioner"}', b'{"resourceType":"Patient","x":' + b"[" * 5000 + b"]" * 5000 + b"}",
]  # fmt: skip


@pytest.mark.parametrize("body", MALFORMED, ids=range(len(MALFORMED)))
async def test_what_is_malformed_is_400(client: Any, body: bytes) -> None:
    refused(await client.post("Patient", content=body), 400)


async def test_all_faults_are_named_together(client: Any) -> None:
    sent = {
        "resourceType": "Appointment",
        "status": "odd",
        "start": "2026-13-40T00:00:00Z",
        "end": "2026-11-23T09:00:00Z",
        "slot": [{"reference": "Patient/1"}],
        "participant": [
            {"actor": {"reference": "Slot/1"}, "status": "accepted"},
            {"actor": {"reference": "Patient/1"}},
        ],
        "bogus": True,
    }
    outcome = refused(await client.post("Appointment", json=sent), 400)
    assert {
        "Appointment.status",
        "Appointment.start",
        "Appointment.slot[0].reference",
        "Appointment.participant[0].actor.reference",
        "Appointment.participant[1].status",
        "Appointment.bogus",
    } <= set(expressions(outcome))
    assert all(one["diagnostics"] for one in outcome["issue"])


WHO = [{"actor": {"reference": "Patient/1"}, "status": "accepted"}]
TIME = {"start": "2026-11-23T09:00:00Z", "end": "2026-11-23T09:30:00Z"}


@pytest.mark.parametrize(
    ("body", "key", "place"),
    [
        ({"status": "proposed", **TIME, "participant": [{"status": "accepted"}]}, "app-1", "participant[0]"),
        ({"status": "proposed", "start": TIME["start"], "participant": WHO}, "app-2", "end"),
        ({"status": "booked", "participant": WHO}, "app-3", "start"),
        ({"status": "booked", **TIME, "participant": WHO, "cancelationReason": {"text": "x"}}, "app-4",
         "cancelationReason"),
    ],
    ids=["app-1", "app-2", "app-3", "app-4"],
)  # fmt: skip
async def test_invariants_are_422(client: Any, body: dict[str, Any], key: str, place: str) -> None:
    outcome = refused(await client.post("Appointment", json={"resourceType": "Appointment", **body}), 422)
    assert outcome["issue"][0]["code"] == "business-rule"
    assert outcome["issue"][0]["diagnostics"].startswith(key)
    assert expressions(outcome) == [f"Appointment.{place}"]


@pytest.mark.parametrize(
    "type_",
    [
        "text/plain",
        "application/xml-patch+xml",
        "application/fhir+turtle",
        "multipart/form-data",
        "application/fhir+json; fhirVersion=5.0",
        "application/json; charset=latin-1",
    ],
)
async def test_other_formats_are_415(client: Any, type_: str) -> None:
    answer = await client.post("Patient", content=b'{"resourceType":"Patient"}', headers={"Content-Type": type_})
    refused(answer, 415)


@pytest.mark.parametrize("type_", ["application/json", "application/fhir+json;charset=UTF-8",
                                   'application/fhir+json; fhirVersion="4.0"'])  # fmt: skip
async def test_every_way_to_say_fhir_json_is_read(client: Any, type_: str) -> None:
    answer = await client.post("Patient", content=b'{"resourceType":"Patient"}', headers={"Content-Type": type_})
    assert answer.status_code == 201


async def test_a_body_over_the_limit_is_413(client: Any, world: Any) -> None:
    answer = await client.post("Patient", content=b" " * (world.settings.body_limit + 1))
    refused(answer, 413)


@pytest.mark.parametrize("preference", ["minimal", "representation", "OperationOutcome", ""])
async def test_prefer_return(client: Any, preference: str) -> None:
    headers = {"Prefer": f"return={preference}"} if preference else {}
    answer = await client.post("Patient", json={"resourceType": "Patient"}, headers=headers)
    assert answer.status_code == 201
    assert "/_history/1" in answer.headers["Location"]
    assert answer.headers["ETag"] == 'W/"1"'
    kind = {"minimal": "", "OperationOutcome": "OperationOutcome"}.get(preference, "Patient")
    assert (answer.json()["resourceType"] if answer.content else "") == kind


async def test_a_preference_that_is_none_is_refused_before_anything_is_written(client: Any, name: str) -> None:
    body = {"resourceType": "Patient", "identifier": [{"system": "urn:n", "value": name}]}
    refused(await client.post("Patient", json=body, headers={"Prefer": "return=everything"}), 400)
    assert (await client.get("Patient", params={"identifier": f"urn:n|{name}"})).json()["total"] == 0


async def test_a_failure_is_an_outcome_whatever_is_preferred(client: Any) -> None:
    answer = await client.post(
        "Patient", json={"resourceType": "Patient", "x": 1}, headers={"Prefer": "return=minimal"}
    )
    refused(answer, 400)


async def test_create_unless_there_is_one(client: Any, name: str) -> None:
    body = {"resourceType": "Patient", "identifier": [{"system": "urn:n", "value": name}]}
    headers = {"If-None-Exist": f"identifier=urn:n|{name}"}
    first = await client.post("Patient", json=body, headers=headers)
    again = await client.post("Patient", json={**body, "active": True}, headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["ETag"] == first.headers["ETag"]
    assert again.json() == first.json()
    await client.post("Patient", json=body)
    refused(await client.post("Patient", json=body, headers=headers), 412)


@pytest.mark.parametrize(
    "criteria", ["", " ", "_sort=name", "_count=1", "identifer=x", "identifier=", "identifier", "identifier:bogus=x"]
)
async def test_criteria_that_select_nothing_are_refused(client: Any, criteria: str) -> None:
    answer = await client.post("Patient", json={"resourceType": "Patient"}, headers={"If-None-Exist": criteria})
    refused(answer, 400)


async def test_criteria_in_the_url_are_not_ignored(client: Any, name: str) -> None:
    body = {"resourceType": "Patient", "identifier": [{"system": "urn:n", "value": name}]}
    outcome = refused(await client.post(f"Patient?identifier=urn:n|{name}", json=body), 400)
    assert expressions(outcome) == ["identifier"]
    assert (await client.get("Patient", params={"identifier": f"urn:n|{name}"})).json()["total"] == 0
    assert (await client.post("Patient?_format=json&_pretty=true", json=body)).status_code == 201


async def test_one_of_many_conditional_creates_creates(client: Any, name: str) -> None:
    body = {"resourceType": "Patient", "identifier": [{"system": "urn:n", "value": name}]}
    headers = {"If-None-Exist": f"identifier=urn:n|{name}"}
    answers = await asyncio.gather(*(client.post("Patient", json=body, headers=headers) for _ in range(20)))
    assert sorted(one.status_code for one in answers) == [200] * 19 + [201]
    assert len({one.json()["id"] for one in answers}) == 1


async def test_the_same_key_creates_once_whatever_the_type(client: Any, name: str) -> None:
    for type_, body in (
        ("Patient", {"resourceType": "Patient"}),
        ("Location", {"resourceType": "Location", "name": name}),
    ):
        key = {"Idempotency-Key": f'"{name}"'}
        first, again = [await client.post(type_, json=body, headers=key) for _ in range(2)]
        assert (first.status_code, again.status_code) == (201, 201)
        assert again.content == first.content
        assert again.headers["Location"] == first.headers["Location"]
        assert again.headers["Idempotent-Replayed"] == "true"
        other = await client.post(type_, json={**body, "language": "de"}, headers=key)
        refused(other, 422, "idempotency-mismatch")
        elsewhere = await client.post(type_, json=body, headers={**key, "X-Client-Id": "somebody-else"})
        assert elsewhere.json()["id"] != first.json()["id"]


async def test_a_refused_request_does_not_use_up_its_key(client: Any, name: str) -> None:
    key = {"Idempotency-Key": name}
    refused(await client.post("Patient", json={"resourceType": "Patient", "x": 1}, headers=key), 400)
    assert (await client.post("Patient", json={"resourceType": "Patient"}, headers=key)).status_code == 201


@pytest.mark.parametrize("key", ["", '""', "x" * 256])
async def test_a_key_that_is_none(client: Any, key: str) -> None:
    refused(await client.post("Patient", json={"resourceType": "Patient"}, headers={"Idempotency-Key": key}), 400)

"""Conditional update, patch and delete: what criteria do, and that they are strict. https://hl7.org/fhir/R4/http.html"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.builders.answers import expressions, refused
from tests.builders.bundles import create, send
from tests.builders.clinic import Clinic
from tests.builders.visits import Visits

MRN = "urn:mrn"
JSON_PATCH = {"Content-Type": "application/json-patch+json"}
ACTIVATE = [{"op": "add", "path": "/active", "value": True}]


@pytest.fixture
def clinic(client: Any) -> Clinic:
    return Clinic(client)


def patient(name: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "identifier": [{"system": MRN, "value": name}], **more}


def by(name: str) -> str:
    return f"Patient?identifier={MRN}|{name}"


async def _total(client: Any, name: str) -> int:
    return int((await client.get(by(name))).json()["total"])


async def _several(client: Any, name: str) -> list[str]:
    return [(await client.post("Patient", json=patient(name))).json()["id"] for _ in range(2)]


async def test_nothing_matches_and_the_server_names_it(client: Any, clinic: Clinic) -> None:
    answer = await client.put(by(clinic.name), json=patient(clinic.name))
    made = answer.json()
    assert (answer.status_code, answer.headers["ETag"]) == (201, 'W/"1"')
    assert answer.headers["Location"] == f"http://fhir.test/fhir/Patient/{made['id']}/_history/1"
    assert (await client.get(f"Patient/{made['id']}")).json() == made


async def test_nothing_matches_and_the_client_names_it(client: Any, clinic: Clinic) -> None:
    answer = await client.put(by(clinic.name), json=patient(clinic.name, id=clinic.id("mine")))
    assert (answer.status_code, answer.json()["id"]) == (201, clinic.id("mine"))
    # The id of another resource that the criteria do not match is not overwritten.
    outcome = refused(await client.put(by(clinic.id("no")), json=patient("x", id=clinic.id("mine"))), 409)
    assert expressions(outcome) == ["Patient.id"]
    assert (await client.get(f"Patient/{clinic.id('mine')}")).json() == answer.json()
    await client.delete(f"Patient/{clinic.id('mine')}")
    back = await client.put(by(clinic.name), json=patient(clinic.name, id=clinic.id("mine")))
    assert (back.status_code, back.headers["ETag"]) == (201, 'W/"3"')


async def test_one_match_is_updated(client: Any, clinic: Clinic) -> None:
    made = (await client.post("Patient", json=patient(clinic.name))).json()
    for number, body in enumerate(
        (patient(clinic.name, active=True), patient(clinic.name, active=False, id=made["id"])), 2
    ):
        answer = await client.put(by(clinic.name), json=body)
        assert (answer.status_code, answer.headers["ETag"]) == (200, f'W/"{number}"'), answer.text
        assert answer.json()["id"] == made["id"]
    same = await client.put(by(clinic.name), json=patient(clinic.name, active=False))
    assert (same.status_code, same.headers["ETag"]) == (200, 'W/"3"')
    outcome = refused(await client.put(by(clinic.name), json=patient(clinic.name, id="another")), 400)
    assert expressions(outcome) == ["Patient.id"]
    assert await _total(client, clinic.name) == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-Match": 'W/"1"'}, 200),
        ({"If-Match": 'W/"2"'}, 412),
        ({"If-Match": "x"}, 400),
        ({"If-None-Match": "*"}, 412),
    ],
)
async def test_conditions_count_too(client: Any, clinic: Clinic, headers: dict[str, str], status: int) -> None:
    made = (await client.post("Patient", json=patient(clinic.name))).json()
    put = await client.put(by(clinic.name), json=patient(clinic.name, active=True), headers=headers)
    assert put.status_code == status
    if "If-None-Match" not in headers:
        version = (await client.get(f"Patient/{made['id']}")).json()["meta"]["versionId"]
        renewed = {name: value.replace(*("12" if status == 200 else "23")) for name, value in headers.items()}
        body = [*ACTIVATE, {"op": "add", "path": "/gender", "value": "male"}]
        patched = await client.patch(by(clinic.name), json=body, headers={**JSON_PATCH, **renewed})
        deleted = await client.delete(by(clinic.name), headers={"If-Match": 'W/"9"'} if status == 412 else renewed)
        assert patched.status_code == status, (version, patched.text)
        assert deleted.status_code == (400 if status == 400 else 412)
    assert (await client.get(f"Patient/{made['id']}")).status_code == 200
    refused(await client.put(by(clinic.id("no")), json=patient("x"), headers={"If-Match": "*"}), 412)
    refused(await client.delete(by(clinic.id("no")), headers={"If-Match": "*"}), 412)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_several_matches_are_412_and_nothing_happens(client: Any, clinic: Clinic, method: str) -> None:
    ids = await _several(client, clinic.name)
    body = {"PUT": {"json": patient(clinic.name)}, "PATCH": {"json": ACTIVATE, "headers": JSON_PATCH}, "DELETE": {}}
    refused(await client.request(method, by(clinic.name), **body[method]), 412, "multiple-matches")
    assert [(await client.get(f"Patient/{one}")).headers["ETag"] for one in ids] == ['W/"1"'] * 2


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "query",
    ["", "?", "?_sort=name", "?_count=1", "?_format=json", "?identifer=x", "?identifier=", "?identifier:bogus=x",
     "?name=x&bogus=y", "?identifier=x&_page=abc", "?_include=Patient:organization"],
)  # fmt: skip
async def test_criteria_that_select_nothing_or_are_not_understood_are_400(
    client: Any, clinic: Clinic, method: str, query: str
) -> None:
    url = await clinic.patient()
    body = {"PUT": {"json": patient(clinic.name)}, "PATCH": {"json": ACTIVATE, "headers": JSON_PATCH}, "DELETE": {}}
    refused(await client.request(method, f"Patient{query}", **body[method]), 400)
    assert (await client.get(url)).headers["ETag"] == 'W/"1"'
    assert await _total(client, clinic.name) == 0


@pytest.mark.parametrize(
    "before",
    ["https://evil.example/Patient?", "Practitioner?", "http://fhir.test/fhir/Practitioner?", "Patient/1?", "/?",
     "https://evil.example/Patient;a=b?", "_page=x&"],
)  # fmt: skip
async def test_a_create_asks_about_its_own_type(client: Any, clinic: Clinic, before: str) -> None:
    criteria = f"identifier={MRN}|{clinic.name}"
    body = patient(clinic.name)
    refused(await client.post("Patient", json=body, headers={"If-None-Exist": before + criteria}), 400)
    outcome = refused(await send(client, create(body, ifNoneExist=before + criteria)), 400)
    assert expressions(outcome)[0].startswith("Bundle.entry[0]")
    assert await _total(client, clinic.name) == 0


async def test_a_create_may_name_its_own_type(client: Any, clinic: Clinic) -> None:
    body = patient(f"{clinic.name}?x")
    for number, before in enumerate(("", "?", "Patient?", "http://fhir.test/fhir/Patient?")):
        headers = {"If-None-Exist": f"{before}identifier={MRN}|{clinic.name}?x"}
        answer = await client.post("Patient", json=body, headers=headers)
        assert answer.status_code == (200 if number else 201), before
    assert await _total(client, f"{clinic.name}?x") == 1


async def test_patch(client: Any, clinic: Clinic) -> None:
    refused(await client.patch(by(clinic.name), json=ACTIVATE, headers=JSON_PATCH), 404)
    made = (await client.post("Patient", json=patient(clinic.name))).json()
    answer = await client.patch(by(clinic.name), json=ACTIVATE, headers=JSON_PATCH)
    assert (answer.status_code, answer.headers["ETag"]) == (200, 'W/"2"')
    assert answer.json() == (await client.get(f"Patient/{made['id']}")).json()
    assert answer.json()["active"] is True
    bad = [{"op": "replace", "path": "/id", "value": "x"}]
    refused(await client.patch(by(clinic.name), json=bad, headers=JSON_PATCH), 400)
    minimal = await client.patch(by(clinic.name), json=ACTIVATE, headers={**JSON_PATCH, "Prefer": "return=minimal"})
    assert (minimal.status_code, minimal.content, minimal.headers["ETag"]) == (200, b"", 'W/"2"')


async def test_delete(client: Any, clinic: Clinic) -> None:
    assert (await client.delete(by(clinic.name))).status_code == 204
    made = (await client.post("Patient", json=patient(clinic.name))).json()
    answer = await client.delete(by(clinic.name))
    assert (answer.status_code, answer.content, answer.headers["ETag"]) == (204, b"", 'W/"2"')
    refused(await client.get(f"Patient/{made['id']}"), 410)
    assert (await client.delete(by(clinic.name))).status_code == 204


async def test_the_content_is_checked_first(client: Any, clinic: Clinic) -> None:
    refused(await client.put(by(clinic.name), json=patient(clinic.name, gender="odd")), 400)
    refused(await client.put(by(clinic.name), json={"resourceType": "Practitioner"}), 400)
    tag = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
    part = patient(clinic.name, meta={"tag": [tag]}, id=clinic.id("part"))
    for answer in (
        await client.put(by(clinic.name), json=part),
        await client.post("Patient", json=part),
        await client.put(f"Patient/{clinic.id('part')}", json=part),
        await client.post("Patient", json=part, headers={"If-None-Exist": "identifier=x"}),
    ):
        assert expressions(refused(answer, 422)) == ["Patient.meta.tag"]
    assert await _total(client, clinic.name) == 0
    url = await clinic.patient()
    tagged = [{"op": "add", "path": "/meta/tag", "value": [tag]}]
    refused(await client.patch(url, json=tagged, headers=JSON_PATCH), 422)


async def test_criteria_by_chains_and_references(client: Any, clinic: Clinic) -> None:
    url = await clinic.patient()
    made = (await client.put(by(clinic.name), json=patient(clinic.name, active=True))).json()
    flag = {"resourceType": "Flag", "status": "active", "code": {"text": "x"},
            "subject": {"reference": f"Patient/{made['id']}"}}  # fmt: skip
    criteria = f"Flag?subject:Patient.identifier={MRN}|{clinic.name}"
    first = await client.put(criteria, json=flag)
    again = await client.put(criteria, json={**flag, "status": "inactive"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    assert (await client.delete(f"Patient?_has:Flag:subject:_id={first.json()['id']}")).status_code == 204
    refused(await client.get(f"Patient/{made['id']}"), 410)
    assert (await client.get(url)).status_code == 200


async def test_twenty_conditional_updates_create_one(client: Any, clinic: Clinic) -> None:
    bodies = [patient(clinic.name, language=f"de-{number}") for number in range(20)]
    answers = await asyncio.gather(*(client.put(by(clinic.name), json=one) for one in bodies))
    assert sorted(one.status_code for one in answers) == [200] * 19 + [201]
    assert len({one.json()["id"] for one in answers}) == 1
    assert sorted(one.headers["ETag"] for one in answers) == sorted(f'W/"{number}"' for number in range(1, 21))
    assert await _total(client, clinic.name) == 1


async def test_bookings_by_criteria_obey_the_engine(client: Any) -> None:
    clinic = await Visits(client).opened()
    identifier = [{"system": MRN, "value": clinic.id("a")}]
    url = f"Appointment?identifier={MRN}|{clinic.id('a')}"
    wanted = clinic.appointment(identifier=identifier)
    assert (await client.put(url, json=wanted)).status_code == 201
    assert "09:00" not in await clinic.free()
    other = clinic.appointment(patient="other", identifier=[{"system": MRN, "value": clinic.id("b")}])
    refused(await client.put(f"Appointment?identifier={MRN}|{clinic.id('b')}", json=other), 409, "slot-taken")
    moved = {**wanted, "start": clinic.at("10:00"), "end": clinic.at("10:30")}
    assert (await client.put(url, json=moved)).status_code == 200
    free = await clinic.free()
    assert "09:00" in free
    assert "10:00" not in free
    cancel = [{"op": "replace", "path": "/status", "value": "cancelled"}]
    assert (await client.patch(url, json=cancel, headers=JSON_PATCH)).status_code == 200
    assert "10:00" in await clinic.free()
    again = {**wanted, "identifier": [{"system": MRN, "value": clinic.id("c")}]}
    assert (await client.put(f"Appointment?identifier={MRN}|{clinic.id('c')}", json=again)).status_code == 201
    assert (await client.delete(f"Appointment?identifier={MRN}|{clinic.id('c')}")).status_code == 204
    assert "09:00" in await clinic.free()


async def test_a_schedule_by_criteria_is_bookable_at_once(client: Any) -> None:
    clinic = await Visits(client).opened()
    schedule = await clinic.read(f"Schedule/{clinic.id('s')}")
    assert "09:00" in await clinic.free()
    closed = {**schedule, "active": False}
    criteria = f"Schedule?actor=Practitioner/{clinic.id('doc')}"
    assert (await client.put(criteria, json=closed)).status_code == 200
    assert await clinic.free() == {}
    assert (await client.put(criteria, json=schedule)).status_code == 200
    assert "09:00" in await clinic.free()

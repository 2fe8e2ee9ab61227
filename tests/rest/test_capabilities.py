"""``capabilities``: what is claimed is answered, what is not claimed is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders.answers import refused
from tests.builders.clinic import Clinic

VALUES = {"token": "x", "string": "x", "reference": "1", "date": "2026", "quantity": "5", "number": "5", "uri": "urn:x"}
TYPES = [
    "Appointment", "AppointmentResponse", "Consent", "Coverage", "Device", "Encounter", "Flag", "Group",
    "HealthcareService",
    "Location", "Organization", "Patient", "Practitioner", "PractitionerRole", "RelatedPerson", "Schedule",
    "ServiceRequest", "Slot",
]  # fmt: skip


@pytest.fixture
async def statement(client: Any) -> dict[str, Any]:
    answer = await client.get("metadata")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def _of(statement: dict[str, Any], type_: str) -> dict[str, Any]:
    found = [one for one in statement["rest"][0]["resource"] if one["type"] == type_]
    assert len(found) == 1
    return dict(found[0])


def test_what_it_says_of_itself(statement: dict[str, Any]) -> None:
    assert (statement["resourceType"], statement["fhirVersion"], statement["kind"]) == (
        "CapabilityStatement",
        "4.0.1",
        "instance",
    )
    assert statement["implementation"]["url"] == "http://fhir.test/fhir"
    assert "application/fhir+json" in statement["format"]
    assert "application/json-patch+json" in statement["patchFormat"]
    assert [one["type"] for one in statement["rest"][0]["resource"]] == TYPES


async def test_its_tag(client: Any) -> None:
    tag = (await client.get("metadata")).headers["ETag"]
    answer = await client.get("metadata", headers={"If-None-Match": tag})
    assert (answer.status_code, answer.content) == (304, b"")
    assert (await client.get("metadata", headers={"If-None-Match": 'W/"other"'})).status_code == 200
    refused(await client.get("metadata?mode=terminology"), 400)


@pytest.mark.parametrize("type_", TYPES)
async def test_every_search_parameter_and_include_that_is_claimed_works(
    client: Any, statement: dict[str, Any], type_: str
) -> None:
    claimed = _of(statement, type_)
    strict = {"Prefer": "handling=strict"}
    for one in claimed["searchParam"]:
        value = "0|0|1|km" if one["type"] == "special" else VALUES[one["type"]]
        answer = await client.get(type_, params={one["name"]: value, "_count": "1"}, headers=strict)
        assert answer.status_code == 200, (one, answer.text)
    for name, includes in (("_include", "searchInclude"), ("_revinclude", "searchRevInclude")):
        for one in claimed.get(includes, ()):
            answer = await client.get(type_, params={name: one, "_id": "none"}, headers=strict)
            assert answer.status_code == 200, (one, answer.text)


def _smallest(type_: str, clinic: Clinic) -> dict[str, Any]:
    """A resource of a type with as little as FHIR asks."""
    patient, text = {"reference": "Patient/1"}, {"text": "x"}
    time = {"start": "2020-01-01T00:00:00Z", "end": "2020-01-01T01:00:00Z"}
    concept = {"coding": [{"code": "x"}]}
    needed: dict[str, dict[str, Any]] = {
        "Appointment": {"status": "proposed", "participant": [{"actor": patient, "status": "accepted"}]},
        "AppointmentResponse": {"appointment": {"reference": "Appointment/1"}, "actor": patient,
                                "participantStatus": "accepted"},
        "Consent": {"status": "active", "scope": concept, "category": [concept], "policyRule": concept},
        "Coverage": {"status": "active", "beneficiary": patient, "payor": [patient]},
        "Encounter": {"status": "planned", "class": {"code": "AMB"}},
        "Group": {"type": "person", "actual": True},
        "Flag": {"status": "active", "code": text, "subject": patient},
        "Organization": {"name": "x"},
        "RelatedPerson": {"patient": patient},
        "Schedule": {"actor": [{"reference": "Location/1"}]},
        "ServiceRequest": {"status": "active", "intent": "order", "subject": patient},
        "Slot": {"schedule": {"reference": "Schedule/1"}, "status": "free", **time},
    }  # fmt: skip
    return {"resourceType": type_, "id": clinic.id("one"), **needed.get(type_, {})}


@pytest.mark.parametrize("type_", TYPES)
async def test_every_interaction_that_is_claimed_works(client: Any, statement: dict[str, Any], type_: str) -> None:
    claimed = _of(statement, type_)
    assert {one["code"] for one in claimed["interaction"]} == {
        "read", "vread", "update", "patch", "delete", "history-instance", "create", "search-type",
    }  # fmt: skip
    assert (claimed["updateCreate"], claimed["conditionalCreate"], claimed["readHistory"]) == (True, True, True)
    assert (claimed["conditionalUpdate"], claimed["conditionalDelete"]) == (False, "not-supported")
    body = _smallest(type_, Clinic(client))
    url = f"{type_}/{body['id']}"
    patch = {"Content-Type": "application/json-patch+json"}
    change = [{"op": "add", "path": "/language", "value": "de"}]
    answers = [
        await client.post(type_, json=body),
        await client.put(url, json=body),
        await client.get(url),
        await client.get(f"{url}/_history/1"),
        await client.patch(url, json=change, headers=patch),
        await client.get(f"{url}/_history"),
        await client.get(type_, params={"_id": body["id"]}),
        await client.delete(url),
    ]
    assert [one.status_code for one in answers] == [201, 201, 200, 200, 200, 200, 200, 204], [
        one.text for one in answers
    ]


async def test_every_operation_that_is_claimed_is_there(client: Any, statement: dict[str, Any]) -> None:
    claimed = {type_: {one["name"] for one in _of(statement, type_).get("operation", ())} for type_ in TYPES}
    assert {type_ for type_, names in claimed.items() if names} == {"Appointment"}
    assert claimed["Appointment"] == {"find", "hold", "extend-hold", "release", "book", "cancel", "reschedule"}
    for name in claimed["Appointment"]:
        level = "" if name in {"find", "hold", "book"} else "/none"
        answer = await client.post(f"Appointment{level}/${name}", json={"resourceType": "Parameters"})
        refused(answer, answer.status_code)
        assert answer.status_code in {400, 404}
        assert "no operation" not in answer.text
        if name != "find":
            refused(await client.get(f"Appointment{level}/${name}"), 405)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "Observation"), ("POST", "Observation"), ("GET", "Patient/$everything"), ("POST", "Slot/$hold"),
        ("GET", "Appointment/1/$find"), ("POST", "Appointment/$cancel"), ("GET", "_history"), ("POST", "_search"),
        ("GET", "Patient/1/Appointment"), ("GET", "Patient/1/*"), ("GET", "$export"), ("POST", "$validate"),
    ],
)  # fmt: skip
async def test_what_is_not_claimed_is_not_there(client: Any, method: str, path: str) -> None:
    refused(await client.request(method, path), 404)


@pytest.mark.parametrize(("method", "path"), [("GET", "Patient/_history"), ("PUT", "Patient?name=x"),
                                              ("DELETE", "Patient?name=x"), ("PATCH", "Patient?name=x")])  # fmt: skip
async def test_conditional_writes_and_type_histories_are_not_offered(client: Any, method: str, path: str) -> None:
    answer = await client.request(method, path, json={})
    refused(answer, answer.status_code)
    assert answer.status_code in {404, 405}


@pytest.mark.parametrize("query", ["_summary=true", "_elements=id", "_contained=true", "_list=1", "_content=x"])
async def test_result_parameters_that_are_not_offered_are_refused(client: Any, query: str) -> None:
    refused(await client.get(f"Patient?{query}", headers={"Prefer": "handling=strict"}), 400)

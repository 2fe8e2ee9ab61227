"""``$validate`` tells every fault and writes nothing; profiles are held where ``meta.profile`` names them."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from fhir_server.fhir.types import CONFORMANCE_TYPES, RESOURCE_TYPES
from fhir_server.settings import CANONICAL
from tests.builders.answers import expressions, outcome_of, refused
from tests.builders.clinic import policy
from tests.builders.visits import Visits

OWN = f"{CANONICAL}StructureDefinition/"
SERVICE = f"{OWN}scheduling-healthcare-service"
GOOD = {"resourceType": "Patient", "name": [{"family": "Adams"}]}
BROKEN = {
    "resourceType": "Appointment", "status": "maybe", "start": "2026-13-40T09:00:00Z", "colour": "red",
}  # fmt: skip


def body(resource: dict[str, Any] | None = None, mode: str = "", profile: str = "") -> dict[str, Any]:
    found: list[dict[str, Any]] = []
    if resource is not None:
        found.append({"name": "resource", "resource": resource})
    if mode:
        found.append({"name": "mode", "valueCode": mode})
    if profile:
        found.append({"name": "profile", "valueUri": profile})
    return {"resourceType": "Parameters", "parameter": found} if found else {"resourceType": "Parameters"}


async def checked(client: Any, path: str, sent: dict[str, Any] | None = None) -> dict[str, Any]:
    """The outcome, which comes with 200 whatever it says."""
    answer = await (client.post(path, json=sent) if sent is not None else client.get(path))
    assert answer.status_code == 200, answer.text
    return outcome_of(answer)


def errors(outcome: dict[str, Any]) -> list[str]:
    return [one["expression"][0] for one in outcome["issue"] if one["severity"] == "error"]


async def count(client: Any, type_: str, **criteria: str) -> int:
    return int((await client.get(type_, params={**criteria, "_summary": "count"})).json()["total"])


async def test_a_valid_resource_has_no_fault_and_is_not_stored(client: Any) -> None:
    family = f"Nobody{uuid.uuid4().hex[:20]}"
    patient = {"resourceType": "Patient", "id": f"p-{uuid.uuid4()}", "name": [{"family": family}]}
    for sent in (patient, body(patient), body(patient, "create"), body(patient, "profile")):
        outcome = await checked(client, "Patient/$validate", sent)
        assert [one["severity"] for one in outcome["issue"]] == ["information"]
    assert await count(client, "Patient", family=family) == 0
    refused(await client.get(f"Patient/{patient['id']}"), 404)


async def test_every_fault_is_told_with_its_place(client: Any) -> None:
    for sent in (BROKEN, body(BROKEN)):
        found = errors(await checked(client, "Appointment/$validate", sent))
        assert {"Appointment.colour", "Appointment.status", "Appointment.start", "Appointment.participant"} <= set(
            found
        )
    outcome = await checked(client, "Appointment/$validate", {"resourceType": "Slot", "status": "free"})
    assert errors(outcome) == ["resourceType"]


@pytest.mark.parametrize("type_", RESOURCE_TYPES)
async def test_every_held_type_is_validated(client: Any, type_: str) -> None:
    outcome = await checked(client, f"{type_}/$validate", {"resourceType": type_, "id": "a b"})
    assert f"{type_}.id" in errors(outcome)


@pytest.mark.parametrize("type_", CONFORMANCE_TYPES)
async def test_conformance_types_are_not(client: Any, type_: str) -> None:
    refused(await client.post(f"{type_}/$validate", json={"resourceType": type_}), 404)


async def test_rules_of_extensions_and_invariants_are_told_together(client: Any) -> None:
    appointment = {
        "resourceType": "Appointment", "status": "booked",
        "participant": [{"status": "accepted"}],
        "extension": [{"url": f"{OWN}modality", "valueCode": "pigeon"}],
    }  # fmt: skip
    found = errors(await checked(client, "Appointment/$validate", appointment))
    assert {"Appointment.extension[0].valueCode", "Appointment.participant[0]"} <= set(found)


async def test_a_profile_that_is_asked_for(client: Any) -> None:
    service = {"resourceType": "HealthcareService"}
    assert errors(await checked(client, "HealthcareService/$validate", service)) == []
    outcome = await checked(client, "HealthcareService/$validate", body(service, profile=SERVICE))
    assert errors(outcome) == ["HealthcareService.name"]
    assert outcome["issue"][0]["code"] == "business-rule"
    query = f"HealthcareService/$validate?profile={SERVICE}&mode=create"
    assert errors(await checked(client, query, service)) == ["HealthcareService.name"]
    named = {**service, "name": "Visit"}
    assert errors(await checked(client, query, named)) == []


async def test_an_unknown_profile_is_warned_about(client: Any) -> None:
    claimed = {**GOOD, "meta": {"profile": ["urn:theirs", "http://hl7.org/fhir/StructureDefinition/Patient"]}}
    outcome = await checked(client, "Patient/$validate", body(claimed, profile="urn:other|1"))
    warned = [one for one in outcome["issue"] if one["severity"] == "warning"]
    assert {one["expression"][0] for one in warned} == {"profile", "Patient.meta.profile"}
    assert errors(outcome) == []
    assert outcome["issue"][-1]["severity"] == "information"


@pytest.mark.parametrize(
    "sent",
    [
        {"resourceType": "Parameters"}, body(mode="create"), body(GOOD, "update"), body(GOOD, "delete"),
        body(GOOD, "erase"), {**body(), "parameter": [*body(GOOD)["parameter"], {"name": "colour", "valueCode": "x"}]},
        {"resourceType": "Parameters", "parameter": [{"name": "resource", "valueString": "x"}]},
        {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": {"name": "x"}}]},
        [GOOD], {"name": "x"},
    ],
)  # fmt: skip
async def test_a_request_that_cannot_be_carried_out(client: Any, sent: Any) -> None:
    refused(await client.post("Patient/$validate", json=sent), 400)


async def test_json_that_cannot_be_read(client: Any) -> None:
    for raw in (b"", b"{", b'{"resourceType":"Patient","active":true,"active":false}'):
        refused(await client.post("Patient/$validate", content=raw), 400)


async def test_an_instance(client: Any) -> None:
    visits = await Visits(client).opened()
    id_, url = visits.id("pat"), f"Patient/{visits.id('pat')}/$validate"
    assert errors(await checked(client, url)) == []
    assert errors(await checked(client, url, body(profile=SERVICE))) == ["Patient.meta.profile"]
    assert errors(await checked(client, url, body({**GOOD, "id": id_}, "update"))) == []
    assert errors(await checked(client, url, body({**GOOD, "id": "x"}, "update"))) == ["Patient.id"]
    assert errors(await checked(client, url, body(GOOD, "update"))) == ["Patient.id"]
    refused(await client.post(url, json=body(mode="update")), 400)
    refused(await client.get("Patient/none/$validate"), 404)
    assert (await client.get(f"Patient/{id_}")).headers["ETag"] == 'W/"1"'


async def test_may_it_be_deleted(client: Any) -> None:
    visits = await Visits(client).opened(policy(cancelCutoff=60 * 24 * 300))
    appointment = await visits.booked()
    slot = appointment["slot"][0]["reference"]
    outcome = await checked(client, f"{slot}/$validate", body(mode="delete"))
    assert (outcome["issue"][0]["code"], len(outcome["issue"])) == ("conflict", 1)
    outcome = await checked(client, f"Appointment/{appointment['id']}/$validate", body(mode="delete"))
    assert outcome["issue"][0]["details"]["coding"][0]["code"] == "cutoff-passed"
    outcome = await checked(client, "Patient/none/$validate", body(mode="delete"))
    assert (outcome["issue"][0]["severity"], outcome["issue"][0]["code"]) == ("error", "not-found")
    url = f"Patient/{visits.id('other')}"
    assert errors(await checked(client, f"{url}/$validate", body(mode="delete"))) == []
    assert (await client.get(url)).status_code == 200
    assert (await client.delete(url)).status_code == 204
    outcome = await checked(client, f"{url}/$validate", body(mode="delete"))
    assert outcome["issue"][0]["code"] == "deleted"
    refused(await client.get(f"{url}/$validate"), 410)


async def test_a_write_that_claims_a_profile_of_ours_must_follow_it(client: Any) -> None:
    id_ = f"s-{uuid.uuid4()}"
    service = {"resourceType": "HealthcareService", "id": id_, "meta": {"profile": [SERVICE]}}
    for answer in (
        await client.post("HealthcareService", json=service),
        await client.put(f"HealthcareService/{id_}", json=service),
    ):
        assert expressions(refused(answer, 422)) == ["HealthcareService.name"]
    named = {**service, "name": "Visit"}
    assert (await client.put(f"HealthcareService/{id_}", json=named)).status_code == 201
    patch = {"Content-Type": "application/json-patch+json"}
    answer = await client.patch(f"HealthcareService/{id_}", json=[{"op": "remove", "path": "/name"}], headers=patch)
    assert expressions(refused(answer, 422)) == ["HealthcareService.name"]
    theirs = {**service, "meta": {"profile": ["urn:theirs"]}}
    assert (await client.put(f"HealthcareService/{id_}", json=theirs)).status_code == 200

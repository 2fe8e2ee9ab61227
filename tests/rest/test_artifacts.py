"""The server's own artifacts are read and searched over HTTP, and never written."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.fhir.types import CONFORMANCE_TYPES
from fhir_server.services.world import World
from fhir_server.settings import CANONICAL
from tests.builders.answers import expressions, outcome_in, refused

STRICT = {"Prefer": "handling=strict"}
PROFILE = f"{CANONICAL}StructureDefinition/scheduling-appointment"


def ids(bundle: dict[str, Any]) -> list[str]:
    return [one["resource"]["id"] for one in bundle.get("entry", ()) if one["search"]["mode"] == "match"]


async def found(client: Any, type_: str, **parameters: str) -> list[str]:
    answer = await client.get(type_, params={"_count": "1000", **parameters}, headers=STRICT)
    assert answer.status_code == 200, answer.text
    bundle: dict[str, Any] = answer.json()
    assert bundle["total"] == len(ids(bundle))
    return ids(bundle)


@pytest.mark.parametrize("type_", CONFORMANCE_TYPES)
async def test_every_artifact_is_read_as_it_is_found(client: Any, world: World, type_: str) -> None:
    answer = await client.get(type_, params={"_count": "1000"})
    bundle = answer.json()
    assert bundle["total"] == len(bundle["entry"]) > 0
    assert ids(bundle) == sorted(set(ids(bundle)))
    for entry in bundle["entry"]:
        resource = entry["resource"]
        assert entry["fullUrl"] == f"http://fhir.test/fhir/{type_}/{resource['id']}"
        assert world.validator.issues(resource, type_) == []
        assert resource["url"]
        assert resource["status"] == "active"
    last = bundle["entry"][-1]["resource"]
    read = await client.get(f"{type_}/{last['id']}")
    assert (read.status_code, read.json()) == (200, last)
    assert read.headers["ETag"] == f'W/"{last["meta"]["versionId"]}"'


@pytest.mark.parametrize("name", ["If-None-Match", "If-Modified-Since"])
async def test_an_artifact_that_the_client_has_is_not_sent_again(client: Any, name: str) -> None:
    url = "StructureDefinition/held-until"
    first = await client.get(url)
    known = first.headers["ETag" if name == "If-None-Match" else "Last-Modified"]
    again = await client.get(url, headers={name: known})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    other = 'W/"another"' if name == "If-None-Match" else "Thu, 01 Jan 2015 00:00:00 GMT"
    assert (await client.get(url, headers={name: other})).status_code == 200
    assert (await client.get(url, headers={name: "x"})).status_code == 200
    head = await client.head(url)
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize(
    ("type_", "parameters", "expected"),
    [
        ("StructureDefinition", {"url": PROFILE}, ["scheduling-appointment"]),
        ("StructureDefinition", {"type": "Appointment"}, ["scheduling-appointment"]),
        ("StructureDefinition", {"base": "http://hl7.org/fhir/StructureDefinition/Slot"}, ["scheduling-slot"]),
        ("StructureDefinition", {"name": "SchedulingS"}, ["scheduling-schedule", "scheduling-slot"]),
        ("StructureDefinition", {"name:exact": "HeldUntil"}, ["held-until"]),
        ("StructureDefinition", {"path": "HealthcareService.name"}, ["scheduling-healthcare-service"]),
        ("StructureDefinition", {"kind": "resource", "title:contains": "slot"}, ["scheduling-slot"]),
        ("StructureDefinition", {"derivation": "constraint", "_id": "modality,none"}, ["modality"]),
        ("StructureDefinition", {"status": "draft"}, []),
        ("StructureDefinition", {"date": "lt2020"}, []),
        ("StructureDefinition", {"ext-context:missing": "true", "kind:not": "logical", "_id": "scheduling-slot"},
         ["scheduling-slot"]),
        ("OperationDefinition", {"code": "extend-hold"}, ["Appointment-extend-hold"]),
        ("OperationDefinition", {"code": "find,hold", "instance": "true"}, ["Appointment-hold"]),
        ("SearchParameter", {"base": "Slot", "code": "schedule"}, ["Slot-schedule"]),
        ("SearchParameter", {"url": "http://hl7.org/fhir/SearchParameter/conformance-url"}, ["conformance-url"]),
        ("SearchParameter", {"target": "Schedule", "base": "Slot", "type": "reference"}, ["Slot-schedule"]),
        ("CodeSystem", {"system": "http://hl7.org/fhir/slotstatus"}, ["slotstatus"]),
        ("CodeSystem", {"code": "poor-signal,hold-foreign"}, ["scheduling-issue"]),
        ("CodeSystem", {"content-mode": "fragment", "title": "Service"}, ["service-category", "service-type"]),
        ("ValueSet", {"reference": "http://hl7.org/fhir/slotstatus"}, ["slotstatus"]),
        ("ConceptMap", {"source-code": "waitlist-move"}, ["cancellation-reason"]),
        ("ConceptMap", {"target": "http://hl7.org/fhir/ValueSet/slotstatus"}, ["appointment-status-to-slot-status"]),
        ("ConceptMap", {"target-system": "http://hl7.org/fhir/issue-type"}, ["scheduling-issue-to-issue-type"]),
        ("CapabilityStatement", {"resource": "Slot", "supported-profile": PROFILE}, ["fhir-scheduling-server"]),
        ("CapabilityStatement", {"resource": "Observation"}, []),
    ],
)  # fmt: skip
async def test_searches(client: Any, type_: str, parameters: dict[str, str], expected: list[str]) -> None:
    assert await found(client, type_, **parameters) == expected
    posted = await client.post(
        f"{type_}/_search", data=parameters, headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert ids(posted.json()) == expected


async def test_pages_follow_each_other_in_the_order_asked_for(client: Any) -> None:
    url, seen, total = "StructureDefinition?type=Extension&_count=5&_sort=-title", [], -1
    while url:
        bundle = (await client.get(url)).json()
        assert 0 < len(bundle["entry"]) <= 5
        seen += [one["resource"]["title"].lower() for one in bundle["entry"]]
        total = bundle["total"]
        links = {one["relation"]: one["url"] for one in bundle["link"]}
        assert "type=Extension&_count=5&_sort=-title" in links["self"]
        url = links.get("next", "")
    assert len(seen) == total > 10
    assert seen == sorted(seen, reverse=True)


async def test_counts_alone(client: Any) -> None:
    for control in ({"_count": "0"}, {"_summary": "count"}):
        bundle = (await client.get("ValueSet", params={"url": f"{CANONICAL}ValueSet/modality", **control})).json()
        assert (bundle["total"], "entry" in bundle) == (1, False)


async def test_sorting_puts_what_has_no_value_last(client: Any) -> None:
    for sort in ("valueset", "-valueset", "_lastUpdated", "-_id"):
        answer = await client.get("StructureDefinition", params={"_sort": sort, "_count": "1000"}, headers=STRICT)
        assert answer.status_code == 200, answer.text
    order = await client.get("SearchParameter", params={"base": "Slot", "_sort": "-target", "_count": "1000"})
    with_target = ["target" in one["resource"] for one in order.json()["entry"]]
    assert with_target == sorted(with_target, reverse=True)
    assert len(set(with_target)) == 2


async def test_unknown_parameters_are_warned_about_or_refused(client: Any) -> None:
    lenient = (await client.get("ValueSet?flavour=sweet&name=Modality")).json()
    outcome = outcome_in(lenient)
    assert outcome
    assert expressions(outcome) == ["flavour"]
    assert "flavour" not in lenient["link"][0]["url"]
    refused(await client.get("ValueSet?flavour=sweet", headers=STRICT), 400)


@pytest.mark.parametrize(
    "query", ["_include=StructureDefinition:base", "base.name=x", "_page=x", "_page=-1", "date=never", "_elements=url"]
)
async def test_what_is_not_offered_is_refused(client: Any, query: str) -> None:
    refused(await client.get(f"StructureDefinition?{query}", headers=STRICT), 400)


async def test_a_shared_search_parameter_is_one_resource_with_several_bases(client: Any) -> None:
    shared = (await client.get("SearchParameter/individual-telecom")).json()
    assert {"Patient", "Practitioner", "RelatedPerson"} <= set(shared["base"])
    assert "Patient.telecom | Practitioner.telecom" in shared["expression"]


async def test_every_claim_of_the_statement_is_served_or_of_hl7(client: Any) -> None:
    software = (await client.get("CapabilityStatement/fhir-scheduling-server")).json()
    instance = (await client.get("metadata")).json()
    assert (software["kind"], "implementation" in software) == ("capability", False)
    assert instance["instantiates"] == [software["url"]]
    assert software["rest"] == instance["rest"]
    claimed: dict[str, set[str]] = {
        "StructureDefinition": set(),
        "SearchParameter": set(),
        "OperationDefinition": set(),
    }
    for one in instance["rest"][0]["resource"]:
        claimed["StructureDefinition"] |= {one["profile"], *one.get("supportedProfile", ())}
        claimed["SearchParameter"] |= {param["definition"] for param in one["searchParam"]}
        claimed["OperationDefinition"] |= {operation["definition"] for operation in one.get("operation", ())}
    for type_, urls in claimed.items():
        for url in sorted(urls):
            if type_ == "SearchParameter" or url.startswith(CANONICAL):
                assert len(await found(client, type_, url=url)) == 1, url
            else:
                known = ("http://hl7.org/fhir/", "http://hl7.org/fhir/uv/subscriptions-backport/",
                         "https://profiles.ihe.net/ITI/BALP/")  # fmt: skip
                assert url.startswith(tuple(f"{one}{type_}/" for one in known))


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "ValueSet"), ("PUT", "ValueSet/modality"), ("PATCH", "ValueSet/modality"),
     ("DELETE", "ValueSet/modality"), ("DELETE", "ValueSet?name=x"), ("POST", "ValueSet/modality")],
)  # fmt: skip
async def test_artifacts_are_not_written(client: Any, method: str, path: str) -> None:
    answer = await client.request(method, path, json={"resourceType": "ValueSet", "id": "modality", "status": "active"})
    refused(answer, 405)
    assert "GET" in answer.headers["Allow"]
    assert (await client.get("ValueSet/modality")).json()["compose"]


@pytest.mark.parametrize(
    "path", ["ValueSet/none", "ValueSet/_history", "ValueSet/modality/_history", "ValueSet/modality/_history/1",
             "CapabilityStatement/none", "ValueSet/a b"],
)  # fmt: skip
async def test_what_is_not_there_is_not_found(client: Any, path: str) -> None:
    refused(await client.get(path), 404)

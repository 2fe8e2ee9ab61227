"""The truth crawl: everything that ``/metadata`` claims is exercised, and what it does not claim is refused.

The requests are made from the document, so a claim without a feature fails here, and so does a feature that nobody
claims.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from fhir_server.fhir.types import CONFORMANCE_TYPES, RESOURCE_TYPES
from tests.builders.answers import refused
from tests.builders.clinic import parameters
from tests.builders.smallest import smallest

STRICT = {"Prefer": "handling=strict"}
NOTHING = {
    "token": "no-such-code", "string": "no-such-text", "reference": "no-such-id", "date": "1801-02-03",
    "quantity": "123456789", "number": "123456789", "uri": "urn:no-such", "special": "-89|179|1|km",
    "composite": "no-such-code$no-such-value",
}  # fmt: skip
"""By parameter type, a value that no resource of this test has."""

PATCHES: dict[str, Any] = {
    "application/json-patch+json": [{"op": "add", "path": "/language", "value": "de"}],
    "application/merge-patch+json": {"language": "fr"},
    "application/fhir+json": {
        "resourceType": "Parameters",
        "parameter": [
            {
                "name": "operation",
                "part": [
                    {"name": "type", "valueCode": "replace"},
                    {"name": "path", "valueString": "{type}.language"},
                    {"name": "value", "valueCode": "es"},
                ],
            }
        ],
    },
}
XML_PATCH = (
    '<Parameters xmlns="http://hl7.org/fhir"><parameter><name value="operation"/>'
    '<part><name value="type"/><valueCode value="delete"/></part>'
    '<part><name value="path"/><valueString value="{type}.language"/></part></parameter></Parameters>'
)
ALL_INTERACTIONS = frozenset(
    {"read", "vread", "update", "patch", "delete", "history-instance", "history-type", "create", "search-type"}
)


@pytest.fixture
async def statement(client: Any) -> dict[str, Any]:
    answer = await client.get("metadata")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def _of(statement: dict[str, Any], type_: str) -> dict[str, Any]:
    (found,) = [one for one in statement["rest"][0]["resource"] if one["type"] == type_]
    return dict(found)


def _patch(content_type: str, type_: str) -> bytes:
    if content_type == "application/fhir+xml":
        return XML_PATCH.replace("{type}", type_).encode()
    return json.dumps(PATCHES[content_type]).replace("{type}", type_).encode()


@pytest.mark.parametrize("type_", RESOURCE_TYPES)
async def test_interactions(client: Any, statement: dict[str, Any], type_: str) -> None:
    claimed = _of(statement, type_)
    codes = {one["code"] for one in claimed["interaction"]}
    assert codes == ALL_INTERACTIONS, "every interaction of R4 is offered for a held type"
    body = smallest(type_, str(uuid.uuid4()))
    url = f"{type_}/{body['id']}"
    asked = {
        "update": await client.put(url, json=body),
        "read": await client.get(url),
        "vread": await client.get(f"{url}/_history/1"),
        "history-instance": await client.get(f"{url}/_history"),
        "history-type": await client.get(f"{type_}/_history", params={"_count": "2"}),
        "create": await client.post(type_, json=body),
        "search-type": await client.get(type_, params={"_id": body["id"]}, headers=STRICT),
    }
    assert {name: one.status_code for name, one in asked.items()} == {
        name: 201 if name in {"update", "create"} else 200 for name in asked
    }, [one.text for one in asked.values()]
    assert (claimed["updateCreate"], claimed["readHistory"], claimed["versioning"]) == (True, True, "versioned")
    for version, content_type in enumerate(statement["patchFormat"], start=2):
        answer = await client.patch(url, content=_patch(content_type, type_), headers={"Content-Type": content_type})
        assert (answer.status_code, answer.headers.get("ETag")) == (200, f'W/"{version}"'), (content_type, answer.text)
    assert (await client.delete(url)).status_code == 204
    assert (await client.get(url)).status_code == 410


@pytest.mark.parametrize("type_", RESOURCE_TYPES)
async def test_conditional_modes(client: Any, statement: dict[str, Any], type_: str) -> None:
    claimed = _of(statement, type_)
    modes = ("conditionalCreate", "conditionalRead", "conditionalUpdate", "conditionalDelete")
    assert [claimed[one] for one in modes] == [True, "full-support", True, "single"]
    body, tag = smallest(type_, str(uuid.uuid4())), str(uuid.uuid4())
    del body["id"]
    body["meta"] = {"tag": [{"system": "urn:test", "code": tag}]}
    criteria = {"_tag": f"urn:test|{tag}"}
    condition = {"If-None-Exist": f"_tag=urn:test|{tag}"}
    made = await client.post(type_, json=body, headers=condition)
    again = await client.post(type_, json=body, headers=condition)
    assert (made.status_code, again.status_code) == (201, 200), made.text
    id_ = made.json()["id"]
    known = await client.get(f"{type_}/{id_}", headers={"If-None-Match": made.headers["ETag"]})
    aged = await client.get(f"{type_}/{id_}", headers={"If-Modified-Since": made.headers["Last-Modified"]})
    assert (known.status_code, aged.status_code) == (304, 304)
    changed = await client.put(type_, params=criteria, json={**body, "language": "de"})
    assert (changed.status_code, changed.json()["id"], changed.headers["ETag"]) == (200, id_, 'W/"2"'), changed.text
    change = [{"op": "replace", "path": "/language", "value": "fr"}]
    patched = await client.patch(
        type_, params=criteria, json=change, headers={"Content-Type": "application/json-patch+json"}
    )
    assert (patched.status_code, patched.headers["ETag"]) == (200, 'W/"3"'), patched.text
    assert (await client.delete(type_, params=criteria)).status_code == 204
    assert (await client.get(f"{type_}/{id_}")).status_code == 410


@pytest.mark.parametrize("type_", RESOURCE_TYPES)
async def test_search_parameters(client: Any, statement: dict[str, Any], type_: str) -> None:
    """Each one is understood, and it selects: what nothing has finds nothing, and ``:missing`` splits in two."""
    claimed = _of(statement, type_)
    assert len({one["name"] for one in claimed["searchParam"]}) == len(claimed["searchParam"]) >= 6
    body = smallest(type_, str(uuid.uuid4()))
    assert (await client.put(f"{type_}/{body['id']}", json=body)).status_code == 201
    for one in claimed["searchParam"]:
        name = one["name"]
        mine = {} if name == "_id" else {"_id": body["id"]}
        answer = await client.get(type_, params={**mine, name: NOTHING[one["type"]]}, headers=STRICT)
        assert answer.status_code == 200, (one, answer.text)
        found = answer.json()
        assert found["total"] == 0, one
        assert f"{name}=" in found["link"][0]["url"], "the parameter is in effect"
        split = []
        for missing in ("true", "false"):
            answer = await client.get(type_, params=[("_id", body["id"]), (f"{name}:missing", missing)], headers=STRICT)
            assert answer.status_code == 200, (one, answer.text)
            split.append(answer.json()["total"])
        assert sorted(split) == [0, 1], (one, split)


@pytest.mark.parametrize("type_", RESOURCE_TYPES)
async def test_includes(client: Any, statement: dict[str, Any], type_: str) -> None:
    claimed = _of(statement, type_)
    for name, includes in (("_include", "searchInclude"), ("_revinclude", "searchRevInclude")):
        for one in claimed.get(includes, ()):
            answer = await client.get(type_, params={name: one, "_id": "none"}, headers=STRICT)
            assert answer.status_code == 200, (one, answer.text)
    for name, value in (("_include", f"{type_}:no-such"), ("_revinclude", "Slot:no-such"), ("_include", "Nope:x")):
        refused(await client.get(type_, params={name: value, "_id": "none"}, headers=STRICT), 400)


async def test_the_system(client: Any, statement: dict[str, Any]) -> None:
    rest = statement["rest"][0]
    assert rest["compartment"] == ["http://hl7.org/fhir/CompartmentDefinition/patient"]
    assert {one["code"] for one in rest["interaction"]} == {
        "transaction", "batch", "search-system", "history-system",
    }  # fmt: skip
    for kind in ("batch", "transaction"):
        answer = await client.post("", json={"resourceType": "Bundle", "type": kind})
        assert (answer.status_code, answer.json()["type"]) == (200, f"{kind}-response"), answer.text
    assert (await client.get("_history", params={"_count": "1"})).status_code == 200
    id_ = str(uuid.uuid4())
    assert (await client.put(f"Device/{id_}", json=smallest("Device", id_))).status_code == 201
    for one in rest["searchParam"]:
        value = {"_id": id_, "_type": "Device,Patient"}.get(one["name"], NOTHING[one["type"]])
        given = {"_type": "Device,Patient", one["name"]: value}
        answer = await client.get("", params=given, headers=STRICT)
        assert answer.status_code == 200, (one, answer.text)
        assert (await client.post("_search", data=given, headers=FORM | STRICT)).status_code == 200
    answer = await client.get("", params={"_type": "Device,Patient", "_id": id_}, headers=STRICT)
    assert [one["resource"]["id"] for one in answer.json()["entry"]] == [id_]


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize("form", ["application/fhir+json", "application/fhir+xml"])
async def test_formats(client: Any, statement: dict[str, Any], form: str) -> None:
    assert set(statement["format"]) == {"application/fhir+json", "json", "application/fhir+xml", "xml"}
    for path in ("metadata", "Patient?_count=1", "Patient/no-such", "_history?_count=1"):
        answer = await client.get(path, headers={"Accept": form})
        assert answer.headers["content-type"] == f"{form}; charset=utf-8", (path, answer.text)
        mark = b"<" if form.endswith("xml") else b"{"
        assert answer.content.lstrip().startswith(mark)


async def test_every_operation(client: Any, statement: dict[str, Any]) -> None:
    """Each one that is claimed answers; its level is the one that is claimed."""
    patient, id_ = str(uuid.uuid4()), str(uuid.uuid4())
    assert (await client.put(f"Patient/{patient}", json=smallest("Patient", patient))).status_code == 201
    held = {"validate": 200, "meta": 200, "meta-add": 200, "meta-delete": 200}
    meta = parameters(meta=("Meta", {"tag": [{"system": "urn:test", "code": "x"}]}))
    for type_ in RESOURCE_TYPES:
        claimed = {one["name"]: one["definition"] for one in _of(statement, type_).get("operation", ())}
        assert held.keys() <= claimed.keys(), type_
        one = smallest(type_, f"{id_}-{type_}")
        assert (await client.put(f"{type_}/{one['id']}", json=one)).status_code == 201
        answers = [
            await client.post(f"{type_}/$validate", json=one),
            await client.post(f"{type_}/{one['id']}/$validate", json=one),
            await client.get(f"{type_}/{one['id']}/$meta"),
            await client.post(f"{type_}/{one['id']}/$meta-add", json=meta),
            await client.post(f"{type_}/{one['id']}/$meta-delete", json=meta),
        ]
        assert [answer.status_code for answer in answers] == [200] * 5, [type_, *(a.text for a in answers)]
        assert all(url.startswith("http") for url in claimed.values())
    patients = {one["name"] for one in _of(statement, "Patient")["operation"]} - held.keys()
    assert patients == {"everything", "match", "access-report", "break-glass"}
    assert (await client.get(f"Patient/{patient}/$everything")).status_code == 200
    # The access report is asked for by those who may: tests/audit/test_access_report.py.
    assert (await client.get(f"Patient/{patient}/$access-report")).status_code in {200, 403}
    # Only people break glass: tests/access/.
    body = {"resourceType": "Parameters", "parameter": [{"name": "reason", "valueString": "an emergency"}]}
    refused(await client.post(f"Patient/{patient}/$break-glass", json=body), 403)
    wanted = {"resourceType": "Patient", "name": [{"family": "Nobody"}], "birthDate": "1801-02-03"}
    body = {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": wanted}]}
    assert (await client.post("Patient/$match", json=body)).status_code == 200
    appointments = {one["name"] for one in _of(statement, "Appointment")["operation"]} - held.keys()
    asked_of_all = {"find", "waitlist", "offers", "no-show-report"}
    of_type = {*asked_of_all, "hold", "book", "join-waitlist"}
    of_one = {"extend-hold", "release", "cancel", "reschedule", "offer", "confirm", "checkin", "checkin-link", "noshow"}
    assert appointments == of_type | of_one | {"undo"}
    for name in appointments:
        level = "" if name in of_type else "/none"
        answer = await client.post(f"Appointment{level}/${name}", json={"resourceType": "Parameters"})
        assert answer.status_code in ({200, 400, 403} if name in asked_of_all else {400, 404})
        if answer.status_code != 200:
            refused(answer, answer.status_code)
        assert "no operation" not in answer.text
        if name not in asked_of_all:
            refused(await client.get(f"Appointment{level}/${name}"), 405)
    rest = {type_: one.get("operation") for type_ in RESOURCE_TYPES if (one := _of(statement, type_))}
    assert {type_ for type_, each in rest.items() if len(each or ()) > 4} == {"Appointment", "Patient", "Subscription"}
    asked = {one["name"] for one in _of(statement, "Subscription")["operation"]} - held.keys()
    assert asked == {"status", "events", "resend", "rotate-secret", "get-ws-binding-token"}
    for name in asked:
        refused(await client.post(f"Subscription/none/${name}", json={"resourceType": "Parameters"}), 404)


async def test_artifact_types(client: Any, statement: dict[str, Any]) -> None:
    """Conformance and terminology resources are read and searched, and nothing else."""
    for type_ in CONFORMANCE_TYPES:
        claimed = _of(statement, type_)
        assert {one["code"] for one in claimed["interaction"]} == {"read", "search-type"}, type_
        found = await client.get(type_, params={"_count": "1"})
        assert found.status_code == 200, found.text
        (entry,) = found.json()["entry"]
        read = await client.get(f"{type_}/{entry['resource']['id']}")
        assert (read.status_code, read.json()["id"]) == (200, entry["resource"]["id"])
        for one in claimed["searchParam"]:
            answer = await client.get(type_, params={one["name"]: NOTHING[one["type"]]}, headers=STRICT)
            assert (answer.status_code, answer.json().get("total")) == (200, 0), (type_, one, answer.text)
        body = entry["resource"]
        for answer in (
            await client.post(type_, json=body),
            await client.put(f"{type_}/{body['id']}", json=body),
            await client.delete(f"{type_}/{body['id']}"),
        ):
            assert answer.status_code == 405
            refused(answer, 405)
    claimed = {
        (type_, one["name"]) for type_ in CONFORMANCE_TYPES for one in _of(statement, type_).get("operation", ())
    }
    assert claimed == {
        ("CodeSystem", "lookup"), ("CodeSystem", "validate-code"), ("ValueSet", "expand"),
        ("ValueSet", "validate-code"), ("ConceptMap", "translate"),
    }  # fmt: skip
    for type_, name in claimed:
        answer = await client.get(f"{type_}/${name}")
        assert answer.status_code in {400, 404}, answer.text
        assert "no operation" not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "Observation", 404), ("POST", "Observation", 404), ("GET", "patient", 404),
        ("GET", "Patient/$everything", 404), ("POST", "Slot/$hold", 404), ("GET", "Appointment/1/$find", 404),
        ("POST", "Appointment/$cancel", 404), ("GET", "$export", 404), ("POST", "$validate", 404),
        ("GET", "Patient/$meta", 404), ("GET", "Slot/1/$everything", 404), ("GET", "Practitioner/1/Appointment", 404),
        ("GET", "Patient/1/Slot", 404), ("GET", "StructureDefinition/_history", 404), ("PUT", "_history", 405),
        ("DELETE", "Patient/1/_history", 405), ("PATCH", "metadata", 405), ("OPTIONS", "Patient/1", 405),
    ],
)  # fmt: skip
async def test_what_is_not_claimed_is_not_there(client: Any, method: str, path: str, status: int) -> None:
    refused(await client.request(method, path), status)


@pytest.mark.parametrize(
    "query", ["_contained=true", "_list=1", "_content=x", "_text=x", "_filter=name eq x", "_query=x", "bogus=1",
              "name:bogus=1", "birthdate:contains=1", "gender:exact=male"],
)  # fmt: skip
async def test_unclaimed_parameters_are_refused(client: Any, query: str) -> None:
    refused(await client.get(f"Patient?{query}", headers=STRICT), 400)


async def test_unclaimed_formats_are_refused(client: Any) -> None:
    refused(await client.get("Patient/1", headers={"Accept": "text/turtle"}), 406)
    refused(await client.get("Patient/1?_format=ttl"), 406)
    body = smallest("Patient", "1")
    refused(await client.post("Patient", json=body, headers={"Content-Type": "text/turtle"}), 415)
    refused(await client.patch("Patient/1", json=[], headers={"Content-Type": "application/xml-patch+xml"}), 415)


async def test_every_claimed_definition_is_served_or_of_hl7_or_ihe(client: Any, statement: dict[str, Any]) -> None:
    """A canonical URL of ours resolves by search here."""
    rest = statement["rest"][0]
    urls = {
        (kind, one["definition"])
        for described in rest["resource"]
        for kind, each in (("SearchParameter", "searchParam"), ("OperationDefinition", "operation"))
        for one in described.get(each, ())
    } | {("StructureDefinition", url) for one in rest["resource"] for url in one.get("supportedProfile", ())}
    foreign = ("http://hl7.org/fhir/", "https://profiles.ihe.net/")
    ours = {(kind, url) for kind, url in urls if not url.startswith(foreign)}
    assert len(ours) > 10
    for kind, url in ours:
        found = await client.get(kind, params={"url": url})
        assert (found.status_code, found.json()["total"]) == (200, 1), (kind, url)

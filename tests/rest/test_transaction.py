"""``transaction``: all or nothing, what is answered, what is refused. https://hl7.org/fhir/R4/http.html#transaction"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.builders.answers import expressions, refused
from tests.builders.bundles import create, entry, of, reference, send, sent, statuses, update, urn
from tests.builders.clinic import Clinic, parameters


@pytest.fixture
def clinic(client: Any) -> Clinic:
    return Clinic(client)


def patient(name: str = "", **more: Any) -> dict[str, Any]:
    named = {"identifier": [{"system": "urn:mrn", "value": name}]} if name else {}
    return {"resourceType": "Patient", **named, **more}


async def _count(client: Any, name: str, type_: str = "Patient") -> int:
    found = (await client.get(type_, params={"identifier": f"urn:mrn|{name}"})).json()
    return int(found["total"])


async def test_every_interaction_in_one(client: Any, clinic: Clinic) -> None:
    old, gone = await clinic.patient("old"), await clinic.patient("gone")
    new = patient(clinic.id("new"), id=clinic.id("new"))
    changed = {"resourceType": "Patient", "id": clinic.id("old"), "active": True}
    answered = await sent(
        client,
        entry("GET", f"Patient/{clinic.id('new')}"),
        entry("GET", f"Patient?identifier=urn:mrn|{clinic.id('made')}"),
        entry("HEAD", old),
        entry("GET", f"{old}/_history/1"),
        entry("GET", f"{old}/_history"),
        update(changed, ifMatch='W/"1"'),
        update(new, ifNoneMatch="*"),
        create(patient(clinic.id("made"))),
        entry("DELETE", gone, ifMatch='W/"1"'),
        entry("DELETE", f"Patient/{clinic.id('never')}"),
    )
    assert statuses(answered) == [200, 200, 200, 200, 200, 200, 201, 201, 204, 204]
    read, search, head, version, history, put, first, posted, deleted, never = answered
    assert read["resource"]["id"] == clinic.id("new")
    assert [one["resource"]["identifier"][0]["value"] for one in search["resource"]["entry"]] == [clinic.id("made")]
    assert "resource" not in head
    assert head["response"]["etag"] == 'W/"2"'
    assert version["resource"]["meta"]["versionId"] == "1"
    assert [one["resource"]["meta"]["versionId"] for one in history["resource"]["entry"]] == ["2", "1"]
    assert put["response"]["etag"] == 'W/"2"'
    assert put["response"]["lastModified"] == put["resource"]["meta"]["lastUpdated"]
    assert first["response"]["location"] == f"http://fhir.test/fhir/Patient/{clinic.id('new')}/_history/1"
    assert posted["response"]["location"].endswith(f"/Patient/{posted['resource']['id']}/_history/1")
    assert posted["response"]["status"] == "201 Created"
    assert deleted["response"] == {"status": "204 No Content", "etag": 'W/"2"'} | {
        name: value for name, value in deleted["response"].items() if name == "lastModified"
    }
    assert set(never["response"]) == {"status"}
    refused(await client.get(gone), 410)
    assert (await client.get(reference(posted))).json() == posted["resource"]
    assert (await client.get(old)).json() == put["resource"]


async def test_nothing_to_do_is_done(client: Any) -> None:
    for body in ({"resourceType": "Bundle", "type": "transaction"}, of("transaction", ()) | {"entry": []}):
        answer = await client.post("", json=body)
        assert (answer.status_code, answer.json()) == (200, {"resourceType": "Bundle", "type": "transaction-response"})


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(
    ("bad", "status", "expression"),
    [
        (create({"resourceType": "Patient", "gender": "odd"}), 400, ".resource.gender"),
        (create({"resourceType": "Patient", "bogus": 1}), 400, ".resource.bogus"),
        (create({"resourceType": "Appointment", "status": "booked", "participant": [
            {"actor": {"display": "x"}, "status": "accepted"}]}), 422, ".resource.start"),
        (update({"resourceType": "Patient", "id": "never-seen"}, ifMatch='W/"3"'), 412, ".resource"),
        (entry("PATCH", "Patient/never-seen", parameters()), 404, ".resource"),
        (entry("GET", "Patient/never-seen"), 404, ".resource"),
        (entry("PUT", "Patient/another", {"resourceType": "Patient", "id": "one"}), 400, ".resource.id"),
        (entry("POST", "Patient", {"resourceType": "Practitioner"}), 400, ".resource.resourceType"),
        (entry("POST", "Patient"), 400, ""),
        (create({"resourceType": "Patient", "meta": {"tag": [
            {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}]}}), 422,
         ".resource.meta.tag"),
    ],
    ids=["value", "element", "rule", "if-match", "patch", "read", "id", "type", "none", "part"],
)  # fmt: skip
async def test_one_refusal_refuses_all(
    client: Any, clinic: Clinic, bad: Any, status: int, expression: str, place: int
) -> None:
    entries = [create(patient(clinic.id("a"))), update(patient(clinic.id("b"), id=clinic.id("b")))]
    entries.insert(place, bad)
    outcome = refused(await send(client, *entries), status)
    assert all(one.startswith(f"Bundle.entry[{place}]") for one in expressions(outcome)), outcome
    assert expressions(outcome)[0].startswith(f"Bundle.entry[{place}]{expression}")
    assert await _count(client, clinic.id("a")) == 0
    refused(await client.get(f"Patient/{clinic.id('b')}"), 404)


async def test_the_faults_of_all_entries_are_named(client: Any) -> None:
    bad = {"resourceType": "Patient", "gender": "odd", "birthDate": "2026-13-01"}
    outcome = refused(await send(client, create(bad), create(patient()), create(bad)), 400)
    assert expressions(outcome) == [
        f"Bundle.entry[{place}].resource.{name}" for place in (0, 2) for name in ("gender", "birthDate")
    ]


ONE = {"resourceType": "Patient", "id": "one-and-the-same"}
GET = entry("GET", "Patient/x")["request"]


@pytest.mark.parametrize(
    "body",
    [
        {"resourceType": "Bundle", "entry": [create(patient())]},
        *(of(kind, [create(patient())]) for kind in ("collection", "searchset", "history", "transaction-response")),
        {"resourceType": "Patient"},
        of("transaction", [{"resource": patient()}]), of("transaction", [{}]), of("transaction", [5]),
        of("transaction", [{"request": GET, "bogus": 1}]), of("transaction", [{"request": {**GET, "bogus": 1}}]),
        of("transaction", [{"request": {"url": "Patient/x"}}]), of("transaction", [{"request": {"method": "GET"}}]),
        of("transaction", [{"request": {**GET, "method": "BREW"}}]),
        of("transaction", [{"request": {**GET, "method": "POST"}, "resource": None}]),
        of("transaction", [{"request": {**GET, "method": "POST"}, "resource": 5}]),
        of("transaction", [{"request": {**GET, "method": "POST", "url": "Patient"}, "resource": {}}]),
        {**of("transaction", ()), "entry": {}}, {**of("transaction", [create(patient())]), "bogus": 1},
        of("transaction", [update(ONE), update(ONE)]),
        of("transaction", [update(ONE), entry("DELETE", "Patient/one-and-the-same")]),
        of("transaction", [{**create(patient()), "fullUrl": "urn:uuid:1"}] * 2),
        of("transaction", [create(patient(), ifNoneExist="identifier=a|b")] * 2),
        *(of("transaction", [entry("GET", url)]) for url in (
            "https://elsewhere.example/fhir/Patient/1", "//elsewhere.example/Patient/1", "../Patient/1",
            "Patient/../../x", "Patient/%2e%2e/x", "file:///etc/passwd", "Patient/1#x", "Patient\\1",
        )),
        *(of("transaction", [entry("POST", url, {"resourceType": "Bundle", "type": "batch"})]) for url in (
            "", "/", "http://fhir.test/fhir", "http://fhir.test/fhir/")),
        of("transaction", [entry("POST", "Appointment/$book", parameters())]),
        of("transaction", [entry("GET", "Appointment/$find")]),
        of("transaction", [create(patient(), ifNoneExist="")]),
        of("transaction", [create(patient(), ifNoneExist="_sort=name")]),
        of("transaction", [create(patient(), ifNoneExist="identifer=x")]),
        of("transaction", [entry("DELETE", "Patient")]), of("transaction", [entry("DELETE", "Patient?_count=1")]),
        of("transaction", [update({**ONE}, ifMatch="abc")]), of("transaction", [update({**ONE}, ifNoneMatch='W/"1"')]),
    ],
)  # fmt: skip
async def test_what_is_no_transaction_is_400(client: Any, body: dict[str, Any]) -> None:
    outcome = refused(await client.post("", content=json.dumps(body).encode()), 400)
    assert all(one["diagnostics"] for one in outcome["issue"])
    refused(await client.get("Patient/one-and-the-same"), 404)


@pytest.mark.parametrize(("method", "url"), [("PUT", "metadata"), ("DELETE", "Patient/1/_history"), ("POST", "Slot/1")])
async def test_a_method_that_is_not_there_is_405(client: Any, method: str, url: str) -> None:
    refused(await send(client, entry(method, url, patient())), 405)


async def test_every_spelling_of_our_own_address(client: Any, clinic: Clinic) -> None:
    url = await clinic.patient()
    answered = await sent(
        client,
        *(entry("GET", f"{base}{url}") for base in ("", "/", "http://fhir.test/fhir/", "HTTP://FHIR.TEST/fhir/")),
    )
    assert {one["resource"]["id"] for one in answered} == {clinic.id("pat")}
    name = {"resourceType": "Patient", "id": clinic.id("n"), "name": [{"family": "Núñez Ölü"}]}
    found = await sent(client, update(name), entry("GET", f"Patient?_id={clinic.id('n')}&family=Núñez Ölü"))
    assert found[1]["resource"]["total"] == 1


@pytest.mark.parametrize(
    ("preference", "resource", "outcome"),
    [("minimal", False, False), ("representation", True, False), ("OperationOutcome", False, True), ("", True, False)],
)
async def test_prefer_return(client: Any, clinic: Clinic, preference: str, *, resource: bool, outcome: bool) -> None:
    url = await clinic.patient()
    headers = {"Prefer": f"return={preference}"} if preference else {}
    answered = await sent(client, create(patient()), update({"resourceType": "Patient", "id": clinic.id("x")}),
                          entry("GET", url), **headers)  # fmt: skip
    assert [("resource" in one, "outcome" in one["response"]) for one in answered] == [
        (resource, outcome), (resource, outcome), (True, False),
    ]  # fmt: skip
    assert all({"status", "etag", "lastModified"} <= set(one["response"]) for one in answered)


JSON_PATCH = [{"op": "test", "path": "/active", "value": False}, {"op": "replace", "path": "/active", "value": True}]


async def test_patches_of_every_format(client: Any, clinic: Clinic) -> None:
    names = [clinic.id(one) for one in ("a", "b", "c")]
    await sent(client, *(update({"resourceType": "Patient", "id": one, "active": False}) for one in names))

    def binary(kind: str, content: Any) -> dict[str, Any]:
        data = base64.b64encode(json.dumps(content).encode()).decode()
        return {"resourceType": "Binary", "contentType": kind, "data": data}

    operation = {"name": "operation", "part": [
        {"name": "type", "valueCode": "replace"}, {"name": "path", "valueString": "Patient.active"},
        {"name": "value", "valueBoolean": True}]}  # fmt: skip
    answered = await sent(
        client,
        entry("PATCH", f"Patient/{names[0]}", binary("application/json-patch+json", JSON_PATCH), ifMatch='W/"1"'),
        entry("PATCH", f"Patient/{names[1]}", binary("application/merge-patch+json", {"active": True})),
        entry("PATCH", f"Patient?_id={names[2]}", {"resourceType": "Parameters", "parameter": [operation]}),
    )
    assert statuses(answered) == [200] * 3
    assert [one["resource"]["active"] for one in answered] == [True] * 3
    again = binary("application/json-patch+json", JSON_PATCH)
    other = update({"resourceType": "Patient", "id": names[1], "gender": "male"})
    refused(await send(client, other, entry("PATCH", f"Patient/{names[0]}", again)), 422)
    refused(await send(client, other, entry("PATCH", f"Patient/{names[0]}", again, ifMatch='W/"1"')), 412)
    refused(await send(client, other, entry("PATCH", f"Patient/{names[0]}", binary("text/plain", "x"))), 415)
    refused(await send(client, other, entry("PATCH", f"Patient/{names[0]}", {**again, "data": "%"})), 400)
    refused(await send(client, other, entry("PATCH", f"Patient/{names[0]}", patient())), 400)
    refused(await send(client, other, entry("PATCH", f"Patient?_id={clinic.id('none')}", again)), 404)
    assert [(await client.get(f"Patient/{one}")).headers["ETag"] for one in names] == ['W/"2"'] * 3


async def test_no_change_is_no_version(client: Any, clinic: Clinic) -> None:
    url = await clinic.patient()
    current = (await client.get(url)).json()
    (answered,) = await sent(client, update(current))
    assert (answered["response"]["status"], answered["response"]["etag"]) == ("200 OK", 'W/"1"')


async def test_a_deleted_one_comes_back_with_its_versions(client: Any, clinic: Clinic) -> None:
    url = await clinic.patient()
    await client.delete(url)
    (answered,) = await sent(client, update({"resourceType": "Patient", "id": clinic.id("pat")}))
    assert (answered["response"]["status"], answered["response"]["etag"]) == ("201 Created", 'W/"3"')


async def test_limits(client: Any, world: Any) -> None:
    refused(await send(client, *[entry("GET", "Patient/1")] * (world.settings.bundle_limit + 1)), 413)
    refused(await client.post("", content=b" " * (world.settings.bundle_body_limit + 1)), 413)
    long = [{"text": "x" * 900_000}, {"text": "y" * 900_000}]
    large = {"resourceType": "Patient", "name": long}
    assert statuses(await sent(client, create(large), create(large))) == [201, 201]
    larger = {"resourceType": "Patient", "name": [*long, {"text": "z" * 900_000}]}
    outcome = refused(await send(client, create(patient()), create(larger)), 413)
    assert expressions(outcome) == ["Bundle.entry[1].resource"]


async def test_one_key_has_one_effect_and_one_answer(client: Any, clinic: Clinic) -> None:
    key = {"Idempotency_Key": clinic.id("key")}
    entries = [
        create(patient(clinic.id("once")), urn()),
        entry("GET", f"Patient?identifier=urn:mrn|{clinic.id('once')}"),
    ]
    first, again = [await send(client, *entries, **key) for _ in range(2)]
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.content == first.content
    assert again.headers["Idempotent-Replayed"] == "true"
    assert await _count(client, clinic.id("once")) == 1
    refused(await send(client, create(patient()), **key), 422, "idempotency-mismatch")


async def test_a_bundle_in_xml(client: Any, clinic: Clinic) -> None:
    body = f"""<Bundle xmlns="http://hl7.org/fhir"><type value="transaction"/>
      <entry><fullUrl value="urn:uuid:6f1d3f1e-0c1c-4a2e-9d07-0c6f0b0d6a11"/>
        <resource><Patient><identifier><system value="urn:mrn"/><value value="{clinic.id("x")}"/></identifier></Patient>
        </resource><request><method value="POST"/><url value="Patient"/></request></entry>
      <entry><resource><Flag><status value="active"/><code><text value="x"/></code>
        <subject><reference value="urn:uuid:6f1d3f1e-0c1c-4a2e-9d07-0c6f0b0d6a11"/></subject></Flag></resource>
        <request><method value="POST"/><url value="Flag"/></request></entry></Bundle>"""
    xml = {"Content-Type": "application/fhir+xml", "Accept": "application/fhir+json"}
    answer = await client.post("", content=body.encode(), headers=xml)
    assert answer.status_code == 200, answer.text
    made, flag = answer.json()["entry"]
    assert flag["resource"]["subject"] == {"reference": reference(made)}
    answer = await client.post(
        "", json=of("batch", [entry("GET", reference(made))]), headers={"Accept": "application/fhir+xml"}
    )
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, "application/fhir+xml")
    assert clinic.id("x") in answer.text

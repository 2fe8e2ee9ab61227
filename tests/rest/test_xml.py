"""XML by the same code path as JSON: reading, writing, searching, operations, errors. https://hl7.org/fhir/R4/xml.html"""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest

from fhir_server.fhir.json import dump, parse
from fhir_server.fhir.xml import from_xml, to_xml
from tests.builders.answers import expressions
from tests.builders.clinic import Clinic, parameters
from tests.builders.visits import Visits

XML = {"Content-Type": "application/fhir+xml", "Accept": "application/fhir+xml"}
ACCEPT = {"Accept": "application/fhir+xml"}
FORM = "application/x-www-form-urlencoded"
DIV = '<div xmlns="http://www.w3.org/1999/xhtml"><p>a &amp; b</p> <b>c</b></div>'
NS = 'xmlns="http://hl7.org/fhir"'


def read(answer: Any, status: int = 200) -> dict[str, Any]:
    """The resource of an XML answer."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/fhir+xml; charset=utf-8"
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    return from_xml(answer.content)


def refused(answer: Any, status: int) -> dict[str, Any]:
    found = read(answer, status)
    assert found["resourceType"] == "OperationOutcome"
    assert found["issue"][0]["severity"] in {"error", "fatal"}
    return found


@pytest.fixture
async def url(client: Any) -> str:
    """A Patient with a decimal, a narrative and half a primitive."""
    clinic = Clinic(client)
    body = {
        "resourceType": "Patient", "id": clinic.id("p"),
        "text": {"status": "generated", "div": DIV},
        "extension": [{"url": "https://x.example/a", "valueDecimal": 5}],
        "name": [{"family": 'P"a<t&', "given": ["  A\n", None], "_given": [None, {"id": "g"}]}],
        "birthDate": "1980-05-11",
    }  # fmt: skip
    raw = json.dumps(body).replace('"valueDecimal": 5', '"valueDecimal": 1.00').encode()
    answer = await client.put(f"Patient/{clinic.id('p')}", content=raw)
    assert answer.status_code == 201, answer.text
    return f"Patient/{clinic.id('p')}"


async def test_reads_are_the_same_resource(client: Any, url: str) -> None:
    plain = await client.get(url)
    for path in (url, f"{url}/_history/1"):
        answer = await client.get(path, headers=ACCEPT)
        assert read(answer) == parse(plain.content)
        assert '<valueDecimal value="1.00"/>' in answer.text
        assert DIV in answer.text
        assert (answer.headers["ETag"], answer.headers["Last-Modified"]) == (
            plain.headers["ETag"], plain.headers["Last-Modified"],
        )  # fmt: skip


async def test_head_and_not_modified(client: Any, url: str) -> None:
    got, head = await client.get(url, headers=ACCEPT), await client.head(url, headers=ACCEPT)
    assert (head.status_code, head.content) == (200, b"")
    assert all(head.headers[name] == got.headers[name] for name in ("Content-Type", "Content-Length", "ETag"))
    same = await client.get(url, headers=ACCEPT | {"If-None-Match": got.headers["ETag"]})
    assert (same.status_code, same.content) == (304, b"")


async def test_create_update_and_delete(client: Any) -> None:
    body = {"resourceType": "Patient", "name": [{"family": "New"}], "multipleBirthInteger": 2, "active": False}
    answer = await client.post("Patient", content=to_xml(body), headers=XML)
    made = read(answer, 201)
    assert answer.headers["Location"].endswith(f"Patient/{made['id']}/_history/1")
    assert made | body == made
    stored = (await client.get(f"Patient/{made['id']}")).json()
    assert stored == made
    answer = await client.put(f"Patient/{made['id']}", content=to_xml(made | {"active": True}), headers=XML)
    assert read(answer)["meta"]["versionId"] == "2"
    again = await client.put(f"Patient/{made['id']}", content=to_xml(made | {"active": True}), headers=XML)
    assert again.headers["ETag"] == 'W/"2"'
    gone = await client.delete(f"Patient/{made['id']}", headers=ACCEPT)
    assert gone.status_code in {200, 204}
    refused(await client.get(f"Patient/{made['id']}", headers=ACCEPT), 410)


async def test_bytes_of_json_and_xml_bodies_are_one_resource(client: Any, url: str) -> None:
    """What came as XML is stored as JSON with its decimals; what is sent back unchanged makes no version."""
    xml = await client.get(url, headers=ACCEPT)
    answer = await client.put(url, content=xml.content, headers={"Content-Type": "application/fhir+xml"})
    assert (answer.status_code, answer.headers["ETag"]) == (200, 'W/"1"'), answer.text
    copy = xml.text.replace("1980-05-11", "1980-05-12").encode()
    answer = await client.put(url, content=copy, headers={"Content-Type": "text/xml; charset=UTF-8"})
    assert answer.headers["Content-Type"].startswith("application/fhir+json")
    assert '"valueDecimal":1.00' in answer.text
    assert answer.json()["name"][0]["_given"] == [None, {"id": "g"}]


@pytest.mark.parametrize("prefer", ["minimal", "OperationOutcome", "representation"])
async def test_preferences(client: Any, prefer: str) -> None:
    answer = await client.post("Patient", content=to_xml({"resourceType": "Patient", "active": True}),
                               headers=XML | {"Prefer": f"return={prefer}"})  # fmt: skip
    if prefer == "minimal":
        assert (answer.status_code, answer.content) == (201, b"")
    else:
        assert read(answer, 201)["resourceType"] == {"representation": "Patient"}.get(prefer, prefer)


async def test_search_history_and_metadata(client: Any, url: str) -> None:
    id_ = url.partition("/")[2]
    for path in (f"Patient?_id={id_}", f"{url}/_history", f"Patient?_id={id_}&_summary=count"):
        plain = parse((await client.get(path)).content)
        found = read(await client.get(path, headers=ACCEPT))
        assert found["resourceType"] == "Bundle"
        assert [one["resource"] for one in found.get("entry", ())] == [
            one["resource"] for one in plain.get("entry", ())
        ]
        assert found["type"] == plain["type"]
    posted = await client.post("Patient/_search", data={"_id": id_}, headers=ACCEPT | {"Content-Type": FORM})
    assert [one["resource"]["id"] for one in read(posted)["entry"]] == [id_]
    plain = parse((await client.get("metadata")).content)
    assert read(await client.get("metadata", headers=ACCEPT)) == plain


async def test_operations(client: Any) -> None:
    clinic = await Visits(client).opened()
    day = clinic.first.isoformat()
    asked = parameters(start=("Date", day), end=("Date", day), service=("Reference", {"reference": clinic.visit}))
    found = read(await client.post("Appointment/$find", content=to_xml(asked), headers=XML))
    assert found["entry"][0]["resource"]["status"] == "proposed"
    by_get = await client.get(
        "Appointment/$find", params={"start": day, "end": day, "service": clinic.visit}, headers=ACCEPT
    )
    assert read(by_get)["entry"][0]["resource"]["id"] == found["entry"][0]["resource"]["id"]
    proposal = found["entry"][0]["resource"]["id"]
    booking = parameters(appointment=("Uri", f"Appointment/{proposal}"), patient=("Reference", clinic.who()))
    key = {"Idempotency-Key": uuid.uuid4().hex}
    first = await client.post("Appointment/$book", content=to_xml(booking), headers=XML | key)
    booked = read(first, 201)
    assert booked["status"] == "booked"
    again = await client.post("Appointment/$book", content=to_xml(booking), headers=XML | key)
    assert (read(again, 201), again.headers["Idempotent-Replayed"]) == (booked, "true")
    taken = parameters(appointment=("Uri", f"Appointment/{proposal}"), patient=("Reference", clinic.who("other")))
    outcome = refused(await client.post("Appointment/$book", content=to_xml(taken), headers=XML), 409)
    assert {one["resourceType"] for one in outcome["contained"]} == {"Appointment"}


async def test_a_bundle(client: Any) -> None:
    entry = {"resource": {"resourceType": "Patient", "active": True}, "request": {"method": "POST", "url": "Patient"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    found = read(await client.post("", content=to_xml(bundle), headers=XML))
    assert found["type"] == "transaction-response"
    assert found["entry"][0]["response"]["status"].startswith("201")


@pytest.mark.parametrize(
    ("body", "status", "place"),
    [
        (f"<Patient {NS}><bogus value='x'/></Patient>", 400, "Patient.bogus"),
        (f"<Patient {NS}><gender value='odd'/></Patient>", 400, "Patient.gender"),
        (f"<Patient {NS}><name><given value='a'/></name><name>text</name></Patient>", 400, "Patient.name[1]"),
        (f"<Patient {NS}><telecom><value value='1'/></telecom></Patient>", 422, "Patient.telecom[0]"),
        (f"<Location {NS}/>", 400, "resourceType"),
        ("<Patient/>", 400, ""),
        ("<Patient", 400, ""),
        ("", 400, ""),
        ('{"resourceType":"Patient"}', 400, ""),
        (
            f"<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/hostname'>]><Patient {NS}><gender value='&a;'/></Patient>",
            400,
            "",
        ),
        (f"<?xml version='1.0' encoding='UTF-16'?><Patient {NS}/>", 400, ""),
    ],
)
async def test_refusals_have_a_place(client: Any, body: str, status: int, place: str) -> None:
    outcome = refused(await client.post("Patient", content=body.encode(), headers=XML), status)
    assert expressions(outcome)[:1] == ([place] if place else [])
    in_json = await client.post("Patient", content=body.encode(), headers={"Content-Type": "application/fhir+xml"})
    assert in_json.json() == json.loads(dump(outcome))


BOMBS = {
    "laughs": "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'>" + "".join(
        f"<!ENTITY {chr(98 + level)} '{f'&{chr(97 + level)};' * 10}'>" for level in range(9)
    ) + f"]><Patient {NS}><gender value='&j;'/></Patient>",
    "depth": f"<Patient {NS}>" + "<extension url='x'>" * 50_000,
    "narrative": f"<Patient {NS}><text><h:div xmlns:h='http://www.w3.org/1999/xhtml'>" + "<h:b>" * 100_000,
    "attributes": f"<Patient {NS} " + " ".join(f"a{number}='x'" for number in range(100_000)) + "/>",
    "prefixes": f"<Patient {NS} " + " ".join(f"xmlns:a{one}='urn:{one}'" for one in range(40_000)) + "><x/></Patient>",
    "elements": f"<Patient {NS}>" + "<name><given/></name>" * 80_000 + "</Patient>",
    "text": f"<Patient {NS}>" + "x" * 1_500_000 + "</Patient>",
    "unknown": f"<Patient {NS}>" + "<a/>" * 400_000 + "</Patient>",
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
async def test_bombs_are_refused_at_once(client: Any, name: str) -> None:
    started = time.monotonic()
    answer = await client.post("Patient", content=BOMBS[name].encode(), headers=XML)
    refused(answer, 413 if name == "attributes" else 400)
    assert time.monotonic() - started < 5


async def test_a_body_over_the_limit(client: Any) -> None:
    large = f"<Patient {NS}>" + " " * 3_000_000 + "</Patient>"
    refused(await client.post("Patient", content=large.encode(), headers=XML), 413)


@pytest.mark.parametrize(
    ("path", "status"), [("Patient/none", 404), ("Nonsense", 404), ("Patient?bogus=1", 400), ("Patient/x/y", 404)]
)
async def test_errors_are_xml_too(client: Any, path: str, status: int) -> None:
    refused(await client.get(path, headers=ACCEPT | {"Prefer": "handling=strict"}), status)


async def test_refusals_of_the_door_are_xml_too(client: Any) -> None:
    refused(await client.get("metadata", headers=ACCEPT | {"Host": "evil.example"}), 400)
    answer = await client.request("BREW", "metadata", headers=ACCEPT)
    assert "GET" in answer.headers["Allow"]
    refused(answer, 405)
    refused(await client.get("metadata?_pretty=bogus", headers=ACCEPT), 400)
    refused(await client.post("Patient", content=b"x", headers=ACCEPT | {"Content-Type": "text/plain"}), 415)


JSON_, XML_ = "application/fhir+json", "application/fhir+xml"


@pytest.mark.parametrize(
    ("accept", "given"),
    [
        ("application/fhir+xml", XML_),
        ("application/xml", XML_),
        ("text/xml", XML_),
        ("application/xml+fhir", XML_),
        ("APPLICATION/FHIR+XML; charset=utf-8", XML_),
        ("application/fhir+xml; fhirVersion=4.0", XML_),
        ("application/fhir+xml;q=0.5, application/fhir+json", JSON_),
        ("application/fhir+json;q=0.5, application/fhir+xml", XML_),
        ("application/xml, application/json;q=0.5", XML_),
        ("application/fhir+xml, */*", XML_),
        ("application/fhir+xml, */*;q=0.1", XML_),
        ("application/fhir+xml;q=0.1, */*", JSON_),
        ("application/fhir+json, application/fhir+xml", JSON_),
        ("application/fhir+xml, application/fhir+json", JSON_),
        ("application/fhir+xml; q=0.9, application/fhir+json; q=0.8", XML_),
        ("application/json;q=0, */*", XML_),
        ("application/xml;q=0, */*", JSON_),
        ("application/fhir+xml; fhirVersion=5.0, application/fhir+json; fhirVersion=4.0", JSON_),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", JSON_),
        ("text/plain, application/fhir+xml;q=0.2", XML_),
        ("*/*", JSON_),
        ("application/*", JSON_),
        ("", JSON_),
    ],
)
async def test_accept_and_quality(client: Any, url: str, accept: str, given: str) -> None:
    answer = await client.get(url, headers={"Accept": accept})
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == f"{given}; charset=utf-8"


UNKNOWN = ["application/fhir+xml; fhirVersion=5.0", "application/fhir+xml;q=0", "image/svg+xml", "*/*;q=0",
           "application/fhir+turtle", "application/json;q=0.0"]  # fmt: skip


@pytest.mark.parametrize("accept", UNKNOWN)
async def test_what_cannot_be_answered_is_406(client: Any, url: str, accept: str) -> None:
    answer = await client.get(url, headers={"Accept": accept})
    assert (answer.status_code, answer.json()["issue"][0]["expression"]) == (406, ["Accept"])


@pytest.mark.parametrize(
    "format_", ["xml", "text/xml", "application/xml", "application/fhir%2Bxml", "application/fhir+xml"]
)
async def test_format_wins_for_the_answer_only(client: Any, url: str, format_: str) -> None:
    for accept in ("application/fhir+json", "text/plain", "*/*"):
        read(await client.get(f"{url}?_format={format_}", headers={"Accept": accept}))
    sent = await client.post(f"Patient?_format={format_}", json={"resourceType": "Patient", "active": True})
    read(sent, 201)
    back = await client.get(f"{url}?_format=json", headers=ACCEPT)
    assert back.headers["Content-Type"].startswith("application/fhir+json")
    turtle = await client.get(f"{url}?_format=ttl", headers=ACCEPT)
    assert (turtle.status_code, turtle.json()["resourceType"]) == (406, "OperationOutcome")


async def test_pretty_xml(client: Any, url: str) -> None:
    plain = await client.get(url, headers=ACCEPT)
    pretty = await client.get(f"{url}?_pretty=true", headers=ACCEPT)
    assert read(pretty) == read(plain)
    assert "\n  <birthDate" in pretty.text
    assert "\n" not in plain.text
    assert DIV in pretty.text
    missing = await client.get("Patient/none?_pretty=true", headers=ACCEPT)
    assert "\n  <issue>" in missing.text


@pytest.mark.parametrize(
    "type_",
    ["application/fhir+xml; fhirVersion=5.0", "application/fhir+xml; charset=latin-1", "application/fhir+turtle"],
)
async def test_bodies_that_are_not_read(client: Any, type_: str) -> None:
    answer = await client.post("Patient", content=f"<Patient {NS}/>".encode(), headers={"Content-Type": type_})
    assert answer.status_code == 415
    assert answer.json()["resourceType"] == "OperationOutcome"


async def test_a_resource_as_deep_as_may_be_is_shown_in_every_format(client: Any) -> None:
    clinic = Clinic(client)
    deep: dict[str, Any] = {"url": "urn:end", "valueCode": "x"}
    for _ in range(30):
        deep = {"url": "urn:deep", "extension": [deep]}
    await clinic.put({"resourceType": "Patient", "id": clinic.id("deep"), "extension": [deep]})
    path = f"Patient?_id={clinic.id('deep')}"
    assert (await client.get(f"{path}&_pretty=true")).status_code == 200
    assert read(await client.get(f"Patient/{clinic.id('deep')}", headers=ACCEPT))["extension"] == [deep]
    assert (await client.get(path, headers=ACCEPT)).text.count("<extension") == 31


async def test_letters_that_xml_has_not_are_replaced(client: Any) -> None:
    made = (await client.post("Patient", json={"resourceType": "Patient", "name": [{"text": "a\ufffeb"}]})).json()
    assert made["name"] == [{"text": "a\ufffeb"}]
    assert read(await client.get(f"Patient/{made['id']}", headers=ACCEPT))["name"] == [{"text": "a\ufffdb"}]

"""FHIRPath Patch over HTTP, in JSON and XML: validated, atomic, with its refusals at the part that is wrong."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fhir_server.fhir.json import dump
from fhir_server.fhir.xml import to_xml
from tests.builders.answers import expressions, refused
from tests.builders.clinic import Clinic
from tests.builders.visits import Visits

JSON = {"Content-Type": "application/fhir+json"}
XML = {"Content-Type": "application/fhir+xml"}


def op(type_: str, path: str, **parts: tuple[str, Any]) -> dict[str, Any]:
    named = [
        {"name": name, ("part" if kind == "part" else f"value{kind}"): value} for name, (kind, value) in parts.items()
    ]
    head = [{"name": "type", "valueCode": type_}, {"name": "path", "valueString": path}]
    return {"name": "operation", "part": [*head, *named]}


def patch(*operations: dict[str, Any]) -> dict[str, Any]:
    return (
        {"resourceType": "Parameters", "parameter": list(operations)} if operations else {"resourceType": "Parameters"}
    )


@pytest.fixture
async def url(client: Any) -> str:
    clinic = Clinic(client)
    body = (
        '{"resourceType":"Patient","id":"%s","name":[{"family":"Pat","given":["A","B"]}],"birthDate":"1980-05-11",'  # noqa: UP031
        '"extension":[{"url":"https://x.example/a","valueDecimal":1.00}]}' % clinic.id("p")
    )
    answer = await client.put(f"Patient/{clinic.id('p')}", content=body.encode())
    assert answer.status_code == 201, answer.text
    return f"Patient/{clinic.id('p')}"


EVERY = [
    op("replace", "Patient.birthDate", value=("Date", "1981-05-11")),
    op("add", "Patient", name=("String", "gender"), value=("Code", "female")),
    op(
        "add",
        "Patient",
        name=("String", "contact"),
        value=("part", [{"name": "name", "valueHumanName": {"text": "M"}}]),
    ),
    op("insert", "Patient.name[0].given", index=("Integer", 0), value=("String", "Z")),
    op("move", "Patient.name[0].given", source=("Integer", 2), destination=("Integer", 0)),
    op("delete", "Patient.name[0].family"),
    op("delete", "Patient.photo"),
]


@pytest.mark.parametrize(
    "headers", [JSON, XML, {"Content-Type": "application/json"}], ids=["json", "xml", "plain json"]
)
async def test_every_operation(client: Any, url: str, headers: dict[str, str]) -> None:
    write = to_xml if "xml" in headers["Content-Type"] else dump
    answer = await client.patch(url, content=write(patch(*EVERY)), headers=headers)
    assert (answer.status_code, answer.headers["ETag"]) == (200, 'W/"2"'), answer.text
    assert '"valueDecimal":1.00' in answer.text
    patched = (await client.get(url)).json()
    assert patched == answer.json()
    assert (patched["birthDate"], patched["gender"], patched["contact"]) == (
        "1981-05-11",
        "female",
        [{"name": {"text": "M"}}],
    )
    assert patched["name"] == [{"given": ["B", "Z", "A"]}]


FIRST = op("add", "Patient", name=("String", "active"), value=("Boolean", True))
REFUSED = [
    (
        op("add", "Patient", name=("String", "birthDate"), value=("Date", "1981")),
        400,
        "Parameters.parameter[1].part[2]",
    ),
    (op("replace", "Patient.gender", value=("Code", "male")), 400, "Parameters.parameter[1].part[1]"),
    (op("delete", "Patient.name.given"), 400, "Parameters.parameter[1].part[1]"),
    (op("add", "Patient", name=("String", "gender"), value=("Code", "odd")), 400, "Patient.gender"),
    (
        op("add", "Patient", name=("String", "photo"), value=("Attachment", {"bogus": "x"})),
        400,
        "Patient.photo[0].bogus",
    ),
    (
        op("add", "Patient", name=("String", "telecom"), value=("ContactPoint", {"value": "1"})),
        422,
        "Patient.telecom[0]",
    ),
    (op("replace", "Patient.id", value=("Id", "other")), 400, "Patient.id"),
    (op("delete", "Patient.id"), 400, "Patient.id"),
    (op("delete", "Patient.meta"), 400, "Patient.meta.versionId"),
    (op("replace", "Patient.meta.versionId", value=("Id", "9")), 400, "Patient.meta.versionId"),
    (op("explode", "Patient.name"), 400, "Parameters.parameter[1].part[0]"),
    ({"name": "nonsense"}, 400, "Parameters.parameter[1]"),
]


@pytest.mark.parametrize(("operation", "status", "place"), REFUSED, ids=range(len(REFUSED)))
async def test_all_or_nothing(client: Any, url: str, operation: dict[str, Any], status: int, place: str) -> None:
    before = (await client.get(url)).text
    outcome = refused(await client.patch(url, json=patch(FIRST, operation), headers=JSON), status)
    assert expressions(outcome)[0] == place
    assert (await client.get(url)).text == before


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        (XML, b"", 400),
        (XML, b"<Parameters", 400),
        (XML, b'<Patient xmlns="http://hl7.org/fhir"><active value="true"/></Patient>', 400),
        (XML, b'<!DOCTYPE x [<!ENTITY a "b">]><Parameters xmlns="http://hl7.org/fhir"/>', 400),
        (JSON, b'{"resourceType":"Parameters","parameter":[{"name":"operation","name":"operation"}]}', 400),
        (JSON, b'{"resourceType":"Parameters","parameter":null}', 400),
        (JSON, b'{"resourceType":"Parameters","parameter":{}}', 400),
        ({"Content-Type": "application/merge-patch+json"}, b'{"resourceType":"Parameters"}', 400),
        ({"Content-Type": "application/xml-patch+xml"}, b"<diff/>", 415),
    ],
)
async def test_a_body_that_is_no_fhirpath_patch(
    client: Any, url: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    refused(await client.patch(url, content=body, headers=headers), status)
    assert (await client.get(url)).headers["ETag"] == 'W/"1"'


async def test_a_patch_that_changes_nothing_makes_no_version(client: Any, url: str) -> None:
    for body in (patch(), patch(op("delete", "Patient.photo"))):
        answer = await client.patch(url, json=body, headers=JSON)
        assert (answer.status_code, answer.headers["ETag"]) == (200, 'W/"1"')


async def test_if_match(client: Any, url: str) -> None:
    refused(await client.patch(url, json=patch(FIRST), headers=JSON | {"If-Match": 'W/"9"'}), 412)
    answer = await client.patch(url, json=patch(FIRST), headers=JSON | {"If-Match": 'W/"1"'})
    assert (answer.status_code, answer.json()["active"]) == (200, True)


async def test_patches_at_once_are_all_kept(client: Any, url: str) -> None:
    async def add(number: int) -> None:
        name = op("add", "Patient.name[0]", name=("String", "given"), value=("String", f"N{number}"))
        answer = await client.patch(url, json=patch(name), headers=JSON)
        assert answer.status_code == 200, answer.text

    await asyncio.gather(*(add(number) for number in range(12)))
    patched = (await client.get(url)).json()
    assert sorted(patched["name"][0]["given"]) == sorted(["A", "B", *(f"N{number}" for number in range(12))])
    assert patched["meta"]["versionId"] == "13"


async def test_an_appointment_is_patched_by_the_rules_of_booking(client: Any) -> None:
    clinic = await Visits(client).opened()
    booked = await clinic.booked("09:00")
    other = await clinic.booked("10:00", "other")
    at = f"Appointment/{booked['id']}"
    taken = [op("replace", f"Appointment.{name}", value=("Instant", other[name])) for name in ("start", "end")]
    answer = await client.patch(at, json=patch(*taken), headers=JSON)
    assert answer.status_code == 409, answer.text
    assert (await clinic.read(at))["start"] == booked["start"]
    who = f"Appointment.participant.where(actor.reference = 'Patient/{clinic.id('pat')}').status"
    answer = await client.patch(at, json=patch(op("replace", who, value=("Code", "tentative"))), headers=JSON)
    assert answer.status_code == 200, answer.text
    assert [one["status"] for one in answer.json()["participant"] if "Patient" in str(one)] == ["tentative"]


async def test_a_path_that_costs_too_much_is_refused(client: Any, url: str) -> None:
    many = {"photo": [{"title": f"t{number}"} for number in range(1500)]}
    merge = {"Content-Type": "application/merge-patch+json"}
    assert (await client.patch(url, json=many, headers=merge)).status_code == 200
    search = op("delete", "Patient.photo.where(title.contains('x') or title = 'y')")
    refused(await client.patch(url, json=patch(*[search] * 500), headers=JSON), 413)

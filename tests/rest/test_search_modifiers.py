"""Modifiers, composites and orders over HTTP, and values that mean harm. https://hl7.org/fhir/R4/search.html#modifiers"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio

from tests.builders.answers import expressions, refused
from tests.builders.clinic import Clinic, proposals

X = "http://kinds.example"


def _concept(code: str, display: str = "", text: str = "") -> dict[str, Any]:
    coding = {"system": X, "code": code} | ({"display": display} if display else {})
    return {"coding": [coding]} | ({"text": text} if text else {})


@pytest_asyncio.fixture(scope="module")
async def clinic(client: Any) -> Clinic:
    """Services with codes and words, people with names in pairs, Groups with traits; all have an identifier."""
    made = Clinic(client)
    mine = [{"system": "urn:t", "value": made.name}]
    for id_, type_, source in (
        ("visit", _concept("v", "Follow-up visit"), "http://s.example/fhir/a"),
        ("clinic", _concept("w", text="Núñez clinic"), "http://s.example/fhir/a/b"),
        ("plain", _concept("x"), "http://s.example/fhir/ab"),
    ):
        await made.put(
            {
                "resourceType": "HealthcareService",
                "id": made.id(id_),
                "identifier": mine,
                "type": [type_],
                "meta": {"source": source, "profile": [f"http://p.example/{made.name}|2"]},
            }
        )
    for id_, family, given, born in (
        ("1", ["Zoe", "Abel"], "Ann", "1980"),
        ("2", ["Adams"], "Bo", "1970-05-05"),
        ("3", ["Adams"], "Al", None),
        ("4", [], "Cy", "1990-01-01"),
    ):
        patient = {
            "resourceType": "Patient",
            "id": made.id(id_),
            "identifier": [
                *mine,
                {
                    "system": "urn:mrn",
                    "value": f"{made.name}{id_}",
                    "type": {"coding": [{"system": "urn:v2", "code": "MR" if id_ in "12" else "SS"}], "text": "Chart"},
                },
            ],
            "name": [{"family": one, "given": [given]} for one in family] or [{"given": [given]}],
        }
        await made.put(
            patient | ({"birthDate": born} if born else {}) | ({"deceasedBoolean": True} if id_ == "4" else {})
        )
        await made.put(patient | {"resourceType": "Practitioner", "identifier": mine})
    for id_, traits in (("ab", (("a", "b"), ("c", "d"))), ("ad", (("a", "d"), ("c", "b"))), ("none", ())):
        group = {"resourceType": "Group", "id": made.id(id_), "identifier": mine, "type": "person", "actual": False}
        characteristic = [
            {"code": _concept(code), "valueCodeableConcept": _concept(value), "exclude": False}
            for code, value in traits
        ]
        await made.put(group | ({"characteristic": characteristic} if characteristic else {}))
    return made


async def _found(clinic: Clinic, query: str) -> list[str]:
    type_, _, criteria = query.replace("{c}", clinic.name).partition("?")
    answer = await clinic.client.get(f"{type_}?identifier=urn:t|{clinic.name}&{criteria}")
    assert answer.status_code == 200, answer.text
    return [one["id"].rpartition("-")[2] for one in proposals(answer.json())]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("HealthcareService?service-type:text=FOLLOW", {"visit"}),
        ("HealthcareService?service-type:text=nunez,follow-up visit", {"visit", "clinic"}),
        ("HealthcareService?service-type:text=visit", set()),
        ("HealthcareService?_source=http://s.example/fhir/a", {"visit"}),
        ("HealthcareService?_source:below=http://s.example/fhir/a", {"visit", "clinic"}),
        ("HealthcareService?_source:above=http://s.example/fhir/a/b/c", {"visit", "clinic"}),
        ("HealthcareService?_profile=http://p.example/{c}", {"visit", "clinic", "plain"}),
        ("HealthcareService?_profile=http://p.example/{c}%7C2", {"visit", "clinic", "plain"}),
        ("HealthcareService?_profile=http://p.example/{c}%7C1", set()),
        ("HealthcareService?_profile:below=http://p.example", {"visit", "clinic", "plain"}),
        ("HealthcareService?_id:missing=true", set()),
        ("HealthcareService?_lastUpdated:missing=false", {"visit", "clinic", "plain"}),
        ("Patient?identifier:of-type=urn:v2|MR|{c}1", {"1"}),
        ("Patient?identifier:of-type=urn:v2|SS|{c}1", set()),
        ("Patient?identifier:text=chart", {"1", "2", "3", "4"}),
        ("Patient?deceased=true", {"4"}),
        ("Patient?deceased=false", {"1", "2", "3"}),
        ("Patient?deceased:not=true&birthdate=1970-05,1980", {"1", "2"}),
        ("Group?characteristic-value=a$b", {"ab"}),
        (f"Group?characteristic-value={X}|a${X}|d", {"ad"}),
        ("Group?characteristic-value=a$b,c$b", {"ab", "ad"}),
        ("Group?characteristic=a&value=b", {"ab", "ad"}),
        ("Group?characteristic-value:missing=true", {"none"}),
        ("Group?exclude=false", {"ab", "ad"}),
    ],
)
async def test_modifiers(clinic: Clinic, query: str, expected: set[str]) -> None:
    found = await _found(clinic, query)
    assert set(found) == expected
    assert len(found) == len(expected)


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("Practitioner?_sort=family,given", ["4", "3", "2", "1"]),
        ("Practitioner?_sort=-family,given", ["1", "3", "2", "4"]),
        ("Practitioner?_sort=family,-given", ["4", "2", "3", "1"]),
        ("Practitioner?_sort=-given", ["4", "2", "1", "3"]),
        ("Patient?_sort=deceased,-_id", ["3", "2", "1", "4"]),
        ("Patient?_sort=-deceased,_id", ["4", "1", "2", "3"]),
    ],
)
async def test_orders_by_several_keys_page_by_page(clinic: Clinic, sort: str, expected: list[str]) -> None:
    """Missing values come first ascending and last descending; pages of one join to the whole."""
    assert await _found(clinic, sort) == expected
    type_, _, order = sort.partition("?")
    url: str | None = f"{type_}?identifier=urn:t|{clinic.name}&{order}&_count=1"
    walked = []
    while url is not None:
        page = (await clinic.client.get(url)).json()
        walked += [one["id"].rpartition("-")[2] for one in proposals(page)]
        url = next((link["url"] for link in page["link"] if link["relation"] == "next"), None)
    assert walked == expected


@pytest.mark.parametrize(
    "query",
    [
        "HealthcareService?service-type:in=http://nowhere.example/vs",
        "HealthcareService?service-type:not-in=http://nowhere.example/vs",
        f"HealthcareService?service-type:below={X}|a",
        f"HealthcareService?service-type:above={X}|a",
        "HealthcareService?service-type:of-type=a|b|c",
        "HealthcareService?active:text=true",
        "HealthcareService?name:text=x",
        "HealthcareService?organization:below=1",
        "HealthcareService?organization:not=1",
        "Patient?telecom:text=x",
        "Patient?identifier:of-type=urn:v2|MR",
        "Patient?birthdate:exact=2020",
        "Group?characteristic-value=a",
        "Group?_sort=characteristic-value",
        "Patient?name:contains=x",
        "Patient?family=" + "x" * 33,
        "Patient?birthdate=ge1980",
        "Patient?death-date=lt2020",
        "Patient?_sort=family",
        "Patient?_sort=-birthdate",
        "Appointment?_sort=reason-code",
        "Appointment?patient.birthdate=gt2000",
        "Coverage?class-value:contains=x",
    ],
)
async def test_what_does_not_apply_is_refused_by_name(client: Any, query: str) -> None:
    name = query.partition("?")[2].partition("=")[0]
    assert expressions(refused(await client.get(query), 400)) == [name]


HOSTILE = (
    ".*", "^a", "(a+)+$", "[", "{}", '{"$gt":""}', "$where", "$ne", "function(){}", "\\", "\\\\,", "a\x00b", "\x00",
    "\u202e", "\ufeff", "'; drop", "|" * 50, "$" * 50, "," * 999, "x" * 4000, "/" * 500, "9" * 40, "1e999", "-1e-99",
    "NaN", "0000-01-01", "9999-12-31", "2026-02-30", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:60-14:00",
    "ap0001", "2026-01-01T24:00:00Z", "90|180|1e99|km", "http://x/" + "a/" * 60, "urn:uuid:0", "#", "Patient/", "../x",
)  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
async def test_a_hostile_value_is_refused_or_finds_nothing_of_it(client: Any, value: str) -> None:
    for name in (
        "Patient?name", "Patient?name:contains", "Patient?name:exact", "Patient?identifier", "Patient?identifier:text",
        "Patient?identifier:of-type", "Patient?birthdate", "Patient?general-practitioner", "Patient?_source:below",
        "Patient?_source:above", "Patient?_id", "Patient?_lastUpdated", "Patient?_sort", "Encounter?length",
        "Patient?_has:Appointment:patient:date", "Location?near", "Group?characteristic-value",
        "Appointment?actor:Patient", "Appointment?patient.name",
    ):  # fmt: skip
        answer = await client.get(f"{name}={quote(value, safe='')}")
        assert answer.status_code in (200, 400), (name, answer.text)
        if answer.status_code == 400:
            assert answer.json()["resourceType"] == "OperationOutcome"


async def test_ten_thousand_values_are_refused_at_once(client: Any) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = "identifier=" + ",".join(map(str, range(10_000)))
    assert expressions(refused(await client.post("Patient/_search", headers=form, content=body), 400)) == ["identifier"]
    refused(await client.get("Patient?" + "&".join(["active=true"] * 200)), 400)


async def test_a_resource_has_so_many_beginnings_and_no_more(client: Any) -> None:
    """Each beginning of a sealed text is a key of an index; the directory has one a text."""
    for type_, count, status in (("Patient", 400, 201), ("Patient", 2_000, 413), ("Practitioner", 1_200, 201)):
        name = [{"family": f"Featherstonehaugh the {number:09}"} for number in range(count)]
        answer = await client.post(type_, json={"resourceType": type_, "name": name})
        assert answer.status_code == status, (type_, count, answer.text)

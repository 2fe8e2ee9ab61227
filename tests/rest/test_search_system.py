"""System search: several types at once. https://hl7.org/fhir/R4/http.html#search"""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio

from tests.builders.answers import expressions, outcome_in, refused
from tests.builders.clinic import Clinic
from tests.builders.searches import found, link, link_pairs, pages, refs

BASE = "http://fhir.test/fhir"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
STRICT = {"Prefer": "handling=strict"}


@pytest_asyncio.fixture(scope="module")
async def clinic(client: Any) -> Clinic:
    """Five each of Organization, Patient and Practitioner with one identifier and the same ids."""
    made = Clinic(client)
    for number in range(5):
        for type_ in ("Patient", "Organization", "Practitioner"):
            resource: dict[str, Any] = {"resourceType": type_, "id": made.id(str(number)),
                                        "identifier": [{"system": "urn:n", "value": made.name}]}  # fmt: skip
            if type_ == "Patient":
                resource["managingOrganization"] = {"reference": f"Organization/{made.id('0')}"}
            await made.put(resource)
    return made


async def _search(clinic: Clinic, types: str = "Practitioner,Patient,Organization", **query: Any) -> dict[str, Any]:
    return await found(clinic.client, f"{BASE}/", _type=types, identifier=f"urn:n|{clinic.name}", **query)


def _short(bundles: list[dict[str, Any]]) -> list[str]:
    """``Pr0`` for Practitioner/…-0."""
    return [f"{one[:2]}{one[-1]}" for bundle in bundles for one in refs(bundle)]


async def test_types_stand_one_after_the_other(clinic: Clinic) -> None:
    bundle = await _search(clinic)
    assert bundle["total"] == 15
    assert _short([bundle]) == [f"{type_}{number}" for type_ in ("Or", "Pa", "Pr") for number in range(5)]
    for one in bundle["entry"]:
        assert one["fullUrl"] == f"{BASE}/{one['resource']['resourceType']}/{one['resource']['id']}"
    stated = dict(link_pairs(bundle, "self"))
    assert stated == {
        "_type": "Practitioner,Patient,Organization",
        "identifier": f"urn:n|{clinic.name}",
        "_count": "50",
    }
    assert _short([await _search(clinic, "Patient")]) == [f"Pa{number}" for number in range(5)]


@pytest.mark.parametrize("size", [1, 4, 5, 15])
@pytest.mark.parametrize("sort", ["", "_id", "-_id", "_lastUpdated", "-_lastUpdated,_id"])
async def test_pages_over_types(clinic: Clinic, size: int, sort: str) -> None:
    query = {"_sort": sort} if sort else {}
    whole = _short([await _search(clinic, **query)])
    assert len(set(whole)) == 15
    parts = await pages(clinic.client, await _search(clinic, _count=size, **query))
    assert _short(parts) == whole
    assert all(refs(one) for one in parts)
    if sort in {"_id", "-_id"}:
        order = range(5) if sort == "_id" else range(4, -1, -1)
        assert whole == [f"{type_}{number}" for number in order for type_ in ("Or", "Pa", "Pr")]
    if "lastUpdated" in sort:
        stamps = [one["resource"]["meta"]["lastUpdated"] for part in parts for one in part["entry"]]
        assert stamps == sorted(stamps, reverse=sort.startswith("-"))


async def test_writes_between_pages(client: Any) -> None:
    clinic = Clinic(client)
    for number in range(6):
        await clinic.put({"resourceType": ("Location", "Patient")[number % 2], "id": clinic.id(str(number)),
                          "identifier": [{"system": "urn:n", "value": clinic.name}]})  # fmt: skip
    page = await _search(clinic, "Location,Patient", _count=2)
    assert _short([page]) == ["Lo0", "Lo2"]
    assert (await client.delete(f"Location/{clinic.id('0')}")).status_code == 204
    assert (await client.delete(f"Patient/{clinic.id('3')}")).status_code == 204
    assert _short((await pages(client, page))[1:]) == ["Lo4", "Pa1", "Pa5"]


async def test_by_post_and_get(clinic: Clinic) -> None:
    form = {"_type": "Patient,Organization", "identifier": f"urn:n|{clinic.name}", "_count": "3"}
    answer = await clinic.client.post("_search", data=form, headers=FORM)
    assert answer.status_code == 200, answer.text
    assert link(answer.json(), "self").startswith(f"{BASE}/?")
    parts = await pages(clinic.client, answer.json())
    assert len(_short(parts)) == 10
    mixed = await clinic.client.post("_search?_type=Patient", data={"_id": clinic.id("1")}, headers=FORM)
    assert _short([mixed.json()]) == ["Pa1"]


async def test_which_types(client: Any) -> None:
    for query in ("_id=1", "_type=&_id=1"):
        outcome = refused(await client.get(f"{BASE}/?{query}"), 400)
        assert outcome["issue"][0]["code"] == "required"
        assert "Appointment" in outcome["issue"][0]["diagnostics"]
        assert "_type" in expressions(outcome)
    for query in ("_type=Nothing", "_type=Patient,Observation", "_type=patient", "_type=Patient&_type=Slot", "_type=,"):
        assert expressions(refused(await client.get(f"{BASE}/?{query}"), 400)) == ["_type"]


async def test_only_shared_parameters(clinic: Clinic) -> None:
    for query in ("birthdate=1980", "name:exact=x", "_sort=name", "_sort=identifier", "schedule=Schedule/1",
                  "_elements=birthDate&_summary=data", "_count=x"):  # fmt: skip
        refused(await clinic.client.get(f"{BASE}/?_type=Patient,Slot&{query}"), 400)
    assert _short([await _search(clinic, "Patient,Practitioner", active__missing="true")]) == [
        f"{type_}{number}" for type_ in ("Pa", "Pr") for number in range(5)
    ]
    bundle = await _search(clinic, bogus="1")
    outcome = outcome_in(bundle)
    assert outcome is not None
    assert [one["expression"] for one in outcome["issue"]] == [["bogus"]]
    refused(await clinic.client.get(f"{BASE}/?_type=Patient&bogus=1", headers=STRICT), 400)


async def test_counts_and_totals(clinic: Clinic) -> None:
    for query in ({"_summary": "count"}, {"_count": 0}):
        counted = await _search(clinic, **query)
        assert (counted["total"], "entry" in counted) == (15, False)
    parts = await pages(clinic.client, await _search(clinic, _count=6, _total="accurate"))
    assert [one["total"] for one in parts] == [15, 15, 15]
    assert "total" not in await _search(clinic, _count=6)


async def test_parts_and_includes(clinic: Clinic) -> None:
    bundle = await _search(clinic, "Patient,Practitioner", _elements="managingOrganization",
                           _include="Patient:organization")  # fmt: skip
    assert refs(bundle, "include") == [f"Organization/{clinic.id('0')}"]
    shown = {one["resource"]["resourceType"]: set(one["resource"]) for one in bundle["entry"]}
    assert shown["Patient"] == {"resourceType", "id", "meta", "managingOrganization"}
    assert shown["Practitioner"] == {"resourceType", "id", "meta"}
    both = await _search(clinic, "Patient,Organization", _include="Patient:organization")
    assert refs(both, "include") == []
    back = await found(
        clinic.client, f"{BASE}/", _type="Organization,Practitioner", _id=clinic.id("0"), _revinclude="*"
    )
    assert sorted(refs(back, "include")) == [f"Patient/{clinic.id(str(number))}" for number in range(5)]


async def test_a_type_that_nothing_refers_to(client: Any) -> None:
    clinic = Clinic(client)
    me = {"reference": f"Patient/{clinic.id('a')}"}
    await clinic.put({"resourceType": "AppointmentResponse", "id": clinic.id("a"), "appointment": {"display": "x"},
                      "actor": me, "participantStatus": "accepted"})  # fmt: skip
    await clinic.put({"resourceType": "Patient", "id": clinic.id("a")})
    query = {"_type": "AppointmentResponse,Patient", "_id": clinic.id("a"), "_revinclude": "*", "_include": "*"}
    bundle = await found(client, f"{BASE}/", **query)
    assert refs(bundle) == [f"AppointmentResponse/{clinic.id('a')}", f"Patient/{clinic.id('a')}"]
    assert refs(bundle, "include") == []


async def test_every_type_at_once(clinic: Clinic) -> None:
    types = "Appointment,Slot,Schedule,Encounter,Patient"
    bundle = await found(clinic.client, f"{BASE}/", _type=types, _id=clinic.id("3"))
    assert refs(bundle) == [f"Patient/{clinic.id('3')}"]


async def test_the_bare_base_is_for_people(client: Any) -> None:
    answer = await client.get(BASE)
    assert (answer.status_code, answer.headers["location"]) == (302, f"{BASE}/metadata")
    refused(await client.post("_search", data={}, headers=FORM), 400)

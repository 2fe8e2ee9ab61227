"""``_summary`` and ``_elements`` of reads and searches. https://hl7.org/fhir/R4/search.html#summary"""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio

from fhir_server.fhir.subset import TAG
from tests.builders.answers import expressions, outcome_in, refused
from tests.builders.clinic import Clinic
from tests.builders.searches import found, link_pairs, refs
from tests.builders.visits import Visits

NARRATIVE = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'}
STRICT = {"Prefer": "handling=strict"}


@pytest_asyncio.fixture(scope="module")
async def clinic(client: Any) -> Visits:
    """A booked visit of ``pat``, who has a narrative and is married."""
    made = await Visits(client).opened()
    patient = {"resourceType": "Patient", "id": made.id("pat"), "text": NARRATIVE, "name": [{"family": made.name}],
               "maritalStatus": {"text": "Married"}, "birthDate": "1980-01-01"}  # fmt: skip
    await made.put(patient)
    await made.booked("09:00")
    return made


async def _read(clinic: Clinic, query: str, version: str = "") -> dict[str, Any]:
    answer = await clinic.client.get(f"Patient/{clinic.id('pat')}{version}?{query}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["ETag"] == f'W/"{answer.json()["meta"]["versionId"]}"'
    shown: dict[str, Any] = answer.json()
    return shown


READS = [
    ("_summary=true", {"name", "birthDate"}),
    ("_summary=text", {"text"}),
    ("_summary=data", {"name", "birthDate", "maritalStatus"}),
    ("_elements=maritalStatus,birthDate", {"maritalStatus", "birthDate"}),
    ("_elements=Patient.birthDate", {"birthDate"}),
    ("_elements=birthDate,bogus", {"birthDate"}),
]


@pytest.mark.parametrize(("query", "names"), READS)
async def test_a_read_shows_a_part(clinic: Visits, query: str, names: set[str]) -> None:
    for version in ("", "/_history/2"):
        shown = await _read(clinic, query, version)
        assert set(shown) == {"resourceType", "id", "meta", *names}
        assert shown["meta"]["tag"] == [TAG]


@pytest.mark.parametrize("query", ["_summary=false", "_summary=", "_elements=", ""])
async def test_a_read_shows_all(clinic: Visits, query: str) -> None:
    plain = await clinic.client.get(f"Patient/{clinic.id('pat')}")
    assert "tag" not in plain.json()["meta"]
    assert (await clinic.client.get(f"Patient/{clinic.id('pat')}?{query}")).content == plain.content


@pytest.mark.parametrize(
    "query",
    ["_summary=count", "_summary=x", "_summary=True", "_summary=text&_summary=true", "_elements=a%20b",
     "_elements=a,$b", "_summary=true&_elements=name"],
)  # fmt: skip
async def test_malformed_parts_are_refused(clinic: Visits, query: str) -> None:
    for url in (f"Patient/{clinic.id('pat')}", f"Patient/{clinic.id('pat')}/_history/1"):
        assert expressions(refused(await clinic.client.get(f"{url}?{query}"), 400))[0] in {"_summary", "_elements"}
    if query != "_summary=count":
        refused(await clinic.client.get(f"Patient?_id={clinic.id('pat')}&{query}"), 400)


async def test_strict_knows_its_elements(clinic: Visits) -> None:
    for url in (f"Patient/{clinic.id('pat')}?", f"Patient?_id={clinic.id('pat')}&"):
        refused(await clinic.client.get(f"{url}_elements=bogus", headers=STRICT), 400)
        assert (await clinic.client.get(f"{url}_elements=name", headers=STRICT)).status_code == 200


async def test_a_part_is_conditional_as_the_whole(clinic: Visits) -> None:
    url = f"Patient/{clinic.id('pat')}?_summary=true"
    tag = (await clinic.client.get(url)).headers["ETag"]
    assert (await clinic.client.get(url, headers={"If-None-Match": tag})).status_code == 304


async def test_a_search_leaves_unknown_elements_out(clinic: Visits) -> None:
    bundle = await found(clinic.client, "Patient", _id=clinic.id("pat"), _elements="birthDate,bogus")
    outcome = outcome_in(bundle)
    assert outcome is not None
    assert [(one["severity"], one["expression"]) for one in outcome["issue"]] == [("warning", ["_elements"])]
    assert dict(link_pairs(bundle, "self"))["_elements"] == "birthDate"
    assert set(bundle["entry"][0]["resource"]) == {"resourceType", "id", "meta", "birthDate"}
    none = await found(clinic.client, "Patient", _id=clinic.id("pat"), _elements="bogus")
    assert "_elements" not in dict(link_pairs(none, "self"))
    assert "maritalStatus" in none["entry"][0]["resource"]


async def test_elements_are_those_of_the_matches(clinic: Visits) -> None:
    query = {"patient": clinic.who()["reference"], "_include": "Appointment:patient"}
    bundle = await found(clinic.client, "Appointment", **query, _elements="start")
    shown = {one["resource"]["resourceType"]: one["resource"] for one in bundle["entry"]}
    assert set(shown["Appointment"]) == {"resourceType", "id", "meta", "status", "start", "participant"}
    assert "maritalStatus" in shown["Patient"]
    assert "tag" not in shown["Patient"]["meta"]
    both = await found(clinic.client, "Appointment", **query, _elements="start,Patient.birthDate")
    (patient,) = [one["resource"] for one in both["entry"] if one["search"]["mode"] == "include"]
    assert set(patient) == {"resourceType", "id", "meta", "birthDate"}


async def test_a_summary_is_one_of_includes_too(clinic: Visits) -> None:
    query = {"patient": clinic.who()["reference"], "_include": "Appointment:patient"}
    bundle = await found(clinic.client, "Appointment", **query, _summary="true")
    assert [one["search"]["mode"] for one in bundle["entry"]] == ["match", "include"]
    for one in bundle["entry"]:
        assert one["resource"]["meta"]["tag"] == [TAG]
        assert not {"maritalStatus", "text", "slot", "created"} & set(one["resource"])


@pytest.mark.parametrize("include", ["_include=Appointment:patient", "_revinclude=Encounter:appointment"])
async def test_text_has_no_includes(clinic: Visits, include: str) -> None:
    refused(await clinic.client.get(f"Appointment?{include}&_summary=text"), 400)


async def test_a_count_has_no_entries(clinic: Visits) -> None:
    for query in ("_summary=count", "_count=0", "_summary=count&_include=Patient:link"):
        bundle = (await clinic.client.get(f"Patient?_id={clinic.id('pat')}&{query}")).json()
        assert (bundle["total"], "entry" in bundle) == (1, False)
        assert [one["relation"] for one in bundle["link"]] == ["self"]


async def test_computed_slots_are_shown_in_part(clinic: Visits) -> None:
    query = {"schedule": f"Schedule/{clinic.id('s')}", "start": clinic.first.isoformat()}
    whole = await found(clinic.client, "Slot", **query)
    bundle = await found(clinic.client, "Slot", **query, _elements="serviceType")
    assert refs(bundle) == refs(whole)
    for one in bundle["entry"]:
        names = {"resourceType", "id", "meta", "serviceType", "schedule", "status", "start", "end"}
        assert set(one["resource"]) == names
        assert one["resource"]["meta"]["tag"] == [TAG]
    free = next(one["resource"] for one in whole["entry"] if one["resource"]["status"] == "free")
    read = (await clinic.client.get(f"Slot/{free['id']}?_summary=text")).json()
    assert set(read) == {"resourceType", "id", "meta", "schedule", "status", "start", "end"}
    counted = await found(clinic.client, "Slot", **query, _summary="count")
    assert counted["total"] == 16


async def test_a_part_cannot_be_stored(clinic: Visits) -> None:
    part = await _read(clinic, "_summary=true")
    answer = await clinic.client.put(f"Patient/{clinic.id('pat')}", json=part)
    refused(answer, 422)
    assert "maritalStatus" in (await clinic.client.get(f"Patient/{clinic.id('pat')}")).json()

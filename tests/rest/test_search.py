"""``search``: links, totals, pages, sorts, includes, refusals. https://hl7.org/fhir/R4/search.html"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import pytest_asyncio

from tests.builders.answers import expressions, outcome_in, refused
from tests.builders.clinic import Clinic, proposals

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest_asyncio.fixture(scope="module")
async def clinic(client: Any) -> Clinic:
    """Twelve Patients of one family, three of each gender but three that say nothing."""
    made = Clinic(client)
    for number in range(12):
        patient: dict[str, Any] = {
            "resourceType": "Patient",
            "id": made.id(f"p{number:02}"),
            "identifier": [{"system": "urn:n", "value": made.name}],
            "name": [{"family": made.id(f"f{number % 4}")}],
        }
        if number % 4:
            patient["gender"] = ("female", "male", "other")[number % 4 - 1]
        await made.put(patient)
    return made


async def _search(clinic: Clinic, type_: str = "Patient", /, **query: Any) -> dict[str, Any]:
    pairs = {name.replace("__", ":"): value for name, value in query.items()}
    if type_ == "Patient":
        pairs["identifier"] = f"urn:n|{clinic.name}"
    answer = await clinic.client.get(type_, params=pairs)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def _ids(bundle: dict[str, Any]) -> list[str]:
    return [one["id"][-3:] for one in proposals(bundle)]


def _link(bundle: dict[str, Any], relation: str) -> str:
    return next((one["url"] for one in bundle["link"] if one["relation"] == relation), "")


async def test_a_searchset(clinic: Clinic) -> None:
    found = await _search(clinic)
    assert (found["type"], found["total"], len(found["entry"])) == ("searchset", 12, 12)
    for entry in found["entry"]:
        assert entry["fullUrl"] == f"http://fhir.test/fhir/Patient/{entry['resource']['id']}"
        assert entry["search"] == {"mode": "match"}
    assert "entry" not in await _search(clinic, _id="none")


async def test_the_self_link_says_what_was_understood(clinic: Clinic) -> None:
    found = await _search(clinic, bogus="1", _sort="-gender", gender="")
    named = dict(parse_qsl(urlsplit(_link(found, "self")).query))
    assert named == {"identifier": f"urn:n|{clinic.name}", "_sort": "-gender", "_count": "50"}
    outcome = outcome_in(found)
    assert outcome is not None
    assert [(one["severity"], one["expression"]) for one in outcome["issue"]] == [("warning", ["bogus"])]
    assert found["total"] == 12


@pytest.mark.parametrize("query", ["bogus=1", "_bogus=1", "status=x", "gender:bogus=male", "_sort=bogus",
                                   "_include=Patient:bogus", "general-practitioner.bogus=1"])  # fmt: skip
async def test_what_is_unknown_is_refused_when_strict(client: Any, query: str) -> None:
    refused(await client.get(f"Patient?{query}", headers={"Prefer": "handling=strict"}), 400)


async def test_another_handling_is_refused(client: Any) -> None:
    refused(await client.get("Patient?_id=1", headers={"Prefer": "handling=loose"}), 400)


MALFORMED = [
    "birthdate=nonsense", "birthdate=xx2026-01-01", "birthdate=2026-13-01", "birthdate=1980-05-11T25:00:00Z",
    "_count=abc", "_count=-1", "_total=x", "_summary=x", "_page=%25%25", "_page=bm9wZQ", "gender:missing=perhaps",
    "_lastUpdated=yesterday", "_count=1&_count=2", "name:text=x", "gender:in=urn:vs", "gender:above=x", "_text=x",
    "_filter=x", "_has:Appointment=x", "%ff=1",
]  # fmt: skip


@pytest.mark.parametrize("query", MALFORMED)
async def test_what_is_malformed_or_not_supported_is_400(client: Any, query: str) -> None:
    refused(await client.get(f"Patient?{query}"), 400)


async def test_all_faults_together(client: Any) -> None:
    outcome = refused(await client.get("Patient?birthdate=x&_count=y&gender:in=z"), 400)
    assert expressions(outcome) == ["birthdate", "_count", "gender:in"]


async def test_pages_cover_everything_once_while_others_write(clinic: Clinic, client: Any) -> None:
    other = Clinic(client)
    for number in range(9):
        await other.put({"resourceType": "Patient", "id": other.id(str(number)), "active": True,
                         "identifier": [{"system": "urn:n", "value": other.name}]})  # fmt: skip
    page = await _search(other, _count="3", _sort="_id")
    seen = _page_ids(page)
    assert await _delete(client, other, "0", "4")
    await other.put({"resourceType": "Patient", "id": other.id("0a"),
                     "identifier": [{"system": "urn:n", "value": other.name}]})  # fmt: skip
    while url := _link(page, "next"):
        page = (await client.get(url)).json()
        seen += _page_ids(page)
    assert [one.rpartition("-")[2] for one in seen] == ["0", "1", "2", "3", "5", "6", "7", "8"]


async def _delete(client: Any, clinic: Clinic, *names: str) -> bool:
    return all([(await client.delete(f"Patient/{clinic.id(one)}")).status_code == 204 for one in names])


def _page_ids(bundle: dict[str, Any]) -> list[str]:
    return [one["id"] for one in proposals(bundle)]


async def test_the_last_full_page_has_no_next(clinic: Clinic, client: Any) -> None:
    sizes = []
    page = await _search(clinic, _count="4")
    sizes.append(len(page["entry"]))
    while url := _link(page, "next"):
        page = (await client.get(url)).json()
        sizes.append(len(page["entry"]))
    assert sizes == [4, 4, 4]


@pytest.mark.parametrize("key", ["gender", "-gender", "gender,-_lastUpdated", "-gender,_id", "_lastUpdated"])
async def test_sorted_pages_do_not_overlap(clinic: Clinic, client: Any, key: str) -> None:
    whole = _ids(await _search(clinic, _sort=key))
    page = await _search(clinic, _sort=key, _count="5")
    paged = _ids(page)
    while url := _link(page, "next"):
        page = (await client.get(url)).json()
        paged += _ids(page)
    assert paged == whole
    assert len(set(whole)) == 12


async def test_sort_puts_values_in_order_and_loses_none(clinic: Clinic) -> None:
    for key, reverse in (("gender", False), ("-gender", True)):
        found = proposals(await _search(clinic, _sort=key))
        genders = [one["gender"] for one in found if "gender" in one]
        assert genders == sorted(genders, reverse=reverse)
        assert len(found) - len(genders) == 3


async def test_count_and_total(clinic: Clinic) -> None:
    none = await _search(clinic, _count="0")
    assert (none["total"], none.get("entry")) == (12, None)
    summary = await _search(clinic, _summary="count")
    assert (summary["total"], summary.get("entry")) == (12, None)
    accurate = await _search(clinic, _count="5", _total="accurate")
    assert (accurate["total"], len(accurate["entry"])) == (12, 5)
    assert len((await _search(clinic, _count="100000"))["entry"]) == 12


async def test_post_is_get(clinic: Clinic, client: Any) -> None:
    got = await client.get("Patient", params={"identifier": f"urn:n|{clinic.name}", "gender": "male,other"})
    posted = await client.post(
        f"Patient/_search?identifier=urn:n|{clinic.name}", data={"gender": "male,other"}, headers=FORM
    )
    assert posted.json()["entry"] == got.json()["entry"]
    assert len(posted.json()["entry"]) == 6
    bare = await client.post(f"Patient/_search?identifier=urn:n|{clinic.name}", headers={"Content-Type": ""})
    assert bare.json()["total"] == 12
    refused(await client.post("Patient/_search", json={"birthdate": "1980"}), 415)
    paged = await client.post("Patient/_search", headers=FORM,
                              data={"identifier": f"urn:n|{clinic.name}", "_count": "7"})  # fmt: skip
    following = await client.get(_link(paged.json(), "next"))
    assert len(following.json()["entry"]) == 5


async def test_input_survives_encoding_into_the_links(client: Any) -> None:
    clinic = Clinic(client)
    name = f"{clinic.name} a,b|c&d+é%"
    for number in range(2):
        await clinic.put({"resourceType": "Patient", "id": clinic.id(str(number)), "name": [{"text": name}]})
    escaped = name.replace(",", "\\,").replace("|", "\\|")
    page = (await client.get("Patient", params={"name": escaped, "_count": "1"})).json()
    rest = (await client.get(_link(page, "next"))).json()
    assert len({*_page_ids(page), *_page_ids(rest)}) == 2


async def test_includes_are_once_and_follow_what_they_include(client: Any) -> None:
    clinic = Clinic(client)
    service = await clinic.service()
    doc = await clinic.practitioner()
    await clinic.schedule("s", [doc], [service])
    found = proposals(await clinic.find(service=service))
    patient = await clinic.patient()
    for one in found[:2]:
        assert (await clinic.book(one["id"], patient)).status_code == 201
    query = {"patient": patient, "_include": ["Appointment:slot", "Slot:schedule", "Schedule:actor:Practitioner"]}
    bundle = await _search(clinic, "Appointment", **query)
    kinds = sorted(one["resource"]["resourceType"] for one in bundle["entry"] if one["search"]["mode"] == "include")
    assert kinds == ["Practitioner", "Schedule", "Slot", "Slot"]
    assert bundle["total"] == 2
    page = await _search(clinic, "Appointment", _count="1", **query)
    assert [one["search"]["mode"] for one in page["entry"]].count("match") == 1
    back = await _search(clinic, "Schedule", _id=clinic.id("s"), _revinclude="Slot:schedule")
    slots = [one["resource"] for one in back["entry"] if one["search"]["mode"] == "include"]
    assert [one["status"] for one in slots if one["status"] != "free"] == ["busy", "busy"]
    assert len(slots) == len({one["start"] for one in slots}) > 400, "computed ones too"


async def test_a_write_is_found_at_once_and_its_old_values_are_not(client: Any) -> None:
    clinic = Clinic(client)
    url = await clinic.patient(clinic.name)
    stored = (await client.get(url)).json()
    for family in ("Before", "After"):
        await clinic.put({**stored, "name": [{"family": f"{clinic.name}{family}"}]})
        counts = [
            (await client.get("Patient", params={"family": f"{clinic.name}{one}"})).json()["total"]
            for one in ("Before", "After")
        ]
        assert counts == [int(family == "Before"), int(family == "After")]
    await client.delete(url)
    assert (await client.get("Patient", params={"family": f"{clinic.name}After"})).json()["total"] == 0

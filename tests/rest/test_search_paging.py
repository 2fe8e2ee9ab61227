"""Page tokens and pages under writes. https://hl7.org/fhir/R4/http.html#paging"""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from fhir_server.errors import Problem
from fhir_server.services import page_tokens
from fhir_server.services.world import World
from tests.builders.answers import refused
from tests.builders.clinic import Clinic
from tests.builders.searches import found, link, link_pairs, pages, refs
from tests.builders.visits import Visits

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


GENDERS = ("female", "male", "other", "unknown")


async def _family(client: Any, size: int = 10) -> Clinic:
    """Patients of one family: two of each gender, the others of none."""
    made = Clinic(client)
    for number in range(size):
        await _patient(made, f"{number:02}", GENDERS[number // 2] if number < 8 else "")
    return made


async def _patient(clinic: Clinic, name: str, gender: str = "") -> None:
    patient = {"resourceType": "Patient", "id": clinic.id(name), "name": [{"family": clinic.name}]}
    await clinic.put({**patient, "gender": gender} if gender else patient)


def _names(bundles: list[dict[str, Any]]) -> list[str]:
    return [one.rpartition("-")[2] for bundle in bundles for one in refs(bundle)]


async def test_a_token_says_nothing(client: Any) -> None:
    clinic = Clinic(client)
    for number in range(3):
        await clinic.put(
            {"resourceType": "Practitioner", "id": clinic.id(f"{number:02}"), "name": [{"family": clinic.name}]}
        )
    page = await found(client, "Practitioner", family=clinic.name, _sort="family", _count=1)
    token = dict(link_pairs(page, "next"))["_page"]
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    assert clinic.name.encode() not in raw
    assert clinic.id("00").encode() not in raw
    assert clinic.name not in token


async def test_a_changed_token_is_refused(client: Any) -> None:
    clinic = await _family(client, 3)
    url = link(await found(client, "Patient", family=clinic.name, _count=1), "next")
    head, token = url.split("_page=")
    other = "A" if token[20] != "A" else "B"
    for forged in (token[:20] + other + token[21:], token[:-4], token + "AAAA", token[::-1], "A", "%00", "é", "a b"):
        outcome = refused(await client.get(f"{head}_page={forged}"), 400, "param-invalid")
        assert outcome["issue"][0]["expression"] == ["_page"]
    assert (await client.get(url)).status_code == 200


async def test_a_token_belongs_to_its_search_and_client(client: Any) -> None:
    clinic = await _family(client, 4)
    page = await found(client, "Patient", family=clinic.name, _count=1)
    token = dict(link_pairs(page, "next"))["_page"]
    same = {"family": clinic.name, "_count": "1", "_page": token}
    for changed in ({"family": clinic.name[:-1]}, {"_count": "2"}, {"gender": "male"}, {"_sort": "-_id"}):
        refused(await client.get("Patient", params={**same, **changed}), 400, "param-invalid")
    refused(await client.get("Practitioner", params=same), 400, "param-invalid")
    refused(await client.get("Patient", params=same, headers={"X-Client-Id": "another"}), 400, "param-invalid")
    assert (await client.get("Patient", params=same)).status_code == 200


async def test_a_token_is_over_after_a_day(world: World) -> None:
    bound = page_tokens.binding("search", "me", "Patient", [("name", "x")])
    token = await page_tokens.write(world, bound, [["a", None, 3], "", 7, 1])
    assert await page_tokens.read(world, bound, token) == [["a", None, 3], "", 7, 1]
    for hours, status in ((23, 0), (25, 410)):
        later = replace(world, clock=lambda hours=hours: world.clock() + hours * 3_600_000)  # type: ignore[misc]
        if not status:
            assert await page_tokens.read(later, bound, token)
            continue
        with pytest.raises(Problem) as refusal:
            await page_tokens.read(later, bound, token)
        assert refusal.value.category.status == status


def test_a_binding_tells_its_parts_apart() -> None:
    made = {
        page_tokens.binding(*one)
        for one in (
            ("search", "ab", "c", [("d", "e")]),
            ("search", "a", "bc", [("d", "e")]),
            ("search", "ab", "c", [("de", "")]),
            ("search", "ab", "c", [("d", "e"), ("", "")]),
            ("find", "ab", "c", [("d", "e")]),
        )
    }
    assert len(made) == 5


async def test_a_page_is_continued_on_another_process(client: Any, two_servers: tuple[str, str]) -> None:
    clinic = await _family(client, 5)
    first, second = two_servers
    page = await found(client, f"{first}/Patient", family=clinic.name, _count=2)
    seen = refs(page)
    for base in (second, first):
        token = dict(link_pairs(page, "next"))["_page"]
        page = await found(client, f"{base}/Patient", family=clinic.name, _count=2, _page=token)
        seen += refs(page)
    assert seen == [f"Patient/{clinic.id(f'{number:02}')}" for number in range(5)]
    assert not link(page, "next")


@pytest.mark.parametrize("size", [5, 10, 11])
@pytest.mark.parametrize("sort", ["_id", "gender", "-gender", "active,_id", "-active,gender", "-_lastUpdated"])
async def test_no_page_is_empty_and_none_is_missing(client: Any, size: int, sort: str) -> None:
    clinic = await _family(client, 10)
    whole = await found(client, "Patient", family=clinic.name, _sort=sort)
    parts = await pages(client, await found(client, "Patient", family=clinic.name, _sort=sort, _count=size))
    assert [len(refs(one)) for one in parts] == {5: [5, 5], 10: [10], 11: [10]}[size]
    assert _names(parts) == _names([whole])


@pytest.mark.parametrize("sort", ["gender", "-gender"])
async def test_writes_between_pages_shift_nothing(client: Any, sort: str) -> None:
    clinic = await _family(client)
    page = await found(client, "Patient", family=clinic.name, _sort=sort, _count=3)
    before = _names([page])
    # Gone: one that was shown, one that was not. Changed in what is not sorted by: one of each.
    rest = [f"{number:02}" for number in range(10) if f"{number:02}" not in before]
    for name in (before[0], rest[0]):
        assert (await client.delete(f"Patient/{clinic.id(name)}")).status_code == 204
    for name in (before[1], rest[-1]):
        url = f"Patient/{clinic.id(name)}"
        await clinic.put({**(await client.get(url)).json(), "active": True})
    await _patient(clinic, "zz")
    await _patient(clinic, "zy", "unknown")
    seen = _names(await pages(client, page))
    assert len(seen) == len(set(seen))
    assert set(seen) - {"zz", "zy"} == set(before) | set(rest[1:])
    assert {"zz", "zy"} & set(seen) == {"zy" if sort == "gender" else "zz"}, "those that come after the first page"


async def test_the_total_stays(client: Any) -> None:
    clinic = await _family(client, 7)
    query = {"family": clinic.name, "_count": "3"}
    parts = await pages(client, await found(client, "Patient", **query))
    assert [one.get("total") for one in parts] == [None, None, None]
    first = await found(client, "Patient", **query, _total="accurate")
    await _patient(clinic, "zz")
    assert [one["total"] for one in await pages(client, first)] == [7, 7, 7]
    assert "total" not in await found(client, "Patient", family=clinic.name, _total="none")
    assert (await found(client, "Patient", **query, _total="estimate"))["total"] == 8
    with_includes = await found(client, "Patient", family=clinic.name, _include="Patient:link")
    assert with_includes["total"] == 8


async def test_a_posted_search_goes_on_by_get(client: Any) -> None:
    clinic = await _family(client, 5)
    form = {"family": clinic.name, "_count": "2", "_elements": "birthDate", "bogus": "1"}
    answer = await client.post("Patient/_search?_sort=-_id", data=form, headers=FORM)
    parts = await pages(client, answer.json())
    assert _names(parts) == ["04", "03", "02", "01", "00"]
    for one in parts:
        stated = dict(link_pairs(one, "self"))
        stated.pop("_page", "")
        assert stated == {"_sort": "-_id", "family": clinic.name, "_count": "2", "_elements": "birthDate"}
        assert link(one, "self").startswith("http://fhir.test/fhir/Patient?")
    shown = [entry["resource"] for one in parts for entry in one["entry"] if entry["search"]["mode"] == "match"]
    assert all(one["meta"]["tag"][0]["code"] == "SUBSETTED" and "name" not in one for one in shown)


async def test_a_page_over_the_limit_is_cut(client: Any, world: World) -> None:
    clinic = await _family(client, 2)
    page = await found(client, "Patient", family=clinic.name, _count=10_000)
    assert dict(link_pairs(page, "self"))["_count"] == str(world.settings.page_limit)
    assert len(refs(page)) == 2


async def test_what_is_encoded_survives(client: Any) -> None:
    clinic = Clinic(client)
    value = f"{clinic.name}+a&b=c %é"
    for number in range(2):
        await clinic.put({"resourceType": "Patient", "id": clinic.id(str(number)),
                          "identifier": [{"system": "urn:x", "value": value}]})  # fmt: skip
    pairs = {"identifier": f"urn:x|{value},urn:x|none", "_count": "1"}
    page = await found(client, "Patient", **pairs)
    assert dict(link_pairs(page, "self")) == pairs
    assert _names(await pages(client, page)) == ["0", "1"]
    for mark in ("%2C", "%7C", "%26", "%2B"):
        assert mark in link(page, "self")


async def test_pages_of_computed_slots_while_others_book(client: Any) -> None:
    clinic = await Visits(client).opened()
    await clinic.booked("10:00")
    query = {"schedule": f"Schedule/{clinic.id('s')}", "start": clinic.first.isoformat()}
    for sort in ("start", "-start", "_lastUpdated", "-_id", "status,-start"):
        whole = await found(client, "Slot", **query, _sort=sort)
        assert whole["total"] == 16
        parts = await pages(client, await found(client, "Slot", **query, _sort=sort, _count=4))
        assert [len(refs(one)) for one in parts] == [4, 4, 4, 4]
        if sort != "_lastUpdated":
            assert _names(parts) == _names([whole])
        assert set(_names(parts)) == set(_names([whole]))
    first = await found(client, "Slot", **query, _count=5, _total="accurate")
    await clinic.booked("09:00")
    await clinic.booked("15:00")
    after = await pages(client, first)
    assert sorted(_names(after)) == sorted(_names([whole]))
    assert {one["total"] for one in after} == {16}
    by_start = {entry["resource"]["start"]: entry["resource"]["status"] for one in after for entry in one["entry"]}
    assert by_start[clinic.at("15:00")] == "busy"


async def test_find_tokens_are_sealed_too(client: Any) -> None:
    clinic = await Visits(client).opened()
    page = await clinic.find(service=clinic.visit, _count="4")
    url = link(page, "next")
    token = dict(link_pairs(page, "next"))["_page"]
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    assert b"Schedule" not in raw
    refused(await client.get(url, headers={"X-Client-Id": "another"}), 400, "param-invalid")
    refused(await client.get(url.replace("_count=4", "_count=5")), 400, "param-invalid")
    refused(await client.get(url.replace("_page=", "_page=x")), 400, "param-invalid")
    assert (await client.get(url)).status_code == 200

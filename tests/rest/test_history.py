"""``history`` of an instance, newest first, a page at a time. https://hl7.org/fhir/R4/http.html#history"""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders.answers import refused
from tests.builders.clinic import Clinic


@pytest.fixture
async def url(client: Any) -> str:
    """Created by POST, changed twice, deleted, and put again: five versions."""
    made = (await client.post("Patient", json={"resourceType": "Patient"})).json()
    url = f"Patient/{made['id']}"
    for active in (True, False):
        await client.put(url, json={**made, "active": active})
    await client.delete(url)
    await client.put(url, json=made)
    return url


async def _history(client: Any, url: str, **query: str) -> dict[str, Any]:
    answer = await client.get(f"{url}/_history", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_every_version_newest_first(client: Any, url: str) -> None:
    found = await _history(client, url)
    assert (found["type"], found["total"]) == ("history", 5)
    assert [one["request"]["method"] for one in found["entry"]] == ["PUT", "DELETE", "PUT", "PUT", "POST"]
    assert [one["request"]["url"] for one in found["entry"]] == [url] * 4 + ["Patient"]
    assert [one["response"]["status"][:3] for one in found["entry"]] == ["201", "204", "200", "200", "201"]
    assert [one["response"]["etag"] for one in found["entry"]] == [f'W/"{number}"' for number in (5, 4, 3, 2, 1)]
    assert ["resource" in one for one in found["entry"]] == [True, False, True, True, True]
    assert {one["fullUrl"] for one in found["entry"]} == {f"http://fhir.test/fhir/{url}"}
    stamps = [one["response"]["lastModified"] for one in found["entry"]]
    assert stamps == sorted(stamps, reverse=True)
    assert found["entry"][4]["response"]["location"] == f"http://fhir.test/fhir/{url}/_history/1"


async def test_pages_cover_every_version_once(client: Any, url: str) -> None:
    page = await _history(client, url, _count="2")
    tags: list[str] = []
    sizes = []
    while True:
        tags += [one["response"]["etag"] for one in page["entry"]]
        sizes.append(len(page["entry"]))
        assert page["total"] == 5
        following = [one["url"] for one in page["link"] if one["relation"] == "next"]
        if not following:
            break
        await client.put(url, json={"resourceType": "Patient", "id": url[8:], "language": str(len(tags))})
        page = (await client.get(following[0])).json() | {"total": 5}
    assert sizes == [2, 2, 1]
    assert tags == [f'W/"{number}"' for number in (5, 4, 3, 2, 1)]


async def test_since(client: Any, url: str) -> None:
    whole = await _history(client, url)
    third = whole["entry"][2]["response"]["lastModified"]
    since = await _history(client, url, _since=third)
    at_or_after = [one for one in whole["entry"] if one["response"]["lastModified"] >= third]
    assert since["entry"] == at_or_after
    assert since["total"] == len(at_or_after)
    assert (await _history(client, url, _since="2999-01-01T00:00:00Z")).get("entry", []) == []


@pytest.mark.parametrize(
    "query", ["_count=x", "_count=-1", "_since=yesterday", "_since=2026", "_page=x", "_count=1&_count=2",
              "_since=2026-01-01T00:00:00Z&_since=2026-01-01T00:00:00Z"],
)  # fmt: skip
async def test_malformed_parameters_are_400(client: Any, url: str, query: str) -> None:
    refused(await client.get(f"{url}/_history?{query}"), 400)


async def test_an_unknown_parameter_is_refused(client: Any, url: str) -> None:
    refused(await client.get(f"{url}/_history?bogus=1"), 400)


async def test_what_never_was_is_404_and_what_is_deleted_has_a_history(client: Any) -> None:
    refused(await client.get("Patient/never-was/_history"), 404)
    url = await Clinic(client).patient()
    await client.delete(url)
    assert (await _history(client, url))["total"] == 2


async def test_a_page_knows_what_was_created_without_the_version_before(client: Any, url: str) -> None:
    """Status 201 after a deletion, also where the marker is on the next page or before ``_since``."""
    page = await _history(client, url, _count="1")
    assert page["entry"][0]["response"]["status"] == "201 Created"
    since = await _history(client, url, _since=page["entry"][0]["response"]["lastModified"])
    assert [one["response"]["status"] for one in since["entry"]] == ["201 Created"]


@pytest.mark.parametrize("version", ["9" * 5000, "%D9%A1", "-1", "1.0", "%201", "x"])
async def test_what_is_no_version_is_404(client: Any, url: str, version: str) -> None:
    refused(await client.get(f"{url}/_history/{version}"), 404)


async def test_a_booking_and_its_slot_have_histories(client: Any) -> None:
    clinic = Clinic(client)
    service = await clinic.service()
    await clinic.schedule("s", [await clinic.practitioner()], [service])
    found = (await clinic.find(service=service))["entry"][0]["resource"]
    booked = (await clinic.book(found["id"], await clinic.patient())).json()
    await client.post(f"Appointment/{booked['id']}/$cancel")
    history = await _history(client, f"Appointment/{booked['id']}")
    assert [one["resource"]["status"] for one in history["entry"]] == ["cancelled", "booked"]
    slot = await _history(client, booked["slot"][0]["reference"])
    assert [one["resource"]["status"] for one in slot["entry"]] == ["free", "busy"]

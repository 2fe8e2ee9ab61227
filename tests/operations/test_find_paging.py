"""``$find`` a page at a time: ``next`` links cover every time once, also while others book; totals are exact."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.builders.answers import starts
from tests.builders.clinic import Clinic, parameters, proposals


@pytest.fixture
async def clinic(client: Any) -> Clinic:
    """Three providers, sixteen times each a day."""
    made = Clinic(client)
    service = await made.service()
    for name in ("a", "b", "c"):
        await made.schedule(f"s{name}", [await made.practitioner(name)], [service])
    return made


def _link(bundle: dict[str, Any], relation: str) -> str | None:
    return next((one["url"] for one in bundle["link"] if one["relation"] == relation), None)


async def _pages(client: Any, first: dict[str, Any]) -> list[dict[str, Any]]:
    pages = [first]
    while url := _link(pages[-1], "next"):
        answer = await client.get(url)
        assert answer.status_code == 200, answer.text
        pages.append(answer.json())
    return pages


async def test_the_pages_together_are_the_whole_answer(clinic: Clinic) -> None:
    service = f"HealthcareService/{clinic.id('visit')}"
    whole = await clinic.find(service=service, _count="1000")
    assert whole["total"] == 48 == len(proposals(whole))
    pages = await _pages(clinic.client, await clinic.find(service=service, _count="16"))
    assert [len(proposals(one)) for one in pages] == [16, 16, 16]
    assert {one["total"] for one in pages} == {48}
    together = [one["id"] for page in pages for one in proposals(page)]
    assert together == [one["id"] for one in proposals(whole)]


async def test_a_post_is_paged_by_get(clinic: Clinic) -> None:
    body = parameters(
        start=("DateTime", clinic.at("09:00")),
        end=("DateTime", clinic.at("17:00", 1)),
        service=("Reference", {"reference": f"HealthcareService/{clinic.id('visit')}"}),
        preferred_time=("String", "mon,tue 09:00-12:00"),
        duration=("Duration", {"value": 30, "system": "http://unitsofmeasure.org", "code": "min"}),
        _count=("Integer", 7),
    )
    body["parameter"][-1]["name"] = "_count"
    answer = await clinic.client.post("Appointment/$find", json=body)
    pages = await _pages(clinic.client, answer.json())
    found = [one["id"] for page in pages for one in proposals(page)]
    assert len(found) == len(set(found)) == pages[0]["total"] == 36


async def test_booking_between_pages_neither_repeats_nor_skips(clinic: Clinic) -> None:
    service = f"HealthcareService/{clinic.id('visit')}"
    whole = [one["id"] for one in proposals(await clinic.find(service=service, _count="1000"))]
    page = await clinic.find(service=service, _count="10")
    seen = [one["id"] for one in proposals(page)]
    taken = [whole[0], whole[9], whole[10], whole[30]]
    for number, one in enumerate(taken):
        assert (await clinic.book(one, await clinic.patient(f"p{number}"))).status_code == 201
    for later in (await _pages(clinic.client, page))[1:]:
        seen += [one["id"] for one in proposals(later)]
        assert later["total"] == 44
    assert len(seen) == len(set(seen))
    assert set(seen) == set(whole) - {whole[10], whole[30]}


async def test_count_nothing_is_only_the_total(clinic: Clinic) -> None:
    found = await clinic.find(service=f"HealthcareService/{clinic.id('visit')}", _count="0")
    assert (found["total"], proposals(found), _link(found, "next")) == (48, [], None)


async def test_the_total_is_exact_beyond_a_page(clinic: Clinic) -> None:
    end = (clinic.first + timedelta(days=29)).isoformat()
    found = await clinic.find(service=f"HealthcareService/{clinic.id('visit')}", end=end)
    assert found["total"] == 48 * 30
    assert len(proposals(found)) == 20
    assert starts(found) == sorted(starts(found))

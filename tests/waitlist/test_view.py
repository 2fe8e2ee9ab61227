"""``$waitlist``: the order and the reason for it, pages, walls, and what a patient sees."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from fhir_server.access.caller import Role
from fhir_server.services.world import World
from tests.builders.answers import refused
from tests.builders.clinic import TIMEZONE, part
from tests.builders.waiting import Waiting, ranks, reference, waitlist_policy


@pytest.fixture
async def queue(clinic: Waiting) -> Waiting:
    """Four who wait: ``pat`` and ``other`` by the clock, ``known`` was here before, ``urgent`` is."""
    for name in ("known", "urgent"):
        await clinic.patient(name)
    return clinic


async def _visited(clinic: Waiting, patient: str) -> None:
    """A visit that took place, some months ago."""
    then = datetime.now(ZoneInfo(clinic.zone)) - timedelta(days=100)
    visit = clinic.appointment(patient=patient, id=clinic.id(f"visit-{patient}"), status="fulfilled")
    visit |= {
        "start": then.isoformat(timespec="seconds"),
        "end": (then + timedelta(minutes=30)).isoformat(timespec="seconds"),
    }
    await clinic.put(visit)


async def test_urgency_then_established_then_the_time_of_entry(queue: Waiting) -> None:
    await _visited(queue, "known")
    first, second = await queue.joined("pat"), await queue.joined("other")
    known, urgent = await queue.joined("known"), await queue.joined("urgent", urgency=("UnsignedInt", 8))
    found = await queue.waitlist(service=queue.visit, practitioner=f"Practitioner/{queue.id('doc')}")
    assert [one["resource"]["id"] for one in found["entry"]] == [
        urgent["id"], known["id"], first["id"], second["id"],
    ]  # fmt: skip
    assert found["total"] == 4
    said = ranks(found)
    assert [one and one[0] for one in said] == [1, 2, 3, 4]
    assert said[0]
    assert said[0][1].startswith("urgency 8, new patient, waiting since ")
    assert said[1]
    assert said[1][1].startswith("urgency 0, established, waiting since ")


async def test_a_policy_orders_otherwise(clinic: Waiting) -> None:
    await clinic.service("visit", 30, extension=[waitlist_policy("since")])
    first, second = await clinic.joined("pat"), await clinic.joined("other", urgency=("UnsignedInt", 8))
    found = await clinic.waitlist(service=clinic.visit)
    assert [one["resource"]["id"] for one in found["entry"]] == [first["id"], second["id"]]
    assert all(one and one[1].startswith("waiting since") for one in ranks(found))


async def test_filters(clinic: Waiting) -> None:
    second, doc = await clinic.service("second", 60), f"Practitioner/{clinic.id('doc')}"
    place = {"resourceType": "Location", "id": clinic.id("site"), "extension": [part(TIMEZONE, "Code", clinic.zone)]}
    await clinic.put(place)
    site = f"Location/{clinic.id('site')}"
    mine = (await clinic.joined(practitioner=reference(doc)))["id"]
    there = (await clinic.joined("other", location=reference(site)))["id"]
    others = (await clinic.joined("other", service=reference(second)))["id"]
    for query, wanted in (
        ({"service": clinic.visit}, {mine, there}),
        ({"service": second}, {others}),
        ({"service": f"{clinic.visit},{second}"}, {mine, there, others}),
        ({"practitioner": doc}, {mine, there}),
        ({"practitioner": doc, "service": second}, set()),
        ({"practitioner": "Practitioner/nobody"}, set()),
        ({"service": clinic.visit, "location": "Location/elsewhere"}, {mine}),
        ({"service": clinic.visit, "location": site}, {mine, there}),
        ({"service": clinic.visit, "patient": f"Patient/{clinic.id('pat')}"}, {mine}),
        ({"service": "HealthcareService/nothing"}, set()),
    ):
        found = await clinic.waitlist(**query)
        assert {one["resource"]["id"] for one in found.get("entry", ())} == wanted, query


async def test_pages(clinic: Waiting) -> None:
    names = [f"p{number}" for number in range(5)]
    for name in names:
        await clinic.patient(name)
        await clinic.joined(name)
    whole = await clinic.order()
    found = await clinic.waitlist(service=clinic.visit, _count="2")
    assert found["total"] == 5
    ids: list[str] = []
    places: list[int] = []
    while True:
        ids += [one["resource"]["id"] for one in found["entry"]]
        places += [one[0] for one in ranks(found) if one]
        following = [one["url"] for one in found["link"] if one["relation"] == "next"]
        if not following:
            break
        found = (await clinic.client.get(following[0])).json()
    assert (ids, places) == (whole, [1, 2, 3, 4, 5])
    refused(await clinic.client.get("Appointment/$waitlist?_page=nonsense"), 400, "param-invalid")
    refused(await clinic.client.get("Appointment/$waitlist?status=waitlist"), 400, "param-invalid")


async def test_patients_see_their_own_and_their_place_where_the_clinic_shows_it(clinic: Waiting) -> None:
    await clinic.joined("other", urgency=("UnsignedInt", 5))
    mine = await clinic.joined("pat")
    patient = await clinic.token(Role.PATIENT, f"Patient/{clinic.id('pat')}")
    for query in ({}, {"service": clinic.visit}):
        found = await clinic.waitlist(patient, **query)
        assert [one["resource"]["id"] for one in found["entry"]] == [mine["id"]]
        assert (found["total"], ranks(found)) == (1, [None])
    await clinic.service("visit", 30, extension=[waitlist_policy(showPosition=True)])
    for query in ({}, {"service": clinic.visit}):
        ((place, reason),) = [one for one in ranks(await clinic.waitlist(patient, **query)) if one]
        assert place == 2
        assert reason.startswith("urgency 0, new patient, waiting since")
    other = await clinic.client.get(
        "Appointment/$waitlist", params={"patient": f"Patient/{clinic.id('other')}"}, headers=patient
    )
    refused(other, 403, "withheld")


async def test_staff_see_inside_their_walls(clinic: Waiting) -> None:
    for name in ("north", "south"):
        await clinic.put({"resourceType": "Organization", "id": clinic.id(name), "name": name})
    for name in ("north", "south"):
        service = {
            "resourceType": "HealthcareService", "id": clinic.id(f"service-{name}"), "active": True,
            "providedBy": {"reference": f"Organization/{clinic.id(name)}"},
            "type": [{"coding": [{"system": "urn:x", "code": clinic.id(name)}]}],
        }  # fmt: skip
        await clinic.put(service)
    entries = {
        name: await clinic.joined(who, service=reference(f"HealthcareService/{clinic.id(f'service-{name}')}"))
        for name, who in (("north", "pat"), ("south", "other"))
    }
    walls = frozenset({f"Organization/{clinic.id('north')}"})
    desk = await clinic.token(Role.FRONT_DESK, f"Practitioner/{clinic.id('desk')}", clinics=walls)
    found = await clinic.waitlist(desk)
    assert [one["resource"]["id"] for one in found["entry"]] == [entries["north"]["id"]]
    south = f"HealthcareService/{clinic.id('service-south')}"
    assert (await clinic.waitlist(desk, service=south))["total"] == 0
    refused(await clinic.client.get(f"Appointment/{entries['south']['id']}", headers=desk), 404)


async def test_a_clinician_sees_who_waits_for_them(clinic: Waiting) -> None:
    doc = f"Practitioner/{clinic.id('doc')}"
    await clinic.put({"resourceType": "Organization", "id": clinic.id("org"), "name": "clinic"})
    await clinic.put({
        "resourceType": "PractitionerRole", "id": clinic.id("role"), "practitioner": {"reference": doc},
        "organization": {"reference": f"Organization/{clinic.id('org')}"},
    })  # fmt: skip
    mine = await clinic.joined("pat", practitioner=reference(doc))
    await clinic.joined("other")
    walls = frozenset({f"Organization/{clinic.id('org')}"})
    doctor = await clinic.token(Role.PRACTITIONER, doc, clinics=walls)
    found = await clinic.waitlist(doctor, service=clinic.visit)
    assert [one["resource"]["id"] for one in found["entry"]] == [mine["id"]]


async def test_who_is_on_no_waitlist_sees_none(clinic: Waiting, world: World) -> None:
    await clinic.joined()
    auditor = await clinic.token(Role.AUDITOR, f"Practitioner/{clinic.id('auditor')}")
    refused(await clinic.client.get("Appointment/$waitlist", headers=auditor), 403)
    nobody: Any = await clinic.client.get("Appointment/$waitlist", headers={"Authorization": "Bearer x"})
    assert nobody.status_code == 401

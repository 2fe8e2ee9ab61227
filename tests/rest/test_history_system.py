"""``history`` of a type and of the system: every version once, newest first, by pages, while others write.

https://hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from fhir_server.app import Server
from fhir_server.fhir.json import parse
from fhir_server.services import history as use_case
from fhir_server.services import resources
from fhir_server.services.world import World
from fhir_server.settings import Settings
from fhir_server.store.history import Window
from tests.builders.answers import expressions, refused
from tests.builders.clinic import Clinic, parameters, proposals
from tests.server import asking, opened
from tests.tokens import Issuer, issuer_for

Entry = dict[str, Any]
BASE = "http://fhir.test/fhir"
FORGED: list[Any] = [
    {"a": 1},
    [],
    [1, "a", 1, "Patient", 1],
    ["1", "a", 1, "Patient", 1, 1],
    [1, "$x", 1, "Patient", 1, 1],
    [1, "a", 1, {"$gt": ""}, 1, 1],
    [1, "a", -1, "Patient", None, 1],
    [2**53, "a", 1, "Patient", 1, 1],
    [2**64, "a", 1, "Patient", 1, 1],
    [1, "a", 1, "Location", 1, 1],
]


async def _put(client: Any, type_: str, id_: str, **elements: Any) -> str:
    """Write a version; its instant."""
    answer = await client.put(f"{type_}/{id_}", json={"resourceType": type_, "id": id_, **elements})
    assert answer.status_code in {200, 201}, answer.text
    return str(answer.json()["meta"]["lastUpdated"])


async def _page(client: Any, path: str, **query: str) -> dict[str, Any]:
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert found["type"] == "history"
    return found


def _links(page: dict[str, Any]) -> dict[str, str]:
    return {one["relation"]: one["url"] for one in page["link"]}


def _version(entry: Entry) -> tuple[str, str]:
    return entry["fullUrl"].removeprefix(f"{BASE}/"), entry["response"]["etag"][3:-1]


def _versions(page: dict[str, Any]) -> list[tuple[str, str]]:
    return [_version(one) for one in page.get("entry", ())]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def app(settings: Settings) -> AsyncIterator[Server]:
    """A server with a database of its own: tests that move the clock leave versions of days to come."""
    async with opened(settings.model_copy(update={"mongo_database": f"{settings.mongo_database}_history"})) as made:
        yield made


@pytest.fixture(scope="module")
def issuer(app: Server) -> Issuer:
    return issuer_for(app)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client(app: Server, issuer: Issuer) -> AsyncIterator[Any]:
    async with asking(app, issuer) as made:
        yield made


@pytest.fixture
async def told(client: Any) -> tuple[list[tuple[str, str]], str]:
    """Versions of resources of three types in the order of their making, and the instant of the first."""
    name = uuid.uuid4().hex
    start = await _put(client, "Patient", name, active=True)
    await _put(client, "Organization", name, name="one")
    await _put(client, "Patient", name, active=False)
    await _put(client, "Location", name, name="there")
    await client.delete(f"Patient/{name}")
    await _put(client, "Organization", name, name="two")
    await _put(client, "Patient", name, active=True)
    patient, organization, location = f"Patient/{name}", f"Organization/{name}", f"Location/{name}"
    made = [
        (patient, "1"), (organization, "1"), (patient, "2"), (location, "1"), (patient, "3"), (organization, "2"),
        (patient, "4"),
    ]  # fmt: skip
    return made, start


async def test_a_type_tells_every_version_newest_first(client: Any, told: Any) -> None:
    made, start = told
    page = await _page(client, "Patient/_history", _since=start)
    patient = made[0][0]
    assert _versions(page) == [(patient, "4"), (patient, "3"), (patient, "2"), (patient, "1")]
    assert page["total"] == 4
    assert [one["request"] for one in page["entry"]] == [
        {"method": method, "url": patient} for method in ("PUT", "DELETE", "PUT", "PUT")
    ]
    assert [one["response"]["status"] for one in page["entry"]] == ["201 Created", "204 No Content", "200 OK",
                                                                    "201 Created"]  # fmt: skip
    assert [one.get("resource", {}).get("active") for one in page["entry"]] == [True, None, False, True]
    assert "resource" not in page["entry"][1]
    for one in page["entry"]:
        assert datetime.fromisoformat(one["response"]["lastModified"])
        if "resource" in one:
            assert one["response"]["location"] == f"{one['fullUrl']}/_history/{one['resource']['meta']['versionId']}"
            assert one["response"]["lastModified"] == one["resource"]["meta"]["lastUpdated"]
    assert _links(page) == {"self": f"{BASE}/Patient/_history?_since={start.replace(':', '%3A')}"}


async def test_a_create_is_told_as_a_post(client: Any) -> None:
    made = (await client.post("Flag", json=_flag())).json()
    page = await _page(client, "Flag/_history", _since=made["meta"]["lastUpdated"])
    assert [one["request"] for one in page["entry"]] == [{"method": "POST", "url": "Flag"}]
    assert page["entry"][0]["fullUrl"] == f"{BASE}/Flag/{made['id']}"
    assert page["entry"][0]["resource"] == made


def _flag() -> dict[str, Any]:
    code = {"text": "needs an interpreter"}
    return {"resourceType": "Flag", "status": "active", "code": code, "subject": {"reference": "Patient/x"}}


async def test_the_system_tells_all_types_in_one_order(client: Any, told: Any) -> None:
    made, start = told
    page = await _page(client, "_history", _since=start)
    stamps = [one["response"]["lastModified"] for one in page["entry"]]
    assert stamps == sorted(stamps, reverse=True)
    assert sorted(_versions(page)) == sorted(made)
    assert page["total"] == len(made)
    assert _links(page)["self"].startswith(f"{BASE}/_history?_since=")


@pytest.mark.parametrize("size", ["1", "2", "3", "7"])
@pytest.mark.parametrize("path", ["_history", "Patient/_history"])
async def test_pages_neither_lose_nor_repeat_while_others_write(client: Any, told: Any, path: str, size: str) -> None:
    made, start = told
    wanted = [one for one in made if path == "_history" or one[0].startswith("Patient/")]
    page = await _page(client, path, _since=start, _count=size)
    found = _versions(page)
    pages = 1
    while following := _links(page).get("next"):
        # The current versions that are still to come become old ones.
        await _put(client, *wanted[0][0].split("/"), language=f"x-{pages}")
        await _put(client, "Location", uuid.uuid4().hex, name="new")
        assert f"_count={size}" in following
        assert "_since=" in following
        page = (await client.get(following)).json()
        assert page["total"] == len(wanted)
        assert 0 < len(page["entry"]) <= int(size)
        found += _versions(page)
        pages += 1
    assert sorted(found) == sorted(wanted)
    assert pages == -(-len(wanted) // int(size))


async def test_count_0_gives_the_total_alone(client: Any, told: Any) -> None:
    made, start = told
    page = await _page(client, "_history", _since=start, _count="0")
    assert "entry" not in page
    assert page["total"] == len(made)
    assert "next" not in _links(page)
    assert (await _page(client, f"{made[0][0]}/_history", _count="0"))["total"] == 4


async def test_nothing_since_then(client: Any) -> None:
    for path in ("_history", "Patient/_history"):
        page = await _page(client, path, _since="2999-01-01T00:00:00Z")
        assert page["total"] == 0
        assert "entry" not in page


@pytest.mark.parametrize("path", ["_history", "Patient/_history", "{}/_history"])
async def test_at_gives_what_was_current_then(client: Any, told: Any, path: str) -> None:
    made, _ = told
    patient = made[0][0]
    whole = (await _page(client, f"{patient}/_history"))["entry"]
    instants = {_version(one)[1]: one["response"]["lastModified"] for one in whole}

    async def at(text: str) -> list[str]:
        page = await _page(client, path.format(patient), _at=text, _since=instants["1"], _count="1000")
        return [version for name, version in _versions(page) if name == patient]

    assert await at(instants["2"]) == ["2"]
    assert await at(instants["3"]) == ["3"]
    assert await at(instants["4"]) == ["4"]
    assert await at("2999-01-01T00:00:00Z") == ["4"]
    assert await at("2999") == ["4"]
    assert await at(instants["1"][:4]) == ["4", "3", "2", "1"]
    assert await at("1999-12-31") == []


@pytest.mark.parametrize(
    "query",
    [
        "_count=x", "_count=-1", "_count=1.5", "_count=%D9%A3", "_since=yesterday", "_since=2026", "_since=2026-01-01",
        "_since=2026-02-30T00:00:00Z", "_since=9999-12-31T23:59:60-14:99", "_at=never", "_at=2026-13", "_at=ge2026",
        "_at=0000", "_page=x", "_page=%00", "_count=1&_count=2", "_at=2026&_at=2026",
        "_since=2026-01-01T00:00:00Z&_since=2026-01-01T00:00:00Z", "_page=W10", "_page=bnVsbA",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["_history", "Patient/_history"])
async def test_malformed_parameters_are_refused_by_name(client: Any, path: str, query: str) -> None:
    found = refused(await client.get(f"{path}?{query}"), 400)
    assert expressions(found) == [query.partition("=")[0]]


async def test_page_tokens_are_checked(client: Any, told: Any) -> None:
    made, start = told
    following = _links(await _page(client, "Patient/_history", _since=start, _count="1"))["next"]
    token = following.partition("_page=")[2]
    assert (await client.get(following)).status_code == 200
    assert b"Patient" not in base64.urlsafe_b64decode(token + "==")
    refused(await client.get(f"Location/_history?_page={token}"), 400)
    refused(await client.get(f"Patient/another/_history?_page={token}"), 400)
    other = made[1][0].replace("Organization", "Location")
    refused(await client.get(f"{other}/_history?_page={token}"), 400)
    for changed in FORGED:
        forged = base64.urlsafe_b64encode(json.dumps(changed).encode()).decode().rstrip("=")
        refused(await client.get(f"Patient/_history?_page={forged}"), 400)


@pytest.mark.parametrize("name", ["bogus", "_type", "_sort", "_summary", "_elements"])
async def test_unknown_parameters_are_refused(client: Any, name: str) -> None:
    assert expressions(refused(await client.get(f"_history?{name}=1"), 400)) == [name]


async def test_head_and_other_methods(client: Any) -> None:
    for path in ("_history", "Patient/_history"):
        head = await client.head(f"{path}?_since=2999-01-01T00:00:00Z")
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["content-length"]) > 0
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            answer = await client.request(method, path, json={})
            refused(answer, 405)
            assert answer.headers["Allow"] == "GET, HEAD"
    refused(await client.get("Observation/_history"), 404)
    refused(await client.get("StructureDefinition/_history"), 404)


async def test_a_version_that_comes_late_is_met_by_the_next_question(client: Any, world: World) -> None:
    """Another process may commit a version after one with a later instant."""
    name = uuid.uuid4().hex
    start = await _put(client, "Location", name, name="first")
    poll = await _page(client, "Location/_history", _since=start)
    newest = datetime.fromisoformat(poll["entry"][0]["response"]["lastModified"])
    behind = replace(world, clock=lambda: world.clock() - 30_000)
    await resources.put(behind, {"resourceType": "Location", "id": f"{name}-late", "name": "late"})
    missed = await _page(client, "Location/_history", _since=start)
    assert (f"Location/{name}-late", "1") not in _versions(missed)
    complete = poll["meta"]["lastUpdated"]
    assert datetime.fromisoformat(complete) < newest - timedelta(seconds=50)
    found = _versions(await _page(client, "Location/_history", _since=complete, _count="1000"))
    assert (f"Location/{name}-late", "1") in found
    assert (f"Location/{name}", "1") in found


async def test_every_page_says_until_when_the_first_was_complete(client: Any, told: Any) -> None:
    _, start = told
    first = await _page(client, "_history", _since=start, _count="3")
    second = (await client.get(_links(first)["next"])).json()
    assert first["meta"] == second["meta"]
    age = datetime.now(UTC) - datetime.fromisoformat(first["meta"]["lastUpdated"])
    assert timedelta(seconds=60) <= age < timedelta(seconds=80)


async def test_a_booking_shows_in_both_types(client: Any) -> None:
    clinic = Clinic(client)
    service = await clinic.service()
    await clinic.schedule("s", [await clinic.practitioner()], [service])
    start = await _put(client, "Location", clinic.id("mark"), name="mark")
    found = (await clinic.find(service=service))["entry"][0]["resource"]
    booked = (await clinic.book(found["id"], await clinic.patient())).json()
    slot = booked["slot"][0]["reference"]
    assert (f"Appointment/{booked['id']}", "1") in _versions(await _page(client, "Appointment/_history", _since=start))
    assert (slot, "1") in _versions(await _page(client, "Slot/_history", _since=start))
    everything = _versions(await _page(client, "_history", _since=start))
    assert {(f"Appointment/{booked['id']}", "1"), (slot, "1")} <= set(everything)


async def test_a_computed_slot_has_no_history(client: Any) -> None:
    clinic = Clinic(client)
    schedule = await clinic.schedule("s", [await clinic.practitioner()], [await clinic.service()])
    day = clinic.first.isoformat()
    slots = (await client.get("Slot", params={"schedule": schedule, "start": day})).json()["entry"]
    assert slots
    refused(await client.get(f"Slot/{slots[0]['resource']['id']}/_history"), 404)


@pytest.mark.parametrize("level", ["instance", "type"])
async def test_a_hold_that_is_over_is_told_as_over(client: Any, world: World, level: str) -> None:
    clinic = Clinic(client)
    await clinic.schedule("s", [await clinic.practitioner()], [await clinic.service()])
    first = proposals(await clinic.find(service=f"HealthcareService/{clinic.id('visit')}"))[0]
    body = parameters(
        appointment=("Uri", f"Appointment/{first['id']}"), patient=("Reference", {"reference": await clinic.patient()})
    )
    held = (await client.post("Appointment/$hold", json=body)).json()
    later = replace(world, clock=lambda: world.clock() + 3_600_000)
    id_ = held["id"] if level == "instance" else ""
    page = await use_case.history(later, ("Appointment",), Window(), count=1000, id_=id_)
    mine = [one for one in page.versions if one.id == held["id"]]
    assert [(one.version, parse(one.body)["status"]) for one in mine] == [(2, "cancelled"), (1, "pending")]

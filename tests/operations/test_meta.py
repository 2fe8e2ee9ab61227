"""``$meta``, ``$meta-add``, ``$meta-delete``: labels come and go, the content stays.

https://hl7.org/fhir/R4/resource-operation-meta.html
"""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from fhir_server.fhir.types import RESOURCE_TYPES
from fhir_server.services.meta import added, without
from tests.builders.answers import expressions, refused
from tests.builders.clinic import Clinic, parameters

SYSTEM = "https://clinic.example/label"
Labels = dict[str, Any]


def tag(code: str, **more: Any) -> Labels:
    return {"system": SYSTEM, "code": code, **more}


def of(meta: Labels) -> dict[str, Any]:
    return parameters(meta=("Meta", meta))


def told(answer: Any) -> Labels:
    """The Meta in an answer."""
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["resourceType"] == "Parameters"
    (found,) = body["parameter"]
    assert found["name"] == "return"
    assert answer.headers["ETag"] == f'W/"{found["valueMeta"]["versionId"]}"'
    meta: Labels = found["valueMeta"]
    return meta


@pytest.fixture
async def url(client: Any) -> str:
    body = {
        "resourceType": "Patient",
        "meta": {
            "profile": ["http://x/a"],
            "tag": [tag("old", display="Old")],
            "security": [tag("R")],
            "source": "urn:s",
        },
        "name": [{"family": "Meta"}],
    }
    return f"Patient/{(await client.post('Patient', json=body)).json()['id']}"


async def test_the_meta_of_the_current_version(client: Any, url: str) -> None:
    whole = (await client.get(url)).json()["meta"]
    assert told(await client.get(f"{url}/$meta")) == whole
    assert told(await client.post(f"{url}/$meta")) == whole
    assert told(await client.post(f"{url}/$meta", json={"resourceType": "Parameters"})) == whole


async def test_labels_are_added_in_a_new_version(client: Any, url: str) -> None:
    before = (await client.get(url)).json()
    more = {"profile": ["http://x/b", "http://x/a"], "tag": [tag("new"), tag("old", display="Other")],
            "security": [{"system": "urn:other", "code": "R"}], "versionId": "99", "source": "urn:else"}  # fmt: skip
    meta = told(await client.post(f"{url}/$meta-add", json=of(more)))
    assert meta["versionId"] == "2"
    assert meta["profile"] == ["http://x/a", "http://x/b"]
    assert meta["tag"] == [tag("old", display="Old"), tag("new")]
    assert meta["security"] == [tag("R"), {"system": "urn:other", "code": "R"}]
    assert meta["source"] == "urn:s"
    after = (await client.get(url)).json()
    assert after == {**before, "meta": meta}
    found = (await client.get("Patient", params={"_tag": f"{SYSTEM}|new", "_id": url[8:]})).json()
    assert found["total"] == 1
    assert (await client.get(f"{url}/_history")).json()["total"] == 2


async def test_labels_are_taken_away_whatever_their_display(client: Any, url: str) -> None:
    before = (await client.get(url)).json()
    fewer = {"tag": [tag("old", display="Another"), tag("never")], "security": [tag("R", version="7")]}
    meta = told(await client.post(f"{url}/$meta-delete", json=of(fewer)))
    assert set(meta) == {"versionId", "lastUpdated", "profile", "source"}
    after = (await client.get(url)).json()
    assert {**after, "meta": 0} == {**before, "meta": 0}
    found = (await client.get("Patient", params={"_tag": f"{SYSTEM}|old", "_id": url[8:]})).json()
    assert found["total"] == 0


async def test_what_changes_nothing_makes_no_version(client: Any, url: str) -> None:
    before = (await client.get(url)).json()["meta"]
    assert told(await client.post(f"{url}/$meta-add", json=of({"tag": [tag("old")]}))) == before
    assert told(await client.post(f"{url}/$meta-delete", json=of({"tag": [tag("never")]}))) == before
    assert (await client.get(f"{url}/_history")).json()["total"] == 1


async def test_labels_of_many_callers_all_arrive(client: Any, url: str) -> None:
    answers = await asyncio.gather(
        *(client.post(f"{url}/$meta-add", json=of({"tag": [tag(f"t{number}")]})) for number in range(12))
    )
    assert {one.status_code for one in answers} == {200}
    meta = told(await client.get(f"{url}/$meta"))
    assert {one["code"] for one in meta["tag"]} == {"old", *(f"t{number}" for number in range(12))}
    assert meta["versionId"] == "13"


async def test_if_match_is_obeyed(client: Any, url: str) -> None:
    body = of({"tag": [tag("new")]})
    refused(await client.post(f"{url}/$meta-add", json=body, headers={"If-Match": 'W/"7"'}), 412)
    assert told(await client.post(f"{url}/$meta-add", json=body, headers={"If-Match": 'W/"1"'}))["versionId"] == "2"


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"resourceType": "Parameters"}, "meta"),
        ({"resourceType": "Patient"}, "meta"),
        (parameters(meta=("String", "x")), "Parameters.parameter[0]"),
        (parameters(meta=("Coding", tag("x"))), "Parameters.parameter[0]"),
        (of({"tag": [{"display": "nothing else"}]}), "Parameters.parameter[0].value.tag[0]"),
        (of({"tag": [{"system": 1}]}), "Parameters.parameter[0].value.tag[0].system"),
        (of({"tag": ["x"]}), "Parameters.parameter[0].value.tag[0]"),
        (of({"tags": [tag("x")]}), "Parameters.parameter[0].value.tags"),
        (of({"profile": "http://x/a"}), "Parameters.parameter[0].value.profile"),
        ({"resourceType": "Parameters", "parameter": [{"name": "meta"}]}, "Parameters.parameter[0]"),
    ],
)
@pytest.mark.parametrize("name", ["meta-add", "meta-delete"])
async def test_malformed_arguments_are_named(client: Any, url: str, name: str, body: Any, place: str) -> None:
    found = refused(await client.post(f"{url}/${name}", json=body), 400)
    assert expressions(found) == [place]
    assert (await client.get(url)).json()["meta"]["versionId"] == "1"


async def test_two_metas_are_refused(client: Any, url: str) -> None:
    twice = of({"tag": [tag("a")]})
    twice["parameter"] *= 2
    refused(await client.post(f"{url}/$meta-add", json=twice), 400)


async def test_a_part_of_a_resource_cannot_be_feigned(client: Any, url: str) -> None:
    part = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
    refused(await client.post(f"{url}/$meta-add", json=of({"tag": [part]})), 422)


async def test_absent_and_deleted(client: Any, url: str) -> None:
    body = of({"tag": [tag("a")]})
    for method, name in (("GET", "meta"), ("POST", "meta"), ("POST", "meta-add"), ("POST", "meta-delete")):
        refused(await client.request(method, f"Patient/never-{uuid.uuid4()}/${name}", json=body), 404)
    await client.delete(url)
    for method, name in (("GET", "meta"), ("POST", "meta"), ("POST", "meta-add"), ("POST", "meta-delete")):
        refused(await client.request(method, f"{url}/${name}", json=body), 410)


async def test_a_booking_can_be_labelled_in_every_state(client: Any) -> None:
    """Labels are no matter of the booking engine: time, status and Slot stay."""
    clinic = Clinic(client)
    service = await clinic.service()
    await clinic.schedule("s", [await clinic.practitioner()], [service])
    found = (await clinic.find(service=service))["entry"][0]["resource"]
    booked = (await clinic.book(found["id"], await clinic.patient())).json()
    for url in (f"Appointment/{booked['id']}", booked["slot"][0]["reference"]):
        before = (await client.get(url)).json()
        assert told(await client.post(f"{url}/$meta-add", json=of({"tag": [tag("vip")]})))["tag"] == [tag("vip")]
        after = (await client.get(url)).json()
        assert {**after, "meta": 0} == {**before, "meta": 0}
    assert (await client.post(f"Appointment/{booked['id']}/$cancel")).status_code == 200
    url = f"Appointment/{booked['id']}"
    assert "tag" not in told(await client.post(f"{url}/$meta-delete", json=of({"tag": [tag("vip")]})))
    assert (await client.get(url)).json()["status"] == "cancelled"


@pytest.mark.parametrize("type_", RESOURCE_TYPES)
async def test_levels_and_methods(client: Any, type_: str) -> None:
    for name in ("meta", "meta-add", "meta-delete"):
        for method in ("GET", "POST"):
            refused(await client.request(method, f"{type_}/${name}", json={}), 404)
    for name in ("meta-add", "meta-delete"):
        answer = await client.get(f"{type_}/1/${name}")
        refused(answer, 405)
        assert answer.headers["Allow"] == "POST"
    refused(await client.put(f"{type_}/1/$meta", json={}), 405)
    refused(await client.get(f"{type_}/1/$no-such-operation"), 404)


def test_extensions_of_a_profile_go_with_it() -> None:
    noted = {"extension": [{"url": "urn:x", "valueBoolean": True}]}
    meta = {"profile": ["a", "b"], "_profile": [None, noted]}
    assert added(meta, {"profile": ["c"]}) == {"profile": ["a", "b", "c"], "_profile": [None, noted, None]}
    assert without(meta, {"profile": ["a"]}) == {"profile": ["b"], "_profile": [noted]}
    assert without(meta, {"profile": ["b"]}) == {"profile": ["a"]}
    assert without(meta, {"profile": ["b", "a"]}) == {}

"""``_include`` and ``_revinclude``. https://hl7.org/fhir/R4/search.html#revinclude"""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio

from fhir_server.services import includes
from fhir_server.services.world import World
from tests.builders.answers import outcome_in, refused
from tests.builders.clinic import Clinic
from tests.builders.searches import found, pages, refs
from tests.builders.visits import Visits


@pytest_asyncio.fixture(scope="module")
async def clinic(client: Any) -> Clinic:
    """Organizations ``a`` of ``b`` of ``c`` of ``a``; Locations ``x`` and ``y`` of ``a``, ``z`` of nobody."""
    made = Clinic(client)
    for name, above in (("a", "b"), ("b", "c"), ("c", "a")):
        await made.put({"resourceType": "Organization", "id": made.id(name), "name": made.id(name),
                        "identifier": [{"system": "urn:o", "value": made.name}],
                        "partOf": {"reference": f"Organization/{made.id(above)}"}})  # fmt: skip
    for name, home in (("x", "a"), ("y", "a"), ("z", "gone")):
        await made.put({"resourceType": "Location", "id": made.id(name), "name": made.id(name),
                        "identifier": [{"system": "urn:l", "value": made.name}],
                        "managingOrganization": {"reference": f"Organization/{made.id(home)}"}})  # fmt: skip
    return made


def _names(bundle: dict[str, Any], mode: str = "include") -> list[str]:
    return [one.rpartition("-")[2] for one in refs(bundle, mode)]


async def _locations(clinic: Clinic, **query: Any) -> dict[str, Any]:
    return await found(clinic.client, "Location", identifier=f"urn:l|{clinic.name}", **query)


async def test_a_target_comes_once_and_an_absent_one_not(clinic: Clinic) -> None:
    bundle = await _locations(clinic, _include="Location:organization")
    assert (_names(bundle, "match"), _names(bundle)) == (["x", "y", "z"], ["a"])
    assert bundle["total"] == 3
    for one in bundle["entry"]:
        assert one["fullUrl"] == f"http://fhir.test/fhir/{one['resource']['resourceType']}/{one['resource']['id']}"


async def test_includes_do_not_count(clinic: Clinic) -> None:
    parts = await pages(clinic.client, await _locations(clinic, _include="Location:organization", _count=1))
    assert [(_names(one, "match"), _names(one)) for one in parts] == [(["x"], ["a"]), (["y"], ["a"]), (["z"], [])]


async def test_a_circle_ends(clinic: Clinic) -> None:
    bundle = await _locations(clinic, _include=["Location:organization", "Organization:partof"])
    assert _names(bundle)[0] == "a"
    bundle = await found(clinic.client, "Organization", _id=clinic.id("a"), _include="Organization:partof")
    assert _names(bundle) == ["b"]
    bundle = await found(clinic.client, "Organization", _id=clinic.id("a"), _include__iterate="Organization:partof")
    assert sorted(_names(bundle)) == ["b", "c"]
    every = await found(
        clinic.client, "Organization", identifier=f"urn:o|{clinic.name}", _include__iterate="Organization:partof"
    )
    assert (_names(every, "match"), _names(every)) == (["a", "b", "c"], []), "a match is never an include"


async def test_target_types(clinic: Clinic) -> None:
    same = await _locations(clinic, _include="Location:organization:Organization")
    assert _names(same) == ["a"]
    refused(await clinic.client.get("Location?_include=Location:organization:Patient"), 400)


async def test_everything_that_is_referred_to(clinic: Clinic) -> None:
    for wildcard in ("Location:*", "*"):
        assert _names(await _locations(clinic, _include=wildcard)) == ["a"]


async def test_what_refers_to_the_matches(clinic: Clinic) -> None:
    query = {"_id": clinic.id("a")}
    bundle = await found(clinic.client, "Organization", **query, _revinclude="Location:organization")
    assert sorted(_names(bundle)) == ["x", "y"]
    bundle = await found(
        clinic.client, "Organization", **query, _revinclude=["Location:organization", "Organization:partof"]
    )
    assert sorted(_names(bundle)) == ["c", "x", "y"]
    bundle = await found(clinic.client, "Organization", **query, _revinclude="*")
    assert sorted(_names(bundle)) == ["c", "x", "y"]
    both = await found(
        clinic.client, "Location", _id=clinic.id("x"), _include="Location:organization",
        _revinclude__iterate="Location:organization",
    )  # fmt: skip
    assert sorted(_names(both)) == ["a", "y"]


async def test_a_deleted_target_is_absent(clinic: Clinic) -> None:
    await clinic.put({"resourceType": "Organization", "id": clinic.id("d"), "name": "d"})
    await clinic.put({"resourceType": "Location", "id": clinic.id("v"), "name": "v",
                      "managingOrganization": {"reference": f"Organization/{clinic.id('d')}"}})  # fmt: skip
    query = {"_id": clinic.id("v"), "_include": "Location:organization"}
    assert _names(await found(clinic.client, "Location", **query)) == ["d"]
    await clinic.client.delete(f"Organization/{clinic.id('d')}")
    assert _names(await found(clinic.client, "Location", **query)) == []


async def test_a_version_that_is_named(clinic: Clinic) -> None:
    organization = {"resourceType": "Organization", "id": clinic.id("e"), "name": "first"}
    await clinic.put(organization)
    await clinic.put({**organization, "name": "second"})
    for name, suffix in (("v1", "/_history/1"), ("v2", "/_history/2"), ("v9", "/_history/9"), ("v0", "")):
        await clinic.put({"resourceType": "Location", "id": clinic.id(name), "name": name,
                          "managingOrganization": {"reference": f"Organization/{clinic.id('e')}{suffix}"}})  # fmt: skip
    for names, versions in (
        (("v1",), ["1"]), (("v2",), ["2"]), (("v9",), ["2"]), (("v0",), ["2"]), (("v2", "v0", "v9"), ["2"]),
        (("v1", "v0"), ["2", "1"]),
    ):  # fmt: skip
        ids = ",".join(clinic.id(one) for one in names)
        bundle = await found(clinic.client, "Location", _id=ids, _include="Location:organization")
        included = [one["resource"] for one in bundle["entry"] if one["search"]["mode"] == "include"]
        assert sorted((one["meta"]["versionId"] for one in included), reverse=True) == versions, names


async def test_too_many_are_cut_and_said(clinic: Clinic, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(includes, "MOST_INCLUDED", 1)
    bundle = await found(clinic.client, "Organization", _id=clinic.id("a"), _revinclude="Location:organization")
    assert len(_names(bundle)) == 1
    outcome = outcome_in(bundle)
    assert outcome is not None
    assert [one["severity"] for one in outcome["issue"]] == ["warning"]
    assert outcome["issue"][0]["details"]["coding"][0]["code"] == "too-costly"
    whole = await _locations(clinic, _include="Location:organization")
    assert outcome_in(whole) is None, "one is not too many"


async def test_a_level_is_one_query_a_type(clinic: Clinic, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    resources = type(world.store.resources)
    find = resources.find

    async def counted(self: Any, type_: str, *given: Any, **more: Any) -> Any:
        asked.append(type_)
        return await find(self, type_, *given, **more)

    monkeypatch.setattr(resources, "find", counted)
    await _locations(clinic)
    assert asked == ["Location"]
    asked.clear()
    await _locations(clinic, _include=["Location:organization", "Organization:partof"])
    assert asked == ["Location", "Organization", "Organization", "Organization"], "a, then b, then c"


async def test_computed_slots_take_part(client: Any) -> None:
    clinic = await Visits(client).opened()
    schedule = f"Schedule/{clinic.id('s')}"
    booked = await clinic.booked("09:00")
    query = {"schedule": schedule, "start": clinic.first.isoformat()}
    bundle = await found(client, "Slot", **query, _include=["Slot:schedule", "Schedule:actor"],
                         _revinclude="Appointment:slot")  # fmt: skip
    assert len(refs(bundle)) == 16
    assert sorted(refs(bundle, "include")) == sorted(
        [schedule, f"Practitioner/{clinic.id('doc')}", f"Appointment/{booked['id']}"]
    )
    back = await found(client, "Practitioner", _id=clinic.id("doc"), _revinclude=["Schedule:actor", "Slot:schedule"])
    slots = [one["resource"] for one in back["entry"] if one["resource"]["resourceType"] == "Slot"]
    assert sum(one["start"].startswith(clinic.first.isoformat()) for one in slots) == 16
    assert {one["status"] for one in slots} == {"free", "busy"}
    outcome = outcome_in(back)
    assert outcome is not None
    assert "31 days" in outcome["issue"][0]["diagnostics"]

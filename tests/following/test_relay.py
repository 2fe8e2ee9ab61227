"""The relay: every committed version is told once, in order, in one act with what follows from it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from fhir_server.fhir.types import HELD
from fhir_server.services import resources
from fhir_server.services.following.drain import drain, tell
from fhir_server.services.following.fact import Fact, Following
from fhir_server.services.following.relay import FIRST
from fhir_server.services.following.table import FOLLOWERS
from fhir_server.services.versions import version_of
from fhir_server.services.world import World
from fhir_server.store.outbox import LostLeaseError, Mark, ordered
from fhir_server.store.unit import Unit
from tests.builders.clinic import Clinic


class Listener:
    """Follows everything, and keeps what it is told in the database, in the unit that tells it."""

    def __init__(self) -> None:
        self.told: list[Fact] = []
        self.fails: set[str] = set()

    async def follow(self, world: World, unit: Unit, facts: Sequence[Fact]) -> None:
        for fact in facts:
            if fact.after.id in self.fails:
                msg = "a defect of this follower"
                raise ValueError(msg)
        for fact in facts:
            await world.store.work.plan(unit, "heard", fact.id, fact.at + 10**12)
        self.told += facts

    def of(self, id_: str) -> list[Fact]:
        return [one for one in self.told if one.after.id == id_]


@pytest.fixture
async def listener(world: World, monkeypatch: pytest.MonkeyPatch) -> Listener:
    await drain(world)
    made = Listener()
    monkeypatch.setitem(FOLLOWERS, "listener", Following(made.follow, HELD))
    return made


async def test_each_version_is_told_once_with_the_one_before(client: Any, world: World, listener: Listener) -> None:
    clinic = Clinic(client)
    id_ = (await clinic.patient()).partition("/")[2]
    patient = (await client.get(f"Patient/{id_}")).json()
    for gender in ("female", "other"):
        assert (await client.put(f"Patient/{id_}", json={**patient, "gender": gender})).status_code == 200
    same = await client.put(f"Patient/{id_}", json={**patient, "gender": "other"})
    assert same.json()["meta"]["versionId"] == "3"  # nothing changed, so nothing follows
    assert (await client.delete(f"Patient/{id_}")).status_code == 204
    await drain(world)
    await drain(world)
    facts = listener.of(id_)
    assert [one.id for one in facts] == [f"Patient/{id_}/{version:010d}" for version in (1, 2, 3, 4)]
    assert facts[0].before is None
    assert facts[0].old is None
    assert [one.new["gender"] for one in facts[1:3] if one.new] == ["female", "other"]
    assert facts[2].old is not None
    assert facts[2].old["gender"] == "female"
    assert facts[3].new is None
    assert facts[3].old is not None


async def test_a_transaction_tells_each_entry_and_one_that_failed_tells_none(
    client: Any, world: World, listener: Listener
) -> None:
    clinic = Clinic(client)
    good = {"resourceType": "Patient", "id": clinic.id("good")}
    bad = {"resourceType": "Patient", "id": clinic.id("bad"), "link": [{"other": {"reference": "Patient/no-such"}}]}

    def bundle(*entries: dict[str, Any]) -> dict[str, Any]:
        asked = [{"resource": one, "request": {"method": "PUT", "url": f"Patient/{one['id']}"}} for one in entries]
        return {"resourceType": "Bundle", "type": "transaction", "entry": asked}

    refused = await client.post("", json=bundle(good, {**bad, "gender": "no such code"}))
    assert refused.status_code == 400
    await drain(world)
    assert listener.told == []
    assert (await client.post("", json=bundle(good, {"resourceType": "Patient", "id": clinic.id("two")}))).is_success
    await drain(world)
    assert sorted(one.after.id for one in listener.told) == sorted([clinic.id("good"), clinic.id("two")])


async def test_two_relays_tell_nothing_twice(client: Any, world: World, listener: Listener) -> None:
    clinic = Clinic(client)
    made = [(await clinic.patient(f"p{number}")).partition("/")[2] for number in range(30)]
    await asyncio.gather(*(tell(world) for _ in range(4)))
    await drain(world)
    counts = await world.store.work.counts(world.clock())
    assert sum(counts.values()) >= len(made)
    for id_ in made:
        # A run that was overtaken told its follower as well; what it wrote is not there.
        assert await world.store.work.planned("heard", f"Patient/{id_}/0000000001") is not None
        await world.store.work.withdraw(None, "heard", f"Patient/{id_}/0000000001")
        assert len(listener.of(id_)) >= 1


async def test_a_mark_that_comes_back_is_not_told_again(client: Any, world: World, listener: Listener) -> None:
    """A writer that read the version before it was told puts its mark into history after."""
    id_ = (await Clinic(client).patient()).partition("/")[2]
    before = await world.store.resources.get("Patient", id_)
    assert before is not None
    assert before.extra["news"]
    await drain(world)
    after, index = version_of(
        world, {"resourceType": "Patient", "gender": "male"}, id_=id_, version=2, at=world.clock(), method="PUT",
        clinics=(),
    )  # fmt: skip
    assert await world.store.resources.replace(before, after, index)
    await drain(world)
    assert [one.after.version for one in listener.of(id_)] == [1, 2]
    assert (await world.store.outbox.marked()) == []


async def test_who_lost_the_lease_tells_nothing(client: Any, world: World, listener: Listener) -> None:
    outbox = world.store.outbox
    assert await outbox.lead(FIRST.lease, "one", 60)
    assert not await outbox.lead(FIRST.lease, "two", 60)
    assert await outbox.lead(FIRST.lease, "one", 0)
    await Clinic(client).patient()
    assert await outbox.lead(FIRST.lease, "two", 60)
    with pytest.raises(LostLeaseError):
        await FIRST.tell(world, HELD, holder="one")
    assert listener.told == []
    assert (await FIRST.tell(world, HELD, holder="two")).versions
    assert listener.told
    await outbox.resign(FIRST.lease, "two")


async def test_a_follower_that_fails_holds_up_one_fact_alone(client: Any, world: World, listener: Listener) -> None:
    clinic = Clinic(client)
    bad = (await clinic.patient("bad")).partition("/")[2]
    good = (await clinic.patient("good")).partition("/")[2]
    listener.fails.add(bad)
    await drain(world)
    assert listener.of(good)
    assert not listener.of(bad)
    fact = f"Patient/{bad}/0000000001"
    assert await world.store.work.planned("follow", fact) is not None
    listener.fails.clear()
    await world.store.work.plan(None, "follow", fact, 0, {"type": "Patient", "id": bad, "version": 1, "later": False})
    await drain(world)
    assert len(listener.of(bad)) == 1
    assert await world.store.work.planned("follow", fact) is None


async def test_a_stored_slot_and_a_deletion_are_told_too(client: Any, world: World, listener: Listener) -> None:
    clinic = Clinic(client)
    await clinic.schedule("s", [await clinic.practitioner()], [await clinic.service()])
    await resources.put(world, {"resourceType": "Slot", "id": clinic.id("slot"), "status": "busy-unavailable",
        "schedule": {"reference": f"Schedule/{clinic.id('s')}"}, "start": "2030-01-07T10:00:00Z",
        "end": "2030-01-07T11:00:00Z"})  # fmt: skip
    assert (await client.delete(f"Slot/{clinic.id('slot')}")).status_code == 204
    await drain(world)
    facts = [one for one in listener.of(clinic.id("slot")) if one.type == "Slot"]
    assert [one.after.version for one in facts] == [1, 2]
    assert facts[1].after.deleted


def test_versions_of_one_resource_keep_their_order_whatever_the_clocks_say() -> None:
    marks = [Mark("A", "x", 2, 50), Mark("A", "x", 1, 90), Mark("B", "y", 1, 70), Mark("A", "x", 3, 60)]
    assert [(one.id, one.version) for one in ordered(marks)] == [("y", 1), ("x", 1), ("x", 2), ("x", 3)]

"""The relay's two stages, and what nobody asks for: it is not told, and nothing that is asked for is left out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from fhir_server.fhir.types import HELD
from fhir_server.services.following.drain import drain
from fhir_server.services.following.fact import Fact, Following
from fhir_server.services.following.relay import FIRST, LATER
from fhir_server.services.following.status import status
from fhir_server.services.following.table import FOLLOWERS
from fhir_server.services.world import World
from fhir_server.store.outbox import LostLeaseError
from fhir_server.store.unit import Unit
from tests.builders.clinic import Clinic

PATIENTS = frozenset({"Patient"})


class Listener:
    """Keeps what it is told in the database, in the unit that tells it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.fails = False

    async def follow(self, world: World, unit: Unit, facts: Sequence[Fact]) -> None:
        if self.fails:
            msg = "a defect of this follower"
            raise ValueError(msg)
        for fact in facts:
            await world.store.work.plan(unit, self.name, fact.id, fact.at + 10**12)

    async def heard(self, world: World, id_: str) -> bool:
        return await world.store.work.planned(self.name, f"Patient/{id_}/0000000001") is not None


@pytest.fixture
async def only(world: World, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Nobody follows but whom the test names."""
    await drain(world)
    for name in list(FOLLOWERS):
        monkeypatch.delitem(FOLLOWERS, name)
    return monkeypatch


@pytest.fixture
def at_once(only: pytest.MonkeyPatch) -> Listener:
    made = Listener("at-once")
    only.setitem(FOLLOWERS, made.name, Following(made.follow, PATIENTS))
    return made


@pytest.fixture
def later(only: pytest.MonkeyPatch) -> Listener:
    made = Listener("later")
    only.setitem(FOLLOWERS, made.name, Following(made.follow, PATIENTS, later=True))
    return made


async def _patient(client: Any) -> str:
    return (await Clinic(client).patient()).partition("/")[2]


async def test_who_is_told_later_is_told_once_and_counts_as_behind_until_then(
    client: Any, world: World, at_once: Listener, later: Listener
) -> None:
    id_ = await _patient(client)
    assert (await status(world)).untold == 1
    await FIRST.tell(world, HELD)
    assert await at_once.heard(world, id_)
    assert not await later.heard(world, id_)
    assert await world.store.outbox.marked() == []
    assert (await status(world)).untold == 1  # somebody is yet to be told
    await asyncio.gather(*(LATER.tell(world, LATER.collections) for _ in range(4)))
    assert await later.heard(world, id_)
    assert (await status(world)).untold == 0
    await world.store.work.withdraw(None, later.name, f"Patient/{id_}/0000000001")
    assert (await LATER.tell(world, LATER.collections)).versions == 0
    await drain(world)
    assert not await later.heard(world, id_)


async def test_more_than_one_transaction_takes_is_told_in_several(client: Any, world: World, later: Listener) -> None:
    clinic = Clinic(client)
    made = [(await clinic.patient(f"p{number}")).partition("/")[2] for number in range(55)]
    rounds = {FIRST: 0, LATER: 0}
    for stage in rounds:
        left = True
        while left:
            told = await stage.tell(world, stage.collections)
            rounds[stage] += bool(told.versions)
            left = told.left
    assert rounds == {FIRST: 2, LATER: 3}
    assert all([await later.heard(world, one) for one in made])


async def test_a_later_follower_that_fails_holds_up_nobody_else(
    client: Any, world: World, at_once: Listener, later: Listener
) -> None:
    id_ = await _patient(client)
    later.fails = True
    await drain(world)
    assert await at_once.heard(world, id_)
    assert (await status(world)).untold == 0
    set_apart = f"later/Patient/{id_}/0000000001"
    planned = await world.store.work.planned("follow", set_apart)
    assert planned is not None
    await world.store.work.withdraw(None, at_once.name, f"Patient/{id_}/0000000001")
    later.fails = False
    await world.store.work.plan(None, "follow", set_apart, 0, planned.about)
    await drain(world)
    assert await later.heard(world, id_)
    assert not await at_once.heard(world, id_)  # who was told is not told again


async def test_each_stage_has_a_lease_of_its_own(client: Any, world: World, at_once: Listener, later: Listener) -> None:
    outbox = world.store.outbox
    id_ = await _patient(client)
    assert await outbox.lead(FIRST.lease, "one", 60)
    assert await outbox.lead(LATER.lease, "two", 60)
    await FIRST.tell(world, HELD, holder="one")
    with pytest.raises(LostLeaseError):
        await LATER.tell(world, LATER.collections, holder="one")
    assert not await later.heard(world, id_)
    await LATER.tell(world, LATER.collections, holder="two")
    assert await later.heard(world, id_)
    await outbox.resign(FIRST.lease, "one")
    await outbox.resign(LATER.lease, "two")


async def test_what_nobody_asks_for_is_told_from_when_somebody_does(
    client: Any, world: World, only: pytest.MonkeyPatch
) -> None:
    listener, asked = Listener("asked"), set[str]()

    async def asks(_: World) -> frozenset[str]:
        return frozenset(asked)

    only.setitem(FOLLOWERS, listener.name, Following(listener.follow, HELD, asked=asks))
    before = await _patient(client)
    told = await FIRST.tell(world, HELD)
    assert "Patient" in told.dull
    assert await world.store.outbox.marked() == []
    asked.add("Patient")
    after = await _patient(client)
    told = await FIRST.tell(world, HELD)
    assert "Patient" not in told.dull
    assert await listener.heard(world, after)
    assert not await listener.heard(world, before)

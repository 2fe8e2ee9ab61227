"""The relay on a database that loses its primary, its connection or its answer: what follows is there exactly once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from fhir_server.services.following.drain import drain, tell
from fhir_server.services.following.fact import Fact, Following
from fhir_server.services.following.table import FOLLOWERS
from fhir_server.services.world import World
from fhir_server.store.unit import Unit
from tests.builders.clinic import Clinic
from tests.builders.persistence import persistently
from tests.concurrency.faulty import (
    NO_ANSWER,
    NOT_CONFIRMED,
    NOT_PRIMARY,
    STEPPED_DOWN,
    WRITE_CONFLICT,
    failing,
)

COUNTED = "counted"


async def _count(_: World, unit: Unit, facts: Sequence[Fact]) -> None:
    for fact in facts:
        await unit.put_document(COUNTED, {"fact": fact.id})


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("commitTransaction", NOT_PRIMARY),
        ("commitTransaction", STEPPED_DOWN),
        ("commitTransaction", NO_ANSWER),
        ("commitTransaction", NOT_CONFIRMED),
        ("commitTransaction", WRITE_CONFLICT),
        ("update", NOT_PRIMARY),
        ("update", NO_ANSWER),
        ("insert", WRITE_CONFLICT),
        ("insert", STEPPED_DOWN),
        ("find", NO_ANSWER),
    ],
)
async def test_what_follows_is_there_once(
    command: str, fault: dict[str, Any], times: int, clinic: Clinic, faulty_world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    world = faulty_world
    await drain(world)
    await world.store.connection.create(COUNTED)
    await world.store.connection.collection(COUNTED).delete_many({})
    monkeypatch.setitem(FOLLOWERS, "count", Following(_count, frozenset({"Patient"})))
    ids = [(await clinic.patient(f"{command}{times}{number}")).partition("/")[2] for number in range(3)]
    async with failing(world, [command], fault, times):
        await persistently(lambda: tell(world))
    await persistently(lambda: tell(world))
    told = sorted([one["fact"] async for one in world.store.connection.collection(COUNTED).find()])
    assert told == sorted(f"Patient/{one}/0000000001" for one in ids)
    assert await world.store.outbox.marked() == []

"""Due work: one worker at a time, nothing lost when a worker dies, tried again with pauses, given up in sight."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from typing import Any

import pytest

from fhir_server.services.following.performance import Again, DeadError
from fhir_server.services.following.performing import MOST_ATTEMPTS, backoff, perform
from fhir_server.services.following.table import PERFORMERS
from fhir_server.services.world import World
from fhir_server.store import work as store_work
from fhir_server.store.work import TakenError, Task
from tests.builders.persistence import until


@pytest.fixture
def key() -> str:
    return secrets.token_hex(6)


class Doer:
    """Does what it is told to, and counts."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.answer: Any = None

    async def __call__(self, world: World, task: Task) -> Again | None:
        self.tasks.append(task)
        await asyncio.sleep(0)
        if isinstance(self.answer, Exception):
            raise self.answer
        result: Again | None = await self.answer(world, task) if callable(self.answer) else self.answer
        return result


@pytest.fixture
def doer(monkeypatch: pytest.MonkeyPatch) -> Doer:
    made = Doer()
    monkeypatch.setitem(PERFORMERS, "deed", made)
    return made


def _later(world: World, milliseconds: int) -> World:
    return replace(world, clock=lambda: world.clock() + milliseconds)


async def _plan(world: World, key: str, due: int | None = None, **about: Any) -> None:
    await world.store.work.plan(None, "deed", key, world.clock() if due is None else due, about)


async def _handed_out(world: World, key: str) -> bool:
    return ("deed", key) in await world.store.work.hand_out(world.clock())


async def test_it_is_done_once_when_it_is_due(world: World, doer: Doer, key: str) -> None:
    await _plan(world, key, world.clock() + 60_000, number=3)
    assert not await _handed_out(world, key)
    assert await perform(world, "deed", key) is None
    later = _later(world, 60_001)
    assert await _handed_out(later, key)
    assert not await _handed_out(later, key)  # who has it was told a moment ago
    assert await perform(later, "deed", key) == "done"
    assert await perform(later, "deed", key) is None
    assert [one.about for one in doer.tasks] == [{"number": 3}]


async def test_twenty_workers_do_it_once(world: World, doer: Doer, key: str) -> None:
    await _plan(world, key)
    results = await asyncio.gather(*(perform(world, "deed", key) for _ in range(20)))
    assert sorted(filter(None, results)) == ["done"]
    assert len(doer.tasks) == 1


async def test_planning_anew_replaces_and_withdrawing_ends(world: World, doer: Doer, key: str) -> None:
    await _plan(world, key, world.clock() - 5, number=1)
    await _plan(world, key, world.clock() + 60_000, number=2)
    assert await perform(world, "deed", key) is None
    await world.store.work.withdraw(None, "deed", key)
    assert await perform(_later(world, 60_001), "deed", key) is None
    assert doer.tasks == []


async def test_what_is_planned_while_it_runs_runs_again(world: World, doer: Doer, key: str) -> None:
    async def plans_itself(world: World, task: Task) -> None:
        if task.about["number"] == 1:
            await _plan(world, key, number=2)

    doer.answer = plans_itself
    await _plan(world, key, number=1)
    assert await perform(world, "deed", key) == "done"
    assert await perform(world, "deed", key) == "done"
    assert [one.about["number"] for one in doer.tasks] == [1, 2]
    assert await world.store.work.planned("deed", key) is None


async def test_a_worker_that_died_leaves_it_to_the_next(
    world: World, doer: Doer, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_work, "LEASE_SECONDS", 0)
    monkeypatch.setattr(store_work, "RESEND_SECONDS", 0)
    await _plan(world, key)
    dead = await world.store.work.claim("deed", key, world.clock())
    assert dead is not None
    await until(lambda: _handed_out(world, key), "a lease of no length to end")
    assert await perform(world, "deed", key) == "done"
    assert doer.tasks[0].attempts == 2
    # The one that was thought dead comes back: nothing of it counts.
    with pytest.raises(TakenError):
        await world.store.work.settle(None, dead)


async def test_settling_belongs_to_the_unit(world: World, doer: Doer, key: str) -> None:
    async def settles(world: World, task: Task) -> None:
        async def work(unit: Any) -> None:
            await world.store.work.settle(unit, task)
            await world.store.work.plan(unit, "deed", f"{key}-next", world.clock() + 10**9)

        await world.store.units.run(work, now=world.now())

    doer.answer = settles
    await _plan(world, key)
    assert await perform(world, "deed", key) == "done"
    assert await world.store.work.planned("deed", key) is None
    assert await world.store.work.planned("deed", f"{key}-next") is not None

    async def withdrawn(world: World, task: Task) -> None:
        await world.store.work.withdraw(None, "deed", task.key)
        await settles(world, task)

    doer.answer = withdrawn
    await world.store.work.withdraw(None, "deed", f"{key}-next")
    await _plan(world, key)
    assert await perform(world, "deed", key) is None
    assert await world.store.work.planned("deed", f"{key}-next") is None


async def test_again_waits_and_failures_back_off_until_it_is_given_up(world: World, doer: Doer, key: str) -> None:
    doer.answer = Again(world.clock() + 1000)
    await _plan(world, key)
    assert await perform(world, "deed", key) == "again"
    assert await perform(world, "deed", key) is None
    doer.answer = ValueError("with a patient's name in it")
    moved = _later(world, 2000)
    for attempt in range(1, MOST_ATTEMPTS + 1):
        result = await perform(moved, "deed", key)
        assert result == ("dead" if attempt == MOST_ATTEMPTS else "failed"), attempt
        assert await perform(moved, "deed", key) is None
        moved = _later(moved, 3_600_001)
    dead = [one for one in await world.store.work.dead(["deed"]) if one.key == key]
    assert [(one.attempts, one.error) for one in dead] == [(MOST_ATTEMPTS, "ValueError")]
    doer.answer = None
    assert await world.store.work.revive([f"deed/{key}"], world.clock()) == 1
    assert await perform(world, "deed", key) == "done"


async def test_of_no_use_to_try_again(world: World, doer: Doer, key: str) -> None:
    doer.answer = DeadError("the receiver is gone")
    await _plan(world, key)
    assert await perform(world, "deed", key) == "dead"
    counts = await world.store.work.counts(world.clock())
    assert counts["deed", "dead"] >= 1
    assert await world.store.work.discard([f"deed/{key}"]) == 1
    await _plan(world, key)
    assert (await world.store.work.counts(world.clock()))["deed", "due"] >= 1
    await world.store.work.withdraw(None, "deed", key)


def test_pauses_double_with_jitter_up_to_an_hour() -> None:
    for attempt in range(1, 30):
        longest = min(3_600_000, 5000 * 2 ** (attempt - 1))
        assert 0.75 * longest - 1 <= backoff(attempt) <= longest


async def test_what_is_due_again_at_once_goes_on(world: World, doer: Doer, key: str) -> None:
    """Nobody has to hand it out and claim it anew; other reasons to wait are kept."""

    async def thrice(world: World, task: Task) -> Again | None:
        return Again(world.clock()) if len(doer.tasks) < 3 else None

    doer.answer = thrice
    await _plan(world, key)
    assert await perform(world, "deed", key) == "done"
    assert len({one.token for one in doer.tasks}) == 1
    assert len(doer.tasks) == 3
    doer.answer = Again(world.clock(), kept=True)
    await _plan(world, key)
    assert await perform(world, "deed", key) == "again"
    assert len(doer.tasks) == 4

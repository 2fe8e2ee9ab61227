"""The unit of work: all of it or nothing, again when somebody was faster, and never for ever."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from fhir_server.errors import Category, Problem
from fhir_server.scheduling.calendar_day import Entry
from fhir_server.store.database import Store
from fhir_server.store.resources import Stored
from fhir_server.store.unit import TRIES, Overtaken, Unit

NOON = 1_800_000_000
DAY = NOON // 86400


def _entry(owner: str, start: int = NOON) -> Entry:
    return Entry(owner, "booked", start, start + 600, start, start + 600)


def _slot(id_: str, version: int = 1, **extra: str) -> Stored:
    return Stored("Slot", id_, version, 1_000, False, b"{}", extra)


async def test_what_fails_late_leaves_nothing(store: Store) -> None:
    name = uuid.uuid4().hex

    async def work(unit: Unit) -> None:
        days = await unit.days([(name, DAY)])
        days.put(name, _entry("Appointment/1"))
        await unit.insert(_slot(name), {})
        raise Problem(Category.RULE, ())

    with pytest.raises(Problem):
        await store.units.run(work, now=0)
    assert await store.resources.get("Slot", name) is None
    assert await store.calendar.on([(name, DAY)]) == {}


async def test_those_who_collide_all_get_their_turn(store: Store) -> None:
    name = uuid.uuid4().hex
    attempts: list[int] = []

    async def enter(owner: int) -> None:
        async def work(unit: Unit) -> None:
            attempts.append(unit.attempt)
            days = await unit.days([(name, DAY)])
            await asyncio.sleep(0.002)
            days.put(name, _entry(f"Appointment/{owner}"))

        # Without turns, as if everybody came from another process.
        await store.units.run(work, now=0)

    await asyncio.gather(*(enter(owner) for owner in range(12)))
    assert max(attempts) > 0
    found = await store.calendar.on([(name, DAY)])
    assert {one.owner for one in found[name]} == {f"Appointment/{owner}" for owner in range(12)}


async def test_one_process_takes_turns_instead_of_colliding(store: Store) -> None:
    name = uuid.uuid4().hex
    attempts: list[int] = []

    async def enter(owner: int) -> None:
        async def work(unit: Unit) -> None:
            attempts.append(unit.attempt)
            (await unit.days([(name, DAY)])).put(name, _entry(f"Appointment/{owner}"))

        await store.units.run(work, now=0, turns=[name, f"other{owner % 3}"])

    await asyncio.gather(*(enter(owner) for owner in range(40)))
    assert attempts == [0] * 40


async def test_tries_are_bounded_and_the_answer_is_to_come_back(store: Store) -> None:
    runs = 0

    async def work(unit: Unit) -> None:
        nonlocal runs
        runs += 1
        raise Overtaken

    with pytest.raises(Problem) as refused:
        await store.units.run(work, now=0)
    assert refused.value.category is Category.UNAVAILABLE
    assert refused.value.headers == {"Retry-After": "1"}
    assert runs == TRIES


async def test_a_guard_lets_one_after_the_other_count(store: Store) -> None:
    name = uuid.uuid4().hex
    created = 0

    async def work(unit: Unit) -> bool:
        await unit.guard(name)
        if await unit.find("Slot", {"idx.group": name}, limit=1):
            return False
        await asyncio.sleep(0.005)
        await unit.insert(_slot(uuid.uuid4().hex), {"group": name})
        return True

    for one in await asyncio.gather(*(store.units.run(work, now=0) for _ in range(8))):
        created += one
    assert created == 1
    assert await store.resources.count("Slot", {"idx.group": name}) == 1


async def test_one_busy_slot_for_a_schedule_and_start(store: Store) -> None:
    wall = uuid.uuid4().hex
    runs = 0

    async def second(unit: Unit) -> None:
        nonlocal runs
        runs += 1
        await unit.insert(_slot(uuid.uuid4().hex, wall=wall), {})

    async def first(unit: Unit) -> None:
        await unit.insert(_slot(uuid.uuid4().hex, wall=wall), {})

    await store.units.run(first, now=0)
    with pytest.raises(Problem) as refused:
        await store.units.run(second, now=0)
    assert refused.value.category is Category.UNAVAILABLE
    assert runs == TRIES


async def test_holds_that_are_over_leave_the_days_that_are_written(store: Store) -> None:
    name = uuid.uuid4().hex
    over = Entry("Appointment/over", "hold", NOON, NOON + 600, NOON, NOON + 600, expires=100)

    async def hold(unit: Unit) -> None:
        (await unit.days([(name, DAY)])).put(name, over)

    async def book(unit: Unit) -> None:
        (await unit.days([(name, DAY)])).put(name, _entry("Appointment/new"))

    await store.units.run(hold, now=0)
    assert (await store.calendar.on([(name, DAY)]))[name] == [over]
    await store.units.run(book, now=101)
    assert [one.owner for one in (await store.calendar.on([(name, DAY)]))[name]] == ["Appointment/new"]


async def test_several_writes_of_a_type_are_one_act(store: Store) -> None:
    first, second, third = (uuid.uuid4().hex for _ in range(3))
    old = Stored("Slot", first, 1, 1_000, False, b"{}", {})
    assert await store.resources.insert(old, {})

    async def work(unit: Unit) -> None:
        await unit.write_many("Slot", [(old, _slot(first, 2), {}), (None, _slot(second), {})])
        assert {one.version for one in (await unit.current("Slot", [first, second, third])).values()} == {1, 2}

    await store.units.run(work, now=0)
    found = await store.resources.version("Slot", first, 1)
    assert found is not None
    assert (found.at, await store.resources.version("Slot", first, 3)) == (1_000, None)

    async def late(unit: Unit) -> None:
        with pytest.raises(Overtaken):
            await unit.write_many("Slot", [(old, _slot(first, 2), {}), (None, _slot(third), {})])
        raise Problem(Category.RULE, ())

    with pytest.raises(Problem):
        await store.units.run(late, now=0)
    assert await store.resources.get("Slot", third) is None

"""The relay: tells facts to those who follow, each version once, in order, in one transaction with what follows.

One process at a time leads, so that facts come in order; were there two, the notes of what was told would keep each
from telling what the other told. A fact on which a follower fails is set apart (work of kind ``follow``) and tried
again by itself, so that the others do not wait for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fhir_server.errors import Problem
from fhir_server.fhir.types import RESOURCE_TYPES
from fhir_server.log import get_logger
from fhir_server.services.following.fact import Fact
from fhir_server.services.following.performance import Again
from fhir_server.services.following.table import FOLLOWERS
from fhir_server.services.world import World
from fhir_server.store.driver import PyMongoError
from fhir_server.store.outbox import LostLeaseError, Mark
from fhir_server.store.unit import Unit
from fhir_server.store.work import Plan, Task

LEASE = "relay"
LEASE_SECONDS = 10.0
AT_ONCE = 50
"""Facts of one transaction."""

FOLLOW = "follow"

log = get_logger("relay")


async def relay(world: World, types: Iterable[str] = RESOURCE_TYPES, *, holder: str = "") -> int:
    """Tell what is marked now; how many versions there were.

    :param holder: who leads; empty = whoever calls is the only one (tests, one-off commands).
    :raises LostLeaseError: another process leads now.
    """
    own = world.own()
    marks = await own.store.outbox.marked(types)
    told = [one for one in marks if any(following.concerns(one.type) for following in FOLLOWERS.values())]
    dull = set(marks) - set(told)
    if dull:
        await own.store.outbox.clear(dull)
    for start in range(0, len(told), AT_ONCE):
        await _tell(own, told[start : start + AT_ONCE], holder)
    return len(marks)


async def _tell(world: World, marks: Sequence[Mark], holder: str) -> None:
    try:
        await _tell_together(world, marks, holder)
    except (LostLeaseError, PyMongoError):
        raise
    except Exception as failed:
        if isinstance(failed, Problem) and failed.category.status == 503:
            raise  # the database cannot promise now: nobody's fault
        if len(marks) > 1:
            for one in marks:
                await _tell(world, [one], holder)
            return
        log.exception("a follower failed; the fact is set apart", fact_type=marks[0].type)
        await _set_apart(world, marks[0], failed)


async def _tell_together(world: World, marks: Sequence[Mark], holder: str) -> None:
    async def work(unit: Unit) -> None:
        if holder:
            await world.store.outbox.still_leads(unit, LEASE, holder)
        fresh = await world.store.outbox.take(unit, marks, world.clock())
        await _follow(world, unit, await _facts(unit, fresh))

    await world.store.units.run(work, now=world.now())


async def _facts(unit: Unit, marks: Sequence[Mark]) -> list[Fact]:
    """The facts of marked versions, in their order."""
    names = [(one.type, one.id, one.version) for one in marks]
    found = await unit.resources.versions([*names, *((type_, id_, version - 1) for type_, id_, version in names)])
    facts = []
    for type_, id_, version in names:
        if (after := found.get((type_, id_, version))) is not None:
            before = found.get((type_, id_, version - 1))
            facts.append(Fact(after, before if before and not before.deleted else None))
    return facts


async def _follow(world: World, unit: Unit, facts: Sequence[Fact]) -> None:
    for following in FOLLOWERS.values():
        if concerned := [one for one in facts if following.concerns(one.type)]:
            await following.follow(world, unit, concerned)


async def _set_apart(world: World, mark: Mark, failed: Exception) -> None:
    """Note the fact as told, and as work that is tried again."""

    async def work(unit: Unit) -> None:
        if await world.store.outbox.take(unit, [mark], world.clock()):
            about = {"type": mark.type, "id": mark.id, "version": mark.version, "error": type(failed).__name__}
            await world.store.work.plan_all(unit, [Plan(FOLLOW, mark.fact, world.clock() + 5000, about)])

    await world.store.units.run(work, now=world.now())


async def follow_again(world: World, task: Task) -> Again | None:
    """Performer of ``follow``: tell the fact that was set apart."""
    mark = Mark(task.about["type"], task.about["id"], task.about["version"], task.due)

    async def work(unit: Unit) -> None:
        await world.store.work.settle(unit, task)
        await _follow(world, unit, await _facts(unit, [mark]))

    await world.store.units.run(work, now=world.now())
    return None

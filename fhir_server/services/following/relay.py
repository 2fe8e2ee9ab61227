"""The relay: tells facts to those who follow, each version once, in order, in one transaction with what follows.

One process at a time leads, so that facts come in order; were there two, the notes of what was told would keep each
from telling what the other told. A fact on which a follower fails is set apart (work of kind ``follow``) and tried
again by itself, so that the others do not wait for it. Followers that take long are told later, by the same rules in a
second stage: no notification waits for them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from fhir_server.errors import Problem
from fhir_server.fhir.types import HELD, RESOURCE_TYPES
from fhir_server.log import get_logger
from fhir_server.services.following.fact import Fact
from fhir_server.services.following.performance import Again
from fhir_server.services.following.table import FOLLOWERS
from fhir_server.services.world import World
from fhir_server.store.driver import PyMongoError
from fhir_server.store.outbox import TOLD, LostLeaseError, Mark
from fhir_server.store.unit import Unit
from fhir_server.store.work import Plan, Task

LEASE_SECONDS = 10.0
AT_ONCE, LATER_AT_ONCE = 50, 20
"""Facts of one transaction."""

ASKING = frozenset({"Subscription"})
"""Types by which somebody begins to ask."""

FOLLOW = "follow"

log = get_logger("relay")


@dataclass(frozen=True, slots=True)
class Told:
    """``versions`` were told or concern nobody; ``left``: there are more. ``dull``: types that nobody asks for now."""

    versions: int
    left: bool
    dull: frozenset[str] = frozenset()


class Tell(Protocol):
    """Tells what is there to tell, the oldest first, as much as one transaction takes."""

    async def __call__(self, world: World, written: Collection[str], *, holder: str = "") -> Told:
        """Tell.

        :param written: the collections in which there may be something.
        :param holder: who leads; empty = whoever calls is the only one (tests, one-off commands).
        :raises LostLeaseError: another process leads now.
        """


async def _relay(world: World, written: Collection[str], *, holder: str = "") -> Told:
    if not written:
        return Told(0, left=False)
    own = world.own()
    marks = await own.store.outbox.marked(written)
    # Looked up after the marks: whoever asks from now on is not owed what was committed before.
    concerned = _types(later=True) | await _asked(own)
    told = [one for one in marks if one.type in concerned]
    if dull := set(marks).difference(told):
        await own.store.outbox.clear(dull)
    if told:
        await _tell(own, FIRST, told[:AT_ONCE], holder)
    return Told(len(dull) + len(told[:AT_ONCE]), left=len(told) > AT_ONCE, dull=HELD - concerned - ASKING)


async def _relay_later(world: World, written: Collection[str], *, holder: str = "") -> Told:
    own = world.own()
    marks = await own.store.outbox.waiting(LATER_AT_ONCE) if written else []
    if marks:
        await _tell(own, LATER, marks, holder)
    return Told(len(marks), left=len(marks) == LATER_AT_ONCE)


async def _take(world: World, unit: Unit, marks: Sequence[Mark]) -> list[Mark]:
    return await world.store.outbox.take(unit, marks, world.clock(), _types(later=True))


async def _take_later(world: World, unit: Unit, marks: Sequence[Mark]) -> list[Mark]:
    return await world.store.outbox.take_waiting(unit, marks, world.clock())


@dataclass(frozen=True, slots=True)
class Stage:
    """One of the two stages: whose lease it needs, where what it tells is written, how a fact is taken in a unit."""

    lease: str
    later: bool
    collections: frozenset[str]
    tell: Tell
    take: Callable[[World, Unit, Sequence[Mark]], Awaitable[list[Mark]]]


FIRST = Stage("relay", later=False, collections=frozenset(RESOURCE_TYPES), tell=_relay, take=_take)
LATER = Stage("relay-later", later=True, collections=frozenset({TOLD}), tell=_relay_later, take=_take_later)
STAGES = (FIRST, LATER)


def _types(*, later: bool) -> frozenset[str]:
    return frozenset[str]().union(*(one.types for one in FOLLOWERS.values() if one.later is later))


async def _asked(world: World) -> frozenset[str]:
    """The types of which somebody is told at once, as things are now."""
    found = frozenset[str]()
    for one in FOLLOWERS.values():
        if not one.later:
            found |= one.types if one.asked is None else one.types & await one.asked(world)
    return found


async def _tell(world: World, stage: Stage, marks: Sequence[Mark], holder: str) -> None:
    try:
        await _tell_together(world, stage, marks, holder)
    except (LostLeaseError, PyMongoError):
        raise
    except Exception as failed:
        if isinstance(failed, Problem) and failed.category.status == 503:
            raise  # the database cannot promise now: nobody's fault
        if len(marks) > 1:
            for one in marks:
                await _tell(world, stage, [one], holder)
            return
        log.exception("a follower failed; the fact is set apart", fact_type=marks[0].type)
        await _set_apart(world, stage, marks[0], failed)


async def _tell_together(world: World, stage: Stage, marks: Sequence[Mark], holder: str) -> None:
    async def work(unit: Unit) -> None:
        if holder:
            await world.store.outbox.still_leads(unit, stage.lease, holder)
        fresh = await stage.take(world, unit, marks)
        await _follow(world, unit, await _facts(unit, fresh), later=stage.later)

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


async def _follow(world: World, unit: Unit, facts: Sequence[Fact], *, later: bool) -> None:
    for following in FOLLOWERS.values():
        if following.later is later and (concerned := [one for one in facts if one.type in following.types]):
            await following.follow(world, unit, concerned)


async def _set_apart(world: World, stage: Stage, mark: Mark, failed: Exception) -> None:
    """Take the fact, and let it be tried again as work."""

    async def work(unit: Unit) -> None:
        if await stage.take(world, unit, [mark]):
            about = {
                "type": mark.type, "id": mark.id, "version": mark.version, "error": type(failed).__name__,
                "later": stage.later,
            }  # fmt: skip
            key = f"later/{mark.fact}" if stage.later else mark.fact
            await world.store.work.plan_all(unit, [Plan(FOLLOW, key, world.clock() + 5000, about)])

    await world.store.units.run(work, now=world.now())


async def follow_again(world: World, task: Task) -> Again | None:
    """Performer of ``follow``: tell the fact that was set apart."""
    mark = Mark(task.about["type"], task.about["id"], task.about["version"], task.due)

    async def work(unit: Unit) -> None:
        await world.store.work.settle(unit, task)
        await _follow(world, unit, await _facts(unit, [mark]), later=task.about.get("later", False))

    await world.store.units.run(work, now=world.now())
    return None

"""Who has not checked in some minutes after the start is suspected to have missed the visit, and the provider is told.

Each booked visit is watched: work of kind ``no-show``, keyed by the Appointment, due ``noShow.flagAfter`` after its
start. It moves and ends with the Appointment. The suspicion is written in the transaction in which the work is settled,
so it is neither lost nor written twice, and never on a visit that began meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fhir_server.fhir.json import parse
from fhir_server.scheduling.no_show import DEFAULT, suspected_at
from fhir_server.services.following.fact import Fact, Following
from fhir_server.services.following.performance import Again
from fhir_server.services.no_show import flags, telling
from fhir_server.services.no_show.marks import suspect, suspected
from fhir_server.services.versions import instant, version_of
from fhir_server.services.visit_windows import policy_for, times
from fhir_server.services.world import World
from fhir_server.store.resources import Stored
from fhir_server.store.unit import Unit
from fhir_server.store.work import Plan, Task

WATCH = "no-show"
"""The kind of work; its key is the Appointment's id."""


async def follow(world: World, unit: Unit, facts: Sequence[Fact]) -> None:
    """Watch what is booked, leave what is not, and count what was missed."""
    last = {fact.after.id: fact for fact in facts}
    plans, left = [], []
    for id_, fact in sorted(last.items()):
        if fact.new and _watched(fact.new, fact.at):
            due = await _due(world, fact.new)
            plans.append(Plan(WATCH, id_, due * 1000))
        elif not (fact.new and suspected(fact.new)) and fact.after.version > 1:
            left.append(id_)
    await world.store.work.plan_all(unit, plans)
    if left:
        await world.store.work.withdraw(unit, WATCH, *left)
    await flags.follow(world, unit, facts)


FOLLOWING = Following(follow, frozenset({"Appointment"}), later=True)


def _watched(resource: Mapping[str, Any], at: int) -> bool:
    """Whether it matters if somebody comes: not for history, which is written when it is over."""
    if resource["status"] != "booked" or "start" not in resource or suspected(resource):
        return False
    return times(resource)[1] * 1000 > at


async def _due(world: World, resource: Mapping[str, Any]) -> int:
    return suspected_at((await policy_for(world, resource)).no_show or DEFAULT, times(resource)[0])


async def watch(world: World, task: Task) -> Again | None:
    """Performer of ``no-show``."""
    read = await world.store.resources.get("Appointment", task.key)
    if read is None or not _open(read):
        return None
    if (due := await _due(world, parse(read.body)) * 1000) > world.clock():
        return Again(due)

    async def work(unit: Unit) -> None:
        await world.store.work.settle(unit, task)
        current = await unit.get("Appointment", task.key)
        if current is None or not _open(current):
            return
        resource = parse(current.body)
        if times(resource)[0] != times(parse(read.body))[0]:
            return  # it moved, and is watched anew
        written, index = version_of(
            world, suspect(resource, instant(world.clock())), id_=current.id, version=current.version + 1,
            at=world.clock(), method="PUT", clinics=current.extra.get("clinics") or (),
            extra={**current.extra, "method": "PUT"},
        )  # fmt: skip
        await unit.replace(current, written, index)
        await world.store.work.plan_all(unit, telling.plans(world, current, resource, world.clock()))

    await world.store.units.run(work, now=world.now())
    return None


def _open(found: Stored) -> bool:
    """Whether it is booked and nobody suspects anything yet."""
    if found.deleted:
        return False
    resource = parse(found.body)
    return resource["status"] == "booked" and "start" in resource and not suspected(resource)

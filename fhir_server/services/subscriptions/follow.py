"""Follower ``subscriptions``: facts become numbered events of those Subscriptions whose owner may know of them.

In the transaction in which the relay notes a fact as told, each event gets the next number of its Subscription and is
written down, and delivery is planned. So events are numbered without gaps, once, in the order of the facts, whichever
process relays.
"""

from __future__ import annotations

from collections.abc import Sequence

from fhir_server.services.following.fact import Fact
from fhir_server.services.subscriptions.directory import patients_in
from fhir_server.services.subscriptions.sight import Asked, Sight
from fhir_server.services.subscriptions.topics import Change, Reader
from fhir_server.services.subscriptions.writing import DELIVERY
from fhir_server.services.world import World
from fhir_server.store.unit import Unit
from fhir_server.store.work import Plan

DAY = 86_400


async def follow(world: World, unit: Unit, facts: Sequence[Fact]) -> None:
    """Number and note what these facts are to whom, and plan its delivery."""
    groups = await world.subscribers.groups(world, unit)
    if not groups:
        return
    sight = Sight(world)
    reader = Reader(world.definitions, world.zone, world.bases, world.terminology)
    told: dict[str, list[tuple[str, str, int]]] = {}
    ended: set[str] = set()
    for fact in facts:
        change = Change(
            fact.type,
            reader.state(fact.old, fact.before.at if fact.before else 0),
            reader.state(fact.new, fact.at),
        )
        if change.before is None and change.after is None:
            continue
        for group in groups:
            if fact.type not in group.types:
                continue
            asked = Asked(group, fact, change)
            for one in group.concerned(patients_in(change) if group.by_patient else ()):
                tells = await sight.tells(one, asked)
                if tells:
                    told.setdefault(one.id, []).append((fact.id, _method(fact), fact.at))
                elif tells is None:
                    ended.add(one.id)
    until = world.now() + world.settings.subscription_days * DAY
    if told:
        await world.store.subscriptions.number(unit, told, until)
    plans = [Plan(DELIVERY, id_, world.clock()) for id_ in sorted({*told, *ended})]
    await world.store.work.plan_all(unit, plans)


async def asked(world: World) -> frozenset[str]:
    """The types that Subscriptions which are awake are about."""
    return frozenset[str]().union(*(one.types for one in await world.subscribers.groups(world)))


def _method(fact: Fact) -> str:
    if fact.after.deleted:
        return "DELETE"
    return "POST" if fact.before is None else "PUT"

"""Follower ``subscriptions``: facts become numbered events of those Subscriptions whose owner may know of them.

In the transaction in which the relay notes a fact as told, each event gets the next number of its Subscription and is
written down, and delivery is planned. So events are numbered without gaps, once, in the order of the facts, whichever
process relays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fhir_server.search.match import matches
from fhir_server.services.access.about import beside
from fhir_server.services.access.policy import Clauses
from fhir_server.services.following.fact import Fact
from fhir_server.services.subscriptions.directory import Subscriber, patients_in
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
            if not group.fires(change):
                continue
            for one in group.concerned(patients_in(change) if group.by_patient else ()):
                if not one.cares(change):
                    continue
                seen = await sight.sees(one, fact, change)
                if seen:
                    told.setdefault(one.id, []).append((fact.id, _method(fact), fact.at))
                elif seen is None:
                    ended.add(one.id)
    until = world.now() + world.settings.subscription_days * DAY
    if told:
        await world.store.subscriptions.number(unit, told, until)
    plans = [Plan(DELIVERY, id_, world.clock()) for id_ in sorted({*told, *ended})]
    await world.store.work.plan_all(unit, plans)


def _method(fact: Fact) -> str:
    if fact.after.deleted:
        return "DELETE"
    return "POST" if fact.before is None else "PUT"


@dataclass
class Sight:
    """What owners see, looked up once for all facts of a batch."""

    world: World
    clauses: dict[tuple[str, str], Clauses | None] = field(default_factory=dict)

    async def sees(self, subscriber: Subscriber, fact: Fact, change: Change) -> bool | None:
        """Whether the owner sees what a fact is about; None when their access is over."""
        key = subscriber.key
        policy = await self.world.subscribers.policy(self.world, subscriber)
        if policy is None:
            return None
        if policy.unlimited_for(fact.type, "rs"):
            return True
        if (key, fact.type) not in self.clauses:
            self.clauses[key, fact.type] = await policy.sees(self.world.under(policy), fact.type)
        clauses = self.clauses[key, fact.type]
        if clauses is None:
            return None
        state, stored = (change.after, fact.after) if change.after else (change.before, fact.before)
        assert state is not None
        extra = stored.extra if stored else {}
        about = beside(extra.get("patients") or (), extra.get("clinics") or (), extra.get("owner") or "")
        document = {**state.document, "idx": {**state.document["idx"], **about}}
        return matches(clauses, document)

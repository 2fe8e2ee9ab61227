"""What owners see of a change: a Subscription tells them nothing that they could not find out by looking.

Triggers, classic criteria and filters are met by the two states as the owner sees them: without what is withheld from
their role, and from a patient in company. So it tells one patient of a group visit neither what another one answered
nor the reason that only the staff sees. A state before that the owner did not see at all counts as none: what comes
into their sight is told as new. Slots are the exception, which patients see while they are free alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from fhir_server.access.caller import Role
from fhir_server.access.withholding import visible
from fhir_server.search.match import matches
from fhir_server.services.access.about import NOBODY, beside
from fhir_server.services.access.policy import READING, AccessPolicy, Clauses
from fhir_server.services.following.fact import Fact
from fhir_server.services.subscriptions.directory import Group, Subscriber
from fhir_server.services.subscriptions.topics import Change, State
from fhir_server.services.world import World
from fhir_server.store.resources import Stored

SEEN_WHILE_FREE = frozenset({"Slot"})
"""Types whose state before is compared although a patient did not see it: that a Slot was taken is the point."""


@dataclass
class Asked:
    """One group of Subscriptions and one change as it is, which those see who see everything."""

    group: Group
    fact: Fact
    change: Change

    @cached_property
    def fires(self) -> bool:
        return self.group.fires(self.change)

    def met(self, one: Subscriber) -> bool:
        return self.fires and one.cares(self.change)


@dataclass
class Sight:
    """What owners see, looked up once for all facts of a batch."""

    world: World
    _clauses: dict[tuple[str, str], Clauses | None] = field(default_factory=dict)
    _views: dict[tuple[str, str], Change | None] = field(default_factory=dict)

    async def tells(self, one: Subscriber, asked: Asked) -> bool | None:
        """Whether an owner is told of a change; None when their access is over."""
        type_ = asked.fact.type
        policy = await self.world.subscribers.policy(self.world, one)
        if policy is None:
            return None if asked.met(one) else False
        if policy.unlimited_for(type_, READING):
            return asked.met(one)
        if not asked.fires and _sees_alike(policy, asked.fact):
            return False
        if (one.key, type_) not in self._clauses:
            self._clauses[one.key, type_] = await policy.sees(self.world.under(policy), type_)
        clauses = self._clauses[one.key, type_]
        if clauses is None:
            return None if asked.met(one) else False
        key = (one.key, asked.fact.id)
        if key not in self._views:
            self._views[key] = await self._view(policy, clauses, asked)
        seen = self._views[key]
        if seen is None:
            return False
        if seen is asked.change:
            return asked.met(one)
        return asked.group.fires(seen) and one.cares(seen)

    async def _view(self, policy: AccessPolicy, clauses: Clauses, asked: Asked) -> Change | None:
        """The change as its owner sees it, the change itself where that is all of it; None where they see nothing."""
        fact, change = asked.fact, asked.change
        before, after = _seen(clauses, change.before, fact.before), _seen(clauses, change.after, fact.after)
        if (after if change.after else before) is None:
            return None
        if before is None and change.type in SEEN_WHILE_FREE:
            before = change.before
        world = self.world.under(policy)
        if policy.caller.role is Role.PATIENT:
            await policy.people(world)
        before, after = _shown(world, before, fact.before), _shown(world, after, fact.after)
        if before is change.before and after is change.after:
            return change
        return replace(change, before=before, after=after)


def _sees_alike(policy: AccessPolicy, fact: Fact) -> bool:
    """Whether a change fires for this owner if it does at all: nothing of it is withheld, and they see both or none.

    It spares the thousands of patients whom a change does not concern from being asked one by one.
    """
    if policy.caller.role not in {Role.PATIENT, Role.SYSTEM}:
        return False
    if any(one.query for one in policy.scopes(fact.type, READING)):
        return False
    states = [one for one in (fact.before, fact.after) if one is not None and not one.deleted]
    about = [(_of(one, "patients"), _of(one, "clinics")) for one in states]
    return all(one == about[0] and len(one[0]) < 2 and NOBODY not in one[0] for one in about)


def _of(stored: Stored, name: str) -> Sequence[str]:
    return tuple(stored.extra.get(name) or ())


def _seen(clauses: Clauses, state: State | None, stored: Stored | None) -> State | None:
    """The state where the owner sees it."""
    if state is None or stored is None:
        return None
    about = beside(_of(stored, "patients"), _of(stored, "clinics"), stored.extra.get("owner") or "")
    document = {**state.document, "idx": {**state.document["idx"], **about}}
    return state if matches(clauses, document) else None


def _shown(world: World, state: State | None, stored: Stored | None) -> State | None:
    """The state without what is withheld from the world's caller."""
    if state is None or stored is None or world.policy.caller.role is Role.SYSTEM:
        return state
    withheld = world.view.withheld(stored.type, _of(stored, "patients"))
    if not withheld:
        return state
    shown = visible(state.resource, withheld)
    return state if shown == state.resource else replace(state, resource=shown)

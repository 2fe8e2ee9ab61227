"""The Subscriptions that are awake, in the memory of whoever relays: by resource type, topic and patient.

It is read anew when the epoch of the Subscriptions has moved, which every write of one does; what did not change is
not parsed again. So a fact costs a small find, an evaluation for each topic, and one for each Subscription concerned.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from fhir_server.errors import Problem
from fhir_server.fhir.json import parse
from fhir_server.search.match import matches
from fhir_server.search.query import ReferenceIn
from fhir_server.services.access.policy import AccessPolicy
from fhir_server.services.subscriptions.owner import Owner, policy_within
from fhir_server.services.subscriptions.terms import Terms
from fhir_server.services.subscriptions.topics import Change, Trigger
from fhir_server.services.subscriptions.writing import TYPE, terms_of
from fhir_server.services.world import World
from fhir_server.store.unit import Unit

MOST_POLICIES, BELIEVED_SECONDS = 10_000, 60

AWAKE = ("=requested", "=active", "=error")
"""States in which events are numbered, once a handshake succeeded."""


@dataclass(frozen=True, slots=True)
class Subscriber:
    """One Subscription; ``started``: its events count. Those of one ``key`` see the same."""

    id: str
    terms: Terms
    owner: Owner
    key: str
    started: bool

    def cares(self, change: Change) -> bool:
        """Whether its filters let the change through: by what the resource is, or by what it was."""
        clauses = self.terms.filtered(change.type)
        if not clauses:
            return True
        states = (one for one in (change.after, change.before) if one is not None)
        return any(matches(clauses, one.document) for one in states)


@dataclass
class Group:
    """Those who have the same triggers; ``by_patient`` are those who filter by patients."""

    triggers: tuple[Trigger, ...]
    everybody: list[Subscriber] = field(default_factory=list)
    by_patient: dict[str, list[Subscriber]] = field(default_factory=dict)

    @property
    def types(self) -> frozenset[str]:
        return frozenset(one.type for one in self.triggers)

    def fires(self, change: Change) -> bool:
        return any(one.fires(change) for one in self.triggers)

    def concerned(self, patients: Iterable[str]) -> Iterator[Subscriber]:
        """Those who may care, each once."""
        yield from self.everybody
        found = {each.id: each for one in patients for each in self.by_patient.get(one, ())}
        yield from found.values()


class Directory:
    """What one process remembers."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._groups: list[Group] = []
        self._known: dict[str, tuple[int, Terms | None]] = {}
        self._policies: dict[str, tuple[int, int, AccessPolicy | None]] = {}

    async def groups(self, world: World, unit: Unit | None = None) -> list[Group]:
        """As the unit sees them; without one as they are now."""
        number = await world.store.subscriptions.epoch(unit)
        if number != self._number:
            self._groups = grouped(await self._read(world, unit))
            self._number = number
        return self._groups

    async def policy(self, world: World, subscriber: Subscriber) -> AccessPolicy | None:
        """What an owner may see, looked up anew when anybody's access ended, and after a minute; None: nothing more.

        It decides what is numbered; what is shown is judged again when it is sent.
        """
        epoch, now = await world.store.access_epoch.leased(), world.now()
        known = self._policies.get(subscriber.key)
        if known is None or known[0] != epoch or known[1] <= now:
            if len(self._policies) >= MOST_POLICIES:
                self._policies.clear()
            known = (epoch, now + BELIEVED_SECONDS, await policy_within(world, subscriber.owner))
            self._policies[subscriber.key] = known
        return known[2]

    async def _read(self, world: World, unit: Unit | None) -> list[Subscriber]:
        resources = unit.resources if unit else world.store.resources
        rows = await resources.find(TYPE, {"idx.status": {"$in": list(AWAKE)}}, fields={"v": 1})
        versions = {one["_id"]: one["v"] for one in rows}
        new = [id_ for id_, version in versions.items() if self._known.get(id_, (0, None))[0] != version]
        self._known = {id_: one for id_, one in self._known.items() if id_ in versions}
        for stored in await resources.get_many(TYPE, new):
            try:
                terms = terms_of(world, parse(stored.body))
            except Problem:
                terms = None  # of an older server; delivery says so
            self._known[stored.id] = (stored.version, terms)
        progress = await world.store.subscriptions.get_many(list(versions), unit)
        return [
            Subscriber(id_, terms, one.owner, repr(sorted(one.owner.items())), one.started)
            for id_, one in progress.items()
            if (terms := self._known.get(id_, (0, None))[1]) is not None
        ]


def grouped(subscribers: Iterable[Subscriber]) -> list[Group]:
    """By topic, a classic search by itself, and in these by patient."""
    groups: dict[str, Group] = {}
    for one in subscribers:
        if not one.started:
            continue
        key = one.terms.topic or f"#{one.id}"
        group = groups.setdefault(key, Group(one.terms.triggers))
        patients = _patients(one.terms)
        if patients is None:
            group.everybody.append(one)
        for each in patients or ():
            group.by_patient.setdefault(each, []).append(one)
    return list(groups.values())


def _patients(terms: Terms) -> frozenset[str] | None:
    """The Patients of whom one must be in what passes the filters; None where that may be anybody."""
    if len(terms.types) != 1:
        return None
    for clause in terms.filtered(next(iter(terms.types))):
        if (
            isinstance(clause, ReferenceIn)
            and clause.values
            and all(one.startswith("Patient/") for one in clause.values)
        ):
            return frozenset(clause.values)
    return None


def patients_in(change: Change) -> set[str]:
    """Every Patient that the two states name."""
    found: set[str] = set()
    for state in (change.before, change.after):
        values: Mapping[str, object] = state.document["idx"] if state else {}
        for value in values.values():
            for one in value if isinstance(value, list) else (value,):
                if isinstance(one, str) and one.startswith("Patient/"):
                    found.add(one)
    return found

"""The catalogue: what can be booked where, read from Schedules, HealthcareServices and their surroundings.

Facts are remembered in the process for one epoch of the catalogue (``store.epoch``), so nothing is ever stale.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from fhir_server.fhir.json import parse
from fhir_server.services import terms
from fhir_server.services.actors import actor_key, reference_of, tokens_of, with_own_references
from fhir_server.services.facts import ScheduleFacts, ServiceFacts, schedule_facts, service_facts
from fhir_server.store.database import Store

Resource = Mapping[str, Any]
REMEMBERED = 16_384
LOGICAL_TYPES = ("Practitioner", "Location", "Device", "HealthcareService", "PractitionerRole")
_request: ContextVar[list[dict[Hashable, Any]] | None] = ContextVar("catalogue", default=None)


class Catalogue:
    """Facts by reference, remembered for one epoch."""

    def __init__(self, store: Store, bases: tuple[str, ...] = ()) -> None:
        self._store = store
        self._bases = bases
        self._epoch: int | None = None
        self._remembered: dict[Hashable, Any] = {}

    @staticmethod
    def begin() -> None:
        """A request begins: it asks for the epoch once, and sees one state of the catalogue throughout."""
        _request.set([])

    async def at(self) -> dict[Hashable, Any]:
        """The memory of the present epoch; a throw-away one while the catalogue is being written."""
        request = _request.get()
        if request:
            return request[0]
        memory = await self._present()
        if request is not None:
            request.append(memory)
        return memory

    async def _present(self) -> dict[Hashable, Any]:
        epoch = await self._store.epoch.current()
        if epoch is None:
            return {}
        if epoch != self._epoch or len(self._remembered) > REMEMBERED:
            self._epoch, self._remembered = epoch, {}
        return self._remembered

    async def services(self, references: Sequence[str]) -> dict[str, ServiceFacts]:
        """Services by reference; those that do not exist are absent."""
        memory = await self.at()
        return await self._services(memory, references)

    async def _services(self, memory: dict[Hashable, Any], references: Iterable[str]) -> dict[str, ServiceFacts]:
        wanted = list(dict.fromkeys(references))
        missing = [one for one in wanted if one not in memory and one.startswith("HealthcareService/")]
        if missing:
            resources = await self._read("HealthcareService", [one.split("/", 1)[1] for one in missing])
            homes = {one for resource in resources if (one := reference_of(resource.get("providedBy")))}
            ids = [one.split("/", 1)[1] for one in sorted(homes) if one.startswith("Organization/")]
            known = {f"Organization/{one['id']}": one for one in await self._read("Organization", ids)}
            for resource in resources:
                facts = service_facts(resource, known.get(reference_of(resource.get("providedBy"))))
                memory[facts.id] = facts
        return {one: memory[one] for one in wanted if isinstance(memory.get(one), ServiceFacts)}

    async def schedules(self, references: Sequence[str]) -> dict[str, ScheduleFacts]:
        """Schedules by reference; those that do not exist are absent."""
        memory = await self.at()
        missing = [one for one in references if one not in memory and one.startswith("Schedule/")]
        if missing:
            resources = await self._read("Schedule", [one.split("/", 1)[1] for one in missing])
            for facts in await self._assemble(resources):
                memory[facts.id] = facts
        return {one: memory[one] for one in references if isinstance(memory.get(one), ScheduleFacts)}

    async def matching(self, type_: str, where: Mapping[str, Any]) -> list[str]:
        """References of a catalogue type by a store filter, remembered."""
        memory = await self.at()
        key = (type_, repr(where))
        found: list[str] | None = memory.get(key)
        if found is None:
            documents = await self._store.resources.find(type_, where, sort=[("_id", 1)], fields={"_id": 1})
            found = memory[key] = [f"{type_}/{one['_id']}" for one in documents]
        return found

    async def by_key(self, type_: str, key: str) -> str | None:
        """The resource that a proposal id names by its short key."""
        memory = await self.at() if type_ != "Patient" else {}
        remembered = ("key", type_, key)
        if remembered not in memory:
            found = await self._store.resources.find(type_, {"key": key}, limit=2, fields={"_id": 1})
            memory[remembered] = f"{type_}/{found[0]['_id']}" if len(found) == 1 else None
        reference: str | None = memory[remembered]
        return reference

    async def clinics(self, references: Sequence[str]) -> list[str]:
        """The clinics of places, services and roles, remembered."""
        memory = await self.at()
        missing: dict[str, list[str]] = {}
        for one in references:
            if ("clinics", one) not in memory:
                missing.setdefault(one.partition("/")[0], []).append(one.partition("/")[2])
        for type_, ids in missing.items():
            rows = await self._store.resources.find(type_, {"_id": {"$in": ids}}, fields={"clinics": 1})
            memory.update({("clinics", f"{type_}/{one}"): () for one in ids})
            memory.update({("clinics", f"{type_}/{one['_id']}"): tuple(one.get("clinics", ())) for one in rows})
        return [clinic for one in references for clinic in memory["clinics", one]]

    async def of_actor(self, names: Sequence[str]) -> list[ScheduleFacts]:
        """Active Schedules that keep the calendar of one of these busy, each ``Type/id`` or ``#system|value``."""
        if not names:
            return []
        roles = await self.matching("PractitionerRole", {"idx.practitioner": {"$in": list(names)}})
        references = await self.matching("Schedule", {"idx.actor": {"$in": [*names, *roles]}})
        found = await self.schedules(references)
        keys = set(map(self._store.vault.calendar_key, names))
        return [facts for facts in found.values() if facts.active and keys.intersection(facts.keys)]

    async def pools(self, schedule: ScheduleFacts, service: ServiceFacts) -> tuple[tuple[str, ...], ...]:
        """The calendar keys of which one each must be free, for every requirement of a service.

        A code stands for the Locations and Devices that carry it, at the Schedule's own site where it has some there; a
        Group for its members.
        """
        sealed = self._store.vault.calendar_key
        found: list[tuple[str, ...]] = []
        for requirement in service.requires:
            reference = reference_of(requirement)
            if reference:
                found.append(await self._members(reference) if reference.startswith("Group/") else (sealed(reference),))
                continue
            codes = sorted(tokens_of([requirement]))
            rooms = await self.matching("Location", {"idx.type": {"$in": codes}})
            devices = await self.matching("Device", {"idx.type": {"$in": codes}})
            here = await self.matching(
                "Location", {"idx.type": {"$in": codes}, "idx.partof": {"$in": sorted(schedule.locations)}}
            )
            found.append(tuple(here or rooms) + tuple(devices))
        return tuple(found)

    async def _members(self, group: str) -> tuple[str, ...]:
        """Active members of a Group, a role as its practitioner; none if the Group does not exist."""
        memory = await self.at()
        if group not in memory:
            (found,) = await self._read("Group", [group.split("/", 1)[1]]) or [{}]
            members = [
                reference_of(one.get("entity")) for one in found.get("member", ()) if not one.get("inactive", False)
            ]
            around = {f"{one['resourceType']}/{one['id']}": one for one in await self._around(members)}
            sealed = self._store.vault.calendar_key
            memory[group] = tuple(sealed(actor_key(one, around) or one) for one in members if one)
        members_known: tuple[str, ...] = memory[group]
        return members_known

    async def without_zone(self, schedule: Resource) -> bool:
        """Whether a Schedule to be stored has rules, and neither it nor its places or clinics say in which zone."""
        if not terms.has_rules(dict(schedule)) or terms.zone(dict(schedule)):
            return False
        (facts,) = await self._assemble([{"id": "new", **with_own_references(schedule, self._bases)}])
        return facts.opening is None

    async def organizations_of(self, schedule: Resource) -> frozenset[str]:
        """The Organizations of a Schedule to be stored: of its places, roles and services."""
        (facts,) = await self._assemble([{"id": "new", **with_own_references(schedule, self._bases)}])
        return facts.organizations

    async def _read(self, type_: str, ids: Sequence[str]) -> list[dict[str, Any]]:
        return [self._own(one.body) for one in await self._store.resources.get_many(type_, ids)]

    def _own(self, body: bytes) -> dict[str, Any]:
        """A stored resource with references to our own base made relative."""
        resource: dict[str, Any] = parse(body)
        if any(base.encode() in body for base in self._bases):
            resource = with_own_references(resource, self._bases)
        return resource

    async def _assemble(self, schedules: Sequence[Resource]) -> list[ScheduleFacts]:
        """Facts of several Schedules with one query a type of surrounding resource."""
        schedules = [{**one, "actor": [await self._known(each) for each in one.get("actor", ())]} for one in schedules]
        actors = {one for schedule in schedules for one in map(reference_of, schedule.get("actor", ())) if one}
        around = {f"{role['resourceType']}/{role['id']}": role for role in await self._around(actors)}
        return [schedule_facts(schedule, around, self._store.vault.calendar_key) for schedule in schedules]

    async def _known(self, reference: Resource) -> Resource:
        """A logical reference with the one resource that carries the identifier, where there is just one.

        One human has one calendar, also when a Schedule knows only their licence number.
        """
        logical = reference_of(reference)
        if not logical.startswith("#"):
            return reference
        for type_ in (reference["type"],) if reference.get("type") else LOGICAL_TYPES:
            found = await self.matching(type_, {"idx.identifier": logical[1:]})
            if len(found) == 1:
                return {**reference, "reference": found[0]}
        return reference

    async def _around(self, actors: Iterable[str]) -> list[dict[str, Any]]:
        by_type: dict[str, set[str]] = {}
        for one in actors:
            type_, _, id_ = one.partition("/")
            by_type.setdefault(type_, set()).add(id_)
        found: list[dict[str, Any]] = await self._read("PractitionerRole", sorted(by_type.get("PractitionerRole", ())))
        for role in found:
            if "practitioner" in role:
                role["practitioner"] = await self._known(role["practitioner"])
        practitioners = by_type.get("Practitioner", set()) | {
            reference.split("/", 1)[1] for role in found if (reference := reference_of(role.get("practitioner")))
        }
        people = [f"Practitioner/{one}" for one in sorted(practitioners)]
        roles = await self._store.resources.find(
            "PractitionerRole", {"idx.practitioner": {"$in": people}}, fields={"body": 1}
        )
        found += [self._own(one["body"]) for one in roles]
        found += await self._read("Practitioner", sorted(practitioners))
        found += await self._read("HealthcareService", sorted(by_type.get("HealthcareService", ())))
        places = by_type.get("Location", set()) | {
            reference.split("/", 1)[1]
            for one in found
            for place in one.get("location", ())
            if (reference := reference_of(place)) and reference.startswith("Location/")
        }
        locations = await self._read("Location", sorted(places))
        parents = {one.split("/", 1)[1] for place in locations if (one := reference_of(place.get("partOf")))}
        found += locations + await self._read("Location", sorted(parents - places))
        organizations = {
            reference.split("/", 1)[1]
            for one in found
            for name in ("organization", "managingOrganization", "providedBy")
            if (reference := reference_of(one.get(name))) and reference.startswith("Organization/")
        }
        return found + await self._read("Organization", sorted(organizations))

"""The access policy: a caller's scopes, role, clinics and patients as one object that every route asks.

It has two faces. :meth:`AccessPolicy.sees` is a part of the search tree that goes *inside* every query, before limits
and counts; :meth:`AccessPolicy.judge` evaluates the same tree on stored versions. Without a policy nothing is seen: a
world begins with :data:`NOBODY`. Hidden is answered as absent. https://hl7.org/fhir/R4/security.html

role            patient data                                                  shared types       directory
--------------  ------------------------------------------------------------  -----------------  ---------
system          inside its clinics' walls, if it has any                      the same           all
patient         of those they act for                                         without others'    all
practitioner    of those they care for, inside the walls; granted; own acts   inside the walls¹  all
front desk      inside the walls; granted to the clinic                       inside the walls   all
administrator   the same                                                      inside the walls   all
auditor         none                                                          none               all

¹ a Device or Group of patients only where they care for one of these

A Subscription is seen by the party that made it, and by the administrators of its clinics.
A scope of context *patient* cuts this to the launch patient, its criteria to what they match; several scopes are OR.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fhir_server.access.caller import STAFF, Caller, Role
from fhir_server.access.rules import ALLOWED, DIRECTORY, OWNED, PATIENT_DATA, PERSONAL
from fhir_server.access.scopes import Scope, parse
from fhir_server.errors import Category, Problem, problem
from fhir_server.fhir.json import parse as parse_json
from fhir_server.search.extract import index_values
from fhir_server.search.match import matches
from fhir_server.search.parser import criteria
from fhir_server.search.query import All, Clause, IdIn, Missing, Or, ReferenceIn, TokenIn
from fhir_server.services.access import followers, looks, relations
from fhir_server.services.access.about import CLINICS, OWNER, PATIENTS, beside
from fhir_server.services.compartments import COMPARTMENTS, membership
from fhir_server.store.resources import Stored

if TYPE_CHECKING:
    from fhir_server.services.world import World

Clauses = tuple[Clause, ...]
ALL: Clauses = ()
READING = "rs"
Judge = Callable[[Stored], bool]
PERSONS_FOR_MS = 60_000
"""How long it is remembered whom a person acts for: a period may end meanwhile; everything else moves the epoch."""


@dataclass(eq=False)
class AccessPolicy:
    """What one caller may see and do. One for as long as the caller's token is remembered."""

    caller: Caller
    _persons: tuple[int, frozenset[str]] = (0, frozenset())
    _criteria: dict[tuple[Scope, str], Clauses | None] = field(default_factory=dict)
    server: bool = False
    """Whether this is the server itself, which owns what others own."""
    opened: frozenset[str] = frozenset()
    """Patients whom the caller reaches by break-glass, as the last look found them."""

    @property
    def unlimited(self) -> bool:
        """Whether nothing inside the scopes is hidden: a system client without walls."""
        return self.caller.role is Role.SYSTEM and self.caller.clinics is None

    def unlimited_for(self, type_: str, permission: str) -> bool:
        """Whether the caller may do this to every resource of a type, so that none has to be looked at."""
        if not self.unlimited or (type_ in OWNED and not self.server):
            return False
        return any(not one.query for one in self.scopes(type_, permission))

    # -- what a route needs ------------------------------------------------------------------------------------------

    def permits(self, type_: str, permissions: str = READING) -> bool:
        """Whether one of ``cruds`` is granted on a type, by role and scope, on whichever resources."""
        allowed = ALLOWED[self.caller.role].get(type_, "")
        return any(one in allowed and self.caller.scopes.permit(type_, one) for one in permissions)

    def require(self, type_: str, permission: str) -> None:
        """:raises Problem: 403 ``insufficient_scope``."""
        if not self.permits(type_, permission):
            raise forbidden(type_, permission)

    def scopes(self, type_: str, permissions: str) -> list[Scope]:
        """The scopes that speak of a type and grant one of the permissions."""
        allowed = ALLOWED[self.caller.role].get(type_, "")
        return [
            scope
            for scope in self.caller.scopes.resources
            if any(one in allowed and scope.covers(type_, one) for one in permissions)
        ]

    # -- what is seen ------------------------------------------------------------------------------------------------

    async def sees(self, world: World, type_: str, permissions: str = READING) -> Clauses | None:
        """The clauses that are true for what the caller sees of a type; None where that is nothing.

        :param permissions: letters of ``cruds``; with ``c``, ``u`` or ``d`` the walls stand around the directory too.
        """
        scopes = self.scopes(type_, permissions)
        if not scopes:
            return None
        ways = [way for one in scopes if (way := self._scoped(world, one, type_)) is not None]
        if not ways:
            return None
        base = await self._seen_by_role(world, type_, permissions)
        if base is None or ALL in ways:
            return base
        restricted = ways[0] if len(ways) == 1 else (Or(tuple(_one(one) for one in ways)),)
        return (*base, *restricted)

    async def names(self, world: World, type_: str) -> Clauses | None:
        """The clauses for what the caller may name in what they write, whatever their scopes; None for nothing."""
        if type_ not in ALLOWED[self.caller.role]:
            return None
        return await self._seen_by_role(world, type_, "u")

    def _scoped(self, world: World, scope: Scope, type_: str) -> Clauses | None:
        """What one scope adds: the launch patient, and its criteria."""
        asked = self.asked(world, scope, type_)
        if asked is None:
            return None
        if scope.context != "patient":
            return asked
        if not self.caller.patient:
            return None
        if type_ in PATIENT_DATA:
            return (ReferenceIn(PATIENTS, (self.caller.patient,)), *asked)
        return asked

    def asked(self, world: World, scope: Scope, type_: str) -> Clauses | None:
        """The criteria of a scope on a type, as the caller could ask them in a search.

        None where it grants nothing: the type does not have such parameters, they look at what is withheld from the
        caller, or at other resources.
        """
        if not scope.query:
            return ALL
        key = (scope, type_)
        if key not in self._criteria:
            try:
                self._criteria[key] = self._criteria_of(world, scope.query, type_)
            except Problem:
                self._criteria[key] = None
        found = self._criteria[key]
        if found and self.caller.role is Role.PATIENT:
            return tuple(looks.asked_by_patient(type_, one, self.known_people) for one in found)
        return found

    def _criteria_of(self, world: World, query: Sequence[tuple[str, str]], type_: str) -> Clauses | None:
        """:raises Problem: for what is no search of this type, or looks at what is withheld."""
        found = criteria(
            type_, query, world.definitions, zone=world.zone, now_ms=world.clock(), bases=world.bases,
            terminology=world.terminology,
        )  # fmt: skip
        if any(looks.looks_elsewhere(one) for one in found):
            return None
        if self.caller.role is not Role.SYSTEM:
            for one in found:
                looks.check(self.caller.role, type_, one)
        return found

    async def _seen_by_role(self, world: World, type_: str, permissions: str) -> Clauses | None:
        role = self.caller.role
        if type_ in OWNED:
            return await self._owned(world)
        writing = not set(permissions) <= set(READING)
        if type_ in DIRECTORY and not (writing and type_ != "Practitioner"):
            return ALL
        if role is Role.SYSTEM:
            return await self.walls(world)
        if role is Role.PATIENT:
            return await self._of_patient(world, type_)
        if role not in STAFF:
            return None
        walls = await self.walls(world)
        if type_ in PERSONAL and role is Role.PRACTITIONER:
            cared = await relations.cares_for(world, self.caller.persons) | await self.granted(world, writing=writing)
            walls = (*walls, Or((nobodys(), ReferenceIn(PATIENTS, tuple(sorted(cared))))))
        if type_ not in PATIENT_DATA:
            return (*walls, *await self._own_calendar(world, type_)) if writing else walls
        granted = await self.granted(world, writing=writing)
        inside = _one(walls)
        if role is Role.PRACTITIONER:
            cared = await relations.cares_for(world, self.caller.persons)
            ways: list[Clause] = [ReferenceIn(PATIENTS, tuple(sorted(cared)))]
            if type_ in COMPARTMENTS["Practitioner"] and type_ != "Patient":
                ways += self._own_acts(world, type_)
            inside = All((*walls, Or(tuple(ways))))
        return (Or((inside, ReferenceIn(PATIENTS, tuple(sorted(granted))))),) if granted else (inside,)

    async def _owned(self, world: World) -> Clauses:
        own = ReferenceIn(OWNER, (self.caller.party,))
        if self.server:
            return ALL
        if self.caller.role is Role.ADMINISTRATOR:
            return (Or((own, _one(await self.walls(world)))),)
        return (own,)

    def _own_acts(self, world: World, type_: str) -> list[Clause]:
        found = []
        for person in self.caller.persons:
            kind, _, id_ = person.partition("/")
            clause = membership(world.definitions, kind, id_, type_) if kind == "Practitioner" else None
            if clause is not None:
                found.append(clause)
        return found

    async def _own_calendar(self, world: World, type_: str) -> Clauses:
        """Clinicians change their own Schedules and the Slots of these; other staff those of the clinic."""
        if self.caller.role is not Role.PRACTITIONER or type_ not in {"Schedule", "Slot"}:
            return ALL
        own = [facts.id for facts in await world.catalogue.of_actor(self.caller.persons)]
        if type_ == "Slot":
            return (ReferenceIn(world.definitions.of("Slot")["schedule"], tuple(own)),)
        return (IdIn(tuple(one.partition("/")[2] for one in own)),)

    async def _of_patient(self, world: World, type_: str) -> Clauses:
        own = ReferenceIn(PATIENTS, tuple(sorted(await self.people(world))))
        if type_ in PATIENT_DATA:
            return (own,)
        if type_ == "Slot":
            # Whose time is taken is nobody else's business, nor that it is taken.
            return (Or((All((TokenIn(world.definitions.of("Slot")["status"], ("=free",)), nobodys())), own)),)
        return (Or((nobodys(), own)),)

    async def walls(self, world: World) -> Clauses:
        """What the clinics of the caller enclose, everything where there are no walls."""
        if self.caller.clinics is None:
            return ALL
        return (ReferenceIn(CLINICS, tuple(sorted(await self.clinics(world)))),)

    async def clinics(self, world: World) -> frozenset[str]:
        """The Organizations inside whose walls the caller is, with their parts."""
        return await relations.members_of(world, self.caller.clinics or ())

    async def people(self, world: World) -> frozenset[str]:
        """The Patients that a person acts for."""
        until, known = self._persons
        if until <= world.clock():
            known = await relations.acts_for(world, self.caller.persons)
            self._persons = (world.clock() + PERSONS_FOR_MS, known)
        return known

    @property
    def known_people(self) -> frozenset[str]:
        """:meth:`people` as :meth:`begin` found them."""
        return self._persons[1]

    async def begin(self, world: World) -> None:
        """What a request needs to know of its caller before anything is shown."""
        if self.caller.clinics is not None:
            await followers.before_judging(world)
        if self.caller.role is Role.PATIENT:
            await self.people(world)

    async def granted(self, world: World, *, writing: bool = False) -> frozenset[str]:
        """Patients whom a member of staff reaches beyond the usual: by Consent or, to read, by break-glass."""
        grantees = {*self.caller.persons, *await self.clinics(world)}
        opened = await world.store.emergencies.of(self.caller.subject, world.now()) if self.caller.subject else set()
        self.opened = frozenset(opened)
        return frozenset(await relations.consented(world, grantees) | (set() if writing else opened))

    # -- one version -------------------------------------------------------------------------------------------------

    async def judge(self, world: World, type_: str, permissions: str = READING) -> Judge:
        """What tells of versions of one type whether the caller sees (``c``, ``u``, ``d``: may change) them."""
        if not self.permits(type_, permissions):
            return lambda _: False
        if self.unlimited_for(type_, permissions):
            return lambda _: True
        clauses = await self.sees(world, type_, permissions)
        if clauses is None:
            return lambda _: False
        own = None if self.caller.clinics is None else await self.clinics(world)

        def judge(stored: Stored) -> bool:
            if not stored.version and type_ == "Appointment" and not stored.extra.get("patients"):
                # A proposal for nobody in particular is free time, not somebody's data.
                clinics = stored.extra.get("clinics") or ()
                return self.caller.role is Role.PATIENT or own is None or not own.isdisjoint(clinics)
            return not clauses or matches(clauses, self.document(world, stored))

        return judge

    async def may(self, world: World, stored: Stored, permissions: str = READING) -> bool:
        """:meth:`judge` of one version."""
        if self.unlimited_for(stored.type, permissions):
            return True
        return (await self.judge(world, stored.type, permissions))(await said(world, stored))

    async def inside(self, world: World, clinics: Sequence[str]) -> bool:
        """Whether all of these clinics are inside the caller's walls."""
        if self.caller.clinics is None:
            return True
        own = await self.clinics(world)
        return bool(clinics) and own.issuperset(clinics)

    def document(self, world: World, stored: Stored) -> dict[str, Any]:
        """A version in the shape that the search tree's evaluator reads."""
        index: dict[str, Any] = {}
        if stored.body:
            index = index_values(parse_json(stored.body), world.definitions.of(stored.type), world.bases, world.zone)
        extra = stored.extra
        index |= beside(extra.get("patients") or (), extra.get("clinics") or (), extra.get("owner") or "")
        return {"_id": stored.id, "at": stored.at, "idx": index}

    def in_scope(self, world: World, resource: Mapping[str, Any], permissions: str) -> bool:
        """Whether content that the engine is about to store is one that the scopes' criteria allow; pure."""
        scopes = self.scopes(resource["resourceType"], permissions)
        if any(not one.query for one in scopes):
            return True
        type_ = resource["resourceType"]
        index = index_values(dict(resource), world.definitions.of(type_), world.bases, world.zone)
        document = {"_id": resource.get("id", ""), "at": world.clock(), "idx": index}
        asked = (self.asked(world, one, type_) for one in scopes)
        return any(one is not None and matches(one, document) for one in asked)


def _one(clauses: Clauses) -> Clause:
    return clauses[0] if len(clauses) == 1 else All(clauses)


async def said(world: World, stored: Stored) -> Stored:
    """The version by which one is judged: the mark of a deletion by what was deleted."""
    if not stored.deleted:
        return stored
    before = await world.store.resources.version(stored.type, stored.id, stored.version - 1)
    return await followers.former(world, before) if before else stored


def nobodys() -> Clause:
    """True for what speaks of no patient."""
    return Missing(PATIENTS, missing=True)


def forbidden(type_: str, permission: str) -> Problem:
    """The refusal of what no scope or role of the caller allows."""
    text = f"the token does not allow this on {type_} (permission {permission})"
    challenge = 'Bearer error="insufficient_scope"'
    return problem(Category.FORBIDDEN, text, type_, WWW_Authenticate=challenge)


NOBODY = AccessPolicy(Caller(role=Role.AUDITOR))
"""Sees nothing and may do nothing."""

OWN = AccessPolicy(Caller("fhir-server", "interface", Role.SYSTEM, parse("system/*.cruds")), server=True)
"""The server on its own account: upkeep, the demo clinic, migrations."""

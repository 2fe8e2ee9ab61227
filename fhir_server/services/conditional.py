"""Interactions that name a resource by criteria, strict and safe among many callers. https://hl7.org/fhir/R4/http.html

criteria match   create          update                             patch   delete
---------------  --------------  ---------------------------------  ------  ------
nothing          201             201, under the body's id if it     404     204
                                 states one; 409 if that is in use
one              200, as it is   200; 400 if the body states        200     204
                                 another id
several          412             412                                412     412

The match and the write are one transaction, and a guard in it lets one of those who name the same criteria commit at a
time: of many identical requests one creates.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fhir_server.errors import Category, Problem, problem
from fhir_server.search.parser import criteria
from fhir_server.search.query import Clause
from fhir_server.services import appointments, resources, responses, slots
from fhir_server.services.access import followers, writes
from fhir_server.services.conditions import Condition, check_version
from fhir_server.services.keyed import Keyed, once, replay
from fhir_server.services.resources import Change, Written
from fhir_server.services.search import Chains
from fhir_server.services.subscriptions import writing as subscriptions
from fhir_server.services.upkeep import settle_this_second
from fhir_server.services.versions import new_id, version_of
from fhir_server.services.waitlist.responses import respond
from fhir_server.services.world import Caller, World
from fhir_server.store.epoch import CATALOGUE_TYPES
from fhir_server.store.resources import Stored, stored
from fhir_server.store.search import resolve_clauses
from fhir_server.store.unit import Overtaken, Unit

T = TypeVar("T")

ENGINE_TYPES = frozenset({"Appointment", "Slot"})
"""Types whose writes go through the booking engine."""

ACTING = {"Appointment": appointments.create, "AppointmentResponse": responses.create, "Slot": slots.create}
"""Types whose writes do more than to be stored."""

ALONE_TYPES = frozenset(ACTING) | {"Subscription"}
"""Types of which each write is an act of its own, also in a transaction."""

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Criteria:
    """What selects resources of one type; ``guard`` is the same for everybody who says the same."""

    type: str
    clauses: tuple[Clause, ...]
    guard: str


def criteria_of(world: World, type_: str, pairs: Pairs) -> Criteria:
    """Decoded search parameters as criteria.

    :raises Problem: 400 for an unknown parameter, and where nothing selects.
    """
    clauses = criteria(
        type_,
        pairs,
        world.definitions,
        zone=world.zone,
        now_ms=world.clock(),
        bases=world.bases,
        terminology=world.terminology,
    )
    digest = hashlib.sha256(repr((type_, sorted(pairs))).encode()).hexdigest()
    return Criteria(type_, clauses, f"criteria|{digest}")


async def match(world: World, asked: Criteria) -> Stored | None:
    """The one resource that the criteria select.

    :raises Problem: 412 for several.
    """
    clauses = await resolve_clauses(asked.type, asked.clauses, Chains(world))
    found = await world.view.find(asked.type, clauses, limit=2, fields={"idx": 0})
    if len(found) > 1:
        raise problem(Category.PRECONDITION, "the criteria match several resources", asked.type, "multiple-matches")
    # As it was found: a read outside the transaction may not see yet what the transaction sees.
    return stored(asked.type, found[0]) if found else None


async def match_in(world: World, unit: Unit, asked: Criteria) -> Stored | None:
    """As :func:`match`, alone among those who say the same until the unit is over; ``world`` is that inside it."""
    await unit.guard(asked.guard)
    return await match(world, asked)


async def create(
    world: World, caller: Caller, resource: dict[str, Any], pairs: Pairs, keyed: Keyed | None = None
) -> Written:
    """Create unless there is one already, which then is the answer.

    :raises Problem: as :func:`resources.create`; 412 for several.
    """
    type_ = resource["resourceType"]
    resources.check(world, resource, type_)
    asked = criteria_of(world, type_, pairs)
    if keyed:
        await replay(world, keyed)
    await settle(world, type_)
    if known := await match(world, asked):
        return Written(known, created=False, changed=False)
    id_ = new_id()
    clinics = await resources.permitted(world, resource, id_, "c")

    async def already(unit: Unit) -> Stored | None:
        return await match_in(world.within(unit, catalogue=False), unit, asked)

    if type_ in ACTING:
        written = await ACTING[type_](world, caller, resource, id_, keyed, "POST", already)
        return Written(written, created=written.id == id_, changed=written.id == id_)
    if type_ == "Subscription":
        written = await subscriptions.create(world, caller, resource, id_, clinics, keyed, "POST", already)
        return Written(written, created=written.id == id_, changed=written.id == id_)
    if type_ == "AppointmentResponse" and (
        answered := await respond(world, caller, resource, id_, clinics, None, keyed, "POST", already)
    ):
        return Written(answered, created=answered.id == id_, changed=answered.id == id_)
    await resources.check_zone(world, resource)
    first, index = version_of(world, resource, id_=id_, version=1, at=world.clock(), method="POST", clinics=clinics)

    async def work(unit: Unit) -> Stored:
        if found := await already(unit):
            return found
        await unit.insert(first, index)
        if followers.moves(None, first, fresh=True):
            await unit.moved(first.reference)
        if keyed:
            await keyed.remember(world, unit, first, 201)
        return first

    async def run() -> Stored:
        return await world.store.units.run(work, now=world.now(), turns=[asked.guard])

    async with world.store.epoch.moving(type_):
        written = await once(world, keyed, run)
    return Written(written, created=written.id == id_, changed=written.id == id_)


async def update(world: World, caller: Caller, resource: dict[str, Any], pairs: Pairs, condition: Condition) -> Written:
    """Put the resource in place of the one that the criteria select, or create it.

    :raises Problem: as :func:`resources.update`; 400, 409 and 412 as the table above says.
    """
    type_ = resource["resourceType"]
    resources.check(world, resource, type_)
    fresh = resource.get("id") or new_id()

    async def work(inner: World, found: Stored | None) -> Written:
        if found is None and not resources.creatable(inner, type_):
            raise nothing(type_)
        id_ = chosen_id(resource, found, fresh)
        before = await resources.current(inner, type_, id_)
        if found is None and before and not before.deleted:
            raise taken(type_, id_)
        return _first(
            await resources.changed(
                inner, caller, type_, id_, before, lambda _: {**resource, "id": id_}, condition, creates=True
            )
        )

    return await _matched(world, type_, pairs, work)


def chosen_id(resource: dict[str, Any], found: Stored | None, fresh: str) -> str:
    """The id that a conditional update writes.

    :raises Problem: 400 when the body names another resource than the criteria.
    """
    if found and resource.get("id", found.id) != found.id:
        text = "the criteria match another resource than the body's id"
        raise problem(Category.INVALID, text, f"{found.type}.id")
    return found.id if found else fresh


def taken(type_: str, id_: str) -> Problem:
    """The refusal of a new resource under an id that is in use."""
    text = f"the criteria match nothing, and {type_}/{id_} is another resource"
    return problem(Category.CONFLICT, text, f"{type_}.id", "version-conflict")


async def patch(
    world: World, caller: Caller, type_: str, pairs: Pairs, change: Change, condition: Condition
) -> Written:
    """Patch the one resource that the criteria select.

    :raises Problem: as :func:`resources.patch`; 404 where nothing matches, 412 for several.
    """

    async def work(inner: World, found: Stored | None) -> Written:
        if found is None:
            raise nothing(type_)
        checked = resources.patched(inner, type_, found.id, change)
        before = await resources.current(inner, type_, found.id)
        return _first(
            await resources.changed(inner, caller, type_, found.id, before, checked, condition, creates=False)
        )

    return await _matched(world, type_, pairs, work)


def nothing(type_: str) -> Problem:
    """The refusal of criteria that have to match."""
    return problem(Category.NOT_FOUND, "the criteria match nothing", type_)


async def delete(world: World, caller: Caller, type_: str, pairs: Pairs, condition: Condition) -> Stored | None:
    """Delete the one resource that the criteria select; the marker, or None where nothing matches.

    :raises Problem: as :func:`resources.delete`; 412 for several.
    """

    async def work(inner: World, found: Stored | None) -> Stored | None:
        found = await writes.reached(inner, found, "d")
        check_version(condition, found, type_)
        return _first(await resources.mark(inner, caller, found)) if found else None

    return await _matched(world, type_, pairs, work)


async def _matched(world: World, type_: str, pairs: Pairs, work: Callable[[World, Stored | None], Awaitable[T]]) -> T:
    """Run ``work`` in one transaction with the match: the world inside it, and what the criteria select."""
    asked = criteria_of(world, type_, pairs)
    await settle(world, type_)
    catalogue = type_ in CATALOGUE_TYPES

    async def matched(unit: Unit) -> T:
        world.catalogue.begin()
        inner = world.within(unit, catalogue=catalogue)
        return await work(inner, await match_in(inner, unit, asked))

    async with world.store.epoch.moving(type_):
        try:
            return await world.store.units.run(matched, now=world.now(), turns=[asked.guard])
        finally:
            world.catalogue.begin()


async def settle(world: World, type_: str) -> None:
    """Holds that are over must not be found as holds."""
    if type_ in ENGINE_TYPES:
        await settle_this_second(world, type_)


def _first(written: T | None) -> T:
    """:raises Overtaken: somebody was faster, so that the whole transaction runs again."""
    if written is None:
        raise Overtaken
    return written

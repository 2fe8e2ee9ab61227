"""Create, read, update, patch and delete of any resource; Appointments and Slots go through the booking engine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fhir_server.errors import Category, Problem, problem
from fhir_server.fhir.json import parse
from fhir_server.search.parser import criteria
from fhir_server.services import appointments, slots
from fhir_server.services.conditions import Condition, check_version
from fhir_server.services.keyed import Keyed, once, replay
from fhir_server.services.search import Chains
from fhir_server.services.upkeep import settled_read
from fhir_server.services.versions import new_id, same_content, tombstone, version_of
from fhir_server.services.world import Caller, World
from fhir_server.store.resources import Stored, stored
from fhir_server.store.search import resolve_clauses, to_filter
from fhir_server.store.unit import Unit, pause, unavailable

TRIES = 16


@dataclass(frozen=True, slots=True)
class Written:
    """The outcome of a write: the stored version, and whether it was created, changed, or neither."""

    stored: Stored
    created: bool = False
    changed: bool = True


async def read(world: World, type_: str, id_: str) -> Stored:
    """The current version.

    :raises Problem: 404 absent, 410 deleted.
    """
    found = await world.store.resources.get(type_, id_)
    if found is not None and found.extra.get("expires") is not None:
        found = await settled_read(world, found)
    if found is None or found.deleted:
        if type_ == "Slot" and (slot := await _slot(world, id_)):
            return slot
        if type_ == "Appointment" and (virtual := await appointments.proposal(world, id_)):
            return virtual
        raise gone(type_, id_) if found else absent(type_, id_)
    return found


async def _slot(world: World, id_: str) -> Stored | None:
    """The computed Slot of an id, or the stored one that a booking made of it while it was computed."""
    if computed := await slots.computed(world, id_):
        return computed
    found = await world.store.resources.get("Slot", id_)
    return found if found and not found.deleted else None


async def read_version(world: World, type_: str, id_: str, version: str) -> Stored:
    """One version.

    :raises Problem: 404 absent, 410 for the marker of a deletion.
    """
    found = await world.store.resources.version(type_, id_, int(version)) if version.isdecimal() else None
    if found is None and version == "0" and type_ == "Slot":
        found = await slots.computed(world, id_)
    if found is None:
        raise problem(Category.NOT_FOUND, f"{type_}/{id_} has no version {version[:20]}", type_)
    if found.deleted:
        raise gone(type_, id_)
    return found


async def create(
    world: World,
    caller: Caller,
    resource: dict[str, Any],
    *,
    if_none_exist: Sequence[tuple[str, str]] | None = None,
    keyed: Keyed | None = None,
) -> Written:
    """Create under an id of ours; with criteria only if nothing matches (then the one match is the answer).

    :raises Problem: 400 and 422 for the content, 412 if several match, what the booking engine refuses.
    """
    type_ = resource["resourceType"]
    await _check(world, resource, type_)
    if if_none_exist is not None:
        return await _create_if_none(world, caller, resource, if_none_exist, keyed)
    return Written(await _insert(world, caller, resource, new_id(), keyed, "POST"), created=True)


async def _check(world: World, resource: dict[str, Any], type_: str) -> None:
    """:raises Problem: with every fault of the content."""
    world.validator.check(resource, type_)
    if type_ == "Schedule":
        await _check_zone(world, resource)


async def _check_zone(world: World, schedule: dict[str, Any]) -> None:
    if await world.catalogue.without_zone(schedule):
        text = "rules need a time zone: on the Schedule, its location or its organization"
        raise problem(Category.INVALID, text, "Schedule.extension", "param-missing")


async def _insert(
    world: World, caller: Caller, resource: dict[str, Any], id_: str, keyed: Keyed | None, method: str
) -> Stored:
    type_ = resource["resourceType"]
    if type_ == "Appointment":
        return await appointments.create(world, caller, resource, id_, keyed, method)
    if type_ == "Slot":
        return await slots.create(world, caller, resource, id_, keyed, method)
    at = world.clock()
    first, index = version_of(world, resource, id_=id_, version=1, at=at, method=method)
    async with world.store.epoch.moving(type_):
        if keyed is None:
            if not await world.store.resources.insert(first, index):
                raise problem(Category.PRECONDITION, f"{type_}/{id_} exists already", type_, "version-conflict")
            return first

        async def work(unit: Unit) -> Stored:
            await unit.insert(first, index)
            await keyed.remember(world, unit, first, 201)
            return first

        async def run() -> Stored:
            return await world.store.units.run(work, now=world.now())

        written: Stored = await once(world, keyed, run)
        return written


async def _create_if_none(
    world: World, caller: Caller, resource: dict[str, Any], pairs: Sequence[tuple[str, str]], keyed: Keyed | None
) -> Written:
    """Conditional create: a guard in the transaction lets one of several identical requests create."""
    type_ = resource["resourceType"]
    clauses = criteria(type_, pairs, world.definitions, zone=world.zone, now_ms=world.clock(), bases=world.bases)
    where = to_filter(await resolve_clauses(type_, clauses, Chains(world)))
    digest = hashlib.sha256(repr((type_, sorted(pairs))).encode()).hexdigest()
    id_ = new_id()

    async def matches(find: Callable[..., Any]) -> Stored | None:
        found = await find(type_, where, limit=2, fields={"idx": 0})
        if len(found) > 1:
            raise problem(Category.PRECONDITION, "the criteria match several resources", type_, "multiple-matches")
        # As it was found: a read outside the transaction may not see yet what the transaction sees.
        return stored(type_, found[0]) if found else None

    async def already(unit: Unit) -> Stored | None:
        await unit.guard(f"criteria|{digest}")
        return await matches(unit.find)

    if keyed:
        await replay(world, keyed)
    known = await matches(world.store.resources.find)
    if known:
        return Written(known, created=False, changed=False)
    if type_ in {"Appointment", "Slot"}:
        engine = appointments.create if type_ == "Appointment" else slots.create
        written = await engine(world, caller, resource, id_, keyed, "POST", already)
        return Written(written, created=written.id == id_, changed=written.id == id_)
    first, index = version_of(world, resource, id_=id_, version=1, at=world.clock(), method="POST")

    async def work(unit: Unit) -> Stored:
        if found := await already(unit):
            return found
        await unit.insert(first, index)
        if keyed:
            await keyed.remember(world, unit, first, 201)
        return first

    async def run() -> Stored:
        return await world.store.units.run(work, now=world.now(), turns=[f"criteria|{digest}"])

    async with world.store.epoch.moving(type_):
        written = await once(world, keyed, run)
    return Written(written, created=written.id == id_, changed=written.id == id_)


async def update(
    world: World, caller: Caller, resource: dict[str, Any], id_: str, condition: Condition | None = None
) -> Written:
    """Put the resource under its id: create it, or write the next version; no version if nothing changes.

    :raises Problem: 400 and 422 for the content, 412 for the condition, what the booking engine refuses.
    """
    type_ = resource["resourceType"]
    world.validator.check(resource, type_)
    return await _change(world, caller, type_, id_, lambda _: resource, condition or Condition(), creates=True)


async def patch(
    world: World,
    caller: Caller,
    type_: str,
    id_: str,
    change: Callable[[dict[str, Any]], dict[str, Any]],
    condition: Condition | None = None,
) -> Written:
    """Apply a patch to the current version and store the result if it is valid; all or nothing.

    :param change: makes the patched resource from the current one; raises Problem.
    """

    def checked(before: dict[str, Any]) -> dict[str, Any]:
        after = change(before)
        if after.get("resourceType") != type_ or after.get("id") != id_:
            raise problem(Category.INVALID, "resourceType and id cannot be patched", f"{type_}.id")
        for name in ("versionId", "lastUpdated"):
            if (after.get("meta") or {}).get(name) != (before.get("meta") or {}).get(name):
                raise problem(Category.INVALID, f"meta.{name} cannot be patched", f"{type_}.meta.{name}")
        world.validator.check(after, type_)
        return after

    return await _change(world, caller, type_, id_, checked, condition or Condition(), creates=False)


async def _change(
    world: World,
    caller: Caller,
    type_: str,
    id_: str,
    change: Callable[[dict[str, Any]], dict[str, Any]],
    condition: Condition,
    *,
    creates: bool,
) -> Written:
    """Read, change, and swap where the version is still the one read; again if somebody was faster."""
    async with world.store.units.turns.take([f"change|{type_}/{id_}"]):
        for attempt in range(TRIES):
            written = await _change_once(world, caller, type_, id_, change, condition, creates=creates)
            if written is not None:
                return written
            await pause(attempt)
    raise unavailable("too many callers change this resource at the same moment")


async def _change_once(
    world: World,
    caller: Caller,
    type_: str,
    id_: str,
    change: Callable[[dict[str, Any]], dict[str, Any]],
    condition: Condition,
    *,
    creates: bool,
) -> Written | None:
    """None if somebody was faster."""
    before = await world.store.resources.get(type_, id_)
    if before and before.extra.get("expires") is not None:
        before = await settled_read(world, before)
    exists = before is not None and not before.deleted
    shown = before if exists else await _slot(world, id_) if type_ == "Slot" else None
    if shown and shown.version and not exists:
        return None
    check_version(condition, shown, type_)
    if shown is None and not creates:
        raise gone(type_, id_) if before else absent(type_, id_)
    current = parse(shown.body) if shown else {}
    after = change(current)
    if type_ == "Schedule":
        await _check_zone(world, after)
    if exists and same_content(current, after):
        assert before is not None
        return Written(before, changed=False)
    written = await _write(world, caller, before, shown, after, id_)
    return None if written is None else Written(written, created=not exists)


async def _write(
    world: World, caller: Caller, before: Stored | None, shown: Stored | None, after: dict[str, Any], id_: str
) -> Stored | None:
    """Store the next version; None if somebody was faster."""
    type_ = after["resourceType"]
    if type_ == "Appointment":
        return await appointments.change(world, caller, before, after, id_)
    if type_ == "Slot":
        return await slots.change(world, caller, before, shown, after, id_)
    version = before.version + 1 if before else 1
    first, index = version_of(world, after, id_=id_, version=version, at=world.clock(), method="PUT")
    async with world.store.epoch.moving(type_):
        if before is None:
            return first if await world.store.resources.insert(first, index) else None
        return first if await world.store.resources.replace(before, first, index) else None


async def delete(
    world: World, caller: Caller, type_: str, id_: str, condition: Condition | None = None
) -> Stored | None:
    """Mark as deleted; busy time that it held is free at once. Deleting what is not there is no fault.

    :returns: the tombstone, or None if there was nothing to delete.
    :raises Problem: 409 for a Slot that an appointment uses, 412 for the condition.
    """
    async with world.store.units.turns.take([f"change|{type_}/{id_}"]):
        for attempt in range(TRIES):
            before = await world.store.resources.get(type_, id_)
            check_version(condition or Condition(), before if before and not before.deleted else None, type_)
            if before is None or before.deleted:
                return None
            marker = await _mark(world, caller, before)
            if marker is not None:
                return marker
            await pause(attempt)
    raise unavailable("too many callers change this resource at the same moment")


async def _mark(world: World, caller: Caller, before: Stored) -> Stored | None:
    """Write the marker of a deletion; None if somebody was faster."""
    if before.type == "Appointment":
        return await appointments.delete(world, caller, before)
    if before.type == "Slot":
        return await slots.delete(world, caller, before)
    after = tombstone(before, world.clock())
    async with world.store.epoch.moving(before.type):
        return after if await world.store.resources.replace(before, after, {}) else None


async def history(
    world: World, type_: str, id_: str, *, count: int, below: int = 0, since: int = 0
) -> tuple[list[Stored], int]:
    """Versions newest first, one more than ``count`` if there are more, and how many there are in all.

    :raises Problem: 404 if the resource never existed.
    """
    versions = await world.store.resources.history(type_, id_, below=below, since=since, limit=count + 1)
    total = await world.store.resources.count_history(type_, id_, since)
    if not versions and not below and await world.store.resources.get(type_, id_) is None:
        raise absent(type_, id_)
    return versions, total


def absent(type_: str, id_: str) -> Problem:
    return problem(Category.NOT_FOUND, f"{type_}/{id_} does not exist", type_)


def gone(type_: str, id_: str) -> Problem:
    return problem(Category.GONE, f"{type_}/{id_} is deleted", type_)


async def put(world: World, resource: Mapping[str, Any]) -> Written:
    """Store a resource under its own id on the server's own account (the demo clinic)."""
    return await update(world, Caller("fhir-server", "interface"), dict(resource), resource["id"])

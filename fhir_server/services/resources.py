"""Create, read, update, patch and delete of any resource; Appointments and Slots go through the booking engine."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fhir_server.access.caller import Role
from fhir_server.errors import Category, Problem, problem
from fhir_server.fhir.json import parse
from fhir_server.fhir.subset import is_subsetted
from fhir_server.services import appointments, responses, slots
from fhir_server.services.access import about, followers, writes
from fhir_server.services.conditions import Condition, check_version
from fhir_server.services.keyed import Keyed, once
from fhir_server.services.subscriptions import writing as subscriptions
from fhir_server.services.upkeep import settled_read
from fhir_server.services.versions import new_id, same_content, tombstone, version_of
from fhir_server.services.waitlist.entries import prepared
from fhir_server.services.world import Caller, World
from fhir_server.store.resources import Stored
from fhir_server.store.unit import Unit, pause, unavailable

TRIES = 16

Change = Callable[[dict[str, Any]], dict[str, Any]]
"""Makes the next content of a resource from the current one; raises Problem."""
_VERSION = re.compile(r"[1-9]\d{0,8}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Written:
    """The outcome of a write: the stored version, and whether it was created, changed, or neither."""

    stored: Stored
    created: bool = False
    changed: bool = True


async def read(world: World, type_: str, id_: str) -> Stored:
    """The current version as the caller sees it.

    :raises Problem: 404 absent or hidden, 410 deleted.
    """
    found = await world.store.resources.get(type_, id_)
    if found is not None and found.extra.get("expires") is not None:
        found = await settled_read(world, found)
    seen = await world.view.seen(found) if found else None
    if found is None or found.deleted:
        computed = await _slot(world, id_) if type_ == "Slot" else None
        if type_ == "Appointment":
            computed = await appointments.proposal(world, id_)
        if computed and (virtual := await world.view.seen(computed)):
            return virtual
        raise gone(type_, id_) if seen else absent(type_, id_)
    if seen is None:
        raise absent(type_, id_)
    return seen


async def _slot(world: World, id_: str) -> Stored | None:
    """The computed Slot of an id, or the stored one that a booking made of it while it was computed."""
    if computed := await slots.computed(world, id_):
        return computed
    found = await world.store.resources.get("Slot", id_)
    return found if found and not found.deleted else None


async def read_version(world: World, type_: str, id_: str, version: str) -> Stored:
    """One version as the caller sees it.

    :raises Problem: 404 absent or hidden, 410 for the marker of a deletion.
    """
    found = await world.store.resources.version(type_, id_, int(version)) if _VERSION.fullmatch(version) else None
    if found is None and version == "0" and type_ == "Slot":
        found = await slots.computed(world, id_)
    found = await _seen_version(world, found) if found else None
    if found is None:
        raise problem(Category.NOT_FOUND, f"{type_}/{id_} has no version {version[:20]}", type_)
    if found.deleted:
        raise gone(type_, id_)
    return found


async def _seen_version(world: World, found: Stored) -> Stored | None:
    """A version as the caller sees it; patients see of a Slot what it is now, not whose it was."""
    if found.type == "Slot" and world.policy.caller.role is Role.PATIENT and found.version:
        current = await world.store.resources.get("Slot", found.id)
        if current is None or current.version != found.version:
            return None
    if not await world.policy.may(world, await followers.former(world, found)):
        return None
    return world.view.shown(found)


async def create(world: World, caller: Caller, resource: dict[str, Any], *, keyed: Keyed | None = None) -> Written:
    """Create under an id of ours.

    :raises Problem: 400 and 422 for the content, what the booking engine refuses.
    """
    check(world, resource, resource["resourceType"])
    return Written(await insert(world, caller, resource, new_id(), keyed), created=True)


def check(world: World, resource: dict[str, Any], type_: str) -> None:
    """:raises Problem: with every fault of the content; 422 for a part of a resource, which would destroy the rest."""
    world.validator.check(resource, type_)
    if is_subsetted(resource):
        text = "this is a part of a resource (SUBSETTED); read the whole before you write it"
        raise problem(Category.RULE, text, f"{type_}.meta.tag")


async def check_zone(world: World, resource: dict[str, Any]) -> None:
    """:raises Problem: 400 for a Schedule with rules when nothing says in which time zone."""
    if resource["resourceType"] == "Schedule" and await world.catalogue.without_zone(resource):
        text = "rules need a time zone: on the Schedule, its location or its organization"
        raise problem(Category.INVALID, text, "Schedule.extension", "param-missing")


async def insert(
    world: World, caller: Caller, resource: dict[str, Any], id_: str, keyed: Keyed | None = None, method: str = "POST"
) -> Stored:
    """Store a checked resource under a new id."""
    type_ = resource["resourceType"]
    clinics = await permitted(world, resource, id_, "c")
    if type_ == "Appointment":
        return await appointments.create(world, caller, resource, id_, keyed, method)
    if type_ == "Slot":
        return await slots.create(world, caller, resource, id_, keyed, method)
    if type_ == "AppointmentResponse":
        return await responses.create(world, caller, resource, id_, keyed, method)
    if type_ == "Subscription":
        return await subscriptions.create(world, caller, resource, id_, clinics, keyed, method)
    await check_zone(world, resource)
    first, index = version_of(world, resource, id_=id_, version=1, at=world.clock(), method=method, clinics=clinics)
    async with world.store.epoch.moving(type_):
        if keyed is None:
            if not await followers.put(world, None, first, index):
                raise problem(Category.PRECONDITION, f"{type_}/{id_} exists already", type_, "version-conflict")
            return first

        async def work(unit: Unit) -> Stored:
            await unit.insert(first, index)
            if followers.moves(None, first, fresh=True):
                await unit.moved(first.reference)
            await keyed.remember(world, unit, first, 201)
            return first

        async def run() -> Stored:
            return await world.store.units.run(work, now=world.now())

        written: Stored = await once(world, keyed, run)
        return written


async def permitted(
    world: World, resource: dict[str, Any], id_: str, permission: str, before: Stored | None = None
) -> tuple[str, ...]:
    """The clinics of content that the caller may store.

    :raises Problem: 403.
    """
    whole = {**resource, "id": id_}
    known = (before.extra.get("clinics") or ()) if before else ()
    clinics = await about.clinics_of(world, whole, known, about.showing(before))
    await writes.check(world, whole, permission, clinics, before)
    return clinics


async def update(
    world: World, caller: Caller, resource: dict[str, Any], id_: str, condition: Condition | None = None
) -> Written:
    """Put the resource under its id: create it, or write the next version; no version if nothing changes.

    :raises Problem: 400 and 422 for the content, 412 for the condition, what the booking engine refuses.
    """
    type_ = resource["resourceType"]
    check(world, resource, type_)
    return await _change(world, caller, type_, id_, lambda _: resource, condition or Condition(), creates=True)


async def patch(
    world: World, caller: Caller, type_: str, id_: str, change: Change, condition: Condition | None = None
) -> Written:
    """Apply a patch to the current version and store the result if it is valid; all or nothing.

    :param change: makes the patched resource from the current one; raises Problem.
    """
    checked = patched(world, type_, id_, change)
    return await _change(world, caller, type_, id_, checked, condition or Condition(), creates=False)


def patched(world: World, type_: str, id_: str, change: Change) -> Change:
    """A patch that also checks what it makes."""

    def checked(before: dict[str, Any]) -> dict[str, Any]:
        after = change(before)
        check_identity(before, after, type_, id_)
        check(world, after, type_)
        return after

    return checked


def check_identity(before: dict[str, Any], after: dict[str, Any], type_: str, id_: str) -> None:
    """:raises Problem: 400 for a patch that changes what the server sets."""
    if after.get("resourceType") != type_ or after.get("id") != id_:
        raise problem(Category.INVALID, "resourceType and id cannot be patched", f"{type_}.id")
    for name in ("versionId", "lastUpdated"):
        if (after.get("meta") or {}).get(name) != (before.get("meta") or {}).get(name):
            raise problem(Category.INVALID, f"meta.{name} cannot be patched", f"{type_}.meta.{name}")


async def _change(
    world: World, caller: Caller, type_: str, id_: str, change: Change, condition: Condition, *, creates: bool
) -> Written:
    """Read, change, and swap where the version is still the one read; again if somebody was faster."""
    async with world.store.units.turns.take([f"change|{type_}/{id_}"]):
        for attempt in range(TRIES):
            before = await current(world, type_, id_)
            written = await changed(world, caller, type_, id_, before, change, condition, creates=creates)
            if written is not None:
                return written
            await pause(attempt)
    raise unavailable("too many callers change this resource at the same moment")


async def current(world: World, type_: str, id_: str) -> Stored | None:
    """The stored version, a deletion's marker included; a hold that is over is written as over first."""
    found = await world.store.resources.get(type_, id_)
    return await settled_read(world, found) if found and found.extra.get("expires") is not None else found


def creatable(world: World, type_: str) -> bool:
    """Whether a caller may choose the id of what is new: others' ids would tell a person who is there."""
    return world.policy.caller.role is Role.SYSTEM and world.policy.permits(type_, "u")


async def shown(world: World, before: Stored | None, type_: str, id_: str) -> Stored | None:
    """What a client sees of a stored version: itself, a computed Slot in its place, or nothing."""
    if before is not None and not before.deleted:
        return before
    return await _slot(world, id_) if type_ == "Slot" else None


async def changed(
    world: World,
    caller: Caller,
    type_: str,
    id_: str,
    before: Stored | None,
    change: Change,
    condition: Condition,
    *,
    creates: bool,
) -> Written | None:
    """Change what was read as ``before``; None if somebody was faster."""
    exists = before is not None and not before.deleted
    seen = await shown(world, before, type_, id_)
    if seen and seen.version and not exists:
        return None
    visible = await writes.reached(world, seen, "u")
    if visible is None and (seen or not creatable(world, type_)):
        if creatable(world, type_):
            check_version(condition, None, type_)  # the same refusal as for what is not there
        raise absent(type_, id_)
    check_version(condition, seen, type_)
    if seen is None and not creates:
        raise gone(type_, id_) if before else absent(type_, id_)
    after = await _after(world, seen, change)
    clinics = await permitted(world, after, id_, "u", before if exists else None)
    await check_zone(world, after)
    if type_ == "Appointment":
        after = prepared(world, caller, after, before)
    if exists and before and same_content(parse(before.body), after):
        return Written(before, changed=False)
    written = await _write(world, caller, before, seen, after, id_, clinics)
    return None if written is None else Written(written, created=not exists)


async def _after(world: World, seen: Stored | None, change: Change) -> dict[str, Any]:
    """What a change makes of what the caller sees; what is withheld from them stays as it was."""
    if seen is None:
        return change({})
    if world.policy.caller.role is Role.SYSTEM:
        return change(parse(seen.body))
    return world.view.rest(seen, change(parse((world.view.shown(seen)).body)))


async def _write(
    world: World,
    caller: Caller,
    before: Stored | None,
    seen: Stored | None,
    after: dict[str, Any],
    id_: str,
    clinics: Sequence[str],
) -> Stored | None:
    """Store the next version; None if somebody was faster."""
    type_ = after["resourceType"]
    if type_ == "Appointment":
        return await appointments.change(world, caller, before, after, id_, clinics)
    if type_ == "Slot":
        return await slots.change(world, caller, before, seen, after, id_)
    if type_ == "AppointmentResponse":
        return await responses.change(world, caller, before, after, id_, tuple(clinics))
    if type_ == "Subscription":
        return await subscriptions.change(world, caller, before, after, id_, clinics)
    version = before.version + 1 if before else 1
    first, index = version_of(world, after, id_=id_, version=version, at=world.clock(), method="PUT", clinics=clinics)
    async with world.store.epoch.moving(type_):
        return first if await followers.put(world, before, first, index) else None


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
            before = await writes.reached(world, before, "d")
            check_version(condition or Condition(), before if before and not before.deleted else None, type_)
            if before is None or before.deleted:
                return None
            marker = await mark(world, caller, before)
            if marker is not None:
                return marker
            await pause(attempt)
    raise unavailable("too many callers change this resource at the same moment")


async def mark(world: World, caller: Caller, before: Stored) -> Stored | None:
    """Write the marker of a deletion; None if somebody was faster."""
    if before.type == "Appointment":
        return await appointments.delete(world, caller, before)
    if before.type == "Slot":
        return await slots.delete(world, caller, before)
    if before.type == "Subscription":
        return await subscriptions.delete(world, before)
    after = tombstone(world, before, world.clock())
    async with world.store.epoch.moving(before.type):
        return after if await followers.put(world, before, after, {}) else None


def absent(type_: str, id_: str) -> Problem:
    return problem(Category.NOT_FOUND, f"{type_}/{id_} does not exist", type_)


def gone(type_: str, id_: str) -> Problem:
    return problem(Category.GONE, f"{type_}/{id_} is deleted", type_)


async def put(world: World, resource: Mapping[str, Any]) -> Written:
    """Store a resource under its own id on the server's own account (the demo clinic)."""
    own = world.own()
    return await update(own, own.policy.caller, dict(resource), resource["id"])

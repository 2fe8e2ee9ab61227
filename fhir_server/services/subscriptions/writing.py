"""Subscriptions are written: checked, numbered from nothing, and handed to delivery, all in one act.

Whatever status a client says, a Subscription that is not ``off`` is ``requested`` until a handshake succeeds.
What delivery says of it (``active``, ``error``, ``error`` in words) no client writes. Administrators, who see those of
their clinics, turn them off and change nothing else: who changed the endpoint would read by its owner's rights.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from fhir_server.errors import Category, problem
from fhir_server.fhir.json import parse
from fhir_server.services.access.writes import refused
from fhir_server.services.keyed import Keyed, once
from fhir_server.services.subscriptions import checks
from fhir_server.services.subscriptions.mailbox import check_mailbox
from fhir_server.services.subscriptions.owner import owner_of
from fhir_server.services.subscriptions.terms import Limits, Terms, check_end, read
from fhir_server.services.subscriptions.topics import Reader
from fhir_server.services.versions import new_id, tombstone, version_of
from fhir_server.services.world import Caller, World
from fhir_server.store.resources import Stored
from fhir_server.store.unit import Unit

TYPE = "Subscription"
DELIVERY, RESEND = "delivery", "resend"
"""Kinds of work; the key is the Subscription's id."""

Already = Callable[[Unit], Awaitable[Stored | None]]
Resource = Mapping[str, Any]


def terms_of(world: World, resource: Resource) -> Terms:
    """The terms of a stored or sent Subscription.

    :raises Problem: 400 and 422 with every fault.
    """
    reader = Reader(world.definitions, world.zone, world.bases, world.terminology)
    return read(resource, world.topics, reader, Limits(world.settings.min_heartbeat_seconds))


def as_sent(resource: Resource) -> dict[str, Any]:
    """The Subscription as a client may have it: off, or requested and without an error."""
    kept = {name: value for name, value in resource.items() if name not in {"error", "_error"}}
    return {**kept, "status": "off" if resource.get("status") == "off" else "requested"}


async def create(
    world: World,
    caller: Caller,
    resource: dict[str, Any],
    id_: str,
    clinics: Sequence[str],
    keyed: Keyed | None = None,
    method: str = "POST",
    already: Already | None = None,
) -> Stored:
    """Store a new Subscription.

    :raises Problem: what it asks for is not to be had (400, 403, 422), the caller has too many (429), 412 for an id
        that is taken.
    """
    content = as_sent(resource)
    await _check(world, content)

    async def work(unit: Unit) -> Stored:
        if already and (found := await already(unit)):
            return found
        if await unit.get(TYPE, id_) is not None:
            raise problem(Category.PRECONDITION, f"{TYPE}/{id_} exists already", TYPE, "version-conflict")
        written = await _write(world, caller, unit, None, content, id_, clinics, method)
        if keyed:
            await keyed.remember(world, unit, written, 201)
        return written

    async def run() -> Stored:
        return await world.store.units.run(work, now=world.now())

    stored: Stored = await once(world, keyed, run)
    return stored


async def change(
    world: World, caller: Caller, before: Stored | None, after: dict[str, Any], id_: str, clinics: Sequence[str]
) -> Stored | None:
    """Store the next version, or the first under this id; None if somebody was faster."""
    content = as_sent(after)
    if before is not None and not before.deleted and before.extra.get("owner") != caller.party:
        _check_foreign(parse(before.body), content)
    await _check(world, content)

    async def work(unit: Unit) -> Stored | None:
        current = await unit.get(TYPE, id_)
        if (current.version if current else 0) != (before.version if before else 0):
            return None
        return await _write(world, caller, unit, before, content, id_, clinics, "PUT")

    return await world.store.units.run(work, now=world.now())


async def delete(world: World, before: Stored) -> Stored | None:
    """Mark it as deleted: nothing is sent from then on. None if somebody was faster."""
    after = tombstone(world, before, world.clock())

    async def work(unit: Unit) -> Stored | None:
        current = await unit.get(TYPE, before.id)
        if current is None or current.version != before.version:
            return None
        await unit.replace(before, after, {})
        await world.store.subscriptions.end(unit, before.id)
        await world.store.subscriptions.move(unit)
        for kind in (DELIVERY, RESEND):
            await world.store.work.withdraw(unit, kind, before.id)
        return after

    return await world.store.units.run(work, now=world.now())


async def _check(world: World, content: Resource) -> Terms:
    terms = terms_of(world, content)
    if content["status"] != "off":
        check_end(terms, world.clock())
        await check_mailbox(world, terms)
    checks.check_channel(world, terms)
    await checks.check_rights(world, terms)
    return terms


async def _write(
    world: World,
    caller: Caller,
    unit: Unit,
    before: Stored | None,
    content: Resource,
    id_: str,
    clinics: Sequence[str],
    method: str,
) -> Stored:
    """One version with its progress and its place in the queue, in the unit."""
    lives = before is not None and not before.deleted
    owner = before.extra.get("owner") if before and lives else caller.party
    # Whoever counts writes here too: of two who take the last place one comes again.
    await world.store.subscriptions.move(unit)
    if content["status"] != "off":
        await _check_number(world, unit, str(owner), id_)
    written, index = version_of(
        world, content, id_=id_, version=before.version + 1 if before else 1, at=world.clock(), method=method,
        clinics=clinics, extra={"owner": owner},
    )  # fmt: skip
    await unit.write(before, written, index)
    if lives:
        await world.store.subscriptions.change(unit, id_, failures=0, error=None, rest=0)
        if owner == caller.party:
            # Whoever allowed an app anew goes on with what it subscribed to.
            await world.store.subscriptions.own(unit, id_, owner_of(caller))
    else:
        await world.store.subscriptions.begin(unit, id_, new_id(), owner_of(caller))
    if content["status"] == "off":
        await world.store.work.withdraw(unit, DELIVERY, id_)
    else:
        await world.store.work.plan(unit, DELIVERY, id_, world.clock())
    return written


async def _check_number(world: World, unit: Unit, owner: str, id_: str) -> None:
    """:raises Problem: 429 for one more than a client may have."""
    most = world.settings.max_subscriptions
    where = {"owner": owner, "idx.status": {"$ne": "=off"}, "_id": {"$ne": id_}}
    if await unit.resources.count(TYPE, where) >= most:
        raise problem(Category.THROTTLED, f"a client has at most {most} Subscriptions that are not off", TYPE)


def _check_foreign(before: Resource, after: Resource) -> None:
    """:raises Problem: 403 for whatever is not turning it off."""
    ours = {"status", "meta", "error", "_error"}
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)} - ours
    if changed or after["status"] != "off":
        raise refused(TYPE, "others' Subscriptions can be turned off or deleted")

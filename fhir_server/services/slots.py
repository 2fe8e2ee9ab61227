"""Slots: computed from rules until somebody writes to them; blocking and freeing goes through the calendar.

A write that makes a Slot busy is a *block* (``busy``, ``busy-unavailable``) or a *hold* (``busy-tentative``).
A Slot that an Appointment fills is the face of that booking and changes with it alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fhir_server.errors import Category, Problem, problem
from fhir_server.fhir.json import parse
from fhir_server.fhir.temporal import instant_ms, instant_seconds
from fhir_server.scheduling.booking import Refusal
from fhir_server.scheduling.calendar_day import Entry, utc_days
from fhir_server.scheduling.lifecycle import slot_allows
from fhir_server.scheduling.proposal import decode, short_key
from fhir_server.scheduling.seats import clashes
from fhir_server.scheduling.terms import Policy
from fhir_server.services.access import followers
from fhir_server.services.actors import reference_of
from fhir_server.services.appointments import virtual
from fhir_server.services.booking import (
    Already,
    Changed,
    Refused,
    Wish,
    check_years,
    claim_of,
    claimed,
    keep,
    refusals,
    request_of,
    unchanged,
)
from fhir_server.services.facts import ScheduleFacts
from fhir_server.services.held import check_owner
from fhir_server.services.hold import check_count
from fhir_server.services.keyed import Keyed, once
from fhir_server.services.refusals import problem_of
from fhir_server.services.slot_faces import BUSY, make_way, slot_resource, wall, with_status
from fhir_server.services.versions import tombstone, version_of
from fhir_server.services.wishes import of_key
from fhir_server.services.world import Caller, World
from fhir_server.store.calendar_days import Days
from fhir_server.store.resources import Stored
from fhir_server.store.unit import Unit


async def computed(world: World, id_: str) -> Stored | None:
    """The computed Slot of an id, as long as the rules open it and its time is free."""
    key = decode(id_)
    if key is None or len(key.schedules) != 1 or key.patient:
        return None
    try:
        wish = await of_key(world, key, "Slot.id")
    except Problem:
        return None
    if wish.schedules[0].opening is None or wish.start < world.now():
        return None
    refused = await refusals(world, request_of(wish, "", "booked"))
    if any(one.code not in {"referral-required", "not-eligible", "booking-limit"} for one in refused):
        return None
    slot = slot_resource(wish.schedules[0], wish.service, wish.start, wish.end, id_)
    return virtual("Slot", slot, world.clock(), wish.schedules)


async def create(
    world: World,
    caller: Caller,
    resource: dict[str, Any],
    id_: str,
    keyed: Keyed | None = None,
    method: str = "POST",
    already: Already | None = None,
) -> Stored:
    """Store a new Slot: open time, a block or a hold.

    :raises Problem: 409 ``slot-taken`` for busy time that is taken, 422 for an unknown Schedule.
    """

    async def work() -> Stored:
        return await _store(world, caller, None, resource, id_, keyed, method, already)

    written: Stored = await once(world, keyed, work)
    return written


async def change(
    world: World, caller: Caller, before: Stored | None, shown: Stored | None, after: dict[str, Any], id_: str
) -> Stored | None:
    """Store the next version; None if somebody else was faster.

    :param shown: what the caller saw: the stored Slot, or the computed one that this write makes a stored one.
    :raises Problem: 409 for a Slot that an Appointment fills or whose time is taken, 422 for an illegal transition.
    """
    old = parse(shown.body) if shown else None
    if old:
        if _essence(old) != _essence(after) and before and not before.deleted and await _filled(world, before):
            text = "an appointment fills this Slot; cancel or move the appointment"
            raise problem(Category.CONFLICT, text, "Slot.status", "slot-taken")
        if not slot_allows(old["status"], after["status"]):
            text = f"{old['status']} cannot become {after['status']}"
            raise problem(Category.RULE, text, "Slot.status", "illegal-transition")
    if before and before.extra.get("claim") and (before.extra.get("expires") or 0) > world.now():
        check_owner(before, caller, "Slot")
    _check_named(id_, after, world.bases)
    if before and old and before.extra.get("claim") is None and _essence(old) == _essence(after):
        return await keep(world, before, after)
    try:
        return await _store(world, caller, before, after, id_, None, "PUT", None)
    except Changed:
        return None


def _essence(slot: Mapping[str, Any]) -> tuple[Any, ...]:
    return (slot["status"], slot["start"], slot["end"], reference_of(slot.get("schedule")))


def _check_named(id_: str, slot: Mapping[str, Any], bases: Sequence[str]) -> None:
    """The id of a computed Slot says whose and when it is; a Slot stored under it cannot say otherwise."""
    key = decode(id_)
    if key is None:
        return
    start, end = instant_ms(slot["start"]), instant_ms(slot["end"])
    if (start, end - start) != (key.start * 1000, key.duration * 1000):
        raise problem(Category.RULE, "start and end of a computed Slot cannot change", "Slot.start", "not-offered")
    if short_key(reference_of(slot.get("schedule"), bases)) != key.schedules[0]:
        raise problem(Category.RULE, "the Schedule of a computed Slot cannot change", "Slot.schedule", "not-offered")


async def _filled(world: World, slot: Stored) -> bool:
    """Whether an Appointment holds the time of a Slot."""
    resource = parse(slot.body)
    if slot.extra.get("claim") or resource["status"] not in BUSY | {"free"}:
        return False
    facts = await _facts(world, resource)
    if facts is None:
        return False
    start, end = instant_seconds(resource["start"]), instant_seconds(resource["end"], floor=False)
    found = await world.store.calendar.on([(facts.keys[0], day) for day in utc_days(start, end)])
    return any(
        entry.owner.startswith("Appointment/")
        and entry.schedule == facts.id
        and entry.start < end
        and entry.end > start
        and (entry.expires is None or entry.expires > world.now())
        for entries in found.values()
        for entry in entries
    )


async def _facts(world: World, slot: Mapping[str, Any]) -> ScheduleFacts | None:
    schedule = reference_of(slot.get("schedule"), world.bases)
    return (await world.catalogue.schedules([schedule])).get(schedule)


async def _store(
    world: World,
    caller: Caller,
    before: Stored | None,
    resource: dict[str, Any],
    id_: str,
    keyed: Keyed | None,
    method: str,
    already: Already | None,
) -> Stored:
    busy = resource["status"] in BUSY
    if busy:
        start, end = instant_seconds(resource["start"]), instant_seconds(resource["end"], floor=False)
        check_years(start, end, "Slot.start")
    facts = await _facts(world, resource)
    if busy and facts is None:
        text = "a busy Slot needs a Schedule that exists"
        raise problem(Category.RULE, text, "Slot.schedule", "not-offered")
    until, since = None, world.now()
    policy = facts.policy_for(None) if facts else Policy()
    if resource["status"] == "busy-tentative":
        usual = policy.hold_duration or world.settings.hold_minutes * 60
        longest = policy.max_hold_duration or max(world.settings.max_hold_minutes * 60, usual)
        if before and before.extra.get("claim"):
            since = before.extra.get("since", since)
        until = min(world.now() + usual, since + longest)
        if until <= world.now():
            text = "the time was held as long as the policy allows"
            raise problem(Category.RULE, text, "Slot.status", "hold-limit")
    group = f"hold|{caller.party}|"
    resource = with_status(resource, resource["status"], until) if until else resource
    entries = _entries(facts, resource, id_, until) if busy and facts else {}

    async def work(unit: Unit) -> Stored:
        if already and (known := await already(unit)):
            return known
        at = world.clock()
        current = await unit.get("Slot", id_)
        if (current.version if current else 0) != (before.version if before else 0):
            raise Changed
        if until and not (before and before.extra.get("claim")):
            await check_count(world, unit, "Slot", group, policy)
        days = await _enter(world, unit, before, entries)
        extra: dict[str, Any] = {"claim": claim_of(entries) or None, "expires": until}
        if busy:
            extra["wall"] = wall(resource, crowded=False)
            if days and facts:
                await make_way(world, unit, days, facts, extra["wall"], id_, f"Slot/{id_}", at)
            if until:
                extra |= {"holder": caller.party, "group": group, "since": since}
        version = before.version + 1 if before else 1
        written, index = version_of(
            world, resource, id_=id_, version=version, at=at, method=method, extra=extra, **_about(facts)
        )
        await unit.write(before, written, index)
        if await followers.slot_moves(world, before, written):
            await unit.moved(written.reference)
        if keyed:
            await keyed.remember(world, unit, written, 201)
        return written

    if not entries and not (before and before.extra.get("claim")) and keyed is None and already is None:
        return await _store_free(world, before, resource, id_, method, facts)
    try:
        return await world.store.units.run(work, now=world.now(), turns=sorted(entries))
    except Refused as refused:
        service = None
        start, end = instant_seconds(resource["start"]), instant_seconds(resource["end"], floor=False)
        wish = Wish(start, end, (facts,) if facts else (), service)
        raise await problem_of(world, refused, wish, "Slot") from None


async def _store_free(
    world: World, before: Stored | None, resource: dict[str, Any], id_: str, method: str, facts: ScheduleFacts | None
) -> Stored:
    """Open time takes nobody's time: one document, no transaction."""
    version = before.version + 1 if before else 1
    written, index = version_of(
        world, resource, id_=id_, version=version, at=world.clock(), method=method, **_about(facts)
    )
    if await followers.slot_moves(world, before, written):
        done = await followers.put(world, before, written, index)
    elif before is None:
        done = await world.store.resources.insert(written, index)
    else:
        done = await world.store.resources.replace(before, written, index)
    if not done:
        raise Changed
    return written


def _about(facts: ScheduleFacts | None) -> dict[str, Any]:
    """Whose Slot it is: the clinics and the Patients of its Schedule."""
    return {"clinics": sorted(facts.organizations), "patients": facts.owners} if facts else {"clinics": ()}


def _entries(facts: ScheduleFacts, slot: Mapping[str, Any], id_: str, until: int | None) -> dict[str, Entry]:
    """What a busy Slot keeps busy: the Schedule's calendars from start to end."""
    start, end = instant_seconds(slot["start"]), instant_seconds(slot["end"], floor=False)
    entry = Entry(f"Slot/{id_}", "hold" if until else "blocked", start, end, start, end, until, facts.id)
    return dict.fromkeys(facts.keys, entry)


async def _enter(world: World, unit: Unit, before: Stored | None, entries: Mapping[str, Entry]) -> Days | None:
    """Free what the Slot held and enter what it holds now; the calendar days concerned, None if there are none.

    :raises Refused: the time is taken. Those who share a published Slot do not stand in the way of closing it.
    """
    held = claimed(before) if before else {}
    wanted = {
        (key, day)
        for one in (held, entries)
        for key, entry in one.items()
        for day in utc_days(entry.busy_start, entry.busy_end)
    }
    if not wanted:
        return None
    days = await unit.days(wanted)
    if before:
        days.remove(before.reference)
    calendars = days.calendars()
    for key, entry in entries.items():
        others = [one for one in calendars.get(key, []) if one.share != entry.owner]
        if clashes(others, entry, world.now(), frozenset({entry.owner})):
            text = "the time of this Slot is taken"
            raise Refused((Refusal("slot-taken", text, "start", conflict=True),))
        days.put(key, entry)
    return days


async def check_delete(world: World, caller: Caller, before: Stored) -> None:
    """:raises Problem: 409 for a Slot that an Appointment fills or that somebody else holds."""
    if before.extra.get("claim") and (before.extra.get("expires") or 0) > world.now():
        check_owner(before, caller, "Slot")
    if await _filled(world, before):
        text = "an appointment fills this Slot; cancel or move the appointment"
        raise problem(Category.CONFLICT, text, "Slot", "slot-taken")


async def delete(world: World, caller: Caller, before: Stored) -> Stored | None:
    """Delete; a block is lifted. None if somebody else was faster.

    :raises Problem: 409 for a Slot that an Appointment fills.
    """
    await check_delete(world, caller, before)

    async def work(unit: Unit) -> Stored:
        await unchanged(unit, before)
        await _enter(world, unit, before, {})
        marker = tombstone(world, before, world.clock())
        await unit.replace(before, marker, {})
        if await followers.slot_moves(world, before, marker):
            await unit.moved(marker.reference)
        return marker

    try:
        return await world.store.units.run(work, now=world.now(), turns=sorted(claimed(before)))
    except Changed:
        return None


async def free_block(world: World, before: Stored) -> None:
    """A Slot held by itself (``busy-tentative``) whose time is over becomes free."""

    async def work(unit: Unit) -> None:
        current = await unit.get("Slot", before.id)
        if current is None or (current.extra.get("expires") or world.now() + 1) > world.now():
            return
        await _enter(world, unit, current, {})
        resource = with_status(parse(current.body), "free", None)
        written, index = version_of(
            world, resource, id_=current.id, version=current.version + 1, at=world.clock(), method="PUT",
            clinics=current.extra.get("clinics") or (),
        )  # fmt: skip
        await unit.replace(current, written, index)

    await world.store.units.run(work, now=world.now(), turns=sorted(claimed(before)))

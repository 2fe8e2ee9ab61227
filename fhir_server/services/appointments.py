"""Plain REST on Appointment is no way round: it runs through the booking engine with the same refusals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fhir_server.access.caller import Role
from fhir_server.errors import Category, Problem, problem
from fhir_server.fhir.json import dump, parse
from fhir_server.fhir.temporal import format_instant
from fhir_server.scheduling.lifecycle import appointment_allows, takes_time
from fhir_server.services import confirmation, slot_faces, visit_windows
from fhir_server.services.access import writes
from fhir_server.services.access.about import clinics_of
from fhir_server.services.actors import reference_of
from fhir_server.services.book import Booking, book_now, slots_of, turns_of, with_channel
from fhir_server.services.booking import (
    Already,
    Changed,
    Refused,
    Wish,
    claim_of,
    claimed,
    clinics_of_booking,
    give_back,
    keep,
    last_shown,
    policy_of,
    refusals,
    request_of,
    take,
    unchanged,
)
from fhir_server.services.cancel import check_cutoff
from fhir_server.services.confirmation import awaits_confirmation
from fhir_server.services.facts import ScheduleFacts
from fhir_server.services.held import check_owner, granted, held_until, without_held_until
from fhir_server.services.hold import check_count, hold_group, hold_now, hold_seconds
from fhir_server.services.keyed import Keyed, once
from fhir_server.services.no_show import marks
from fhir_server.services.proposals import compose
from fhir_server.services.refusals import problem_of
from fhir_server.services.versions import tombstone, version_of
from fhir_server.services.waitlist import answer, entries
from fhir_server.services.waitlist.records import closed, is_offer, waits
from fhir_server.services.wishes import CHANNEL_URL, extension_code, of_appointment, of_proposal, settled
from fhir_server.services.world import Caller, World
from fhir_server.store.resources import Stored
from fhir_server.store.unit import Unit

KEEPS_CLAIM = frozenset({"fulfilled", "noshow"})
"""States whose time stays in the calendar: the visit was there, and limits of the day count it."""

FINAL = KEEPS_CLAIM | {"cancelled", "entered-in-error"}


async def create(
    world: World,
    caller: Caller,
    resource: dict[str, Any],
    id_: str,
    keyed: Keyed | None = None,
    method: str = "POST",
    already: Already | None = None,
) -> Stored:
    """Store an Appointment under a new id; one that takes time is booked.

    :raises Problem: what the engine refuses; 422 ``outside-window`` for what cannot have happened yet.
    :raises Changed: somebody else created it meanwhile (update as create).
    """
    await visit_windows.check(world, caller, None, resource)
    resource = marks.kept(None, entries.prepared(world, caller, resource))

    async def work() -> Stored:
        if takes_time(resource["status"]):
            wish = await of_appointment(world, resource)
            asks = caller.role is Role.PATIENT and await confirmation.needed(world, wish, resource)
            sent = await confirmation.asked(world, resource) if asks else resource
            booking = Booking(wish, sent, id=id_, status=sent["status"], method=method, as_sent=True, already=already)
            if sent["status"] == "pending" and not asks and not awaits_confirmation(wish):
                return await hold_now(world, caller, booking, None, keyed)
            return await book_now(world, caller, booking, keyed)
        return await _insert(world, resource, id_, keyed, method, already)

    written: Stored = await once(world, keyed, work)
    return written


async def _insert(
    world: World, resource: dict[str, Any], id_: str, keyed: Keyed | None, method: str, already: Already | None
) -> Stored:
    clinics = await clinics_of(world, {**resource, "id": id_})

    async def work(unit: Unit) -> Stored:
        if already and (known := await already(unit)):
            return known
        before = await unit.get("Appointment", id_)
        if before and not before.deleted:
            raise Changed
        if resource["status"] == entries.WAITING:
            for patient in entries.patients_of(resource, world.bases):
                await entries.check_room(unit, patient, "Appointment.participant")
        version = before.version + 1 if before else 1
        written, index = version_of(
            world, resource, id_=id_, version=version, at=world.clock(), method=method, clinics=clinics
        )
        await unit.write(before, written, index)
        if keyed:
            await keyed.remember(world, unit, written, 201)
        return written

    return await world.store.units.run(work, now=world.now())


async def change(
    world: World,
    caller: Caller,
    before: Stored | None,
    after: dict[str, Any],
    id_: str,
    clinics: Sequence[str],
    *,
    undoing: bool = False,
    in_time: bool = False,
) -> Stored | None:
    """Store the next version; None if somebody else was faster.

    :param clinics: those of the next version, unless it is booked anew.
    :param undoing: a transition is taken back, which the state table does not know.
    :param in_time: the operation behind it has judged its window itself.
    :raises Problem: 422 for a transition that the state table does not have or that comes too early or too late, and
        what the engine refuses.
    """
    if before is None or before.deleted:
        try:
            return await create(world, caller, after, id_, None, "PUT")
        except Changed:
            return None
    old = parse(before.body)
    after = marks.kept(old, entries.prepared(world, caller, after, before))
    if not undoing and not appointment_allows(old["status"], after["status"]):
        text = f"{old['status']} cannot become {after['status']}"
        raise problem(Category.RULE, text, "Appointment.status", "illegal-transition")
    if not in_time:
        await visit_windows.check(world, caller, old, after)
    if is_offer(before.extra):
        if after["status"] not in {"cancelled", "entered-in-error"}:
            return await answer.by_write(world, caller, before, after)
        after = closed(after, "withdrawn")
    if before.extra.get("expires") is not None:
        check_owner(before, caller, "Appointment")
    if caller.role is Role.PATIENT and after["status"] == "booked" and confirmation.awaited(before, old):
        raise confirmation.required()
    channel = writes.channel_of(caller, extension_code(after, CHANNEL_URL))
    moved = _time(world, old) != _time(world, after)
    if moved and old["status"] in FINAL and after["status"] == old["status"]:
        text = f"an appointment that is {old['status']} cannot be moved"
        raise problem(Category.RULE, text, "Appointment.start", "illegal-transition")
    try:
        if takes_time(after["status"]):
            if moved or not before.extra.get("claim") or before.extra.get("expires") is not None:
                if moved and takes_time(old["status"]):
                    await check_cutoff(world, before, channel, "reschedule")
                return await _rebook(world, caller, before, after, moved=moved)
            return await keep(world, before, after, clinics)
        if after["status"] in KEEPS_CLAIM and not moved:
            return await keep(world, before, after, clinics)
        if after["status"] in {"cancelled", "entered-in-error"} and takes_time(old["status"]):
            await check_cutoff(world, before, channel, "cancel")
        return await _free(world, before, after, clinics)
    except Changed:
        return None


def _time(world: World, appointment: Mapping[str, Any]) -> tuple[Any, ...]:
    """What of an Appointment decides who is busy when."""
    people = sorted(
        reference_of(one.get("actor"), world.bases)
        for one in appointment.get("participant", ())
        if one.get("required") != "information-only" and one.get("status") != "declined"
    )
    slots = sorted(reference_of(one, world.bases) for one in appointment.get("slot", ()))
    codes = dump(appointment.get("serviceType", []))
    return (appointment.get("start"), appointment.get("end"), people, slots, codes)


def _agreeing(world: World, old: dict[str, Any], after: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """Slots and times that agree: whichever of the two the client changed alone decides, the other follows.

    :returns: the Appointment without what follows (start and end, or its Slots), and whether its Slots follow. A hold
        that is booked loses its *held-until*.
    """
    if after["status"] != "pending":
        after = without_held_until(after)
    (start, end, _, slots, _), (new_start, new_end, _, new_slots, _) = _time(world, old), _time(world, after)
    same_time, same_slots = (start, end) == (new_start, new_end), slots == new_slots
    if new_slots and same_time and not same_slots:
        return {name: value for name, value in after.items() if name not in {"start", "end"}}, False
    if new_slots and same_slots and not same_time:
        return {name: value for name, value in after.items() if name != "slot"}, True
    return after, False


async def _rebook(world: World, caller: Caller, before: Stored, after: dict[str, Any], *, moved: bool) -> Stored:
    """Take the time that the new version says, before that of the old one is freed."""
    old = parse(before.body)
    after, follows = _agreeing(world, old, after)
    wish = with_channel(await of_appointment(world, after, claimed(before)), caller)
    await writes.check_wish(world, caller, wish, "Appointment")
    wish = replace(await settled(world, wish), moving=bool(before.extra.get("claim")))
    asks = False
    if caller.role is Role.PATIENT:
        had = await of_appointment(world, old, claimed(before)) if before.extra.get("claim") else None
        await writes.check_offered(world, wish, "Appointment", had)
        sent, after = after, await _unconfirmed(world, old, after, (had, wish))
        asks = after["status"] != sent["status"] or (after is not sent and before.extra.get("expires") is None)
    if "start" not in after:
        zone = wish.schedules[0].zone
        after = {**after, "start": format_instant(wish.start, zone), "end": format_instant(wish.end, zone)}
    expires = before.extra.get("expires") if after["status"] == "pending" and not asks else None
    held: dict[str, Any] = {}
    is_new = after["status"] == "pending" and expires is None and not before.extra.get("claim")
    if is_new and not asks and not awaits_confirmation(wish):
        expires = world.now() + hold_seconds(world, wish, None)
        held = {"expires": expires, "holder": caller.party, "since": world.now(), "group": hold_group(caller, wish)}
    if expires is not None:
        after = held_until(after, expires)
    kind = "hold" if expires is not None else "booked"
    request = request_of(wish, before.reference, kind, expires=expires, ignore=[before.reference])
    if not moved and before.extra.get("expires") is not None:
        request = granted(request)

    async def work(unit: Unit) -> Stored:
        at = world.clock()
        await unchanged(unit, before)
        if held:
            await check_count(world, unit, "Appointment", held["group"], policy_of(wish))
        decision, days = await take(world, unit, request, freed=[before])
        shown = await slot_faces.show_wish(world, unit, days, wish, at, before.reference)
        await slot_faces.refresh(world, unit, days, [one for one in slots_of(before) if one not in shown], at)
        extra = {
            name: value for name, value in before.extra.items() if name not in {"expires", "holder", "group", "since"}
        }
        if expires is not None:
            extra = {**before.extra, **held}
        extra |= {"claim": claim_of(decision.entries), "slots": shown or None, "shown": None, "method": "PUT"}
        written = {**after, "slot": [{"reference": one} for one in shown]} if follows and shown else after
        if wish.strangers:
            await unit.acquaint(wish.strangers, wish.clinics)
        clinics = await clinics_of_booking(world, wish, written, shown)
        return await _replace(world, unit, before, written, at, extra, clinics)

    try:
        return await world.store.units.run(work, now=world.now(), turns=turns_of(request, [before]))
    except Refused as refused:
        raise await problem_of(world, refused, wish, owner=before.reference) from None


async def _unconfirmed(
    world: World, old: Mapping[str, Any], after: dict[str, Any], wishes: tuple[Wish | None, Wish]
) -> dict[str, Any]:
    """What a patient wants to book or move, as a question to the clinic where it is the clinic's to confirm.

    :param wishes: the time that the Appointment has already, and the one it is to have.
    :raises Problem: 422 ``confirmation-required``.
    """
    had, wish = wishes
    if not await confirmation.needed(world, wish, after):
        return after
    if takes_time(old["status"]) and old["status"] != "pending":
        if had is None or had.service != wish.service or not await confirmation.needed(world, had, old):
            raise confirmation.required("Appointment.serviceType")
        return after
    return await confirmation.asked(world, after)


async def _free(world: World, before: Stored, after: dict[str, Any], clinics: Sequence[str]) -> Stored:
    """The next version without busy time."""

    async def work(unit: Unit) -> Stored:
        at = world.clock()
        await unchanged(unit, before)
        if after["status"] == entries.WAITING and not waits(before):
            for patient in entries.patients_of(after, world.bases):
                await entries.check_room(unit, patient, "Appointment.participant")
        if before.extra.get("claim"):
            days = await give_back(unit, [before])
            await slot_faces.refresh(world, unit, days, slots_of(before), at)
        kept = {name: before.extra.get(name) for name in ("placer", "placed")}
        kept |= {"method": "PUT", **last_shown(before, after)}
        return await _replace(world, unit, before, without_held_until(after), at, kept, clinics)

    return await world.store.units.run(work, now=world.now(), turns=sorted(claimed(before)))


async def check_delete(world: World, caller: Caller, before: Stored) -> None:
    """:raises Problem: 409 ``hold-foreign``, 422 ``cutoff-passed``."""
    if before.extra.get("expires") is not None:
        check_owner(before, caller, "Appointment")
    await check_cutoff(world, before, caller.channel, "cancel")


async def delete(world: World, caller: Caller, before: Stored) -> Stored | None:
    """Delete; busy time is free at once. None if somebody else was faster.

    :raises Problem: 409 ``hold-foreign``, 422 ``cutoff-passed``.
    """
    await check_delete(world, caller, before)

    async def work(unit: Unit) -> Stored:
        at = world.clock()
        await unchanged(unit, before)
        if before.extra.get("claim"):
            days = await give_back(unit, [before])
            await slot_faces.refresh(world, unit, days, slots_of(before), at)
        marker = tombstone(world, before, at)
        await unit.replace(before, marker, {})
        return marker

    try:
        return await world.store.units.run(work, now=world.now(), turns=sorted(claimed(before)))
    except Changed:
        return None


async def _replace(
    world: World,
    unit: Unit,
    before: Stored,
    after: dict[str, Any],
    at: int,
    extra: Mapping[str, Any],
    clinics: Sequence[str] = (),
) -> Stored:
    written, index = version_of(
        world, after, id_=before.id, version=before.version + 1, at=at, method="PUT", extra=extra,
        clinics=clinics or before.extra.get("clinics") or (),
    )  # fmt: skip
    await unit.replace(before, written, index)
    return written


async def proposal(world: World, id_: str) -> Stored | None:
    """The proposed Appointment that a proposal id names, as long as its time is free."""
    try:
        wish = await settled(world, await of_proposal(world, id_, "Appointment.id"))
    except Problem:
        return None
    if await refusals(world, request_of(wish, "", "booked")):
        return None
    resource = compose(wish, "proposed", {})
    resource["slot"] = [{"reference": f"Slot/{wish.slot_id(one)}"} for one in wish.schedules]
    return virtual("Appointment", {**resource, "id": id_}, world.clock(), wish.schedules, wish.patients)


def virtual(
    type_: str,
    resource: Mapping[str, Any],
    at: int,
    schedules: Sequence[ScheduleFacts],
    patients: Sequence[str] = (),
) -> Stored:
    """A resource that is computed from Schedules and not stored: version 0."""
    rest = {name: value for name, value in resource.items() if name not in {"resourceType", "id", "meta"}}
    meta = {**resource.get("meta", {}), "versionId": "0"}
    body = dump({"resourceType": type_, "id": resource["id"], "meta": meta, **rest})
    about = {
        "patients": [*patients, *(one for facts in schedules for one in facts.owners)],
        "clinics": sorted({one for facts in schedules for one in facts.organizations}),
    }
    return Stored(type_, resource["id"], 0, at, False, body, about)

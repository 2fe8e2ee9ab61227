"""``$book``: a proposal, a hold, Slots or an Appointment become a booking, in one transaction."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fhir_server.errors import Category, Problem, problem
from fhir_server.fhir.json import dump, parse
from fhir_server.scheduling.lifecycle import takes_time
from fhir_server.scheduling.no_show import DEFAULT
from fhir_server.services import slot_faces
from fhir_server.services.access import writes
from fhir_server.services.booking import (
    Already,
    Changed,
    Refused,
    Wish,
    claim_of,
    claimed_days,
    clinics_of_booking,
    last_shown,
    policy_of,
    request_of,
    take,
)
from fhir_server.services.confirmation import needed
from fhir_server.services.held import check_owner, granted, holds, own_slots, same_hold, same_time, without_held_until
from fhir_server.services.keyed import Keyed, once
from fhir_server.services.no_show import marks
from fhir_server.services.proposals import compose
from fhir_server.services.refusals import problem_of
from fhir_server.services.versions import instant, new_id, version_of
from fhir_server.services.waitlist.records import closed, is_offer, offers_of
from fhir_server.services.wishes import CHANNEL_URL, extension_code, patient_required, settled
from fhir_server.services.world import Caller, World
from fhir_server.settings import CANONICAL
from fhir_server.store import vault
from fhir_server.store.resources import Resources, Stored, stored
from fhir_server.store.unit import Unit

CONFIRMATION_SYSTEM = f"{CANONICAL}identifier/confirmation-number"
REPLACES_URL = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Appointment.replaces"
PLACER = "PLAC"
ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Booking:
    """What a ``$book`` (or a plain write that books) asks for.

    ``sent``: the Appointment as the client wrote it, or empty. ``hold``: the Appointment that holds the time.
    ``replaces``: Appointments that are cancelled in the same transaction. ``place``: where refusals point.
    ``id``: the id to create under (update as create), or empty for one of ours. ``status``: what it becomes;
    ``pending`` awaits confirmation and keeps its seat. ``as_sent``: it is stored as the client wrote it (plain REST).
    ``was_held``: the time was held until the hold expired; a refusal says so.
    ``offer``: a refusal names the next free times.
    ``own``: Slots that the caller holds by themselves (``busy-tentative``) and now books.
    ``already``: asked first in the transaction; what it finds is the answer (a conditional create).
    ``offered``: the hold is an offer of the waitlist: the clinic gave it, so its rules are not asked again.
    ``then``: what else is written in the same transaction.
    """

    wish: Wish
    sent: Mapping[str, Any]
    hold: Stored | None = None
    replaces: tuple[Stored, ...] = ()
    place: str = "Appointment"
    id: str = ""
    status: str = "booked"
    method: str = "POST"
    as_sent: bool = False
    was_held: bool = False
    own: tuple[str, ...] = ()
    offer: bool = True
    already: Already | None = None
    offered: bool = False
    then: Callable[[Unit, int], Awaitable[None]] | None = None


async def book(world: World, caller: Caller, booking: Booking, keyed: Keyed | None = None) -> Stored:
    """Book; the stored Appointment.

    :raises Problem: 409 with alternatives, 422 with every rule that refuses, 404 for what is gone.
    :raises Replayed: the Idempotency-Key or the placer's identifier was answered before.
    """

    async def work() -> Stored:
        return await book_now(world, caller, booking, keyed)

    written: Stored = await once(world, keyed, work)
    return written


async def book_now(world: World, caller: Caller, booking: Booking, keyed: Keyed | None) -> Stored:
    """As :func:`book`, inside a request whose key is looked after already."""
    wish = replace(booking.wish, channel="waitlist") if booking.offered else with_channel(booking.wish, caller)
    await writes.check_wish(world, caller, wish, booking.place)
    wish = await settled(world, wish)
    await writes.check_offered(world, wish, booking.place)
    if not wish.patients and not booking.as_sent:
        raise patient_required()
    sealer, said = world.store.sealer, placer_of(booking.sent, caller)
    placer = sealer.hashed(vault.PLACER, said) if said else None
    print_ = sealer.hashed(vault.PLACED, fingerprint(booking.sent)) if said else None
    id_ = booking.hold.id if booking.hold else (booking.id or new_id())
    manual = booking.status == "booked" and not booking.offered and await needed(world, wish, booking.sent)
    status = "pending" if manual else booking.status
    if booking.as_sent:
        status = booking.status
    sent = booking.sent if booking.as_sent else completed(booking.sent, wish, world)
    sent = marks.noticed(sent, policy_of(wish).no_show or DEFAULT) if wish.flagged else marks.kept(None, dict(sent))
    owner = f"Appointment/{id_}"
    others = tuple({one.id: one for one in booking.replaces if one.id != id_}.values())
    if others:
        sent = _with_replaces(sent, others)

    async def work(unit: Unit) -> Stored:
        if placer and (known := await _by_placer(unit.resources, placer, print_)):
            raise _Placed(known)
        if booking.already and (known := await booking.already(unit)):
            raise _Placed(known)
        at = world.clock()
        before = await unit.get("Appointment", id_) if (booking.hold or booking.id) else None
        held = _check_hold(booking, before, caller, world.now())
        freed = [before] if before and before.extra.get("claim") else []
        freed += [
            one for slot in booking.own if (one := await unit.get("Slot", slot)) and holds(one, caller, world.now())
        ]
        replaced = [await _still(unit, one, caller) for one in others]
        ignore = [owner, *(one.reference for one in (*freed, *replaced))]
        request = request_of(wish, owner, "booked", ignore=ignore)
        if held and before and same_time(before, wish):
            request = granted(request)
        decision, days = await take(world, unit, request, freed=[*freed, *replaced])
        shown = await slot_faces.show_wish(world, unit, days, wish, at, owner)
        if booking.as_sent:
            composed = dict(sent)
        else:
            composed = compose(wish, status, sent, location=_room(decision.chosen))
            composed = with_members(composed, decision.chosen, status)
            if shown:
                composed["slot"] = [{"reference": one} for one in shown]
        await writes.check_scope(world, composed, "cu")
        written, index = version_of(
            world, composed, id_=id_, version=before.version + 1 if before else 1, at=at,
            method="PUT" if before else booking.method,
            clinics=await clinics_of_booking(world, wish, composed, shown),
            extra={
                "claim": claim_of(decision.entries), "slots": shown or None,
                "placer": placer, "placed": print_,
            },
        )  # fmt: skip
        old_slots = [*slots_of(before)] if before else []
        for one in replaced:
            old_slots += slots_of(one)
            ended = await cancel_in(world, unit, one, at, {"text": "moved to another time"})
            await writes.check_scope(world, parse(ended.body), "u")
        await slot_faces.refresh(world, unit, days, [one for one in old_slots if one not in shown], at)
        await unit.write(before, written, index)
        if booking.then:
            await booking.then(unit, at)
        if wish.strangers:
            await unit.acquaint(wish.strangers, wish.clinics)
        if keyed:
            await keyed.remember(world, unit, written, 201)
        return written

    request = request_of(wish, owner, "booked")
    try:
        return await world.store.units.run(work, now=world.now(), turns=turns_of(request, others))
    except _Placed as placed:
        return placed.known
    except Refused as refused:
        if placer and (known := await _by_placer(world.store.resources, placer, print_)):
            return known
        if refused.taken and not booking.own and (own := await own_slots(world, caller, wish)):
            return await book_now(world, caller, replace(booking, own=own), keyed)
        refusal = await problem_of(world, refused, wish, booking.place, owner=owner, offer=booking.offer)
        raise (_expired(refusal) if booking.was_held else refusal) from None


def _expired(refusal: Problem) -> Problem:
    """A refusal of the time of a hold that is over says so first."""
    if refusal.category is not Category.CONFLICT:
        return refusal
    first = replace(refusal.issues[0], code="hold-expired", text="the hold has expired and its time is taken")
    return Problem(refusal.category, (first, *refusal.issues[1:]), refusal.headers, refusal.alternatives)


def turns_of(request: Any, replaced: Sequence[Stored] = ()) -> list[str]:
    """Calendar keys for which callers of this process queue: a room pool is not one of them."""
    keys = {key for schedule in request.schedules for key in schedule.keys}
    keys.update(request.actors, request.patients)
    keys.update(key for one in replaced for key, _ in claimed_days(one))
    return sorted(keys)


def with_channel(wish: Wish, caller: Caller) -> Wish:
    return replace(wish, channel=writes.channel_of(caller, wish.channel))


def completed(sent: Mapping[str, Any], wish: Wish, world: World) -> dict[str, Any]:
    """The client's Appointment with what the server adds: channel, confirmation number, created."""
    made = dict(sent)
    if not extension_code(made, CHANNEL_URL):
        made["extension"] = [*made.get("extension", ()), {"url": CHANNEL_URL, "valueCode": wish.channel}]
    identifiers = made.get("identifier", [])
    if not any(one.get("system") == CONFIRMATION_SYSTEM for one in identifiers):
        made["identifier"] = [*identifiers, {"system": CONFIRMATION_SYSTEM, "value": confirmation_number()}]
    made.setdefault("created", instant(world.clock()))
    return made


def confirmation_number() -> str:
    """Eight characters that can be read out on the phone."""
    return "".join(secrets.choice(ALPHABET) for _ in range(8))


def with_members(appointment: dict[str, Any], chosen: Sequence[str], status: str) -> dict[str, Any]:
    """Add the rooms and devices that the decision chose from their pools."""
    have = {(one.get("actor") or {}).get("reference") for one in appointment["participant"]}
    state = "accepted" if status == "booked" else "tentative"
    added = [
        {"actor": {"reference": one}, "required": "required", "status": state}
        for one in chosen
        if one not in have and not one.startswith("#")
    ]
    return {**appointment, "participant": [*appointment["participant"], *added]}


def _room(chosen: Sequence[str]) -> str | None:
    return next((one for one in chosen if one.startswith("Location/")), None)


def over(outcome: str = "") -> Problem:
    """The refusal of an answer to an offer of the waitlist that ran out or was answered.

    :param outcome: what came of it; 409 ``offer-answered`` where that was an answer, else ``hold-expired``.
    """
    if outcome in {"accepted", "declined"}:
        text = f"the offer was answered already: it was {outcome}"
        return problem(Category.CONFLICT, text, "Appointment", "offer-answered")
    text = "the offer is over; another patient may have the time"
    return problem(Category.CONFLICT, text, "Appointment", "hold-expired")


class _Placed(Exception):  # noqa: N818  the placer's first answer, carried out of the transaction
    def __init__(self, known: Stored) -> None:
        super().__init__()
        self.known = known


def _check_hold(booking: Booking, before: Stored | None, caller: Caller, now: int) -> bool:
    """Whether the Appointment to be booked is a live hold of this caller."""
    if booking.hold is None:
        if before and not before.deleted:
            raise Changed
        return False
    if before is None or before.deleted:
        raise problem(Category.GONE, "the hold is deleted", booking.place)
    check_owner(before, caller, booking.place)
    status = parse(before.body)["status"]
    expires = before.extra.get("expires")
    if booking.offered and (before.version != booking.hold.version or expires is None or expires <= now):
        had = offers_of(parse(before.body))
        raise over(had[-1].outcome if had else "")
    if (status == "cancelled" and before.extra.get("expired")) or (expires is not None and expires <= now):
        return False  # over: book anew if the time is still free
    if status not in {"pending", "proposed"}:
        raise problem(
            Category.RULE, f"an appointment that is {status} cannot be booked", booking.place, "illegal-transition"
        )
    if not same_hold(booking.hold, before):
        text = "the hold was changed while it was being booked; read it again"
        raise problem(Category.CONFLICT, text, booking.place, "version-conflict")
    return bool(status == "pending")


async def _still(unit: Unit, wanted: Stored, caller: Caller) -> Stored:
    """The Appointment that is replaced, as it is in this transaction."""
    found = await unit.get("Appointment", wanted.id)
    if found is None or found.deleted or not takes_time(parse(found.body)["status"]):
        raise problem(
            Category.RULE, "the appointment to be replaced holds no time any more", "Appointment", "illegal-transition"
        )
    check_owner(found, caller, "Appointment")
    return found


async def cancel_in(
    world: World, unit: Unit, before: Stored, at: int, reason: Mapping[str, Any] | None, *, expired: bool = False
) -> Stored:
    """Write the cancelled version of an Appointment whose calendar days are already given back.

    :param expired: it was a hold that ran out; its time may be booked anew.
    """
    resource = without_held_until(parse(before.body))
    if is_offer(before.extra):
        resource = closed(resource, "withdrawn")
    resource["status"] = "cancelled"
    resource = marks.kept(parse(before.body), resource)
    if reason:
        resource["cancelationReason"] = dict(reason)
    resource["participant"] = [{**one, "status": "declined"} for one in resource.get("participant", ())]
    after, index = version_of(
        world, resource, id_=before.id, version=before.version + 1, at=at, method="PUT",
        clinics=before.extra.get("clinics") or (),
        extra={
            "placer": before.extra.get("placer"), "placed": before.extra.get("placed"), "expired": expired or None,
            **last_shown(before, resource),
        },
    )  # fmt: skip
    await unit.replace(before, after, index)
    return after


def slots_of(appointment: Stored) -> list[str]:
    """The Slots that show a booking."""
    return list(appointment.extra.get("slots") or ())


def _with_replaces(sent: Mapping[str, Any], replaced: Sequence[Stored]) -> dict[str, Any]:
    kept = [one for one in sent.get("extension", ()) if one.get("url") != REPLACES_URL]
    lineage = [{"url": REPLACES_URL, "valueReference": {"reference": one.reference}} for one in replaced]
    return {**sent, "extension": [*kept, *lineage]}


def placer_of(sent: Mapping[str, Any], caller: Caller) -> str:
    """``client|system|value`` of the placer's identifier (type PLAC of v2-0203), which makes a booking idempotent.

    Another client's orders are none of this one's business, so each has its own.
    """
    for one in sent.get("identifier", ()):
        codings = (one.get("type") or {}).get("coding", ())
        if one.get("value") and any(coding.get("code") == PLACER for coding in codings):
            return f"{caller.client}|{one.get('system', '')}|{one['value']}"
    return ""


def fingerprint(sent: Mapping[str, Any]) -> str:
    """A digest of a request's content."""
    return hashlib.sha256(dump(dict(sent))).hexdigest()


async def _by_placer(resources: Resources, placer: bytes, print_: bytes | None) -> Stored | None:
    found = await resources.find("Appointment", {"placer": placer}, limit=1, fields={"idx": 0})
    if not found:
        return None
    known = stored("Appointment", found[0])
    if known.extra.get("placed") != print_:
        text = "the placer's identifier was used for another booking"
        raise problem(Category.DUPLICATE, text, "Appointment.identifier", "idempotency-mismatch")
    return known

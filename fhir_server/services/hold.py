"""``$hold``, ``$extend-hold``, ``$release``: a time is kept for a caller until it expires, by the clock alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_server.errors import Category, problem
from fhir_server.fhir.json import parse
from fhir_server.scheduling.terms import Policy
from fhir_server.services import slot_faces
from fhir_server.services.access import writes
from fhir_server.services.book import (
    Booking,
    cancel_in,
    completed,
    slots_of,
    turns_of,
    with_channel,
    with_members,
)
from fhir_server.services.booking import (
    Changed,
    Refused,
    Wish,
    afresh,
    claim_of,
    claimed,
    clinics_of_booking,
    give_back,
    policy_of,
    request_of,
    take,
)
from fhir_server.services.held import check_owner, granted, held_until
from fhir_server.services.keyed import Keyed, once
from fhir_server.services.no_show import marks
from fhir_server.services.proposals import compose
from fhir_server.services.refusals import problem_of
from fhir_server.services.versions import new_id, version_of
from fhir_server.services.waitlist import answer
from fhir_server.services.waitlist.records import is_offer
from fhir_server.services.wishes import of_appointment, settled
from fhir_server.services.world import Caller, World
from fhir_server.store.resources import Stored
from fhir_server.store.unit import Unit


def hold_seconds(world: World, wish: Wish, wanted: int | None) -> int:
    """The length of a hold: what is wanted, at most what the policy allows."""
    usual = policy_of(wish).hold_duration or world.settings.hold_minutes * 60
    return min(wanted or usual, longest_hold(world, wish))


def longest_hold(world: World, wish: Wish) -> int:
    """Seconds that a time may be held in all, extensions included."""
    policy = policy_of(wish)
    return policy.max_hold_duration or max(world.settings.max_hold_minutes * 60, policy.hold_duration or 0)


async def hold(
    world: World, caller: Caller, booking: Booking, seconds: int | None, keyed: Keyed | None = None
) -> Stored:
    """Hold a time; the stored Appointment, status ``pending``, with the extension *held-until*.

    :param seconds: wanted length, or None for the policy's.
    :raises Problem: 409 with alternatives, 422, 429 when the caller holds too many times for this patient.
    """

    async def work() -> Stored:
        return await hold_now(world, caller, booking, seconds, keyed)

    written: Stored = await once(world, keyed, work)
    return written


async def hold_now(world: World, caller: Caller, booking: Booking, seconds: int | None, keyed: Keyed | None) -> Stored:
    """As :func:`hold`, inside a request whose key is looked after already."""
    wish = with_channel(booking.wish, caller)
    await writes.check_wish(world, caller, wish, booking.place)
    wish = await settled(world, wish)
    await writes.check_offered(world, wish, booking.place)
    until = world.now() + hold_seconds(world, wish, seconds)
    id_ = booking.id or new_id()
    sent = marks.kept(None, booking.sent if booking.as_sent else completed(booking.sent, wish, world))
    request = request_of(wish, f"Appointment/{id_}", "hold", expires=until)
    group = hold_group(caller, wish)

    async def work(unit: Unit) -> Stored:
        if booking.already and (known := await booking.already(unit)):
            return known
        at = world.clock()
        before = await unit.get("Appointment", id_) if booking.id else None
        if before and not before.deleted:
            raise Changed
        await check_count(world, unit, "Appointment", group, policy_of(wish))
        decision, days = await take(world, unit, request)
        shown = await slot_faces.show_wish(world, unit, days, wish, at, request.owner)
        if booking.as_sent:
            composed = held_until(sent, until)
        else:
            composed = with_members(held_until(compose(wish, "pending", sent), until), decision.chosen, "pending")
            if shown:
                composed["slot"] = [{"reference": one} for one in shown]
        await writes.check_scope(world, composed, "c")
        written, index = version_of(
            world, composed, id_=id_, version=before.version + 1 if before else 1, at=at, method=booking.method,
            clinics=await clinics_of_booking(world, wish, composed, shown),
            extra={
                "claim": claim_of(decision.entries), "slots": shown or None, "expires": until,
                "holder": caller.party, "group": group, "since": world.now(),
            },
        )  # fmt: skip
        await unit.write(before, written, index)
        if wish.strangers:
            await unit.acquaint(wish.strangers, wish.clinics)
        if keyed:
            await keyed.remember(world, unit, written, 201)
        return written

    try:
        return await world.store.units.run(work, now=world.now(), turns=[group, *turns_of(request)])
    except Refused as refused:
        raise await problem_of(world, refused, wish, booking.place) from None


def hold_group(caller: Caller, wish: Wish) -> str:
    """What the cap counts together: the holds of one client for one patient."""
    return f"hold|{caller.party}|{wish.patients[0] if wish.patients else ''}"


async def check_count(world: World, unit: Unit, type_: str, group: str, policy: Policy) -> None:
    """At most so many open holds of one client for one patient; the guard makes counting and holding one act.

    :raises Problem: 429 ``hold-limit``.
    """
    most = policy.max_holds or world.settings.max_holds
    await unit.guard(group)
    open_holds = await unit.find(
        type_, {"expires": {"$gt": world.now()}, "group": group}, limit=most, fields={"_id": 1}
    )
    if len(open_holds) >= most:
        text = f"{most} times are held already; book or release one first"
        raise problem(Category.THROTTLED, text, "patient", "hold-limit", Retry_After="60")


async def extend(world: World, caller: Caller, id_: str, seconds: int | None) -> Stored:
    """``$extend-hold``: the hold runs anew from now, at most as long as the policy allows from its creation.

    :raises Problem: 404 for no such hold, 409 ``hold-expired`` or ``hold-foreign``, 422 for what is no hold.
    """
    return await afresh(lambda: _extend(world, caller, id_, seconds))


async def _extend(world: World, caller: Caller, id_: str, seconds: int | None) -> Stored:
    before = await live_hold(world, caller, id_)
    wish = await of_appointment(world, parse(before.body), claimed(before))
    latest = before.extra.get("since", world.now()) + longest_hold(world, wish)
    until = min(world.now() + hold_seconds(world, wish, seconds), latest)
    if until <= world.now():
        raise problem(Category.RULE, "the time was held as long as the policy allows", "Appointment", "hold-limit")

    async def work(unit: Unit) -> Stored:
        at = world.clock()
        current = await unit.get("Appointment", id_)
        if current is None or current.version != before.version:
            raise Changed
        if current.extra["expires"] <= world.now():
            raise expired()
        request = granted(request_of(wish, current.reference, "hold", expires=until, ignore=[current.reference]))
        decision, days = await take(world, unit, request, freed=[current])
        await slot_faces.show_wish(world, unit, days, wish, at, current.reference)
        extra = {**current.extra, "claim": claim_of(decision.entries), "expires": until, "method": "PUT"}
        written, index = version_of(
            world, held_until(parse(current.body), until), id_=id_, version=current.version + 1, at=at,
            method="PUT", clinics=current.extra.get("clinics") or (), extra=extra,
        )  # fmt: skip
        await unit.replace(current, written, index)
        return written

    request = request_of(wish, before.reference, "hold")
    try:
        return await world.store.units.run(work, now=world.now(), turns=turns_of(request, [before]))
    except Refused as refused:
        raise await problem_of(world, refused, wish) from None


async def release(world: World, caller: Caller, id_: str) -> Stored:
    """``$release``: the held time is free at once; the Appointment becomes ``cancelled``. Releasing twice is no fault.

    :raises Problem: 404, 409 ``hold-foreign``, 422 for an Appointment that is booked.
    """
    return await afresh(lambda: _release(world, caller, id_))


async def _release(world: World, caller: Caller, id_: str) -> Stored:
    before = await writes.reached(world, await world.store.resources.get("Appointment", id_), "u")
    if before is None or before.deleted:
        raise problem(Category.NOT_FOUND, "no such hold", "Appointment.id")
    check_owner(before, caller, "Appointment")
    resource = parse(before.body)
    if resource["status"] == "cancelled":
        return before
    if is_offer(before.extra):
        return await answer.decline(world, caller, id_, answer.Named(version=before.version))
    if before.extra.get("expires") is None:
        raise problem(
            Category.RULE, "this appointment is not a hold; cancel it instead", "Appointment", "illegal-transition"
        )
    await writes.check_scope(world, {**resource, "status": "cancelled"}, "u")
    return await free_hold(world, before, None)


async def free_hold(world: World, before: Stored, reason: Mapping[str, Any] | None, *, expired: bool = False) -> Stored:
    """Give back a hold and cancel its Appointment.

    :param expired: only if it is over; one that was extended or booked meanwhile stays as it is.
    :raises Changed: somebody changed the hold that is given back before its end.
    """

    async def work(unit: Unit) -> Stored:
        at = world.clock()
        current = await unit.get("Appointment", before.id)
        if not expired and (current is None or current.version != before.version):
            raise Changed
        if current is None or current.extra.get("expires") is None:
            return current or before
        if expired and current.extra["expires"] > world.now():
            return current
        days = await give_back(unit, [current])
        await slot_faces.refresh(world, unit, days, slots_of(current), at)
        return await cancel_in(world, unit, current, at, reason, expired=expired)

    return await world.store.units.run(work, now=world.now(), turns=sorted(claimed(before)))


async def live_hold(world: World, caller: Caller, id_: str) -> Stored:
    """The hold of this caller that has not expired.

    :raises Problem: 404, 409 ``hold-expired`` or ``hold-foreign``, 422 for what is no hold.
    """
    found = await writes.reached(world, await world.store.resources.get("Appointment", id_), "u")
    if found is None or found.deleted:
        raise problem(Category.NOT_FOUND, "no such hold", "Appointment.id")
    check_owner(found, caller, "Appointment")
    if is_offer(found.extra):
        raise problem(Category.RULE, "an offer is not held for longer", "Appointment", "illegal-transition")
    expires = found.extra.get("expires")
    if expires is None:
        status = parse(found.body)["status"]
        if status == "cancelled" and found.version > 1:
            raise expired()
        raise problem(Category.RULE, "this appointment is not a hold", "Appointment.status", "illegal-transition")
    if expires <= world.now():
        raise expired()
    return found


def expired() -> Exception:
    return problem(Category.CONFLICT, "the hold has expired", "Appointment", "hold-expired")

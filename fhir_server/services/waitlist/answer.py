"""Answers to an offer: accepted it is booked by the one engine, else the entry waits again and the time is free.

An answer names the offer that it means: one entry may be offered one time after the other, and a late *yes* to the
first is no *yes* to the second. It is named by its version, by its start, or needs no name while it is the only one.
Whoever books, declines or lets an offer run out writes a version, and the relay starts the next round from that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from fhir_server.access.caller import STAFF
from fhir_server.errors import Category, Problem, problem
from fhir_server.fhir.json import parse
from fhir_server.fhir.temporal import instant_seconds
from fhir_server.scheduling.interval import Interval, overlaps
from fhir_server.scheduling.lifecycle import takes_time
from fhir_server.scheduling.waitlist import Offer
from fhir_server.services import slot_faces
from fhir_server.services.access import writes
from fhir_server.services.book import Booking, book_now, cancel_in, over, slots_of
from fhir_server.services.booking import Changed, afresh, claimed, give_back
from fhir_server.services.held import without_held_until
from fhir_server.services.keyed import Keyed, once
from fhir_server.services.versions import version_of
from fhir_server.services.waitlist.entries import entry_of, windows_of
from fhir_server.services.waitlist.messages import tell, unsay
from fhir_server.services.waitlist.offering import TIMER
from fhir_server.services.waitlist.records import OFFER_URL, OFFERED, WAITS, closed, is_offer, offers_of
from fhir_server.services.wishes import of_appointment
from fhir_server.services.world import Caller, World
from fhir_server.store.resources import Stored, stored
from fhir_server.store.unit import Unit

SET_BY_SERVER = frozenset({"id", "meta", "status", "contained", "resourceType"})
ANOTHER = {"text": "another time was accepted for the same"}

Also = Callable[[Unit, int], Awaitable[None]]
"""What else is written with an answer; the time in ms."""


@dataclass(frozen=True, slots=True)
class Named:
    """Which offer an answer means: the version of the Appointment in which it was made, or when the visit begins."""

    version: int | None = None
    start: int | None = None


UNNAMED = Named()


async def accept(
    world: World,
    caller: Caller,
    id_: str,
    named: Named = UNNAMED,
    *,
    keyed: Keyed | None = None,
    also: Also | None = None,
) -> Stored:
    """Book what an entry is offered; the booked Appointment.

    :raises Problem: 404 for no such entry, 409 ``hold-expired`` for an offer that is over, ``offer-answered`` for one
        that was answered, ``offer-unnamed`` where it is not clear which one is meant, 422 for an Appointment that was
        never offered.
    """

    async def once_more() -> Stored:
        offered = await open_offer(world, id_, named)
        resource = parse(offered.body)
        wish = await of_appointment(world, resource, claimed(offered))
        sent = {name: value for name, value in resource.items() if name not in SET_BY_SERVER}
        booking = await accepted(world, Booking(wish, without_held_until(sent), offered), also)
        return await book_now(world, caller, booking, keyed)

    async def work() -> Stored:
        return await afresh(once_more)

    written: Stored = await once(world, keyed, work)
    return written


async def decline(
    world: World,
    caller: Caller,
    id_: str,
    named: Named = UNNAMED,
    *,
    outcome: Literal["", "declined", "withdrawn"] = "",
    also: Also | None = None,
) -> Stored:
    """Let the entry wait again; the time is free at once.

    :param outcome: what is noted; empty: staff take the offer back, anybody else declines it.
    :raises Problem: as :func:`accept`.
    """
    said: Literal["declined", "withdrawn"] = outcome or ("withdrawn" if caller.role in STAFF else "declined")

    async def work() -> Stored:
        offered = await open_offer(world, id_, named)
        await writes.check_scope(world, parse(offered.body), "u")
        return await _back(world, offered, said, also)

    return await afresh(work)


async def expire(world: World, found: Stored) -> Stored:
    """The entry after its offer ran out, by whoever notices first; one that was answered meanwhile stays as it is."""
    return await _back(world.own(), found, "expired", None)


async def open_offer(world: World, id_: str, named: Named) -> Stored:
    """The Appointment that is offered and can be answered.

    :raises Problem: as :func:`accept`.
    """
    found = await writes.reached(world, await world.store.resources.get("Appointment", id_), "u")
    if found is None or found.deleted:
        raise problem(Category.NOT_FOUND, "no such offer", "Appointment.id")
    if is_offer(found.extra) and found.extra["expires"] <= world.now():
        found = await expire(world, found)
    check(found, named)
    return found


def check(found: Stored, named: Named) -> None:
    """:raises Problem: the Appointment is not offered now, or another time than the one that is meant."""
    resource = parse(found.body)
    had = offers_of(resource)
    if not is_offer(found.extra):
        if had:
            raise over(_outcome(had, named))
        text = f"nothing is offered: the appointment is {resource['status']}"
        raise problem(Category.RULE, text, "Appointment.status", "illegal-transition")
    if named.start is not None and named.start not in {one.start for one in had}:
        raise problem(Category.CONFLICT, "another time is offered than this one", "Appointment.start", "offer-unnamed")
    if named.version not in {None, found.version} or named.start not in {None, had[-1].start}:
        raise over(_outcome(had, named))
    if named == UNNAMED and len(had) > 1:
        text = "several times were offered: say which by If-Match or by its start"
        raise problem(Category.CONFLICT, text, "Appointment.start", "offer-unnamed")


def _outcome(had: Sequence[Offer], named: Named) -> str:
    """What came of the offer that is meant; empty where that is not known."""
    if named.start is None:
        return had[-1].outcome
    return next((one.outcome for one in reversed(had) if one.start == named.start), "")


async def accepted(world: World, booking: Booking, also: Also | None = None) -> Booking:
    """The booking of an offer with all that goes with it, in one transaction.

    The appointment that was kept until now is given up, the patient's other entries for the same leave the waitlist.
    """
    hold = booking.hold
    assert hold is not None
    kept = await _kept(world, hold)
    replaces = (*booking.replaces, kept) if kept else booking.replaces
    waits = hold.extra.get(WAITS) or ()
    if booking.wish.service:
        waits = [booking.wish.service.id, *booking.wish.service.tokens]

    async def then(unit: Unit, at: int) -> None:
        await world.store.work.withdraw(unit, TIMER, hold.id)
        await unsay(world, unit, hold)
        await _withdraw_others(world, unit, hold, waits, at)
        if also:
            await also(unit, at)

    return replace(booking, sent=closed(booking.sent, "accepted"), replaces=replaces, offered=True, then=then)


async def _kept(world: World, hold: Stored) -> Stored | None:
    """The appointment that the patient kept until now, and has alone; None where there is none any more."""
    entry = entry_of(hold, world.zone, world.bases)
    if entry is None or not entry.kept:
        return None
    found = await world.store.resources.get("Appointment", entry.kept.partition("/")[2])
    if found is None or found.deleted or not takes_time(parse(found.body)["status"]):
        return None
    return found if set(found.extra.get("patients") or ()) == {entry.patient} else None


async def _withdraw_others(world: World, unit: Unit, hold: Stored, waits: Any, at: int) -> None:
    """Cancel what the patient waits for besides: the same services in the same period."""
    mine = windows_of(parse(hold.body), world.zone)
    where = {"patients": {"$in": list(hold.extra["patients"])}, WAITS: {"$in": sorted(waits)}, "_id": {"$ne": hold.id}}
    for row in await unit.find("Appointment", where, fields={"idx": 0}):
        other = stored("Appointment", row)
        if not _meet(mine, windows_of(parse(other.body), world.zone)):
            continue
        if claimed(other):
            days = await give_back(unit, [other])
            await slot_faces.refresh(world, unit, days, slots_of(other), at)
            await world.store.work.withdraw(unit, TIMER, other.id)
            await unsay(world, unit, other)
        await cancel_in(world, unit, other, at, ANOTHER)


def _meet(mine: tuple[Interval, ...], theirs: tuple[Interval, ...]) -> bool:
    return not mine or not theirs or any(overlaps(one, each) for one in mine for each in theirs)


async def _back(
    world: World, offered: Stored, outcome: Literal["declined", "expired", "withdrawn"], also: Also | None
) -> Stored:
    """Write the entry as it waited before the offer, with what came of that."""

    async def work(unit: Unit) -> Stored:
        at = world.clock()
        current = await unit.get("Appointment", offered.id)
        if outcome == "expired":
            if current is None or not is_offer(current.extra) or current.extra["expires"] > world.now():
                return current or offered
        elif current is None or current.version != offered.version:
            raise Changed
        waited = await unit.resources.version("Appointment", current.id, current.extra[OFFERED]["of"])
        assert waited is not None
        days = await give_back(unit, [current])
        await slot_faces.refresh(world, unit, days, slots_of(current), at)
        resource = _waiting_again(parse(waited.body), closed(parse(current.body), outcome))
        written, index = version_of(
            world, resource, id_=current.id, version=current.version + 1, at=at, method="PUT",
            clinics=waited.extra.get("clinics") or current.extra.get("clinics") or (),
        )  # fmt: skip
        await unit.replace(current, written, index)
        await world.store.work.withdraw(unit, TIMER, current.id)
        told = await unsay(world, unit, current)
        if told and outcome != "declined":
            await tell(world, unit, "waitlist-offer-ended", current, at)
        if also:
            await also(unit, at)
        return written

    return await world.store.units.run(work, now=world.now(), turns=sorted(claimed(offered)))


def _waiting_again(waited: Mapping[str, Any], offered: Mapping[str, Any]) -> dict[str, Any]:
    said = [one for one in waited.get("extension", ()) if one.get("url") != OFFER_URL]
    said += [one for one in offered.get("extension", ()) if one.get("url") == OFFER_URL]
    return {**waited, "extension": said}


async def by_write(world: World, caller: Caller, before: Stored, after: Mapping[str, Any]) -> Stored:
    """What a plain write of an offered Appointment means: booked accepts, waitlist declines, anything else waits.

    :raises Problem: as :func:`accept`; 409 ``offer-open`` for any other change.
    """
    if after["status"] == "booked":
        named = Named(start=instant_seconds(after["start"])) if "start" in after else UNNAMED
        return await accept(world, caller, before.id, named)
    if after["status"] == "waitlist":
        return await decline(world, caller, before.id, Named(version=before.version))
    raise answer_first()


def answer_first() -> Problem:
    """The refusal of what would change an entry that is offered a time."""
    text = "a time is offered: accept or decline it first"
    return problem(Category.CONFLICT, text, "Appointment.status", "offer-open")

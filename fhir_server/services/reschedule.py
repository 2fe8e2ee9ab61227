"""``$reschedule``: the new time is taken before the old one is freed, in one transaction, under the same id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC
from typing import Any

from fhir_server.access.caller import Role
from fhir_server.errors import Category, problem
from fhir_server.fhir.json import parse
from fhir_server.fhir.temporal import format_instant
from fhir_server.scheduling.lifecycle import takes_time
from fhir_server.services import slot_faces
from fhir_server.services.access import writes
from fhir_server.services.actors import reference_of, with_own_references
from fhir_server.services.book import slots_of, turns_of, with_channel, with_members
from fhir_server.services.booking import (
    Changed,
    Refused,
    Wish,
    afresh,
    check_years,
    claim_of,
    claimed,
    clinics_of_booking,
    policy_of,
    request_of,
    take,
)
from fhir_server.services.cancel import check_cutoff
from fhir_server.services.conditions import Condition, check_version
from fhir_server.services.confirmation import awaits_confirmation, required
from fhir_server.services.held import check_owner
from fhir_server.services.keyed import Keyed, once
from fhir_server.services.no_show.marks import SUSPECTED_URL
from fhir_server.services.proposals import compose
from fhir_server.services.refusals import problem_of
from fhir_server.services.versions import version_of
from fhir_server.services.waitlist.answer import answer_first
from fhir_server.services.waitlist.records import is_offer
from fhir_server.services.wishes import of_appointment, of_proposal, of_slots, settled
from fhir_server.services.world import Caller, World
from fhir_server.settings import CANONICAL
from fhir_server.store.resources import Stored
from fhir_server.store.unit import Unit

MOVES_URL = f"{CANONICAL}StructureDefinition/reschedule-count"
REASON_URL = f"{CANONICAL}StructureDefinition/reschedule-reason"


@dataclass(frozen=True, slots=True)
class Move:
    """Where to: by ``start`` (epoch seconds; ``end`` absent keeps the length), by Slots, or by a proposal's id.

    ``schedules``: other Schedules (another provider); empty keeps those of the Appointment.
    """

    start: int | None = None
    end: int | None = None
    slots: tuple[str, ...] = ()
    proposal: str = ""
    schedules: tuple[str, ...] = ()
    reason: Mapping[str, Any] | None = None
    channel: str = ""
    condition: Condition = field(default_factory=Condition)


async def reschedule(world: World, caller: Caller, id_: str, move: Move, keyed: Keyed | None = None) -> Stored:
    """Move an Appointment, all or nothing.

    :raises Problem: 404, 409 with alternatives, 412, 422 (cut-off, number of moves, rules of the new time).
    """

    async def work() -> Stored:
        return await afresh(lambda: _reschedule(world, caller, id_, move, keyed))

    written: Stored = await once(world, keyed, work)
    return written


async def _reschedule(world: World, caller: Caller, id_: str, move: Move, keyed: Keyed | None) -> Stored:
    before = await writes.reached(world, await world.store.resources.get("Appointment", id_), "u")
    if before is None or before.deleted:
        raise problem(Category.NOT_FOUND, "no such appointment", "Appointment.id")
    await writes.check_alone(world, before)
    resource = parse(before.body)
    if not takes_time(resource["status"]):
        text = f"an appointment that is {resource['status']} cannot be moved"
        raise problem(Category.RULE, text, "Appointment.status", "illegal-transition")
    if is_offer(before.extra):
        raise answer_first()
    channel = writes.channel_of(caller, move.channel)
    await check_cutoff(world, before, channel, "reschedule")
    old = await of_appointment(world, resource, claimed(before))
    wish = with_channel(await _wish(world, old, move), caller)
    await writes.check_wish(world, caller, wish, "Appointment")
    wish = replace(await settled(world, wish), moving=True)
    await writes.check_offered(world, wish, "Appointment", old)
    if caller.role is Role.PATIENT and awaits_confirmation(wish) and wish.service != old.service:
        raise required("Appointment.serviceType")
    moves = _moves(resource)
    most = policy_of(old).max_reschedules
    if most is not None and moves >= most and channel not in {"staff", "phone", "interface"}:
        text = f"this appointment was moved {moves} times already"
        raise problem(Category.RULE, text, "Appointment", "booking-limit")
    kind = "hold" if before.extra.get("expires") is not None else "booked"
    request = request_of(wish, before.reference, kind, expires=before.extra.get("expires"), ignore=[before.reference])
    gone = _left(world, old, wish)

    async def work(unit: Unit) -> Stored:
        at = world.clock()
        current = await unit.get("Appointment", id_)
        if current is None or current.version != before.version:
            raise Changed
        check_version(move.condition, current, "Appointment")
        if current.extra.get("expires") is not None:
            check_owner(current, caller, "Appointment")
        decision, days = await take(world, unit, request, freed=[current])
        status = "pending" if resource["status"] == "pending" else "booked"
        sent = with_own_references(parse(current.body), world.bases)
        composed = with_members(
            compose(wish, status, _moved(world, sent, wish, gone, moves + 1, move)), decision.chosen, status
        )
        composed["status"] = parse(current.body)["status"]
        shown = await slot_faces.show_wish(world, unit, days, wish, at, current.reference)
        composed["slot"] = [{"reference": one} for one in shown]
        if not shown:
            del composed["slot"]
        await slot_faces.refresh(world, unit, days, [one for one in slots_of(current) if one not in shown], at)
        await writes.check_scope(world, composed, "u")
        written, index = version_of(
            world, composed, id_=id_, version=current.version + 1, at=at, method="PUT",
            clinics=await clinics_of_booking(world, wish, composed, shown) or current.extra.get("clinics") or (),
            extra={**current.extra, "claim": claim_of(decision.entries), "slots": shown or None, "method": "PUT"},
        )  # fmt: skip
        await unit.replace(current, written, index)
        if wish.strangers:
            await unit.acquaint(wish.strangers, wish.clinics)
        if keyed:
            await keyed.remember(world, unit, written, 200)
        return written

    try:
        return await world.store.units.run(work, now=world.now(), turns=turns_of(request, [before]))
    except Refused as refused:
        raise await problem_of(world, refused, wish, owner=before.reference) from None


async def _wish(world: World, old: Wish, move: Move) -> Wish:
    """The new time with everybody of the old one, unless other Schedules are named."""
    if move.proposal:
        found = await of_proposal(world, move.proposal, "appointment")
    elif move.slots:
        found = await of_slots(world, move.slots, "slot")
    elif move.start is not None:
        check_years(move.start, move.end or move.start, "start")
        length = old.end - old.start
        schedules = old.schedules
        if move.schedules:
            named = await world.catalogue.schedules(move.schedules)
            if len(named) != len(set(move.schedules)):
                raise problem(Category.NOT_FOUND, "no such Schedule", "schedule")
            schedules = tuple(named.values())
        end = move.end if move.end is not None else move.start + length
        if end <= move.start:
            raise problem(Category.INVALID, "end is not after start", "end", "param-invalid")
        found = replace(old, start=move.start, end=end, schedules=schedules, published=None, anytime=frozenset())
    else:
        raise problem(Category.REQUIRED, "start, slot or appointment says where to move to", "start", "param-missing")
    pooled: set[str] = set()
    if old.service and old.schedules:
        # Rooms and devices are chosen anew for the new time.
        pooled = {key for pool in await world.catalogue.pools(old.schedules[0], old.service) for key in pool}
    old_keys = {key for facts in old.schedules for key in facts.keys}
    actors = tuple(key for key in old.actors if key not in old_keys)
    return replace(
        found,
        patients=old.patients,
        service=found.service or old.service,
        based_on=old.based_on,
        modality=old.modality,
        channel=move.channel or old.channel,
        actors=tuple(key for key in actors if key not in pooled),
    )


def _left(world: World, old: Wish, new: Wish) -> frozenset[str]:
    """Participants of the old time who do not take part in the new one: other providers, rooms from pools.

    They are named as calendar keys.
    """
    stay = {reference_of(one) for facts in new.schedules for one in facts.participants}
    left = {reference_of(one) for facts in old.schedules for one in facts.participants} - stay
    pooled = set(old.actors) - set(new.actors)
    return frozenset({*map(world.store.vault.calendar_key, left), *pooled})


def _moved(
    world: World, resource: Mapping[str, Any], wish: Wish, gone: frozenset[str], moves: int, move: Move
) -> dict[str, Any]:
    """The Appointment without the time and the people it leaves; who confirmed the old time is asked about the new."""
    kept = {name: value for name, value in resource.items() if name not in {"start", "end", "minutesDuration", "slot"}}
    sealed = world.store.vault.calendar_key
    kept["participant"] = [
        _unconfirmed(one, reference_of(one.get("actor"), world.bases))
        for one in resource.get("participant", ())
        if sealed(reference_of(one.get("actor"))) not in gone
    ]
    ours = {MOVES_URL, REASON_URL, SUSPECTED_URL}
    extensions = [one for one in resource.get("extension", ()) if one.get("url") not in ours]
    extensions.append({"url": MOVES_URL, "valuePositiveInt": moves})
    if move.reason:
        extensions.append({"url": REASON_URL, "valueCodeableConcept": dict(move.reason)})
    kept["extension"] = extensions
    if not wish.schedules:
        kept["start"], kept["end"] = format_instant(wish.start, UTC), format_instant(wish.end, UTC)
    return kept


def _unconfirmed(participant: dict[str, Any], actor: str) -> dict[str, Any]:
    agreed = actor.startswith("Patient/") and participant.get("status") in {"accepted", "tentative"}
    return {**participant, "status": "needs-action"} if agreed else participant


def _moves(resource: Mapping[str, Any]) -> int:
    for one in resource.get("extension", ()):
        if one.get("url") == MOVES_URL:
            return int(one.get("valuePositiveInt", 0))
    return 0

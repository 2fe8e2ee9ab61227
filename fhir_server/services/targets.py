"""What ``$hold`` and ``$book`` name, whatever the dialect, resolved to a booking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fhir_server.errors import Category, problem
from fhir_server.fhir.json import parse
from fhir_server.fhir.references import Reference
from fhir_server.fhir.temporal import instant_seconds
from fhir_server.services import conditional
from fhir_server.services.access import writes
from fhir_server.services.actors import with_own_references
from fhir_server.services.book import Booking
from fhir_server.services.booking import Wish, claimed
from fhir_server.services.cancel import check_cutoff
from fhir_server.services.conditions import Condition, check_version
from fhir_server.services.held import without_held_until
from fhir_server.services.upkeep import settled_read
from fhir_server.services.waitlist import answer
from fhir_server.services.waitlist.records import is_offer, kept, waits
from fhir_server.services.wishes import OVERRIDE_URL, of_appointment, of_proposal, of_slots, resolve
from fhir_server.services.world import Caller, World
from fhir_server.store.resources import Stored

SET_BY_SERVER = frozenset({"id", "meta", "status", "contained"})


@dataclass(frozen=True, slots=True)
class Target:
    """What a request names: an Appointment or proposal by reference, an Appointment as resource, or Slots.

    ``place`` is the FHIRPath where refusals point. ``condition``: the version of the Appointment that is meant.
    ``patient_resources`` are matched by identifier, or registered.
    """

    appointment: Reference | None = None
    resource: Mapping[str, Any] | None = None
    slots: tuple[Reference, ...] = ()
    patients: tuple[Reference, ...] = ()
    patient_resources: tuple[Mapping[str, Any], ...] = ()
    replaces: tuple[Reference, ...] = ()
    based_on: tuple[Reference, ...] = ()
    comment: str = ""
    channel: str = ""
    override_reason: str = ""
    place: str = "Appointment"
    condition: Condition = field(default_factory=Condition)


async def booking_of(world: World, caller: Caller, target: Target, *, register: bool = True) -> Booking:
    """The booking that a target asks for.

    :raises Problem: 400 if nothing is named, 404 for what does not exist, 409 ``hold-expired``, 422.
    """
    if target.resource is not None:
        target = replace(target, resource=with_own_references(target.resource, world.bases))
    patients = await patients_of(world, caller, target, register=register)
    await writes.check_named(world, target.resource or {}, target.place)
    id_ = target.appointment.id if target.appointment else str((target.resource or {}).get("id", ""))
    stored = await world.store.resources.get("Appointment", id_) if id_ else None
    stored = await writes.reached(world, stored, "cu") if stored and not stored.deleted else stored
    offered = stored is not None and is_offer(stored.extra)
    if stored and stored.extra.get("expires") is not None:
        stored = await settled_read(world, stored)
    if stored and (offered or (not stored.deleted and waits(stored))):
        answer.check(stored, _named(stored, target))
    sent = {name: value for name, value in kept({}, target.resource or {}).items() if name not in SET_BY_SERVER}
    hold: Stored | None = None
    if stored and not stored.deleted:
        wish, sent, hold = await _of_stored(world, stored, sent, target)
    elif target.appointment:
        if not target.appointment.local(world.bases):
            raise problem(Category.NOT_FOUND, "no such appointment or proposal", target.place)
        wish = await of_proposal(world, id_, target.place)
    elif target.resource and ("start" in target.resource or target.resource.get("slot")):
        wish = await of_appointment(world, target.resource)
    elif target.resource and id_:
        wish = await of_proposal(world, id_, target.place)
    elif target.slots:
        slots = [one.key for one in target.slots]
        wish = await of_slots(world, slots, target.place)
    else:
        text = "an appointment, a resource or a slot says what to book"
        raise problem(Category.REQUIRED, text, target.place, "param-missing")
    if wish.override_reason and target.resource:
        sent.setdefault("extension", list(target.resource.get("extension", ())))
    if target.override_reason:
        sent["extension"] = [
            *sent.get("extension", ()), {"url": OVERRIDE_URL, "valueString": target.override_reason}
        ]  # fmt: skip
    if target.comment:
        sent["comment"] = target.comment
    replaced = [await _replaced(world, one, target.place) for one in target.replaces]
    channel = writes.channel_of(caller, target.channel)
    for one in replaced:
        await check_cutoff(world, one, channel, "reschedule")
    based_on = [await resolve(world, one, "ServiceRequest") for one in target.based_on]
    await writes.check_references(world, [one for one in based_on if one], target.place)
    if hold and wish.patients and set(patients) - set(wish.patients):
        raise problem(Category.CONFLICT, "the time is held for another patient", target.place, "hold-foreign")
    if target.resource is None and not stored and patients:
        wish = replace(wish, patients=())  # who asks for a proposal says for whom; its own patient was a search
    wish = replace(
        wish,
        patients=tuple(dict.fromkeys([*wish.patients, *patients])),
        channel=writes.channel_of(caller, target.channel or wish.channel),
        override_reason=target.override_reason or wish.override_reason,
        based_on=tuple(one for one in based_on if one) or wish.based_on,
    )
    _check_replaced(replaced, wish, target.place)
    booking = Booking(wish, sent, hold, tuple(replaced), _place(target), was_held=hold is None and bool(stored))
    return await answer.accepted(world, booking) if offered else booking


def _named(stored: Stored, target: Target) -> answer.Named:
    """Which offer is meant: by the version, or by the start of the Appointment that was sent."""
    if not is_offer(stored.extra):
        return answer.UNNAMED
    check_version(target.condition, stored, "Appointment")
    start = (target.resource or {}).get("start")
    version = stored.version if set(target.condition.if_match) - {"*"} else None
    return answer.Named(version, instant_seconds(start) if start else None)


def _check_replaced(replaced: Sequence[Stored], wish: Wish, place: str) -> None:
    """:raises Problem: 422 for an Appointment of other people."""
    for one in replaced:
        patients = {key for key in claimed(one) if key.startswith("Patient/")}
        if patients and not patients & set(wish.patients):
            text = "the appointment to be replaced is of another patient"
            raise problem(Category.RULE, text, place, "not-eligible")


def _place(target: Target) -> str:
    return target.place if target.resource is None or "." in target.place else "Appointment"


async def _of_stored(
    world: World, stored: Stored, sent: dict[str, Any], target: Target
) -> tuple[Wish, dict[str, Any], Stored | None]:
    """A hold, a stored proposal, or a hold that is over (its time may be booked anew, under a new id)."""
    resource = parse(stored.body)
    status = resource["status"]
    kept = {name: value for name, value in resource.items() if name not in SET_BY_SERVER | {"cancelationReason"}}
    sent = {**without_held_until(kept), **{name: value for name, value in sent.items() if name == "comment"}}
    if status in {"pending", "proposed"}:
        return await of_appointment(world, resource, claimed(stored)), sent, stored
    if status == "cancelled" and stored.extra.get("expired"):
        sent["participant"] = [{**one, "status": "needs-action"} for one in sent.get("participant", ())]
        return await of_appointment(world, {**resource, "participant": sent["participant"]}), sent, None
    text = f"an appointment that is {status} cannot be booked"
    raise problem(Category.RULE, text, target.place, "illegal-transition")


async def _replaced(world: World, reference: Reference, place: str) -> Stored:
    found = await world.store.resources.get("Appointment", reference.id)
    found = await writes.reached(world, found, "u")
    if found is None or found.deleted:
        raise problem(Category.NOT_FOUND, "the appointment to be replaced does not exist", place)
    await writes.check_alone(world, found)
    return found


async def patients_of(world: World, caller: Caller, target: Target, *, register: bool) -> tuple[str, ...]:
    """``Patient/id`` of everybody named; a Patient sent as resource is matched by identifier, else registered.

    :raises Problem: 404 for a logical reference that matches nobody, 422 for a resource that cannot be registered.
    """
    found = []
    for reference in target.patients:
        name = await resolve(world, reference, "Patient")
        if name is None:
            raise problem(Category.NOT_FOUND, "no such patient", "patient")
        found.append(name)
    for resource in target.patient_resources:
        known = await _known(world, resource)
        if known is None and register:
            known = await _registered(world, caller, resource)
        if known:
            found.append(known)
    return tuple(dict.fromkeys(found))


async def _known(world: World, resource: Mapping[str, Any]) -> str | None:
    id_ = resource.get("id")
    if isinstance(id_, str):
        stored = await world.view.get("Patient", id_)
        if stored and not stored.deleted:
            return f"Patient/{id_}"
    for identifier in _identifiers(resource):
        reference = Reference("logical", type="Patient", system=identifier[0], value=identifier[1])
        if name := await resolve(world, reference, "Patient"):
            return name
    return None


def _identifiers(resource: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    return [
        (one.get("system", ""), one["value"])
        for one in resource.get("identifier", ())
        if isinstance(one, dict) and one.get("value")
    ]


async def _registered(world: World, caller: Caller, resource: Mapping[str, Any]) -> str:
    identifiers = _identifiers(resource)
    if not identifiers:
        text = "a patient who is new here needs an identifier"
        raise problem(Category.RULE, text, "patient", "not-eligible")
    system, value = identifiers[0]
    plain = {name: one for name, one in resource.items() if name not in {"id", "meta"}}
    escaped = value.replace("\\", "\\\\").replace(",", "\\,").replace("|", "\\|").replace("$", "\\$")
    written = await conditional.create(world, caller, plain, [("identifier", f"{system}|{escaped}")])
    return written.stored.reference

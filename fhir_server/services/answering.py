"""A participant's answer becomes the Appointment's next version: taken on, refused, booked or cancelled by it.

``$confirm``, AppointmentResponses and links end here. Who may answer for whom is decided before; from then on the
server acts on its own account, for an answer changes what the answerer alone could not: the state of a visit that
others take part in.
https://hl7.org/fhir/R4/appointmentresponse.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fhir_server.access.caller import Caller, Role
from fhir_server.errors import Category, problem
from fhir_server.fhir.json import parse
from fhir_server.fhir.temporal import instant_seconds
from fhir_server.scheduling.answers import ANSWERABLE, Kind, Part, effect
from fhir_server.scheduling.lifecycle import appointment_allows
from fhir_server.services import appointments, slot_faces
from fhir_server.services.access.policy import OWN
from fhir_server.services.actors import actor_key, reference_of
from fhir_server.services.book import cancel_in, slots_of
from fhir_server.services.booking import claim_of, claimed, claimed_days, give_back
from fhir_server.services.cancel import check_cutoff
from fhir_server.services.confirmation import awaited
from fhir_server.services.versions import version_of
from fhir_server.services.world import World
from fhir_server.store.resources import Stored
from fhir_server.store.unit import Overtaken, Unit

REASONS = "http://terminology.hl7.org/CodeSystem/appointment-cancellation-reason"
KINDS: Mapping[str, Kind] = {
    "Patient": "patient", "RelatedPerson": "companion", "Practitioner": "provider", "PractitionerRole": "provider",
}  # fmt: skip
WHY: Mapping[Kind, str] = {"provider": "prov"}
"""The code of the cancellation reason by who declined; ``pat`` is everybody else's."""


def inside(world: World, unit: Unit) -> World:
    """The world in an open unit on the server's own account; what is written keeps the stamp of who asked."""
    return world.under(OWN, world.stamp).within(unit, catalogue=False)


async def answer(
    world: World, unit: Unit, caller: Caller, before: Stored, places: Sequence[int], status: str, place: str
) -> Stored:
    """Write the next version of an Appointment with the answer; the same version if it says nothing new.

    :param world: :func:`inside` the unit.
    :param caller: who answers; their channel is bound by the cut-off.
    :param places: indexes of the participants for whom it is.
    :param status: ``accepted``, ``declined``, ``tentative`` or ``needs-action``.
    :param place: FHIRPath that refusals name.
    :raises Problem: 422 for an Appointment that cannot be answered any more; what the engine refuses.
    """
    resource = parse(before.body)
    check_open(world, caller, before, resource, place)
    old = resource["participant"]
    after = {
        **resource,
        "participant": [{**one, "status": status} if at in set(places) else one for at, one in enumerate(old)],
    }
    parts = [part_of(world, one) for one in after["participant"]]
    becomes = effect(parts, places, awaiting=awaited(before, resource))
    if becomes == "cancelled":
        await check_cutoff(world, before, caller.channel, "cancel")
        return await _cancelled(world, unit, before, WHY.get(parts[places[0]].kind, "pat"))
    if becomes == "booked" and appointment_allows(resource["status"], "booked"):
        after["status"] = "booked"
    if after == resource:
        return before
    left = [one for at, one in enumerate(old) if at in set(places) and one.get("status") != "declined"]
    back = [one for at, one in enumerate(old) if at in set(places) and one.get("status") == "declined"]
    if before.extra.get("claim") and status != "declined" and back:
        return await _again(world, before, after)
    if before.extra.get("claim") and status == "declined" and left:
        return await _without(world, unit, before, after, left)
    return await _written(world, unit, before, after, before.extra)


def check_open(world: World, caller: Caller, before: Stored, resource: Mapping[str, Any], place: str) -> None:
    """:raises Problem: 422 for an Appointment whose state cannot be answered, a hold, and a visit that has begun."""
    status = resource["status"]
    if status not in ANSWERABLE:
        text = f"an appointment that is {status} cannot be answered"
        raise problem(Category.RULE, text, place, "illegal-transition")
    if before.extra.get("expires") is not None:
        text = "the time is held, not asked about: $book books it, $release gives it back"
        raise problem(Category.RULE, text, place, "illegal-transition")
    if caller.role is Role.PATIENT and "start" in resource and instant_seconds(resource["start"]) <= world.now():
        raise problem(Category.RULE, "the visit has begun; call the clinic", place, "cutoff-passed")


def part_of(world: World, participant: Mapping[str, Any]) -> Part:
    """A participant in the words of the pure domain."""
    actor = participant.get("actor") or {}
    type_ = reference_of(actor, world.bases).partition("/")[0]
    kind = KINDS.get(type_) or KINDS.get(str(actor.get("type", "")), "thing")
    return Part(kind, participant.get("required", "required") == "required", str(participant.get("status", "")))


async def _cancelled(world: World, unit: Unit, before: Stored, why: str) -> Stored:
    at = world.clock()
    days = await give_back(unit, [before])
    await slot_faces.refresh(world, unit, days, slots_of(before), at)
    return await cancel_in(world, unit, before, at, {"coding": [{"system": REASONS, "code": why}]})


async def _again(world: World, before: Stored, after: dict[str, Any]) -> Stored:
    """Who had declined comes after all: their time is taken by the engine."""
    clinics = before.extra.get("clinics") or ()
    written = await appointments.change(world, world.policy.caller, before, after, before.id, clinics)
    if written is None:
        raise Overtaken
    return written


async def _without(
    world: World, unit: Unit, before: Stored, after: dict[str, Any], left: Sequence[Mapping[str, Any]]
) -> Stored:
    """Who declines gives back their own time; that of the others stays as it was granted."""
    gone = await _keys(world, left)
    days = await unit.days(claimed_days(before))
    days.remove(before.reference)
    stay = {
        key: entry._replace(patients=tuple(one for one in entry.patients if one not in gone))
        for key, entry in claimed(before).items()
        if key not in gone
    }
    for key, entry in stay.items():
        days.put(key, entry)
    await slot_faces.refresh(world, unit, days, slots_of(before), world.clock())
    return await _written(world, unit, before, after, {**before.extra, "claim": claim_of(stay)})


async def _keys(world: World, participants: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Calendar keys of participants; a role is its practitioner, a place is looked at whether it is a room."""
    names = [reference_of(one.get("actor"), world.bases) for one in participants]
    around: dict[str, Any] = {}
    for type_ in ("PractitionerRole", "Location"):
        ids = [one.partition("/")[2] for one in names if one.startswith(f"{type_}/")]
        around |= {one.reference: parse(one.body) for one in await world.store.resources.get_many(type_, ids)}
    keys = (actor_key(one, around) or one for one in names)
    return frozenset({*names, *map(world.store.vault.calendar_key, keys)})


async def _written(
    world: World, unit: Unit, before: Stored, after: Mapping[str, Any], extra: Mapping[str, Any]
) -> Stored:
    written, index = version_of(
        world, after, id_=before.id, version=before.version + 1, at=world.clock(), method="PUT",
        clinics=before.extra.get("clinics") or (), extra={**extra, "method": "PUT"},
    )  # fmt: skip
    await unit.replace(before, written, index)
    return written

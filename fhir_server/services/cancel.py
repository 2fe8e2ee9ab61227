"""``$cancel``: the time is free at once, the reason is kept, the policy's cut-off is obeyed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fhir_server.access.caller import Role
from fhir_server.errors import Category, Problem, problem
from fhir_server.fhir.json import dump, parse
from fhir_server.scheduling.lifecycle import appointment_allows, takes_time
from fhir_server.scheduling.policy import cutoff_passed
from fhir_server.services import slot_faces
from fhir_server.services.access import writes
from fhir_server.services.book import cancel_in, slots_of
from fhir_server.services.booking import Changed, afresh, claimed, give_back, policy_of
from fhir_server.services.conditions import Condition, check_version
from fhir_server.services.held import check_owner
from fhir_server.services.keyed import Keyed, once
from fhir_server.services.wishes import of_appointment
from fhir_server.services.world import Caller, World
from fhir_server.settings import CANONICAL
from fhir_server.store.resources import Stored
from fhir_server.store.unit import Unit

CANCELLED_BY_URL = f"{CANONICAL}StructureDefinition/cancelled-by"
EXEMPT_CHANNELS = frozenset({"staff", "phone", "interface"})


@dataclass(frozen=True, slots=True)
class Cancellation:
    """Why and by whom; ``channel`` says who asks: staff are not bound by the cut-off."""

    reason: Mapping[str, Any] | None = None
    comment: str = ""
    channel: str = ""
    condition: Condition = field(default_factory=Condition)


async def cancel(world: World, caller: Caller, id_: str, asked: Cancellation, keyed: Keyed | None = None) -> Stored:
    """Cancel an Appointment; cancelling one that is cancelled changes nothing.

    :raises Problem: 404, 409 ``hold-foreign``, 412, 422 ``cutoff-passed`` or ``illegal-transition``.
    """

    async def work() -> Stored:
        return await afresh(lambda: _cancel(world, caller, id_, asked, keyed))

    written: Stored = await once(world, keyed, work)
    return written


async def _cancel(world: World, caller: Caller, id_: str, asked: Cancellation, keyed: Keyed | None) -> Stored:
    before = await writes.reached(world, await world.store.resources.get("Appointment", id_), "u")
    if before is None or before.deleted:
        raise problem(Category.NOT_FOUND, "no such appointment", "Appointment.id")
    await writes.check_alone(world, before)
    await check_cutoff(world, before, writes.channel_of(caller, asked.channel), "cancel")

    async def work(unit: Unit) -> Stored:
        at = world.clock()
        current = await unit.get("Appointment", id_)
        if current is None or current.deleted:
            raise problem(Category.GONE, "the appointment is deleted", "Appointment.id")
        if current.version != before.version:
            raise Changed  # the cut-off was judged by another time
        check_version(asked.condition, current, "Appointment")
        if current.extra.get("expires") is not None:
            check_owner(current, caller, "Appointment")
        resource = parse(current.body)
        if resource["status"] == "cancelled":
            return current
        if not appointment_allows(resource["status"], "cancelled"):
            text = f"an appointment that is {resource['status']} cannot be cancelled"
            raise problem(Category.RULE, text, "Appointment.status", "illegal-transition")
        days = await give_back(unit, [current])
        await slot_faces.refresh(world, unit, days, slots_of(current), at)
        written = await cancel_in(world, unit, with_note(current, asked), at, asked.reason)
        await writes.check_scope(world, parse(written.body), "u")
        if keyed:
            await keyed.remember(world, unit, written, 200)
        return written

    turns = sorted(claimed(before))
    return await world.store.units.run(work, now=world.now(), turns=turns)


def with_note(stored: Stored, asked: Cancellation) -> Stored:
    """The Appointment with the canceller's comment and channel, not written yet."""
    if not asked.comment and not asked.channel:
        return stored
    resource = parse(stored.body)
    if asked.comment:
        resource["comment"] = asked.comment
    if asked.channel:
        kept = [one for one in resource.get("extension", ()) if one.get("url") != CANCELLED_BY_URL]
        resource["extension"] = [*kept, {"url": CANCELLED_BY_URL, "valueCode": asked.channel}]
    return replace(stored, body=dump(resource))


async def check_cutoff(world: World, before: Stored, channel: str, act: str) -> None:
    """Refuse when the policy's cut-off for ``cancel`` or ``reschedule`` has passed, unless staff ask.

    Patients cancel and move nothing that has begun: they would not have missed it then.

    :raises Problem: 422 ``cutoff-passed``.
    """
    resource = parse(before.body)
    if channel in EXEMPT_CHANNELS or not takes_time(resource["status"]) or before.extra.get("expires") is not None:
        return
    if "start" not in resource:
        return
    try:
        wish = await of_appointment(world, resource)
    except Problem:
        return  # what it was booked on is gone, and its policy with it
    if world.policy.caller.role is Role.PATIENT and wish.start <= world.now():
        text = f"the visit has begun, or its time is over; call the clinic to {act} it"
        raise problem(Category.RULE, text, "Appointment.start", "cutoff-passed")
    policy = policy_of(wish)
    cutoff = policy.cancel_cutoff if act == "cancel" else policy.reschedule_cutoff
    if cutoff is not None and cutoff_passed(cutoff, wish.start, world.now()):
        text = f"it is too late to {act} this appointment; call the clinic"
        raise problem(Category.RULE, text, "Appointment.start", "cutoff-passed")

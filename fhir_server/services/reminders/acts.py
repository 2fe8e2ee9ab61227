"""What patients do about an appointment without logging in: by a link, a text message or a key of the telephone.

They act as themselves, through the same use cases, rules and record as with a login, and on this one appointment alone.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import Any, Literal

from fhir_server.access import scopes
from fhir_server.access.caller import Caller, Role
from fhir_server.access.record import MINOR, SUCCESS, Accessed, by, stamp
from fhir_server.errors import Category, Problem, problem
from fhir_server.fhir.parameters import Moment
from fhir_server.services import cancel as cancelling
from fhir_server.services import reschedule as moving
from fhir_server.services import resources
from fhir_server.services.access import about
from fhir_server.services.access.policy import OWN, AccessPolicy
from fhir_server.services.actors import reference_of
from fhir_server.services.booking import LAST_INSTANT
from fhir_server.services.candidates import Criteria
from fhir_server.services.find import find
from fhir_server.services.free_time import Free
from fhir_server.services.proposals import proposal_id
from fhir_server.services.reminders.people import MEDIUM_SYSTEM
from fhir_server.services.reminders.requests import coded, id_of
from fhir_server.services.reminders.visits import Visit, visit_of
from fhir_server.services.versions import instant, version_of
from fhir_server.services.waitlist import answer as waitlist
from fhir_server.services.wishes import of_appointment, of_proposal
from fhir_server.services.world import World
from fhir_server.settings import CANONICAL
from fhir_server.store.resources import Stored
from fhir_server.store.unit import Unit

SCOPES = scopes.parse("patient/Appointment.rus patient/Slot.rs patient/Schedule.rs patient/HealthcareService.rs")
PATIENT_REASON = {"coding": [{"system": f"{CANONICAL}CodeSystem/cancellation-reason", "code": "patient-request"}]}
AHEAD_SECONDS = 180 * 86400
"""How far ahead other times are offered where the policy states no horizon."""

MOST_TIMES = 10_000
"""More than the starts of the days that are looked at together."""


@dataclass(frozen=True, slots=True)
class Patient:
    """Who acts, and how they came: ``by`` is ``message-link``, ``text-message`` or ``telephone-key``."""

    reference: str
    by: str
    network: str = ""


async def confirm(world: World, who: Patient, appointment: str) -> Stored:
    """The patient says that they come; saying it twice changes nothing.

    :raises Problem: 404 for what they do not take part in, 422 for what is not booked.
    """
    mine, caller = await _as(world, who, "patch")
    act = resources.patch(mine, caller, "Appointment", appointment, _taking_part(world, who, "accepted"))
    return await _recorded(mine, who, caller, "patch", appointment, _stored(act))


def _taking_part(world: World, who: Patient, status: str) -> resources.Change:
    """Sets how the patient takes part, and nothing else."""

    def changed(before: dict[str, Any]) -> dict[str, Any]:
        people = [
            {**one, "status": status} if reference_of(one.get("actor"), world.bases) == who.reference else one
            for one in before.get("participant", ())
        ]
        return {**before, "participant": people}

    return changed


async def _leave(world: World, who: Patient, appointment: str) -> Stored:
    """The patient leaves a visit of several: the server writes it, for a patient names no others."""
    mine, caller = await _as(world, who, "patch")
    found = await world.store.resources.get("Appointment", appointment)
    if found is not None:
        await cancelling.check_cutoff(mine, found, caller.channel, "cancel")
    own = replace(OWN.caller, channel=caller.channel)
    act = resources.patch(
        mine.under(OWN, mine.stamp), own, "Appointment", appointment, _taking_part(world, who, "declined")
    )
    return await _recorded(mine, who, caller, "patch", appointment, _stored(act))


async def cancel(world: World, who: Patient, appointment: str) -> Stored:
    """The patient does not come; the time is free for others. Where others come too, these still do.

    :raises Problem: 422 ``cutoff-passed``: it is too late by the clinic's policy.
    """
    visit = await seen(world, who, appointment)
    if visit is not None and len(visit.patients) > 1:
        return await _leave(world, who, appointment)
    mine, caller = await _as(world, who, "$cancel")
    asked = cancelling.Cancellation(reason=PATIENT_REASON)
    return await _recorded(
        mine, who, caller, "$cancel", appointment, cancelling.cancel(mine, caller, appointment, asked)
    )


async def move(world: World, who: Patient, appointment: str, proposal: str) -> Stored:
    """The patient comes at another time.

    :param proposal: the id of a proposal that :func:`times` gave.
    :raises Problem: 409 somebody was faster, 422 too late or not offered.
    """
    mine, caller = await _as(world, who, "$reschedule")
    wanted = moving.Move(proposal=proposal)
    return await _recorded(
        mine, who, caller, "$reschedule", appointment, moving.reschedule(mine, caller, appointment, wanted)
    )


async def is_late(world: World, who: Patient, appointment: str, act: Literal["cancel", "reschedule"]) -> bool:
    """Whether the clinic's cut-off for this has passed."""
    mine, caller = await _as(world, who, f"${act}")
    found = await world.store.resources.get("Appointment", appointment)
    try:
        if found is not None:
            await cancelling.check_cutoff(mine, found, caller.channel, act)
    except Problem:
        return True
    return False


async def answer_offer(world: World, who: Patient, appointment: str, start: int, *, accepts: bool) -> Stored:
    """The patient takes the time that they are offered from the waitlist, or does not.

    :param start: of the time that is meant, in epoch seconds.
    :raises Problem: 409 ``hold-expired``: it is not offered any more.
    """
    interaction = "$book" if accepts else "update"
    mine, caller = await _as(world, who, interaction)
    named = waitlist.Named(start=start)
    answer = waitlist.accept if accepts else waitlist.decline
    return await _recorded(mine, who, caller, interaction, appointment, answer(mine, caller, appointment, named))


@dataclass(frozen=True, slots=True)
class Others:
    """Other times in a window; ``next``: from when on (epoch seconds) there may be more, None where there are none."""

    times: tuple[Free, ...]
    next: int | None


def latest(world: World, visit: Visit) -> int:
    """The last second at which a visit may start that is moved now."""
    horizon = visit.policy.horizon
    return min(world.now() + (AHEAD_SECONDS if horizon is None else horizon), LAST_INSTANT - 60 * 86400)


async def times(world: World, who: Patient, visit: Visit, low: int, high: int) -> Others:
    """Other times with the same people for the same service that start in ``[low, high)``, the next ones first."""
    low = max(low, world.now())
    if low >= high:
        return Others((), None)
    mine, _ = await _as(world, who, "$find")
    wish = await of_appointment(mine, visit.resource)
    if not wish.schedules:
        return Others((), None)
    duration = visit.end - visit.start
    asked = Criteria(
        Moment("", low, None),
        Moment("", high + duration, None),
        services=(wish.service.id,) if wish.service else (),
        schedules=tuple(one.id for one in wish.schedules),
        patients=(who.reference,),
        duration=duration,
        modality=visit.modality,
        ignore=frozenset({visit.reference}),
    )
    found = await find(mine, asked, count=MOST_TIMES)
    if not found.times:
        return Others((), found.next_available.start if found.next_available else None)
    return Others(tuple(one for one in found.times if one.start < high and one.start != visit.start), high)


async def check_offered(world: World, who: Patient, visit: Visit, proposal: str) -> None:
    """Whether a time is one of the other times.

    :raises Problem: 409 ``slot-taken`` for one that is not free any more, 422 ``not-offered`` for what never was one.
    """
    mine, _ = await _as(world, who, "$find")
    strange = problem(Category.RULE, "this time is not offered for this appointment", "time", "not-offered")
    try:
        wanted = await of_proposal(mine, proposal, "time")
    except Problem:
        raise strange from None
    if not world.now() < wanted.start <= latest(world, visit):
        raise strange
    others = await times(world, who, visit, wanted.start, wanted.start + 1)
    if proposal in {proposal_id(one, (who.reference,)) for one in others.times}:
        return
    own = await of_appointment(mine, visit.resource)
    if (
        {one.id for one in wanted.schedules} != {one.id for one in own.schedules}
        or (wanted.service and own.service and wanted.service.id != own.service.id)
        or wanted.end - wanted.start != visit.end - visit.start
        or set(wanted.patients) - {who.reference}
    ):
        raise strange
    raise problem(Category.CONFLICT, "this time is not free any more", "time", "slot-taken")


async def opt(world: World, who: Patient, medium: str, *, permitted: bool) -> None:
    """The patient wants no messages by a channel any more, or wants them again: a Consent of their own says it.

    There is one for each patient and channel; it has the patient's last word.
    """
    _, caller = await _as(world, who, "update")
    said = stamp(caller, "update", "U", secrets.token_hex(8), process=world.record.process, network=who.network)
    mine = world.under(OWN, said)
    id_ = id_of("", who.reference, f"consent-{medium}", 0)
    resource = _consent(world, who.reference, medium, permitted=permitted)
    clinics = await about.clinics_of(mine, {**resource, "id": id_})

    async def work(unit: Unit) -> Stored:
        before = await unit.get("Consent", id_)
        written, index = version_of(
            mine, resource, id_=id_, version=before.version + 1 if before else 1, at=world.clock(),
            method="PUT" if before else "POST", clinics=clinics,
        )  # fmt: skip
        await unit.write(before, written, index)
        return written

    written = await world.store.units.run(work, now=world.now())
    touched = Accessed("Consent", id_, written.version, (who.reference,), written=True)
    await world.record.add(
        by(caller, "update", at=world.unmoved().clock(), outcome=SUCCESS, network=who.network, objects=(touched,))
    )


def _consent(world: World, patient: str, medium: str, *, permitted: bool) -> dict[str, Any]:
    who = {"reference": patient}
    rule = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTIN" if permitted else "OPTOUT"}
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": coded("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
        "category": [coded(f"{CANONICAL}CodeSystem/consent-category", "communication")],
        "patient": who,
        "dateTime": instant(world.clock()),
        "performer": [who],
        "policyRule": {"coding": [rule]},
        "provision": {"type": "permit" if permitted else "deny", "code": [coded(MEDIUM_SYSTEM, medium)]},
    }


async def show(world: World, who: Patient, visit: Visit) -> None:
    """Record that somebody is shown an appointment."""
    _, caller = await _as(world, who, "read")
    found = await world.store.resources.get("Appointment", visit.id)
    touched = Accessed("Appointment", visit.id, found.version if found else 0, tuple(visit.patients))
    await world.record.add(
        by(caller, "read", at=world.unmoved().clock(), outcome=SUCCESS, network=who.network, objects=(touched,))
    )


async def seen(world: World, who: Patient, appointment: str) -> Visit | None:
    """The appointment as it is now, if the patient takes part in it."""
    found = await world.store.resources.get("Appointment", appointment)
    visit = await visit_of(world, found) if found else None
    return visit if visit and who.reference in visit.patients else None


async def _stored(written: Any) -> Stored:
    found: Stored = (await written).stored
    return found


async def _as(world: World, who: Patient, interaction: str) -> tuple[World, Caller]:
    """The world of the patient."""
    caller = Caller(
        client=who.by,
        channel="online",
        role=Role.PATIENT,
        scopes=SCOPES,
        issuer=world.settings.issuer,
        fhir_user=who.reference,
        persons=(who.reference,),
        patient=who.reference,
    )
    policy = AccessPolicy(caller)
    await policy.begin(world)
    said = stamp(caller, interaction, "U", secrets.token_hex(8), process=world.record.process, network=who.network)
    return world.under(policy, said), caller


async def _recorded(world: World, who: Patient, caller: Caller, interaction: str, id_: str, act: Any) -> Stored:
    """Do it and record it, done or refused.

    :param world: that of the caller.
    """
    at = world.unmoved().clock()
    try:
        written: Stored = await act
    except Problem as refused:
        reason = refused.issues[0].code if refused.issues else ""
        await world.record.add(
            by(caller, interaction, at=at, action="E", outcome=MINOR, network=who.network,
               patients=(who.reference,), reason=reason or refused.category.issue_code)
        )  # fmt: skip
        raise
    # What was so already made no version.
    made = (written.extra.get("by") or {}).get("request_id") == world.stamp["request_id"]
    touched = Accessed("Appointment", id_, written.version, tuple(written.extra.get("patients") or ()), written=made)
    await world.record.add(
        by(caller, interaction, at=at, action="E", outcome=SUCCESS, network=who.network, objects=(touched,))
    )
    return written

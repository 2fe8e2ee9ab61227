"""Whether a patient comes, has come, or did not: ``$confirm``, ``$checkin``, ``$noshow`` and what takes them back.

act         who                      from → to                                      when
----------  -----------------------  ---------------------------------------------  ----------------------------------
confirm     patients for those they  the patient takes part: accepted               before the start; staff at any time
            act for, staff
check in    staff, a kiosk           booked → arrived or checked-in,                checkInOpens … checkInCloses;
                                     arrived → checked-in                           staff with a reason at any time
no-show     staff                    booked → noshow                                from flagAfter after the start on
undo        staff; patients their    back, where it came from                       undoWindow
            own confirmation

Each is idempotent: what is so already stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fhir_server.access.caller import Caller, Role
from fhir_server.access.rules import STATE_CHANNEL
from fhir_server.errors import Category, Problem, problem
from fhir_server.fhir.json import parse
from fhir_server.scheduling import arrival, no_show
from fhir_server.scheduling.arrival import ARRIVALS, Past
from fhir_server.services import answering
from fhir_server.services.access import writes
from fhir_server.services.access.policy import OWN
from fhir_server.services.actors import reference_of
from fhir_server.services.appointments import change
from fhir_server.services.booking import Changed, afresh, claimed
from fhir_server.services.conditions import Condition, check_version
from fhir_server.services.keyed import Keyed, once
from fhir_server.services.visit_windows import CODE, EARLY, LATE, PLACE, policy_for, times
from fhir_server.services.wishes import OVERRIDE_URL
from fhir_server.services.world import World
from fhir_server.store.resources import Stored
from fhir_server.store.unit import Unit

VERSIONS = 50
"""So far back ``$undo`` looks for the last transition."""

STATUS, PARTICIPANT = "Appointment.status", "Appointment.participant"

REASON_URL = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Appointment.cancellationReason"
"""Why a visit was missed: R4's app-4 leaves cancelationReason to those that are cancelled, R5 has it for both."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What an act is about. ``patient``: the participant (``Patient/1``), empty: all whom the caller speaks for.
    ``to``: ``checked-in`` or ``arrived``. ``reason``: why the patient did not come. ``override``: why a window is set
    aside.
    """

    patient: str = ""
    to: str = "checked-in"
    reason: Mapping[str, Any] | None = None
    override: str = ""
    condition: Condition = field(default_factory=Condition)


async def confirm(world: World, caller: Caller, id_: str, asked: Asked, keyed: Keyed | None = None) -> Stored:
    """The patient comes; the stored Appointment.

    :raises Problem: 404, 412, 422 for an Appointment that cannot be confirmed, or in which the patient takes no part.
    """

    async def work(inner: World, unit: Unit, before: Stored) -> Stored:
        own = None if caller.role is not Role.PATIENT else await world.policy.people(world)
        places = patients_of(world, parse(before.body), own, asked.patient)
        return await answering.answer(inner, unit, caller, before, places, "accepted", STATUS)

    return await _run(world, id_, asked.condition, work, keyed)


async def check_in(world: World, caller: Caller, id_: str, asked: Asked, keyed: Keyed | None = None) -> Stored:
    """The patient is there; the stored Appointment.

    :raises Problem: 403 for patients themselves, 404, 412, 422 ``illegal-transition`` or ``outside-window``.
    """
    check_staff(caller, "staff check in, or the link of a kiosk does")

    async def work(inner: World, _: Unit, before: Stored) -> Stored:
        return await checked_in(inner, before, asked)

    return await _run(world, id_, asked.condition, work, keyed)


async def checked_in(world: World, before: Stored, asked: Asked) -> Stored:
    """Write that the patient is there, whoever says so.

    :param world: on the server's own account, inside a unit.
    """
    resource = parse(before.body)
    if asked.to == resource["status"] or (asked.to == "arrived" and resource["status"] == "checked-in"):
        return before
    if asked.to not in ARRIVALS.get(resource["status"], ()):
        raise _illegal(resource["status"], "cannot be checked in")
    start, end = times(resource)
    side = arrival.checkin_side(await policy_for(world, resource), start, end, world.now())
    if side != "inside" and not asked.override:
        raise problem(Category.RULE, EARLY[asked.to] if side == "early" else LATE, PLACE, CODE)
    return await _changed(world, before, _overridden({**resource, "status": asked.to}, asked))


async def missed(world: World, caller: Caller, id_: str, asked: Asked, keyed: Keyed | None = None) -> Stored:
    """The patient did not come; the stored Appointment.

    :raises Problem: 403 for patients, 404, 412, 422 ``illegal-transition`` or ``outside-window``.
    """
    check_staff(caller, "the clinic says who did not come")

    async def work(inner: World, _: Unit, before: Stored) -> Stored:
        resource = parse(before.body)
        if resource["status"] == "noshow":
            return before
        if resource["status"] != "booked":
            raise _illegal(resource["status"], "was not missed")
        terms = (await policy_for(inner, resource)).no_show or no_show.DEFAULT
        if inner.now() < no_show.suspected_at(terms, times(resource)[0]):
            raise problem(Category.RULE, EARLY["noshow"], PLACE, CODE)
        missed_ = {**_without_reason(resource), "status": "noshow"}
        if asked.reason:
            why = {"url": REASON_URL, "valueCodeableConcept": dict(asked.reason)}
            missed_["extension"] = [*missed_.get("extension", ()), why]
        return await _changed(inner, before, missed_)

    return await _run(world, id_, asked.condition, work, keyed)


async def undo(world: World, caller: Caller, id_: str, asked: Asked, keyed: Keyed | None = None) -> Stored:
    """Take the last of these acts back; the stored Appointment.

    :raises Problem: 403, 404, 409 ``slot-taken`` where its time is gone, 412, 422 ``illegal-transition`` where there is
        nothing to take back, ``outside-window``.
    """

    async def work(inner: World, _: Unit, before: Stored) -> Stored:
        resource = parse(before.body)
        versions = await _versions(inner, before)
        found = arrival.last_transition([_past(world, parse(one.body), one.at // 1000) for one in versions])
        if found is None or not arrival.can_undo(*found):
            raise _illegal(resource["status"], "has nothing to take back")
        older, newer = found
        if older.status != newer.status:
            check_staff(caller, "the clinic said it, the clinic takes it back")
        elif caller.role is Role.PATIENT:
            changed = {name for name in newer.patients if newer.patients[name] != older.patients[name]}
            if not changed <= await world.policy.people(world):
                raise writes.refused(PARTICIPANT, "others confirmed it")
            answering.check_open(world, caller, before, resource, STATUS)
        if not arrival.still_open(await policy_for(inner, resource), newer.at, inner.now()):
            raise problem(Category.RULE, "it is too late to take this back", STATUS, "outside-window")
        return await _changed(inner, before, _restored(world, resource, older), undoing=True)

    return await _run(world, id_, asked.condition, work, keyed)


Work = Callable[[World, Unit, Stored], Any]


async def _run(world: World, id_: str, condition: Condition, work: Work, keyed: Keyed | None) -> Stored:
    """Run an act on the current version in one transaction, again while somebody is faster."""

    async def attempt() -> Stored:
        read = await writes.reached(world, await world.store.resources.get("Appointment", id_), "u")
        if read is None or read.deleted:
            raise problem(Category.NOT_FOUND, "no such appointment", "Appointment.id")

        async def inside(unit: Unit) -> Stored:
            before = await unit.get("Appointment", id_)
            if before is None or before.version != read.version:
                raise Changed
            check_version(condition, before, "Appointment")
            written: Stored = await work(answering.inside(world, unit), unit, before)
            await writes.check_scope(world, parse(written.body), "u")
            if keyed:
                await keyed.remember(world, unit, written, 200)
            return written

        return await world.store.units.run(inside, now=world.now(), turns=sorted(claimed(read)))

    stored: Stored = await once(world, keyed, lambda: afresh(attempt))
    return stored


async def _changed(world: World, before: Stored, after: dict[str, Any], *, undoing: bool = False) -> Stored:
    clinics = before.extra.get("clinics") or ()
    written = await change(world, OWN.caller, before, after, before.id, clinics, undoing=undoing, in_time=True)
    if written is None:
        raise Changed
    return written


def check_staff(caller: Caller, text: str) -> None:
    """:raises Problem: 403 for whoever is not of the clinic."""
    if caller.role not in STATE_CHANNEL:
        raise writes.refused(STATUS, text)


def patients_of(
    world: World, resource: Mapping[str, Any], own: frozenset[str] | None, named: str = ""
) -> Sequence[int]:
    """Indexes of the patients who take part.

    :param own: only these; None: all.
    :param named: only this one.
    :raises Problem: 422 where nobody is left.
    """
    found = []
    for index, one in enumerate(resource.get("participant", ())):
        name = reference_of(one.get("actor"), world.bases)
        if name.startswith("Patient/") and (own is None or name in own) and named in {"", name}:
            found.append(index)
    if not found:
        raise problem(Category.RULE, "the patient takes no part in the appointment", PARTICIPANT, "not-eligible")
    return found


def _overridden(resource: dict[str, Any], asked: Asked) -> dict[str, Any]:
    if not asked.override:
        return resource
    kept = [one for one in resource.get("extension", ()) if one.get("url") != OVERRIDE_URL]
    return {**resource, "extension": [*kept, {"url": OVERRIDE_URL, "valueString": asked.override}]}


async def _versions(world: World, before: Stored) -> list[Stored]:
    """The version and those before it, the newest first, as far as they may matter."""
    found = [before]
    for number in range(before.version - 1, max(0, before.version - VERSIONS), -1):
        older = await world.store.resources.version("Appointment", before.id, number)
        if older is None or older.deleted:
            break
        found.append(older)
        if not _past(world, parse(older.body), 0).same(_past(world, parse(before.body), 0)):
            break
    return found


def _past(world: World, resource: Mapping[str, Any], at: int) -> Past:
    patients = {
        name: str(one.get("status", ""))
        for one in resource.get("participant", ())
        if (name := reference_of(one.get("actor"), world.bases)).startswith("Patient/")
    }
    return Past(at, resource["status"], patients)


def _restored(world: World, resource: Mapping[str, Any], older: Past) -> dict[str, Any]:
    """The Appointment as it is now, in the state in which it was."""
    kept = _without_reason(resource)
    participants = [
        {**one, "status": older.patients.get(reference_of(one.get("actor"), world.bases), one.get("status"))}
        for one in resource.get("participant", ())
    ]
    return {**kept, "status": older.status, "participant": participants}


def _without_reason(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Without why it was missed."""
    kept = {name: value for name, value in resource.items() if name not in {"cancelationReason", "extension"}}
    extensions = [one for one in resource.get("extension", ()) if one.get("url") != REASON_URL]
    return {**kept, "extension": extensions} if extensions else kept


def _illegal(status: str, text: str) -> Problem:
    return problem(Category.RULE, f"an appointment that is {status} {text}", STATUS, "illegal-transition")

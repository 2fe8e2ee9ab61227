"""AppointmentResponse: an answer and what it does to its Appointment are one transaction.

who answers         for whom
------------------  --------------------------------------------------------------------------------
a patient           themselves and those they act for
a practitioner      themselves, in whichever role, and patients whom they care for
other staff         everybody who takes part in an Appointment inside their walls
a system client     the same, inside its walls if it has any

An answer to an offer of the waitlist is the waitlist's to judge. One to an Appointment that this server does not hold
has no effect. One that says what its participant said already is kept, and changes nothing.
https://hl7.org/fhir/R4/appointmentresponse.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_server.access.caller import Caller, Role
from fhir_server.errors import Category, problem
from fhir_server.fhir.json import parse
from fhir_server.services import answering
from fhir_server.services.access.about import clinics_of
from fhir_server.services.access.writes import refused
from fhir_server.services.actors import reference_of, tokens_of
from fhir_server.services.booking import Already, Changed, afresh, claimed, unchanged
from fhir_server.services.keyed import Keyed, once
from fhir_server.services.versions import version_of
from fhir_server.services.waitlist.responses import respond
from fhir_server.services.wishes import resolve_logical
from fhir_server.services.world import World
from fhir_server.store.resources import Stored
from fhir_server.store.unit import Unit

ACTOR, TYPE, APPOINTMENT = (
    f"AppointmentResponse.{one}" for one in ("actor", "participantType", "appointment")
)  # fmt: skip


async def create(
    world: World,
    caller: Caller,
    resource: dict[str, Any],
    id_: str,
    keyed: Keyed | None = None,
    method: str = "POST",
    already: Already | None = None,
) -> Stored:
    """Store an answer under a new id, with its effect.

    :raises Problem: 403 for whom the caller does not speak for, 422 for an Appointment that cannot be answered so.
    :raises Changed: somebody else created it meanwhile (update as create).
    """
    await check_actor(world, caller, resource)
    clinics = await clinics_of(world, {**resource, "id": id_})

    async def attempt() -> Stored:
        visit = await _visit(world, resource)

        async def work(unit: Unit) -> Stored:
            if already and (known := await already(unit)):
                return known
            before = await unit.get("AppointmentResponse", id_)
            if before and not before.deleted:
                raise Changed
            await _act(world, unit, caller, resource, visit, loaded=method == "PUT")
            written, index = version_of(
                world, resource, id_=id_, version=before.version + 1 if before else 1, at=world.clock(), method=method,
                clinics=clinics,
            )  # fmt: skip
            await unit.write(before, written, index)
            if keyed:
                await keyed.remember(world, unit, written, 201)
            return written

        return await world.store.units.run(work, now=world.now(), turns=sorted(claimed(visit)) if visit else ())

    async def run() -> Stored:
        former = await world.store.resources.get("AppointmentResponse", id_) if method == "PUT" else None
        # An offer of the waitlist has rules of its own: whose turn it is, and which offer the answer means.
        if answer := await respond(world, caller, resource, id_, clinics, former, keyed, method, already):
            return answer
        return await attempt() if method == "PUT" else await afresh(attempt)

    written: Stored = await once(world, keyed, run)
    return written


async def change(
    world: World, caller: Caller, before: Stored | None, after: dict[str, Any], id_: str, clinics: tuple[str, ...]
) -> Stored | None:
    """Store the next version of an answer; one that says something else than before acts. None: somebody was faster."""
    try:
        if before is None or before.deleted:
            return await create(world, caller, after, id_, None, "PUT")
        await check_actor(world, caller, after)
        if answer := await respond(world, caller, after, id_, clinics, before):
            return answer
        old = parse(before.body)
        acts = any(old.get(one) != after.get(one) for one in ("appointment", "actor", "participantType",
                                                              "participantStatus"))  # fmt: skip
        visit = await _visit(world, after) if acts else None

        async def work(unit: Unit) -> Stored:
            await unchanged(unit, before)
            await _act(world, unit, caller, after, visit)
            written, index = version_of(
                world, after, id_=id_, version=before.version + 1, at=world.clock(), method="PUT", clinics=clinics
            )
            await unit.replace(before, written, index)
            return written

        return await world.store.units.run(work, now=world.now(), turns=sorted(claimed(visit)) if visit else ())
    except Changed:
        return None


async def _visit(world: World, response: Mapping[str, Any]) -> Stored | None:
    """The Appointment that is answered, None where this server has none of that name."""
    reference = reference_of(response.get("appointment"), world.bases)
    type_, _, id_ = reference.partition("/")
    if type_ != "Appointment":
        return None
    found = await world.store.resources.get("Appointment", id_)
    return found if found and not found.deleted else None


async def _act(
    world: World,
    unit: Unit,
    caller: Caller,
    response: Mapping[str, Any],
    read: Stored | None,
    *,
    loaded: bool = False,
) -> None:
    """The effect of an answer on its Appointment.

    :param loaded: a system stores it under an id of its own: history that tells what is so already is welcome.
    :raises Changed: the Appointment is another one than was read before the transaction.
    """
    if read is None:
        return
    inner = answering.inside(world, unit)
    before = await unit.get("Appointment", read.id)
    if before is None or before.version != read.version:
        raise Changed
    resource = parse(before.body)
    places = await _places(inner, resource, response)
    status = str(response["participantStatus"])
    known = all(resource["participant"][at].get("status") == status for at in places)
    if loaded and known and caller.role is Role.SYSTEM:
        return
    await answering.answer(inner, unit, caller, before, places, status, APPOINTMENT)


async def _places(world: World, appointment: Mapping[str, Any], response: Mapping[str, Any]) -> list[int]:
    """Indexes of the participants for whom an answer is.

    :raises Problem: 422 for somebody who takes no part, and for a type that is nobody's or several people's.
    """
    participants = appointment.get("participant", ())
    if "actor" not in response:
        wanted = tokens_of(response.get("participantType", ()))
        found = [at for at, one in enumerate(participants) if tokens_of(one.get("type", ())) & wanted]
        if len(found) != 1:
            raise problem(Category.RULE, "this type is not that of one participant", TYPE, "not-eligible")
        return found
    names = await _names(world, response["actor"])
    found = [at for at, one in enumerate(participants) if names & await _names(world, one.get("actor") or {})]
    if not found:
        raise problem(Category.RULE, "the actor takes no part in the appointment", ACTOR, "not-eligible")
    return found


async def _names(world: World, actor: Mapping[str, Any]) -> set[str]:
    """References under which somebody takes part: a role is its practitioner too."""
    literal = reference_of(actor, world.bases)
    name = literal if "/" in literal and literal[0] != "#" else await resolve_logical(world, actor)
    type_, _, id_ = name.partition("/")
    role = await world.store.resources.get("PractitionerRole", id_) if type_ == "PractitionerRole" else None
    person = reference_of(parse(role.body).get("practitioner"), world.bases) if role and not role.deleted else ""
    return {one for one in (literal, name, person) if one}


async def check_actor(world: World, caller: Caller, response: Mapping[str, Any]) -> None:
    """Whether the caller speaks for who is said to answer.

    :raises Problem: 403.
    """
    actor = response.get("actor") or {}
    if caller.role is Role.PATIENT:
        own = await world.policy.people(world) | set(caller.persons)
        if reference_of(actor, world.bases) not in own:
            raise refused(ACTOR, "you answer for yourself and for those you act for")
    elif caller.role is Role.PRACTITIONER:
        names = await _names(world, actor) if actor else set()
        colleague = any(one.startswith(("Practitioner/", "PractitionerRole/")) for one in names) or not actor
        if colleague and names.isdisjoint(caller.persons):
            raise refused(ACTOR, "clinicians answer for themselves and for their patients")

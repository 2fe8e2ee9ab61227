"""What a caller may write: what was there and what is to be there must both be theirs.

A resource that the caller does not see is absent (404); one that they see and may not change is refused (403). What is
to be stored may name only patients whom they see, and lies inside their clinics. https://hl7.org/fhir/R4/security.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from fhir_server.access.caller import Caller, Role
from fhir_server.access.rules import OWN_PATIENT_ELEMENTS, OWN_STATES, PATIENT_DATA, STATE_CHANNEL
from fhir_server.errors import Category, Problem, problem
from fhir_server.fhir.json import parse
from fhir_server.fhir.temporal import instant_seconds
from fhir_server.search.extract import index_values
from fhir_server.search.match import matches
from fhir_server.search.query import IdIn
from fhir_server.services.access import urgency
from fhir_server.services.access.about import NOBODY, beside, has_unknown, patients_in
from fhir_server.services.actors import reference_of
from fhir_server.store.resources import Stored

if TYPE_CHECKING:
    from fhir_server.services.booking import Wish
    from fhir_server.services.facts import ScheduleFacts
    from fhir_server.services.world import World


async def reached(world: World, stored: Stored | None, permission: str) -> Stored | None:
    """The version that a caller wants to change, whole; None where it is hidden or absent.

    :raises Problem: 403 for what the caller sees and may not change.
    """
    if stored is None or world.policy.unlimited_for(stored.type, permission):
        return stored
    if await world.policy.may(world, stored, permission):
        if stored.type == "Practitioner":
            await _check_colleague(world, f"Practitioner/{stored.id}")
        return stored
    if await world.policy.may(world, stored):
        raise refused(stored.type, "the token does not allow to change this resource")
    return None


async def _check_colleague(world: World, practitioner: str) -> None:
    """:raises Problem: 403 for a practitioner who works at other clinics alone; one without roles is everybody's."""
    where = {"idx.practitioner": practitioner}
    roles = await world.store.resources.find("PractitionerRole", where, fields={"clinics": 1})
    own = await world.policy.clinics(world)
    if (
        roles
        and world.policy.caller.clinics is not None
        and all(own.isdisjoint(one.get("clinics", ())) for one in roles)
    ):
        raise refused("Practitioner", "they work at other clinics")


async def check(
    world: World, resource: Mapping[str, Any], permission: str, clinics: Iterable[str], before: Stored | None = None
) -> None:
    """Whether the caller may store this content.

    :param clinics: those of the content (``about.clinics_of``).
    :raises Problem: 403.
    """
    policy, type_ = world.policy, resource["resourceType"]
    if policy.unlimited_for(type_, permission):
        return
    if type_ == "Appointment":
        urgency.check(policy.caller.role, resource, parse(before.body) if before and before.body else None)
    allowed = await policy.sees(world, type_, permission)
    if allowed is None:
        raise refused(type_, "the token does not allow to write this")
    whole = {"id": before.id if before else "", **resource}
    index = index_values(whole, world.definitions.of(type_), world.bases, world.zone)
    patients = patients_in(whole, index)
    if not policy.unlimited:
        await _check_references(world, whole, before)
    if policy.caller.role is Role.PATIENT:
        await _check_own(world, whole, patients, before)
    elif not policy.unlimited:
        await _check_inside(world, type_, patients, tuple(clinics))
    owner = before.extra.get("owner", "") if before else policy.caller.party
    document = {"_id": whole["id"], "at": world.clock(), "idx": {**index, **beside(patients, tuple(clinics), owner)}}
    if not matches(allowed, document):
        raise refused(type_, "what is to be stored lies outside of what this caller may write")


async def _check_own(world: World, resource: Mapping[str, Any], patients: Iterable[str], before: Stored | None) -> None:
    """Patients write about themselves and those they act for, and nobody else takes part."""
    type_ = resource["resourceType"]
    if type_ == "Appointment" and resource.get("status") not in OWN_STATES:
        raise refused("Appointment.status", "only the clinic says what became of a visit")
    people = await world.policy.people(world)
    others = [one for one in patients if one not in people]
    if before is not None and before.type == "Appointment":
        # Others whom an Appointment has already are not the caller's doing; they cannot bring or remove one.
        known = set(before.extra.get("patients") or ())
        if known - people:
            old = parse(before.body)
            if set(patients) - people != known - people or _changed(old, resource) - {"participant", "meta"}:
                raise refused(type_, "others take part too: only your own participation can change")
            others = []
        _check_participation(world, parse(before.body), resource, people)
    if others:
        raise refused(type_, "another patient is named")
    if type_ == "Patient" and before is not None:
        changed = sorted(_changed(parse(before.body), resource))
        if strange := [name for name in changed if name.removeprefix("_") not in OWN_PATIENT_ELEMENTS]:
            raise problem(Category.FORBIDDEN, "only the clinic changes this", f"Patient.{strange[0]}", "withheld")


def _check_participation(world: World, old: Mapping[str, Any], new: Mapping[str, Any], people: frozenset[str]) -> None:
    """Others who take part have their own say, and only another time brings others; a cancelled visit takes place for
    nobody.

    :raises Problem: 403 for a patient who answers for them, brings somebody else, or says who is needed.
    """
    if new.get("status") == "cancelled":
        return
    own = people | set(world.policy.caller.persons)
    moves = _moves(world, old, new)
    before: dict[str, list[Mapping[str, Any]]] = {}
    for one in old.get("participant", ()):
        before.setdefault(reference_of(one.get("actor"), world.bases), []).append(one)
    for index, one in enumerate(new.get("participant", ())):
        name, place = reference_of(one.get("actor"), world.bases), f"Appointment.participant[{index}]"
        known = before.get(name)
        if known is None:
            if name not in own and not moves:
                text = "who else takes part is the clinic's to say; ask for another time, or for another visit"
                raise problem(Category.FORBIDDEN, text, f"{place}.actor", "withheld")
            continue
        if name not in own and one.get("status") not in {each.get("status") for each in known}:
            raise problem(
                Category.FORBIDDEN, "how others take part is theirs to say", f"{place}.status", "withheld"
            )  # fmt: skip
        if _required(one) not in set(map(_required, known)):
            text = "who is needed for a visit is the clinic's to say"
            raise problem(Category.FORBIDDEN, text, f"{place}.required", "withheld")


def _moves(world: World, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether another time is asked for: another start, or other Slots, by whatever words. Naming none is no wish."""
    starts = {instant_seconds(one["start"]) for one in (old, new) if "start" in one}
    before, after = (frozenset(reference_of(one, world.bases) for one in each.get("slot", ())) for each in (old, new))
    return len(starts) > 1 or bool(after and after != before)


def _required(participant: Mapping[str, Any]) -> str:
    """R4 leaves it open; who is not said to be optional is counted on."""
    return str(participant.get("required", "required"))


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}


async def _check_inside(world: World, type_: str, patients: tuple[str, ...], clinics: tuple[str, ...]) -> None:
    """Whoever is inside walls writes inside of them, about patients whom they see."""
    if type_ == "Practitioner":
        return
    if not await world.policy.inside(world, clinics):
        raise refused(type_, "it belongs to no clinic of yours, or also to another")
    if type_ != "Patient":
        await check_patients(world, patients, type_)


async def check_patients(world: World, patients: Iterable[str], place: str) -> None:
    """:raises Problem: 403 for a patient whom the caller does not see, whether there is one or not."""
    policy = world.policy
    named = sorted(set(patients))
    if policy.unlimited or not named:
        return
    if policy.caller.role is Role.PATIENT:
        if not (await policy.people(world)).issuperset(named):
            raise refused(place, "another patient is named")
        return
    ids = tuple(one.partition("/")[2] for one in named if one != NOBODY)
    reached = await policy.names(world, "Patient")
    asked = (IdIn(ids), *(reached or ()))
    found = [] if reached is None else await world.view.find("Patient", asked, fields={"_id": 1})
    if len(found) != len(ids):
        raise refused(place, "a patient is named whom this caller does not see")


async def check_wish(world: World, caller: Caller, wish: Wish, place: str) -> None:
    """Whether the caller may take this time for these people.

    :raises Problem: 403; 404 for a Schedule that the caller does not see.
    """
    policy = world.policy
    if policy.unlimited:
        return
    for facts in wish.schedules:
        if not await serves(world, facts):
            raise problem(Category.NOT_FOUND, "no such appointment or proposal", place)
    if policy.caller.role is Role.PATIENT and not wish.patients:
        raise refused(place, "you book for yourself or for those you act for")
    await check_patients(world, wish.patients, place)
    if wish.override_reason and caller.role not in STATE_CHANNEL:
        raise problem(Category.FORBIDDEN, "only staff override the rules", "override", "withheld")


async def check_offered(world: World, wish: Wish, place: str, held: Wish | None = None) -> None:
    """Patients take only time that somebody offers: a settled wish rests on Schedules, and these bring who is busy.

    :param held: the time that the Appointment has already, with those who take part.
    :raises Problem: 422, which names who has no time to offer.
    """
    policy = world.policy
    if policy.caller.role is not Role.PATIENT:
        return
    people = await policy.people(world)
    offering = [facts for facts in wish.schedules if not people.issuperset(facts.actors)]
    stays = held is not None and (held.start, held.end) == (wish.start, wish.end)
    kept = frozenset(held.actors) if held and (stays or offering) else frozenset()
    before = {facts.id for facts in held.schedules} if held and stays else set()
    if not wish.schedules and not stays:
        raise problem(
            Category.RULE, "nobody offers this time: name a Slot, or who has a Schedule", place, "not-offered"
        )
    for facts in offering:
        if facts.id in wish.anytime and facts.id not in before:
            raise problem(Category.RULE, f"{facts.id} offers no time", place, "not-offered")
    brought = {key for facts in wish.schedules for key in (*facts.keys, *facts.actors)}
    if wish.schedules and wish.service:
        pools = await world.catalogue.pools(wish.schedules[0], wish.service)
        brought |= {key for pool in pools for key in pool}
    for one in wish.actors:
        if one in brought or one in kept or one in policy.caller.persons or one in people:
            continue
        if not (one.startswith("RelatedPerson/") and await _may_name(world, one)):
            raise problem(Category.RULE, f"{one} offers no time to patients", place, "not-offered")


async def check_alone(world: World, stored: Stored) -> None:
    """:raises Problem: 403 for patients who would end or move what others take part in too."""
    if world.policy.caller.role is Role.PATIENT:
        await check_patients(world, stored.extra.get("patients") or (), stored.type)


async def check_named(world: World, resource: Mapping[str, Any], place: str) -> None:
    """Whether the caller may bring those who are named as participants of an Appointment.

    :raises Problem: 403; also for patients who name somebody by an identifier: whether there is one is not theirs to
        learn.
    """
    if world.policy.unlimited:
        return
    if world.policy.caller.role is Role.PATIENT and has_unknown(resource, "participant", "actor"):
        raise refused(place, "people are named by reference")
    named = [reference_of(one.get("actor"), world.bases) for one in resource.get("participant", ())]
    await check_patients(world, [one for one in named if one.startswith("Patient/")], place)
    await check_references(world, _references(world, resource), place)


async def _check_references(world: World, resource: Mapping[str, Any], before: Stored | None) -> None:
    """What a resource newly refers to; others of its own type may come in the same Bundle, save Appointments."""
    type_ = resource["resourceType"]
    new = _references(world, resource) - (_references(world, parse(before.body)) if before else set())
    if type_ != "Appointment":
        new = {one for one in new if not one.startswith(f"{type_}/")}
    await check_references(world, new, type_)


async def check_references(world: World, references: Iterable[str], place: str) -> None:
    """:raises Problem: 403 for what is about patients and hidden from the caller, whether it is there or not."""
    if world.policy.unlimited:
        return
    for one in sorted(set(references)):
        type_ = one.partition("/")[0]
        if type_ in PATIENT_DATA and type_ != "Patient" and not await _may_name(world, one):
            raise refused(place, f"a {type_} is named that this caller does not see")


async def _may_name(world: World, reference: str) -> bool:
    """Whether a resource is there for the caller, whatever the scopes."""
    type_, _, id_ = reference.partition("/")
    clauses = await world.policy.names(world, type_)
    found = await world.store.resources.get(type_, id_)
    if clauses is None or found is None or found.deleted:
        return False
    return matches(clauses, world.policy.document(world, found))


def _references(world: World, node: Any) -> set[str]:
    """``Type/id`` of everything that is referred to."""
    if isinstance(node, Mapping):
        own = reference_of(node, world.bases) if isinstance(node.get("reference"), str) else ""
        return {one for one in (own,) if "/" in one}.union(*(_references(world, one) for one in node.values()))
    return set().union(*(_references(world, one) for one in node)) if isinstance(node, list) else set()


def channel_of(caller: Caller, stated: str) -> str:
    """The booking channel of a request: staff may say another one than their own."""
    return stated if stated and caller.role in STATE_CHANNEL else caller.channel


async def serves(world: World, facts: ScheduleFacts) -> bool:
    """Whether a Schedule is there for this caller."""
    policy = world.policy
    others = {one for one in facts.actors if one.startswith("Patient/")}
    if policy.caller.role is Role.PATIENT:
        return not others or bool(others & await policy.people(world))
    if policy.caller.clinics is None:
        return policy.caller.role is Role.SYSTEM
    return bool(facts.organizations & await policy.clinics(world))


async def check_scope(world: World, resource: Mapping[str, Any], permission: str) -> None:
    """:raises Problem: 403 for content that no scope's criteria allow."""
    if not world.policy.in_scope(world, resource, permission):
        raise refused(str(resource["resourceType"]), "what is to be stored lies outside of the token's scopes")


def refused(place: str, text: str) -> Problem:
    return problem(Category.FORBIDDEN, text, place, "withheld")

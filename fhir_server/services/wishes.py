"""From what callers write (a proposal id, Slots, an Appointment) to a wish; nothing they send is taken on trust."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fhir_server.access.withholding import PEOPLE
from fhir_server.errors import Category, Problem, problem
from fhir_server.fhir import references
from fhir_server.fhir.json import parse
from fhir_server.fhir.temporal import instant_seconds
from fhir_server.scheduling.civil import local_day
from fhir_server.scheduling.proposal import ProposalKey, decode
from fhir_server.scheduling.starts import on_grid
from fhir_server.search.query import TokenIn
from fhir_server.services.actors import actor_key, reference_of, tokens_of, with_own_references
from fhir_server.services.booking import ONE_DAY, Wish, check_years
from fhir_server.services.facts import ScheduleFacts, ServiceFacts
from fhir_server.services.no_show.standing import flagged
from fhir_server.services.proposals import MODALITY_URL
from fhir_server.services.published import Published, has_published, published, published_between
from fhir_server.services.world import World
from fhir_server.settings import CANONICAL
from fhir_server.store.search import to_filter

CHANNEL_URL = f"{CANONICAL}StructureDefinition/booking-channel"
OVERRIDE_URL = f"{CANONICAL}StructureDefinition/override-reason"
ESTABLISHED_SECONDS = 3 * 365 * 86400


async def of_proposal(world: World, id_: str, place: str) -> Wish:
    """The wish that a proposal id names; 404 if it is none or what it names is gone.

    :param place: FHIRPath of the argument, for the refusal.
    """
    if id_.startswith("slot-"):
        return await of_slots(world, [f"Slot/{id_[5:]}"], place)
    key = decode(id_)
    if key is None:
        raise problem(Category.NOT_FOUND, "no such appointment or proposal", place)
    return await of_key(world, key, place)


async def of_key(world: World, key: ProposalKey, place: str) -> Wish:
    catalogue = world.catalogue
    names = [await catalogue.by_key("Schedule", one) for one in key.schedules]
    service_name = await catalogue.by_key("HealthcareService", key.service) if key.service else None
    patient = await catalogue.by_key("Patient", key.patient) if key.patient else None
    if not all(names) or (key.service and not service_name) or (key.patient and not patient):
        raise problem(Category.NOT_FOUND, "no such proposal", place)
    schedules = await catalogue.schedules([one for one in names if one])
    services = await catalogue.services([service_name] if service_name else [])
    if len(schedules) != len(names) or (service_name and service_name not in services):
        raise problem(Category.NOT_FOUND, "no such proposal", place)
    return Wish(
        key.start,
        key.start + key.duration,
        tuple(schedules.values()),
        services.get(service_name or ""),
        (patient,) if patient else (),
    )


async def of_slots(world: World, slots: Sequence[str], place: str) -> Wish:
    """The wish for one or several Slots by reference, stored or computed; consecutive ones of a Schedule join."""
    stored = {
        one.id: published(parse(one.body), world.bases)
        for one in await world.store.resources.get_many("Slot", [slot.rpartition("/")[2] for slot in slots])
    }
    starts, ends, found = [], [], {}
    chosen: dict[str, Published] = {}
    service: ServiceFacts | None = None
    for slot in slots:
        id_ = slot.rpartition("/")[2]
        key = decode(id_)
        one = stored.get(id_)
        if one is not None:
            facts = (await world.catalogue.schedules([one.schedule])).get(one.schedule)
            if facts is None:
                raise problem(Category.RULE, "the Slot's Schedule does not exist", place, "not-offered")
            if facts.opening is not None:
                # The rules of such a Schedule say when it is open; a stored Slot only says when to book.
                if key is not None:
                    service = service or (await of_key(world, key, place)).service
            else:
                chosen[facts.id] = _joined(chosen.get(facts.id), one)
            starts.append(one.start)
            ends.append(one.end)
            found[facts.id] = facts
        elif key is not None:
            wish = await of_key(world, key, place)
            service = service or wish.service
            starts.append(wish.start)
            ends.append(wish.end)
            found.update({facts.id: facts for facts in wish.schedules})
        else:
            raise problem(Category.NOT_FOUND, "no such Slot", place)
    return Wish(min(starts), max(ends), tuple(found.values()), service, published=chosen)


def _joined(before: Published | None, one: Published) -> Published:
    """Consecutive Slots of one Schedule are one opening; the first gives its name."""
    if before is None:
        return one
    first, second = sorted((before, one), key=lambda slot: slot.start)
    if first.end < second.start:
        return first
    parts = (first.parts or (first,)) + (second.parts or (second,))
    return replace(first, end=max(first.end, second.end), capacity=min(first.capacity, second.capacity), parts=parts)


async def of_appointment(world: World, resource: Mapping[str, Any], held: Collection[str] = ()) -> Wish:
    """The wish in an Appointment: its time, its Slots, and the Schedules of those who take part.

    :param held: calendars that it keeps busy already; a room from a pool is one, whatever its resource says it is.
    :raises Problem: 400 and 422 for a time that is none, 422 for one that lies outside the Slots.
    """
    resource = with_own_references(resource, world.bases)
    slots = [one for one in map(reference_of, resource.get("slot", ())) if one.startswith("Slot/")]
    base = await of_slots(world, slots, "Appointment.slot") if slots else Wish(0, 0)
    if "start" in resource and "end" in resource:
        start = instant_seconds(resource["start"])
        end = instant_seconds(resource["end"], floor=False)
    elif slots:
        start, end = base.start, base.end
    else:
        raise problem(Category.RULE, "a booking needs start and end, or a Slot", "Appointment.start", "not-offered")
    if end <= start:
        raise problem(Category.INVALID, "end is not after start", "Appointment.end")
    check_years(start, end, "Appointment.start")
    if slots and not base.start <= start < end <= base.end:
        raise problem(Category.RULE, "start and end lie outside the Slots", "Appointment.slot", "not-offered")
    taking_part = await _participants(world, resource)
    patients = tuple(dict.fromkeys(one for one in taking_part if one.startswith("Patient/")))
    around = {
        f"Location/{one.id}": parse(one.body)
        for one in await world.store.resources.get_many(
            "Location", [one.split("/", 1)[1] for one in taking_part if one.startswith("Location/")]
        )
    }
    roles = [one for one in taking_part if one.startswith("PractitionerRole/")]
    around |= {
        f"PractitionerRole/{one.id}": parse(one.body)
        for one in await world.store.resources.get_many("PractitionerRole", [one.split("/", 1)[1] for one in roles])
    }
    names = [
        name
        for one in taking_part
        if not one.startswith("Patient/") and (name := actor_key(one, around) or (one if one in held else ""))
    ]
    wish = replace(
        base,
        start=start,
        end=end,
        patients=patients,
        channel=extension_code(resource, CHANNEL_URL) or "online",
        modality=extension_code(resource, MODALITY_URL),
        override_reason=extension_code(resource, OVERRIDE_URL),
        based_on=tuple(one for one in map(reference_of, resource.get("basedOn", ())) if one),
    )
    services = [one for one in taking_part if one.startswith("HealthcareService/")]
    wish = await with_schedules(world, wish, names, tokens_of(resource.get("serviceType", ())), services)
    keys = map(world.store.vault.calendar_key, names)
    return replace(wish, actors=tuple(key for key in keys if not any(key in one.keys for one in wish.schedules)))


async def _participants(world: World, resource: Mapping[str, Any]) -> list[str]:
    """Actors who take part, ``Type/id``; logical references resolve where exactly one resource has the identifier.

    A patient whom nobody knows is a calendar key at once: the directory is not asked for the identifier.
    """
    found = []
    for participant in resource.get("participant", ()):
        if participant.get("required") == "information-only" or participant.get("status") == "declined":
            continue
        actor = participant.get("actor")
        if actor:
            name = await resolve_logical(world, actor)
            found.append(world.store.vault.calendar_key(name) if actor.get("type") in PEOPLE else name)
    return [one for one in found if one]


async def resolve_logical(world: World, actor: Mapping[str, Any]) -> str:
    """``Type/id`` of a reference; an identifier-only one is looked up among Patients, people and places."""
    name = reference_of(actor)
    if not name.startswith("#"):
        return name
    stated = actor.get("type")
    types = [stated] if stated else ["Patient", "Practitioner", "Location", "PractitionerRole", "Device"]
    for type_ in types:
        if type_ not in world.definitions.types:
            continue
        documents = await _identified(world, type_, name[1:])
        if len(documents) == 1:
            return f"{type_}/{documents[0]['_id']}"
    return name


def identified(world: World, type_: str, tokens: Sequence[str]) -> dict[str, Any]:
    """The filter for resources with one of these identifiers, each an index string (``system|value``)."""
    return to_filter((TokenIn(world.definitions.of(type_)["identifier"], tuple(tokens)),))


async def _identified(world: World, type_: str, token: str) -> list[dict[str, Any]]:
    """At most two resources with an identifier; of patients those whom the caller sees."""
    asked = (TokenIn(world.definitions.of(type_)["identifier"], (token,)),)
    if type_ == "Patient":
        return await world.view.find(type_, asked, permissions="cruds", limit=2, fields={"_id": 1})
    return await world.store.resources.find(type_, to_filter(asked), limit=2, fields={"_id": 1})


def seen_by(world: World, keys: Sequence[str]) -> dict[str, Any]:
    """The filter for Appointments in which one of these takes part, by calendar key: search values hold the same."""
    return {world.definitions.of("Appointment")["actor"].field: {"$in": list(keys)}}


async def resolve(world: World, reference: references.Reference, *types: str) -> str | None:
    """``Type/id`` of an argument; None if a logical one matches nothing.

    :raises Problem: a logical reference matches several resources.
    """
    if reference.kind != "logical":
        return reference.local(world.bases) or None
    for type_ in [reference.type] if reference.type else types:
        documents = await _identified(world, type_, f"{reference.system}|{reference.value}")
        if len(documents) > 1:
            raise problem(Category.PRECONDITION, "the identifier matches several resources", type_)
        if documents:
            return f"{type_}/{documents[0]['_id']}"
    return None


async def with_schedules(
    world: World, wish: Wish, names: Sequence[str], tokens: frozenset[str], services: Sequence[str] = ()
) -> Wish:
    """Add the Schedules of busy participants whom no Slot names, and settle the service."""
    keys = {name: world.store.vault.calendar_key(name) for name in names}
    have = {key for facts in wish.schedules for key in facts.keys}
    missing = {name: key for name, key in keys.items() if key not in have}
    candidates = await world.catalogue.of_actor(list(missing))
    wish = replace(wish, service=wish.service or await _service(world, wish, candidates, tokens, services))
    chosen = list(wish.schedules)
    for key in missing.values():
        mine = [one for one in candidates if key in one.keys and one not in chosen]
        if mine:
            chosen.append(_best(wish, mine))
    return await _published(world, replace(wish, schedules=tuple(chosen)))


async def _service(
    world: World, wish: Wish, more: Iterable[ScheduleFacts], tokens: frozenset[str], named: Sequence[str]
) -> ServiceFacts | None:
    """The service an Appointment is for: named as participant, by code, or by its length where it states none."""
    offered = list(dict.fromkeys(one for facts in (*wish.schedules, *more) for one in facts.offers))
    services = await world.catalogue.services([*named, *offered])
    for one in named:
        if one in services:
            return services[one]
    coded = [one for one in services.values() if one.tokens & tokens]
    fitting = [one for one in services.values() if wish.end - wish.start in one.terms.durations]
    # Who names no service that is offered here does not escape the rules of those that are.
    return next(iter([*coded, *fitting, *services.values()]), None)


def _best(wish: Wish, candidates: Sequence[ScheduleFacts]) -> ScheduleFacts:
    """The Schedule of one actor that is open at the time for the service, else the first."""
    for facts in candidates:
        if wish.service and facts.offers and wish.service.id not in facts.offers:
            continue
        day = local_day(facts.zone, wish.start)
        service = wish.service
        spans = [
            span
            for near in (day - ONE_DAY, day)
            for span in facts.spans_on(near, service.id if service else None, wish.modality or None)
        ]
        terms = service.terms if service else None
        if on_grid(wish.start, spans, wish.end - wish.start, terms, facts.zone):
            return facts
    return candidates[0]


async def _published(world: World, wish: Wish) -> Wish:
    """Find the published Slot that a booking on a Schedule without rules falls into."""
    found = dict(wish.published or {})
    anytime = set()
    for facts in wish.schedules:
        if facts.opening is not None or facts.id in found:
            continue
        slots = await published_between(world, facts.id, wish.start, wish.end)
        covering = [one for one in slots if one.start <= wish.start and one.end >= wish.end]
        if covering:
            found[facts.id] = next((one for one in covering if one.status == "free"), covering[0])
        elif not await has_published(world, facts.id):
            anytime.add(facts.id)
    return replace(wish, published=found, anytime=frozenset(anytime))


async def settled(world: World, wish: Wish) -> Wish:
    """Everything about people and rooms that the decision needs to know.

    :raises Problem: a patient who does not exist or is not active (422).
    """
    wish = await _published(world, wish)
    # One after the other: inside a transaction one session cannot ask two things at once.
    clinics = tuple(sorted({one for facts in wish.schedules for one in facts.organizations}))
    known = await _check_patients(world, wish)
    clinics = clinics or tuple(sorted({one for each in known.values() for one in each}))
    clinics = clinics or tuple(sorted(world.policy.caller.clinics or ()))
    strangers = tuple(one for one, mine in known.items() if not mine.issuperset(clinics))
    pools, new, referrals = await _pools(world, wish), await _is_new(world, wish), await _referrals(world, wish)
    flag = await flagged(world, wish.patients, clinics)
    return replace(
        wish, flagged=flag, pools=pools, new_patient=new, referral=bool(referrals), based_on=wish.based_on or referrals,
        clinics=clinics, strangers=strangers,
    )  # fmt: skip


async def _pools(world: World, wish: Wish) -> tuple[tuple[str, ...], ...]:
    if not wish.service or not wish.service.requires or not wish.schedules:
        return ()
    taken = {key for facts in wish.schedules for key in facts.keys} | set(wish.actors)
    pools = await world.catalogue.pools(wish.schedules[0], wish.service)
    return tuple(pool for pool in pools if not taken & set(pool))


async def _is_new(world: World, wish: Wish) -> bool:
    """Whether no patient of the wish had a fulfilled visit with these providers in three years."""
    policies = [facts.policy_for(wish.service) for facts in wish.schedules]
    matters = (wish.service and not wish.service.terms.new_patients) or any(
        limit.scope == "new-patient" for policy in policies for limit in policy.limits or ()
    )
    if not matters or not wish.patients:
        return False
    return not await established(world, wish.patients, [key for facts in wish.schedules for key in facts.keys])


async def established(world: World, patients: Sequence[str], keys: Sequence[str]) -> bool:
    """A fulfilled visit with one of these providers in three years."""
    since = (world.now() - ESTABLISHED_SECONDS) * 1000
    found = await world.store.resources.find(
        "Appointment",
        {
            "idx.patient": {"$in": list(patients)},
            "idx.status": "=fulfilled",
            "idx.date.l": {"$gte": since},
            **seen_by(world, keys),
        },
        limit=1,
        fields={"_id": 1},
    )
    return bool(found)


async def _referrals(world: World, wish: Wish) -> tuple[str, ...]:
    """Active ServiceRequests for the patients: those named, or any where the service needs one."""
    if not wish.service or not wish.service.terms.referral_required or not wish.patients:
        return ()
    where: dict[str, Any] = {"idx.patient": {"$in": list(wish.patients)}, "idx.status": "=active"}
    if wish.based_on:
        where["_id"] = {"$in": [one.rpartition("/")[2] for one in wish.based_on]}
    found = await world.store.resources.find("ServiceRequest", where, limit=1, fields={"_id": 1})
    return tuple(f"ServiceRequest/{one['_id']}" for one in found)


async def _check_patients(world: World, wish: Wish) -> dict[str, frozenset[str]]:
    """The clinics that know each patient.

    :raises Problem: 422 for one who does not exist or is not active.
    """
    literal = [one.split("/", 1)[1] for one in wish.patients]
    if not literal:
        return {}
    fields = {"_id": 1, "idx.active": 1, "clinics": 1}
    found = await world.store.resources.find("Patient", {"_id": {"$in": literal}}, fields=fields)
    usable = {one["_id"] for one in found if one.get("idx", {}).get("active") != "=false"}
    if set(literal) - usable:
        raise problem(
            Category.RULE, "a patient of the booking does not exist or is not active", "Appointment.participant",
            "not-eligible",
        )  # fmt: skip
    return {f"Patient/{one['_id']}": frozenset(one.get("clinics", ())) for one in found}


def extension_code(resource: Mapping[str, Any], url: str) -> str:
    """The code or string of one of our extensions, or empty."""
    for one in resource.get("extension", ()):
        if one.get("url") == url:
            return str(one.get("valueCode") or one.get("valueString") or "")
    return ""


def patient_required(place: str = "patient") -> Problem:
    return problem(Category.REQUIRED, "a patient is needed to book", place, "patient-required")

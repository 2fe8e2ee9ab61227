"""``$join-waitlist``: a patient waits for a service; the same wish twice is one entry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from fhir_server.errors import Category, problem
from fhir_server.fhir.json import parse
from fhir_server.fhir.parameters import Moment
from fhir_server.fhir.temporal import format_instant
from fhir_server.scheduling.civil import day_interval, local_day
from fhir_server.scheduling.lifecycle import takes_time
from fhir_server.services import resources
from fhir_server.services.actors import reference_of
from fhir_server.services.booking import FIRST_INSTANT, LAST_INSTANT
from fhir_server.services.keyed import Keyed, once
from fhir_server.services.proposals import MODALITY_URL
from fhir_server.services.versions import instant, new_id, version_of
from fhir_server.services.waitlist.entries import WAITING, check_room, patients_of, prepared
from fhir_server.services.waitlist.records import PREFERENCE_URL, WAITS, codes_of, preferred
from fhir_server.services.wishes import CHANNEL_URL, patient_required
from fhir_server.services.world import Caller, World
from fhir_server.store.resources import Stored, stored
from fhir_server.store.unit import Unit

DAYS_AHEAD = 90
FIRST_YEAR, LAST_YEAR = 1900, 2199
OPTIONAL = frozenset({"Practitioner", "PractitionerRole", "Location", "Device"})


@dataclass(frozen=True, slots=True)
class Wished:
    """What somebody waits for; references are ``Type/id``. ``parts`` are those of the extension *waitlist-preference*
    that need no resolving, as FHIR extensions. ``place`` is where refusals point.
    """

    patient: str = ""
    services: tuple[str, ...] = ()
    service_type: tuple[Mapping[str, Any], ...] = ()
    actors: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    start: Moment | None = None
    end: Moment | None = None
    parts: tuple[Mapping[str, Any], ...] = ()
    keep: str = ""
    channel: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)


async def entry(world: World, wished: Wished) -> dict[str, Any]:
    """The Appointment that says it.

    :raises Problem: 400 for a period that ends before it starts, 422 for a service that is not offered.
    """
    services = await world.catalogue.services(wished.services)
    if missing := [one for one in wished.services if one not in services or not services[one].active]:
        raise problem(Category.RULE, f"{missing[0]} is not offered", "service", "not-offered")
    zone = await _zone(world, wished.services)
    types = [dict(one) for one in wished.service_type]
    types += [dict(one) for facts in services.values() for one in facts.types if dict(one) not in types]
    parts: list[Mapping[str, Any]] = [
        {"url": name, "valueReference": {"reference": one}}
        for name, several in (("service", wished.services), ("actor", wished.actors), ("location", wished.locations))
        for one in several
    ]
    parts += wished.parts
    if wished.keep:
        parts.append({"url": "keepAppointment", "valueReference": {"reference": wished.keep}})
    made: dict[str, Any] = {
        "resourceType": "Appointment",
        "extension": [
            {"url": CHANNEL_URL, "valueCode": wished.channel or "online"},
            *([{"url": PREFERENCE_URL, "extension": parts}] if parts else ()),
        ],
        "status": WAITING,
        **({"serviceType": types} if types else {}),
        "created": instant(world.clock()),
        **wished.more,
        "participant": [
            *([_participant(wished.patient, "required", "accepted")] if wished.patient else ()),
            *(_participant(one, "optional", "needs-action") for one in wished.actors),
        ],
        "requestedPeriod": [_period(world, wished, zone)],
    }
    modality = next((str(one.get("valueCode")) for one in wished.parts if one.get("url") == "modality"), "")
    if modality:
        made["extension"].append({"url": MODALITY_URL, "valueCode": modality})
    return made


def _participant(reference: str, required: str, status: str) -> dict[str, Any]:
    return {"actor": {"reference": reference}, "required": required, "status": status}


async def _zone(world: World, services: Iterable[str]) -> ZoneInfo:
    """The zone of the first Schedule that offers one of the services, else the server's."""
    where = {"idx.offers": {"$in": sorted(services)}}
    references = await world.catalogue.matching("Schedule", where) if where["idx.offers"]["$in"] else []
    facts = list((await world.catalogue.schedules(references[:1])).values())
    return facts[0].zone if facts else world.zone


def _period(world: World, wished: Wished, zone: ZoneInfo) -> dict[str, str]:
    """The requested period. What is not said is open, or ends with a day: who asks twice asks for the same."""
    low = _edge(wished.start, zone, "start") if wished.start else None
    if wished.end:
        high = _edge(wished.end, zone, "end")
    else:
        last = local_day(zone, world.now() if low is None else low) + timedelta(days=DAYS_AHEAD)
        high = day_interval(zone, last).end
    if high <= max(world.now(), world.now() if low is None else low):
        raise problem(Category.INVALID, "the period ends before it starts, or is over", "end", "param-invalid")
    start = {} if low is None else {"start": format_instant(low, zone)}
    return {**start, "end": format_instant(high, zone)}


def _edge(moment: Moment, zone: ZoneInfo, place: str) -> int:
    """:raises Problem: 400 for what no calendar has."""
    if moment.day is not None and FIRST_YEAR <= moment.day.year <= LAST_YEAR:
        day = day_interval(zone, moment.day)
        return day.end if place == "end" else day.start
    if moment.seconds is None or not FIRST_INSTANT <= moment.seconds <= LAST_INSTANT:
        text = f"the period lies before {FIRST_YEAR} or after {LAST_YEAR}"
        raise problem(Category.INVALID, text, place, "param-invalid")
    return moment.seconds


async def join(
    world: World, caller: Caller, resource: dict[str, Any], place: str, keyed: Keyed | None = None
) -> tuple[Stored, bool]:
    """Store an entry; the one that waits for the same already is the answer. Whether it is new.

    :param place: where refusals point.
    :raises Problem: 400 and 422 for what is no entry, 403 for another's patient, 422 ``waitlist-limit``.
    :raises Replayed: the Idempotency-Key was answered before.
    """
    resource = prepared(world, caller, resource)
    _check(resource, place)
    patients = patients_of(resource, world.bases)
    if len(patients) != 1:
        raise patient_required(f"{place}.participant" if place else "patient")
    resources.check(world, resource, "Appointment")
    id_ = new_id()
    clinics = await resources.permitted(world, resource, id_, "c")
    await _check_patient(world, patients[0], place)
    await _check_kept(world, resource, patients[0], place)
    wish = essence(resource, world)

    async def work(unit: Unit) -> tuple[Stored, bool]:
        await unit.guard(f"waitlist|{patients[0]}")
        rows = await unit.find("Appointment", {"patients": patients[0], WAITS: {"$exists": True}}, fields={"idx": 0})
        for known in (stored("Appointment", row) for row in rows):
            if essence(parse(known.body), world) == wish:
                if keyed:
                    await keyed.remember(world, unit, known, 200)
                return known, False
        await check_room(unit, patients[0], place or "patient")
        first, index = version_of(world, resource, id_=id_, version=1, at=world.clock(), method="POST", clinics=clinics)
        await unit.insert(first, index)
        if keyed:
            await keyed.remember(world, unit, first, 201)
        return first, True

    async def run() -> tuple[Stored, bool]:
        return await world.store.units.run(work, now=world.now(), turns=[f"waitlist|{patients[0]}"])

    made: tuple[Stored, bool] = await once(world, keyed, run)
    return made


def essence(resource: Mapping[str, Any], world: World) -> tuple[Any, ...]:
    """What makes two entries of a patient the same: what they wait for, when, and what they keep."""
    wish = preferred(resource)
    services = frozenset(reference_of(one, world.bases) for one in wish.get("service", ()))
    windows = frozenset((one.get("start"), one.get("end")) for one in resource.get("requestedPeriod", ()))
    kept = frozenset(reference_of(one, world.bases) for one in wish.get("keepAppointment", ()))
    return services or frozenset(codes_of(resource)), windows, kept


def _check(resource: Mapping[str, Any], place: str) -> None:
    if resource.get("status") != WAITING:
        text = "an entry of the waitlist has the status waitlist"
        raise problem(Category.RULE, text, f"{place}.status", "illegal-transition")
    if {"start", "end", "slot"} & resource.keys():
        text = "an entry has no time yet: requestedPeriod says when it may be"
        raise problem(Category.RULE, text, f"{place}.start", "param-invalid")
    if not preferred(resource).get("service") and not codes_of(resource):
        raise problem(Category.REQUIRED, "service or service-type says for what", place or "service", "param-missing")
    wish = preferred(resource)
    earliest, latest = (next(iter(wish.get(name, ())), "") for name in ("earliestTime", "latestTime"))
    if earliest and latest and earliest >= latest:
        text = "the latest time is not after the earliest: no visit begins between them"
        raise problem(Category.INVALID, text, place or "latest-time", "param-invalid")


async def _check_patient(world: World, patient: str, place: str) -> None:
    """:raises Problem: 422 for a patient who does not exist or is not active."""
    found = await world.store.resources.get("Patient", patient.partition("/")[2])
    if found is None or found.deleted or parse(found.body).get("active") is False:
        raise problem(Category.RULE, "the patient does not exist or is not active", place or "patient", "not-eligible")


async def _check_kept(world: World, resource: Mapping[str, Any], patient: str, place: str) -> None:
    """:raises Problem: 422 for an appointment to keep that is not the patient's, or takes no time."""
    kept = reference_of(next(iter(preferred(resource).get("keepAppointment", ())), None), world.bases)
    if not kept:
        return
    found = await world.store.resources.get("Appointment", kept.partition("/")[2])
    held = parse(found.body) if found and not found.deleted else {}
    if patients_of(held, world.bases) != [patient] or not takes_time(held["status"]) or "start" not in held:
        text = "the appointment to be kept is none that this patient has alone"
        raise problem(Category.RULE, text, place or "keep-appointment", "not-eligible")

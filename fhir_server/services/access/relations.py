"""Who has to do with whom: whom a person acts for, whom a clinician cares for, what was granted.

relation        comes from
--------------  --------------------------------------------------------------------------------------------------
acts for        the account's own Patient; the patient of an active RelatedPerson; an active Consent that names them
cares for       an Appointment that takes or took place with them; Patient.generalPractitioner
granted         an active Consent that names the clinician or the clinic; a break-glass access that is not over

A Consent grants when its status is *active*, its provision is a *permit* and its period covers now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from fhir_server.fhir.json import parse
from fhir_server.fhir.temporal import date_range
from fhir_server.services.actors import reference_of

if TYPE_CHECKING:
    from fhir_server.services.world import World

CARING = ("=pending", "=booked", "=arrived", "=checked-in", "=fulfilled", "=noshow")
"""States of an Appointment that make a care relation."""


async def acts_for(world: World, persons: Iterable[str]) -> frozenset[str]:
    """Patients whose own view these persons have."""
    named = list(persons)
    found = {one for one in named if one.startswith("Patient/")}
    related = [one.partition("/")[2] for one in named if one.startswith("RelatedPerson/")]
    for stored in await world.store.resources.get_many("RelatedPerson", related):
        resource = parse(stored.body)
        if resource.get("active", True) and covers(resource.get("period"), world):
            found.add(reference_of(resource.get("patient"), world.bases))
    return frozenset(one for one in found | await consented(world, named) if one)


async def consented(world: World, grantees: Iterable[str]) -> set[str]:
    """Patients whose active Consents permit one of these persons or Organizations."""
    named = list(grantees)
    if not named:
        return set()
    rows = await world.store.resources.find(
        "Consent", {"idx.actor": {"$in": named}, "idx.status": "=active"}, fields={"body": 1}
    )
    return {
        reference_of(resource.get("patient"), world.bases)
        for resource in (parse(bytes(one["body"])) for one in rows)
        if permits(resource, frozenset(named), world)
    }


def permits(consent: Mapping[str, Any], grantees: frozenset[str], world: World) -> bool:
    """Whether a Consent's own provision lets one of the grantees in now."""
    provision = consent.get("provision") or {}
    actors = {reference_of(one.get("reference"), world.bases) for one in provision.get("actor", ())}
    return (
        consent.get("status") == "active"
        and provision.get("type") == "permit"
        and bool(actors & grantees)
        and covers(provision.get("period"), world)
    )


def covers(period: Mapping[str, Any] | None, world: World) -> bool:
    """Whether a Period, if there is one, covers this moment."""
    if not period:
        return True
    now = world.clock()
    try:
        starts = date_range(period["start"], world.zone)[0] if "start" in period else now
        ends = date_range(period["end"], world.zone)[1] if "end" in period else now + 1
    except ValueError:
        return False
    return starts <= now < ends


async def cares_for(world: World, persons: Iterable[str]) -> frozenset[str]:
    """Patients of a clinician."""
    named = list(persons)
    if not named:
        return frozenset()
    visits = await world.store.resources.distinct(
        "Appointment", "patients", {"idx.actor": {"$in": named}, "idx.status": {"$in": list(CARING)}}
    )
    own = await world.store.resources.find("Patient", {"idx.general-practitioner": {"$in": named}}, fields={"_id": 1})
    return frozenset(visits) | {f"Patient/{one['_id']}" for one in own}


async def is_cared_for(world: World, persons: Iterable[str], patients: Iterable[str]) -> bool:
    """The same question about certain patients, by one look each."""
    named = list(persons)
    wanted = [one for one in patients if one.startswith("Patient/")]
    if not named or not wanted:
        return False
    visit = {"patients": {"$in": wanted}, "idx.actor": {"$in": named}, "idx.status": {"$in": list(CARING)}}
    if await world.store.resources.find("Appointment", visit, limit=1, fields={"_id": 1}):
        return True
    own = {"_id": {"$in": [one.partition("/")[2] for one in wanted]}, "idx.general-practitioner": {"$in": named}}
    return bool(await world.store.resources.find("Patient", own, limit=1, fields={"_id": 1}))


async def members_of(world: World, clinics: Iterable[str]) -> frozenset[str]:
    """Organizations with everything that is a part of them."""
    found = set(clinics)
    level = sorted(found)
    while level:
        below = await world.catalogue.matching("Organization", {"idx.partof": {"$in": level}})
        level = sorted(set(below) - found)
        found.update(level)
    return frozenset(found)

"""Which Schedules and services a search for time concerns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fhir_server.fhir.json import parse
from fhir_server.fhir.parameters import Moment, Token
from fhir_server.search.extract import normalised
from fhir_server.search.match import distance
from fhir_server.services.access.writes import serves
from fhir_server.services.facts import ScheduleFacts, ServiceFacts
from fhir_server.services.preferred import Preferred
from fhir_server.services.world import World


@dataclass(frozen=True, slots=True)
class Near:
    """A point in degrees and a distance in kilometres."""

    latitude: float
    longitude: float
    kilometres: float


@dataclass(frozen=True, slots=True)
class Criteria:
    """What a search for time asks; references are ``Type/id``, alternatives within a field, all fields together.

    ``schedules`` are needed together (all free at once); ``practitioners`` and the rest are alternatives in order of
    preference. ``duration`` in seconds. ``ignore``: owners whose busy time does not count (an Appointment that moves).
    ``start``/``end`` bound the visit. ``referral``: whether the referral that the request names exists; None = none is
    named.
    """

    start: Moment
    end: Moment
    services: tuple[str, ...] = ()
    service_types: tuple[Token, ...] = ()
    specialties: tuple[Token, ...] = ()
    practitioners: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    near: Near | None = None
    location_texts: tuple[str, ...] = ()
    organizations: tuple[str, ...] = ()
    languages: tuple[Token, ...] = ()
    modality: str = ""
    schedules: tuple[str, ...] = ()
    patients: tuple[str, ...] = ()
    duration: int | None = None
    preferred: tuple[Preferred, ...] = ()
    first_available: bool = False
    per_day: int | None = None
    ignore: frozenset[str] = field(default_factory=frozenset)
    referral: bool | None = None
    channel: str = "online"
    nothing: bool = False
    """An identifier in the request names nobody: the answer is empty, not everything."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to give the time: a Schedule (or several together) for a service."""

    schedules: tuple[ScheduleFacts, ...]
    service: ServiceFacts | None
    preference: int

    @property
    def id(self) -> str:
        return "+".join(one.id for one in self.schedules) + ("/" + self.service.id if self.service else "")


def token_strings(tokens: Sequence[Token]) -> frozenset[str]:
    """Tokens as the search index writes them; ``system|`` matches any code of the system."""
    return frozenset(f"={one.code}" if one.system is None else f"{one.system}|{one.code}" for one in tokens)


async def candidates(world: World, asked: Criteria) -> list[Candidate]:
    """Candidates in order of preference; empty if nothing offers what is asked."""
    if asked.nothing:
        return []
    catalogue = world.catalogue
    types = token_strings(asked.service_types)
    wanted = list(asked.services)
    if types:
        wanted += await catalogue.matching("HealthcareService", {"idx.service-type": {"$in": sorted(types)}})
    services = await catalogue.services(wanted)
    narrowed = bool(asked.services or types)
    schedules = await _schedules(world, asked, list(services), types)
    if not world.policy.unlimited:
        schedules = [facts for facts in schedules if await serves(world, facts)]
    found = []
    for facts in schedules:
        if not facts.active or not _fits(asked, facts):
            continue
        offered = facts.offers
        if narrowed and offered:
            offered = tuple(one for one in services if one in offered)
            if not offered:
                continue
        elif narrowed and not (facts.tokens & types) and facts.opening is not None:
            continue
        mine = await catalogue.services(offered)
        found += [
            Candidate((facts,), service, _preference(asked, facts))
            for service in (mine.values() if mine else (None,))
            if _serves(asked, facts, service)
        ]
    if asked.near or asked.location_texts:
        places = await _places(world, asked, found)
        found = [one for one in found if one.schedules[0].locations & places]
    if len(asked.schedules) > 1:
        return _together(asked, found)
    return found


async def _schedules(
    world: World, asked: Criteria, services: Sequence[str], types: frozenset[str]
) -> list[ScheduleFacts]:
    catalogue = world.catalogue
    if asked.schedules:
        found = await catalogue.schedules(asked.schedules)
        return list(found.values())
    clauses: list[Mapping[str, Any]] = []
    if asked.services or types:
        ways: list[Mapping[str, Any]] = [{"idx.offers": {"$in": services}}, {"idx.actor": {"$in": services}}]
        if types:
            ways.append({"idx.service-type": {"$in": sorted(types)}})
        clauses.append({"$or": ways})
    if asked.practitioners:
        people = list(asked.practitioners)
        roles = await catalogue.matching("PractitionerRole", {"idx.practitioner": {"$in": people}})
        clauses.append({"idx.actor": {"$in": people + roles}})
    references = await catalogue.matching("Schedule", {"$and": clauses} if clauses else {})
    return list((await catalogue.schedules(references)).values())


def _fits(asked: Criteria, facts: ScheduleFacts) -> bool:
    return (
        (not asked.practitioners or bool(facts.actors & set(asked.practitioners)))
        and (not asked.locations or bool(facts.locations & set(asked.locations)))
        and (not asked.organizations or bool(facts.organizations & set(asked.organizations)))
        and (not asked.languages or bool(facts.languages & token_strings(asked.languages)))
    )


def _serves(asked: Criteria, facts: ScheduleFacts, service: ServiceFacts | None) -> bool:
    specialties = facts.specialties | service.specialties if service else facts.specialties
    if asked.specialties and not token_strings(asked.specialties) & specialties:
        return False
    if service is None:
        return True
    if not service.active:
        return False
    return asked.duration is None or asked.duration in service.terms.durations


def _preference(asked: Criteria, facts: ScheduleFacts) -> int:
    for stated in (asked.practitioners, asked.locations, asked.organizations):
        for place, one in enumerate(stated):
            if one in facts.actors or one in facts.locations or one in facts.organizations:
                return place
    return 0


def _together(asked: Criteria, found: Sequence[Candidate]) -> list[Candidate]:
    """One candidate a service that all the named Schedules give together; Schedules without services join any."""
    by_service: dict[str, list[Candidate]] = {}
    free = [one for one in found if one.service is None]
    for one in found:
        if one.service:
            by_service.setdefault(one.service.id, []).append(one)
    groups = list(by_service.values()) or [[]]
    together = []
    for group in groups:
        members = {one.schedules[0].id: one.schedules[0] for one in (*group, *free)}
        if set(members) == set(asked.schedules):
            ordered = tuple(members[one] for one in dict.fromkeys(asked.schedules))
            together.append(Candidate(ordered, group[0].service if group else None, 0))
    return together


async def _places(world: World, asked: Criteria, found: Sequence[Candidate]) -> set[str]:
    ids = sorted({one.split("/", 1)[1] for each in found for one in each.schedules[0].locations if "/" in one})
    locations = [parse(one.body) for one in await world.store.resources.get_many("Location", ids)]
    return {
        f"Location/{one['id']}"
        for one in locations
        if (asked.near is None or _is_near(asked.near, one))
        and (not asked.location_texts or _has_text(asked.location_texts, one))
    }


def _is_near(near: Near, location: Mapping[str, Any]) -> bool:
    position = location.get("position")
    return (
        position is not None
        and distance(near.latitude, near.longitude, float(position["latitude"]), float(position["longitude"]))
        <= near.kilometres * 1000
    )


def _has_text(texts: Sequence[str], location: Mapping[str, Any]) -> bool:
    address = location.get("address") or {}
    parts = [location.get("name", ""), address.get("text", ""), *address.get("line", ())]
    parts += [address.get(name, "") for name in ("city", "district", "state", "postalCode", "country")]
    known = [normalised(one) for one in parts if one]
    return any(one.startswith(normalised(text)) for text in texts for one in known)

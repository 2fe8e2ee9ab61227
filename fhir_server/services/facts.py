"""Facts: one Schedule or HealthcareService with everything around it, as a booking needs it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from fhir_server.scheduling import policy as policies
from fhir_server.scheduling.availability import Span, day_spans
from fhir_server.scheduling.proposal import short_key
from fhir_server.scheduling.terms import Opening, Policy, ServiceTerms
from fhir_server.services import terms
from fhir_server.services.actors import actor_keys, reference_of, tokens_of

Resource = Mapping[str, Any]
REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """One HealthcareService: its terms, policy and the codes it is found by."""

    id: str
    key: str
    terms: ServiceTerms
    policy: Policy
    requires: tuple[Mapping[str, Any], ...]
    tokens: frozenset[str]
    specialties: frozenset[str]
    organization: str
    organization_policy: Policy
    active: bool
    types: tuple[Mapping[str, Any], ...]
    specialty: tuple[Mapping[str, Any], ...]
    category: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, eq=False)
class ScheduleFacts:
    """One Schedule with everything around it that a booking needs.

    ``keys`` are the calendars it keeps busy; ``opening`` is None where it states no rules (then its stored Slots are
    its free time); ``participants`` are ready for an Appointment; ``horizon`` is planningHorizon in epoch seconds.
    """

    id: str
    key: str
    active: bool
    keys: tuple[str, ...]
    zone: ZoneInfo
    opening: Opening | None
    offers: tuple[str, ...]
    organization_policy: Policy
    own_policy: Policy
    tokens: frozenset[str]
    specialties: frozenset[str]
    languages: frozenset[str]
    actors: frozenset[str]
    locations: frozenset[str]
    organizations: frozenset[str]
    participants: tuple[Mapping[str, Any], ...]
    service_type: tuple[Mapping[str, Any], ...]
    horizon: tuple[int | None, int | None]
    place: str
    _spans: dict[Hashable, tuple[Span, ...]] = field(default_factory=dict)
    _policies: dict[str, Policy] = field(default_factory=dict)

    @property
    def owners(self) -> tuple[str, ...]:
        """Patients whose own Schedule it is."""
        return tuple(sorted(one for one in self.actors if one.startswith("Patient/")))

    def policy_for(self, service: ServiceFacts | None) -> Policy:
        """Organization < HealthcareService < Schedule, field by field."""
        key = service.id if service else ""
        found = self._policies.get(key)
        if found is None:
            of_service = (service.organization_policy, self.organization_policy, service.policy) if service else ()
            found = policies.merge(*(of_service or (self.organization_policy,)), self.own_policy)
            self._policies[key] = found
        return found

    def spans_on(self, day: date, service: str | None, modality: str | None) -> tuple[Span, ...]:
        """Openings that start on a local day; remembered as long as these facts live."""
        if self.opening is None:
            return ()
        key = (day, service, modality)
        found = self._spans.get(key)
        if found is None:
            if len(self._spans) > REMEMBERED:
                self._spans.clear()
            found = self._spans[key] = self._planned(day_spans(self.opening, day, service, modality))
        return found

    def _planned(self, found: tuple[Span, ...]) -> tuple[Span, ...]:
        """Openings cut to Schedule.planningHorizon."""
        low, high = self.horizon
        if low is None and high is None:
            return found
        cut = (
            Span(max(one.start, low if low is not None else one.start), min(one.end, high or one.end), one.location)
            for one in found
        )
        return tuple(one for one in cut if one.start < one.end)


def service_facts(resource: Resource, organization: Resource | None = None) -> ServiceFacts:
    reference = f"HealthcareService/{resource['id']}"
    types = tuple(resource.get("type", ()))
    return ServiceFacts(
        reference,
        short_key(reference),
        terms.service_terms(dict(resource)),
        terms.policy(dict(resource)),
        tuple(terms.requirements(dict(resource))),
        tokens_of(types),
        tokens_of(resource.get("specialty", ())),
        reference_of(resource.get("providedBy")) or "",
        terms.policy(dict(organization)) if organization else Policy(),
        resource.get("active", True),
        types,
        tuple(resource.get("specialty", ())),
        tuple(resource.get("category", ())),
    )


def schedule_facts(schedule: Resource, around: Mapping[str, Resource], sealed: Callable[[str], str]) -> ScheduleFacts:
    """:param sealed: ``Vault.calendar_key``."""
    reference = f"Schedule/{schedule['id']}"
    actors = [one for one in map(reference_of, schedule.get("actor", ())) if one]
    roles = [around[one] for one in actors if one.startswith("PractitionerRole/") and one in around]
    people = {one for one in actors if one.startswith("Practitioner/")}
    people |= {one for role in roles if (one := reference_of(role.get("practitioner")))}
    if not roles:
        roles = [one for one in around.values() if reference_of(one.get("practitioner")) in people]
    places = [one for one in actors if one.startswith("Location/")]
    rule_places = [one for one in terms.locations(dict(schedule)) if one]
    own_places = list(dict.fromkeys([*places, *rule_places]))
    if not own_places:
        own_places = [one for role in roles for one in map(reference_of, role.get("location", ())) if one]
    # What is around may be around other Schedules, which are read together with this one.
    near = _places_near(actors, people, roles, around)
    above = {one: reference_of(around[one].get("partOf")) for one in near if one in around}
    sites = [around[one] for one in own_places if one in around and (one in near or one in above.values())]
    sites += [around[above[one]] for one in own_places if above.get(one) in around]
    organizations = list(
        dict.fromkeys(
            one
            for holder, name in [
                *((site, "managingOrganization") for site in sites),
                *((role, "organization") for role in roles),
                *((around[one], "providedBy") for one in actors if one in around),
            ]
            if (one := reference_of(holder.get(name))).startswith("Organization/")
        )
    )
    homes = [around[one] for one in organizations if one in around]
    zone = next((found for one in (schedule, *sites, *homes) if (found := terms.zone(dict(one)))), None)
    has_rules = terms.has_rules(dict(schedule))
    opening = terms.opening(dict(schedule), zone) if has_rules and zone else None
    languages = tokens_of(
        code for person in people if person in around for code in around[person].get("communication", ())
    )
    specialties = tokens_of(schedule.get("specialty", ()))
    specialties |= tokens_of(code for role in roles for code in role.get("specialty", ()))
    return ScheduleFacts(
        reference,
        short_key(reference),
        schedule.get("active", True),
        actor_keys(schedule, around, sealed),
        zone or ZoneInfo("UTC"),
        opening,
        tuple(terms.offers(dict(schedule))) or tuple(one for one in actors if one.startswith("HealthcareService/")),
        terms.policy(dict(homes[0])) if homes else Policy(),
        terms.policy(dict(schedule)),
        tokens_of(schedule.get("serviceType", ())),
        specialties,
        languages,
        frozenset([*actors, *people, *(f"PractitionerRole/{role['id']}" for role in roles)]),
        frozenset(f"Location/{site['id']}" for site in sites) | frozenset(own_places),
        frozenset(organizations),
        _participants(schedule, around, people),
        tuple(schedule.get("serviceType", ())),
        terms.planning_horizon(dict(schedule), zone),
        own_places[0] if own_places else "",
    )


def _places_near(
    actors: list[str], people: set[str], roles: list[Resource], around: Mapping[str, Resource]
) -> set[str]:
    """Places that take part in a Schedule, or where its services and its people's roles are."""
    lent = [*roles, *(around[one] for one in actors if one in around)]
    lent += [one for one in around.values() if reference_of(one.get("practitioner")) in people]
    near = {reference_of(place) for one in lent for place in one.get("location", ())}
    return near | {one for one in actors if one.startswith("Location/")}


def _participants(
    schedule: Resource, around: Mapping[str, Resource], people: set[str]
) -> tuple[Mapping[str, Any], ...]:
    """Appointment participants that a Schedule's actors become; a role becomes its practitioner."""
    found: dict[str, Mapping[str, Any]] = {}
    for actor in schedule.get("actor", ()):
        reference = reference_of(actor)
        if not reference or reference.startswith("Schedule/"):
            continue
        if reference.startswith("PractitionerRole/"):
            person = reference_of((around.get(reference) or {}).get("practitioner"))
            reference = person if person and person in people else reference
        shown = display(around.get(reference)) or actor.get("display")
        made: dict[str, Any] = {"reference": reference} if "/" in reference and reference[0] != "#" else dict(actor)
        if shown:
            made["display"] = shown
        found[reference] = made
    return tuple(found.values())


def display(resource: Resource | None) -> str:
    """A name for a person or place that holds no patient."""
    if not resource:
        return ""
    name = resource.get("name")
    if isinstance(name, str):
        return name
    if isinstance(name, list) and name:
        first = name[0]
        if first.get("text"):
            return str(first["text"])
        parts = [*first.get("prefix", ()), *first.get("given", ()), first.get("family", "")]
        return " ".join(part for part in parts if part)
    return ""

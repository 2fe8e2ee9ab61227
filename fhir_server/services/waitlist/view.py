"""The waitlist as staff see it, in the order of the clinic with its reasons; and open offers of a caller's patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from fhir_server.access.caller import Role
from fhir_server.scheduling.policy import merge
from fhir_server.scheduling.waitlist import Entry, Ranked, rank
from fhir_server.scheduling.waitlist_terms import WaitlistTerms, completed
from fhir_server.search.query import ReferenceIn, TokenIn
from fhir_server.services.access import writes
from fhir_server.services.access.about import PATIENTS
from fhir_server.services.facts import ScheduleFacts, ServiceFacts
from fhir_server.services.upkeep import settle_this_second
from fhir_server.services.waitlist.entries import established, waiting, waiting_in
from fhir_server.services.waitlist.records import is_offer
from fhir_server.services.world import World
from fhir_server.store.resources import Stored, stored


@dataclass(frozen=True, slots=True)
class Asked:
    """Which entries: references, alternatives within a field, all fields together; empty = any."""

    services: tuple[str, ...] = ()
    practitioners: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    patient: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """An entry as the caller sees it; without a place where that is not shown to them."""

    stored: Stored
    ranked: Ranked | None


async def waitlist(world: World, asked: Asked) -> list[Row]:
    """Entries that the caller sees, in the order in which they are offered what they wait for.

    The places count everybody who waits for the same, also those whom the caller does not see.

    :raises Problem: 403 for a patient whom the caller does not see.
    """
    if asked.patient:
        await writes.check_patients(world, [asked.patient], "patient")
    await settle_this_second(world, "Appointment")
    services = await world.catalogue.services(asked.services)
    schedules = await world.catalogue.of_actor(asked.practitioners)
    offered = await _offered(world, asked, services, schedules)
    found = await (
        waiting(world, [each for one in offered for each in (one.id, *one.tokens)])
        if asked.services or asked.practitioners
        else waiting_in(world, await _own_clinics(world), await _own_patients(world))
    )
    found = [(one, entry) for one, entry in found if not entry.is_offered and _asked(asked, entry)]
    terms = await _terms(world, offered if asked.services or asked.practitioners else (), found)
    keys = [key for facts in schedules for key in facts.keys]
    clinics = sorted({clinic for _, entry in found for clinic in entry.clinics})
    seen = await established(world, [entry for _, entry in found], keys, clinics)
    ranked = rank((replace(entry, established=entry.patient in seen) for _, entry in found), terms.ordering)
    by_id = {one.id: one for one, _ in found}
    rows = []
    for one in ranked:
        if asked.patient and one.entry.patient != asked.patient:
            continue
        visible = await world.view.seen(by_id[one.entry.id])
        if visible is not None:
            rows.append(Row(visible, one if await _shows(world, one.entry) else None))
    return rows


async def offers(world: World, patient: str = "") -> list[Stored]:
    """Appointments that are offered and wait for an answer, as the caller sees them, the one that ends first first.

    :raises Problem: 403 for a patient whom the caller does not see.
    """
    if patient:
        await writes.check_patients(world, [patient], "patient")
    await settle_this_second(world, "Appointment")
    clauses: list[Any] = [TokenIn(world.definitions.of("Appointment")["status"], ("=pending",))]
    if patient:
        clauses.append(ReferenceIn(PATIENTS, (patient,)))
    rows = await world.view.find("Appointment", clauses, fields={"idx": 0})
    found = [one for one in (stored("Appointment", row) for row in rows) if is_offer(one.extra)]
    return [world.view.shown(one) for one in sorted(found, key=lambda one: (one.extra["expires"], one.id))]


def _asked(asked: Asked, entry: Entry) -> bool:
    if asked.practitioners and entry.actors and entry.actors.isdisjoint(asked.practitioners):
        return False
    return not asked.locations or not entry.places or not entry.places.isdisjoint(asked.locations)


async def _offered(
    world: World, asked: Asked, services: dict[str, ServiceFacts], schedules: Sequence[ScheduleFacts]
) -> tuple[ServiceFacts, ...]:
    """The services that are asked for, of the practitioners who are asked for."""
    if not asked.practitioners:
        return tuple(services.values())
    given = await world.catalogue.services(list(dict.fromkeys(one for facts in schedules for one in facts.offers)))
    return tuple(one for one in given.values() if not asked.services or one.id in services)


async def _terms(world: World, offered: Sequence[ServiceFacts], found: Sequence[tuple[Stored, Entry]]) -> WaitlistTerms:
    """The settings of the one service that the entries have in common, else the defaults."""
    ids = {one.id for one in offered} or {service for _, entry in found for service in entry.services}
    if len(ids) != 1:
        return completed(None)
    return await terms_of_service(world, next(iter(ids)))


async def terms_of_service(world: World, service: str) -> WaitlistTerms:
    """The settings that hold for a service, whoever gives it."""
    facts = (await world.catalogue.services([service])).get(service)
    return completed(merge(facts.organization_policy, facts.policy).waitlist if facts else None)


async def _shows(world: World, entry: Entry) -> bool:
    """Whether the caller sees the place: staff do, patients where the policy of the service says so."""
    if world.policy.caller.role is not Role.PATIENT:
        return True
    return any([(await terms_of_service(world, one)).show_position for one in sorted(entry.services)])


async def _own_clinics(world: World) -> frozenset[str] | None:
    return None if world.policy.caller.clinics is None else await world.policy.clinics(world)


async def _own_patients(world: World) -> frozenset[str] | None:
    return await world.policy.people(world) if world.policy.caller.role is Role.PATIENT else None

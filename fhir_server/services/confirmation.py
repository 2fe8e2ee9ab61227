"""Confirmation by the clinic: where a service asks for it, what patients write books nothing by itself.

what a patient writes                                becomes
---------------------------------------------------  ---------------------------------------------------------------
a new Appointment, ``booked`` or ``pending``         ``pending``, its time kept until the clinic confirms
``proposed`` or a hold made ``booked``               the same
``pending`` that awaits confirmation made ``booked`` refused, 422 ``confirmation-required``
another service that needs confirmation              refused, 422 ``confirmation-required``

How others take part is theirs to say: in all of these their participation is ``tentative`` until they answer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from fhir_server.errors import Category, Problem, problem
from fhir_server.services.actors import reference_of, tokens_of
from fhir_server.services.booking import Wish
from fhir_server.services.world import World
from fhir_server.store.resources import Stored

ASKED = "tentative"


def awaits_confirmation(wish: Wish) -> bool:
    """Whether ``pending`` means that somebody has yet to confirm; else it is a hold, which ends by itself."""
    return bool(wish.service and wish.service.terms.confirmation == "manual")


async def needed(world: World, wish: Wish, resource: Mapping[str, Any]) -> bool:
    """Whether the clinic confirms what a patient writes: the service of its time, or one that it says instead."""
    if awaits_confirmation(wish):
        return True
    said = tokens_of(resource.get("serviceType", ()))
    if not said or (wish.service and wish.service.tokens & said):
        return False
    offered = await world.catalogue.services([one for facts in wish.schedules for one in facts.offers])
    return any(one.terms.confirmation == "manual" and one.tokens & said for one in offered.values())


def awaited(stored: Stored, resource: Mapping[str, Any]) -> bool:
    """Whether a stored Appointment keeps its time and waits for the clinic."""
    return resource["status"] == "pending" and bool(stored.extra.get("claim")) and stored.extra.get("expires") is None


async def asked(world: World, resource: Mapping[str, Any]) -> dict[str, Any]:
    """A patient's Appointment as a question to the clinic: ``pending``, nobody else has agreed yet."""
    own = await world.policy.people(world) | set(world.policy.caller.persons)
    return {**resource, "status": "pending", "participant": _of_others(world, resource, own)}


def _of_others(world: World, resource: Mapping[str, Any], own: Collection[str]) -> list[dict[str, Any]]:
    return [
        dict(one)
        if reference_of(one.get("actor"), world.bases) in own or one.get("status") == "declined"
        else {**one, "status": ASKED}
        for one in resource.get("participant", ())
    ]


def required(place: str = "Appointment.status") -> Problem:
    """The refusal of a patient who would confirm in the clinic's place."""
    return problem(Category.RULE, "the clinic confirms this service itself", place, "confirmation-required")

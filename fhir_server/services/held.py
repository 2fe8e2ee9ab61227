"""Held time: whose it is, and what was granted with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC
from typing import Any

from fhir_server.errors import Category, problem
from fhir_server.fhir.json import parse
from fhir_server.fhir.temporal import format_instant
from fhir_server.scheduling.booking import BookingRequest
from fhir_server.scheduling.terms import Policy
from fhir_server.services.booking import Wish, claimed
from fhir_server.services.slot_faces import HELD_UNTIL_URL
from fhir_server.services.world import Caller, World
from fhir_server.store.resources import Stored


async def own_slots(world: World, caller: Caller, wish: Wish) -> tuple[str, ...]:
    """Ids of the wish's Slots that this caller holds by themselves."""
    ids = [wish.slot_id(facts) for facts in wish.schedules]
    found = await world.store.resources.get_many("Slot", ids)
    return tuple(one.id for one in found if holds(one, caller, world.now()))


def holds(slot: Stored, caller: Caller, now: int) -> bool:
    """Whether a Slot is held by itself (``busy-tentative``), by this caller, and not over."""
    return bool(claimed(slot)) and slot.extra.get("holder") == caller.party and (slot.extra.get("expires") or 0) > now


def granted(request: BookingRequest) -> BookingRequest:
    """A request whose rules were passed when its time was held: only busy time can refuse it now."""
    schedules = tuple(
        replace(one, policy=Policy(overbooking=one.policy.overbooking), anytime=True, computed=False)
        for one in request.schedules
    )
    return replace(request, schedules=schedules)


def same_time(held: Stored, wish: Wish) -> bool:
    """Whether a wish is for the very time that a hold keeps."""
    return any((entry.start, entry.end) == (wish.start, wish.end) for entry in claimed(held).values())


def same_hold(read: Stored, current: Stored) -> bool:
    """Whether a hold is what it was when the wish was read from it; being held for longer changes nothing."""
    if read.version == current.version:
        return True
    said = [
        {name: value for name, value in parse(one.body).items() if name not in {"meta", "extension"}}
        | {"extension": [each for each in parse(one.body).get("extension", ()) if each.get("url") != HELD_UNTIL_URL]}
        for one in (read, current)
    ]
    return said[0] == said[1]


def check_owner(hold: Stored, caller: Caller, place: str) -> None:
    """409 for a hold of somebody else."""
    holder = hold.extra.get("holder")
    if holder is not None and holder != caller.party:
        raise problem(Category.CONFLICT, "the hold belongs to another client", place, "hold-foreign")


def held_until(appointment: Mapping[str, Any], until: int) -> dict[str, Any]:
    """The Appointment with the extension *held-until*, which the server alone sets."""
    said = {"url": HELD_UNTIL_URL, "valueInstant": format_instant(until, UTC)}
    kept = without_held_until(appointment)
    return {**kept, "extension": [*kept.get("extension", ()), said]}


def without_held_until(appointment: Mapping[str, Any]) -> dict[str, Any]:
    """The Appointment as one that is not held."""
    kept = [one for one in appointment.get("extension", ()) if one.get("url") != HELD_UNTIL_URL]
    rest = {name: value for name, value in appointment.items() if name != "extension"}
    return rest | ({"extension": kept} if kept else {})

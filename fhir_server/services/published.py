"""Published Slots: stored Slots that an EHR posts as open time on a Schedule without rules, of any capacity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fhir_server.fhir.json import parse
from fhir_server.fhir.temporal import instant_seconds
from fhir_server.services.actors import reference_of, tokens_of

if TYPE_CHECKING:
    from fhir_server.services.world import World

CAPACITY_URL = "http://fhir-registry.smarthealthit.org/StructureDefinition/slot-capacity"
LONGEST_SLOT = 31 * 86400


@dataclass(frozen=True, slots=True)
class Published:
    """A stored Slot as open time; seconds since the epoch. ``parts``: the consecutive Slots that it joins, if any."""

    id: str
    schedule: str
    start: int
    end: int
    capacity: int
    status: str
    tokens: frozenset[str]
    parts: tuple[Published, ...] = ()


def published(slot: Mapping[str, Any], bases: Sequence[str] = ()) -> Published:
    """Read a Slot resource. https://github.com/smart-on-fhir/smart-scheduling-links for ``slot-capacity``."""
    capacity = next(
        (one.get("valueInteger", 1) for one in slot.get("extension", ()) if one.get("url") == CAPACITY_URL), 1
    )
    return Published(
        slot["id"],
        reference_of(slot["schedule"], bases),
        instant_seconds(slot["start"]),
        instant_seconds(slot["end"], floor=False),
        max(1, int(capacity)),
        slot["status"],
        tokens_of(slot.get("serviceType", ())),
    )


async def published_between(world: World, schedule: str, start: int, end: int) -> list[Published]:
    """Stored Slots of a Schedule that overlap ``[start, end)`` and are not entered in error, by start."""
    documents = await world.store.resources.find(
        "Slot",
        {
            "idx.schedule": schedule,
            "idx.start.l": {"$gte": (start - LONGEST_SLOT) * 1000, "$lt": end * 1000},
        },
        sort=[("idx.start.l", 1), ("_id", 1)],
        fields={"body": 1},
    )
    found = [published(parse(one["body"]), world.bases) for one in documents]
    return [one for one in found if one.end > start and one.status != "entered-in-error"]


async def has_published(world: World, schedule: str) -> bool:
    """Whether any Slot was ever posted on a Schedule."""
    return bool(await world.store.resources.find("Slot", {"idx.schedule": schedule}, limit=1, fields={"_id": 1}))

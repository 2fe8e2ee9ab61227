"""What a message needs to know of an Appointment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from fhir_server.errors import Problem
from fhir_server.fhir.json import parse
from fhir_server.fhir.temporal import instant_seconds
from fhir_server.scheduling.reminders import DEFAULT_CONFIRMING, DEFAULT_QUIET, DEFAULT_RULES, Confirming, Quiet, Rule
from fhir_server.scheduling.terms import Policy
from fhir_server.services import terms
from fhir_server.services.actors import reference_of
from fhir_server.services.booking import policy_of
from fhir_server.services.proposals import MODALITY_URL
from fhir_server.services.wishes import extension_code, of_appointment
from fhir_server.services.world import World
from fhir_server.settings import CANONICAL
from fhir_server.store.resources import Stored

MOVES_URL = f"{CANONICAL}StructureDefinition/reschedule-count"


@dataclass(frozen=True, slots=True)
class Visit:
    """One version of an Appointment that has a time; ``start`` and ``end`` in epoch seconds.

    ``patients``: reference → participation status, of those who take part. ``clinic`` is the Organization that speaks
    (``Organization/1`` or empty), ``zone`` where the visit is.
    """

    id: str
    resource: Mapping[str, Any]
    status: str
    start: int
    end: int
    modality: str
    patients: Mapping[str, str]
    clinic: str
    clinics: tuple[str, ...]
    zone: ZoneInfo
    policy: Policy

    @property
    def reference(self) -> str:
        return f"Appointment/{self.id}"

    @property
    def rules(self) -> tuple[Rule, ...]:
        """What the clinic reminds of; nothing where it does not."""
        if self.policy.reminders is False:
            return ()
        return self.policy.reminder_rules or DEFAULT_RULES

    @property
    def quiet(self) -> Quiet:
        return self.policy.quiet or DEFAULT_QUIET

    @property
    def confirming(self) -> Confirming:
        return self.policy.confirming or DEFAULT_CONFIRMING

    @property
    def moves(self) -> int:
        """How often it was moved."""
        for one in self.resource.get("extension", ()):
            if one.get("url") == MOVES_URL:
                return int(one.get("valuePositiveInt", 0))
        return 0

    def people(self, type_: str) -> list[str]:
        """Participants of a type, ``Practitioner/1``."""
        found = (reference_of(one.get("actor")) for one in self.resource.get("participant", ()))
        return [one for one in found if one.startswith(f"{type_}/")]


async def visit_of(world: World, stored: Stored) -> Visit | None:
    """The visit in a version; None if it is a deletion's marker or has no time."""
    if stored.deleted:
        return None
    resource = parse(stored.body)
    if "start" not in resource:
        return None
    start = instant_seconds(resource["start"])
    end = instant_seconds(resource["end"], floor=False) if "end" in resource else start
    policy, zone = Policy(), None
    # What it was booked on may be gone, and its policy with it.
    with suppress(Problem):
        wish = await of_appointment(world, resource)
        policy, zone = policy_of(wish), wish.schedules[0].zone if wish.schedules else None
    clinics = tuple(stored.extra.get("clinics") or ())
    return Visit(
        stored.id,
        resource,
        resource["status"],
        start,
        end,
        extension_code(resource, MODALITY_URL),
        patients_of(world, resource),
        clinics[0] if clinics else "",
        clinics,
        zone or await _zone(world, clinics),
        policy,
    )


async def _zone(world: World, clinics: Sequence[str]) -> ZoneInfo:
    """Where a visit is that no Schedule tells of: the zone of its clinic, else ours."""
    ids = [one.partition("/")[2] for one in clinics if one.startswith("Organization/")]
    found = {one.reference: one for one in await world.store.resources.get_many("Organization", ids)}
    for one in (found[name] for name in clinics if name in found):
        with suppress(ValueError):
            if stated := terms.zone(parse(one.body)):
                return stated
    return world.zone


def patients_of(world: World, resource: Mapping[str, Any]) -> dict[str, str]:
    """The patients who take part, ``Patient/1``, and their participation status."""
    found = {}
    for one in resource.get("participant", ()):
        name = reference_of(one.get("actor"), world.bases)
        if name.startswith("Patient/") and one.get("required") != "information-only":
            found[name] = one.get("status", "")
    return found

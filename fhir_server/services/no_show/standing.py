"""How a patient stands with a clinic: a Flag of the clinic on the Patient, at most one of each pair.

Its id follows from the two, so whoever asks finds it, and whoever writes it twice writes one. A Flag that the staff
make inactive stays so until the patient misses another visit. https://hl7.org/fhir/R4/flag.html
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from fhir_server.fhir.json import parse
from fhir_server.services.access.relations import covers
from fhir_server.settings import CANONICAL

if TYPE_CHECKING:
    from fhir_server.services.world import World

SYSTEM = f"{CANONICAL}CodeSystem/patient-flag"
CODE = "no-show"


def flag_id(patient: str, clinic: str) -> str:
    """The id of the Flag of a clinic (``Organization/1``) on a patient (``Patient/1``)."""
    digest = hashlib.sha256(f"{patient}\n{clinic}".encode()).digest()
    return f"no-show-{base64.b32encode(digest)[:26].decode().lower()}"


async def flagged(world: World, patients: Iterable[str], clinics: Iterable[str]) -> bool:
    """Whether one of these patients is flagged by one of these clinics now."""
    return bool(await flagging(world, patients, clinics))


async def flagging(world: World, patients: Iterable[str], clinics: Iterable[str]) -> frozenset[str]:
    """Which of these clinics have one of these patients flagged now."""
    places = list(clinics)
    wanted = {flag_id(who, where): where for who in patients for where in places}
    found = await world.store.resources.get_many("Flag", sorted(wanted))
    return frozenset(wanted[one.id] for one in found if in_force(world, parse(one.body)))


def in_force(world: World, flag: Mapping[str, Any]) -> bool:
    return flag.get("status") == "active" and covers(flag.get("period"), world)

"""Who may choose which patient when an app asks for one: the rule of the patient picker, in this one place.

role                       may choose
-------------------------  ------------------------------------------------------------------------------
patient                    the Patients of the account, and those for whom its active RelatedPersons act
practitioner               Patients of whom they are generalPractitioner, who have an Appointment in their clinics
front-desk, administrator  Patients whom their clinics manage, or who have an Appointment there
others                     nobody
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fhir_server.access.account import Account
from fhir_server.access.caller import STAFF, Role
from fhir_server.errors import Category, problem
from fhir_server.fhir.json import parse
from fhir_server.fhir.temporal import date_range
from fhir_server.services.actors import reference_of
from fhir_server.services.conditional import criteria_of
from fhir_server.services.world import World
from fhir_server.store.search import to_filter

MOST = 20
"""Patients that are shown at once."""
_MOST_CANDIDATES = 200
_MOST_ACTORS = 1000
_PATIENT = re.compile(r"Patient/[A-Za-z0-9\-.]{1,64}", re.ASCII)

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Choice:
    """A patient to choose: ``Patient/1``, and how the page names them."""

    reference: str
    label: str


@dataclass(frozen=True, slots=True)
class Sought:
    """What staff know of a patient: a name and a birth date (YYYY-MM-DD), or an identifier such as the MRN."""

    name: str = ""
    birth_date: str = ""
    identifier: str = ""

    @property
    def enough(self) -> bool:
        return bool(self.identifier or (self.name and self.birth_date))


async def choices(world: World, account: Account, sought: Sought) -> list[Choice]:
    """Patients whom the account may choose, at most :data:`MOST`: a patient sees all, staff those that they seek.

    :raises Problem: 400 for what cannot be sought.
    """
    if account.role not in STAFF:
        ids = sorted(one.partition("/")[2] for one in await _own(world, account))
        return [_choice(one) for one in await _read(world, "Patient", ids[:MOST])]
    if not sought.enough:
        return []
    found = await _find(world, "Patient", _pairs(sought, world), _MOST_CANDIDATES)
    allowed = await _allowed(world, account, found)
    return [_choice(one) for one in found if one["id"] in allowed][:MOST]


async def may_choose(world: World, account: Account, reference: str) -> bool:
    """Whether the account may choose this patient."""
    if not _PATIENT.fullmatch(reference):
        return False
    found = await _read(world, "Patient", [reference.partition("/")[2]])
    if not found:
        return False
    if account.role not in STAFF:
        return reference in await _own(world, account)
    return bool(await _allowed(world, account, found))


async def label(world: World, reference: str) -> str:
    """How a page names a patient whom somebody may choose; empty for one who is not there."""
    found = await _read(world, "Patient", [reference.partition("/")[2]])
    return _choice(found[0]).label if found else ""


async def _own(world: World, account: Account) -> set[str]:
    if account.role is not Role.PATIENT:
        return set()
    own = {one for one in account.persons if one.startswith("Patient/")}
    ids = [one.partition("/")[2] for one in account.persons if one.startswith("RelatedPerson/")]
    for one in await _read(world, "RelatedPerson", ids):
        if one.get("active", True) and _is_now(world, one.get("period") or {}):
            own.add(reference_of(one.get("patient"), world.bases))
    return own


def _is_now(world: World, period: Resource) -> bool:
    now = world.clock()
    begun = "start" not in period or date_range(period["start"], world.zone)[0] <= now
    return begun and ("end" not in period or now < date_range(period["end"], world.zone)[1])


async def _allowed(world: World, account: Account, patients: Sequence[Resource]) -> set[str]:
    """Ids of those patients whom a member of staff may choose."""
    clinics = account.clinics
    own = clinics | set(account.persons) if account.role is Role.PRACTITIONER else clinics
    direct = {
        one["id"]
        for one in patients
        if reference_of(one.get("managingOrganization"), world.bases) in (clinics if own is clinics else ())
        or any(reference_of(doctor, world.bases) in own for doctor in one.get("generalPractitioner", ()))
    }
    rest = [one["id"] for one in patients if one["id"] not in direct]
    return direct | await _seen(world, account, rest) if rest else direct


async def _seen(world: World, account: Account, ids: Sequence[str]) -> set[str]:
    """Those of the patients who have an Appointment with the account's persons or in its clinics."""
    actors = await _actors(world, account)
    if not actors:
        return set()
    wanted = {f"Patient/{one}" for one in ids}
    pairs = [("actor", ",".join(sorted(wanted))), ("actor", ",".join(sorted(actors)))]
    found: set[str] = set()
    for visit in await _find(world, "Appointment", pairs, _MOST_ACTORS):
        if visit["status"] != "entered-in-error":
            found |= {reference_of(one.get("actor"), world.bases) for one in visit["participant"]} & wanted
    return {one.partition("/")[2] for one in found}


async def _actors(world: World, account: Account) -> set[str]:
    """Everybody and everything of the account's clinics that an Appointment can name."""
    found = set(account.persons)
    if not account.clinics:
        return found
    clinics = ",".join(sorted(account.clinics))
    for type_, parameter in (
        ("PractitionerRole", "organization"),
        ("Location", "organization"),
        ("HealthcareService", "organization"),
    ):
        for one in await _find(world, type_, [(parameter, clinics)], _MOST_ACTORS):
            found.add(f"{type_}/{one['id']}")
            found.add(reference_of(one.get("practitioner"), world.bases))
    return found - {""}


def _pairs(sought: Sought, world: World) -> list[tuple[str, str]]:
    if sought.identifier:
        return [("identifier", _literal(sought.identifier))]
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", sought.birth_date, re.ASCII):
        raise problem(Category.INVALID, "the birth date is YYYY-MM-DD", "birth_date")
    try:
        date_range(sought.birth_date, world.zone)
    except ValueError:
        raise problem(Category.INVALID, "the birth date is no day", "birth_date") from None
    words = sought.name.split()[:5]
    return [*(("name", _literal(word)) for word in words), ("birthdate", sought.birth_date)]


def _literal(text: str) -> str:
    """A value in which no character is a separator of searches. https://hl7.org/fhir/R4/search.html#escaping."""
    return re.sub(r"([\\,$|])", r"\\\1", text)


async def _find(world: World, type_: str, pairs: Sequence[tuple[str, str]], most: int) -> list[Resource]:
    where = to_filter(criteria_of(world, type_, pairs).clauses)
    rows = await world.store.resources.find(type_, where, sort=[("_id", 1)], limit=most, fields={"body": 1})
    return [parse(bytes(one["body"])) for one in rows]


async def _read(world: World, type_: str, ids: Iterable[str]) -> list[Resource]:
    return [parse(one.body) for one in await world.store.resources.get_many(type_, list(ids))]


def _choice(patient: Resource) -> Choice:
    names = patient.get("name") or [{}]
    name = next((one for one in names if one.get("use") == "official"), names[0])
    said = name.get("text") or " ".join([*name.get("given", ()), name.get("family", "")]).strip()
    born = f", born {patient['birthDate']}" if patient.get("birthDate") else ""
    return Choice(f"Patient/{patient['id']}", f"{said or 'A patient without a name'}{born}")

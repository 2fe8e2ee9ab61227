"""Who may choose which patient when an app asks for one: whoever may read the patient, by the policy of all reads.

The picker asks as if the account held ``user/Patient.rs``. Patients and parents see at once those for whom they act;
staff find theirs by what they know of a patient; nobody else chooses anybody.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from fhir_server.access import scopes
from fhir_server.access.account import Account
from fhir_server.access.caller import CHANNELS, STAFF, Caller, Role
from fhir_server.errors import Category, problem
from fhir_server.fhir.json import parse
from fhir_server.fhir.temporal import date_range
from fhir_server.services.access.policy import AccessPolicy
from fhir_server.services.conditional import criteria_of
from fhir_server.services.world import World

MOST = 20
"""Patients that are shown at once."""
READING = scopes.parse("user/Patient.rs")
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

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The same as parameters of a search."""
        if self.identifier:
            return [("identifier", _literal(self.identifier))]
        return [*(("name", _literal(word)) for word in self.name.split()[:5]), ("birthdate", self.birth_date)]

    @property
    def query(self) -> bytes:
        """The search as the access record keeps it."""
        return f"GET /Patient?{urlencode(self.pairs)}".encode()


async def choices(world: World, account: Account, sought: Sought) -> list[Choice]:
    """Patients whom the account may choose, at most :data:`MOST`: a patient sees all, staff those that they seek.

    :raises Problem: 400 for what cannot be sought.
    """
    mine = await _seen_by(world, account)
    if account.role is Role.PATIENT:
        own = sorted(await mine.policy.people(mine))[:MOST]
        found = [await _read(mine, one) for one in own]
        return [_choice(one) for one in found if one]
    if account.role not in STAFF or not sought.enough:
        return []
    _check(world, sought)
    clauses = criteria_of(world, "Patient", sought.pairs).clauses
    rows = await mine.view.find("Patient", clauses, sort=[("_id", 1)], limit=MOST, fields={"body": 1, "patients": 1})
    bodies = [mine.view.body("Patient", bytes(one["body"]), one.get("patients") or ()) for one in rows]
    return [_choice(parse(one)) for one in bodies]


async def may_choose(world: World, account: Account, reference: str) -> bool:
    """Whether the account may choose this patient."""
    return await _read(await _seen_by(world, account), reference) is not None


async def label(world: World, account: Account, reference: str) -> str:
    """How a page names a patient to the account; empty for one whom it does not see."""
    found = await _read(await _seen_by(world, account), reference)
    return _choice(found).label if found else ""


def is_patient(reference: str) -> bool:
    """Whether a text can name a patient."""
    return _PATIENT.fullmatch(reference) is not None


async def _seen_by(world: World, account: Account) -> World:
    """The world as the account sees it; an account that picks nobody sees nobody."""
    picks = account.role in STAFF or account.role is Role.PATIENT
    caller = Caller(
        channel=CHANNELS[account.role],
        role=account.role,
        scopes=READING if picks else scopes.NONE,
        subject=account.id,
        issuer=world.settings.issuer,
        fhir_user=account.fhir_user,
        persons=account.persons,
        clinics=account.clinics if account.role in STAFF else None,
    )
    policy = AccessPolicy(caller)
    await policy.begin(world)
    return world.under(policy)


async def _read(mine: World, reference: str) -> Resource | None:
    """A patient whom the caller of this world sees."""
    if not is_patient(reference):
        return None
    found = await mine.view.get("Patient", reference.partition("/")[2])
    return parse(found.body) if found and not found.deleted else None


def _check(world: World, sought: Sought) -> None:
    if sought.identifier:
        return
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", sought.birth_date, re.ASCII):
        raise problem(Category.INVALID, "the birth date is YYYY-MM-DD", "birth_date")
    try:
        date_range(sought.birth_date, world.zone)
    except ValueError:
        raise problem(Category.INVALID, "the birth date is no day", "birth_date") from None


def _literal(text: str) -> str:
    """A value in which no character is a separator of searches. https://hl7.org/fhir/R4/search.html#escaping."""
    return re.sub(r"([\\,$|])", r"\\\1", text)


def _choice(patient: Resource) -> Choice:
    names = patient.get("name") or [{}]
    name = next((one for one in names if one.get("use") == "official"), names[0])
    said = name.get("text") or " ".join([*name.get("given", ()), name.get("family", "")]).strip()
    born = f", born {patient['birthDate']}" if patient.get("birthDate") else ""
    return Choice(f"Patient/{patient['id']}", f"{said or 'A patient without a name'}{born}")

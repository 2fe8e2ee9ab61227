"""Accounts of the demo clinic, for ``fhir-server dev`` alone: everybody has the one password that the README tells.

username                       role            is
-----------------------------  --------------  ---------------------------------------------
patient1, patient2             patient         Patient/patient-1, Patient/patient-2
parent1                        patient         RelatedPerson/parent-1, who acts for a child
dr-adams … (every clinician)   practitioner    Practitioner/dr-adams …
frontdesk1                     front-desk      reception of the clinic
admin1                         administrator   runs the clinic
auditor1                       auditor         looks into the access record
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fhir_server.access.caller import Role
from fhir_server.errors import Category, Problem
from fhir_server.services.authorization import accounts
from fhir_server.services.world import World

PASSWORD = "demo-clinic-2026"  # noqa: S105  of invented people on one's own machine
CLINIC = "Organization/demo-clinic"


@dataclass(frozen=True, slots=True)
class _Person:
    username: str
    name: str
    role: Role
    fhir_user: str


_PEOPLE = (
    _Person("patient1", "Patient One", Role.PATIENT, "Patient/patient-1"),
    _Person("patient2", "Patient Two", Role.PATIENT, "Patient/patient-2"),
    _Person("parent1", "Parent One", Role.PATIENT, "RelatedPerson/parent-1"),
    _Person("frontdesk1", "Front Desk", Role.FRONT_DESK, "Practitioner/frontdesk-1"),
    _Person("admin1", "Administrator", Role.ADMINISTRATOR, "Practitioner/admin-1"),
    _Person("auditor1", "Auditor", Role.AUDITOR, "Practitioner/auditor-1"),
)


def role_of(username: str) -> Role:
    """The role of a demo user; whoever is not in the list above is a clinician."""
    return next((one.role for one in _PEOPLE if one.username == username), Role.PRACTITIONER)


async def demo_accounts(world: World, clinicians: Mapping[str, str]) -> tuple[str, ...]:
    """Make the accounts that are missing and whose people are there; the usernames of all that exist then.

    :param clinicians: name by id of the Practitioners that the demo clinic may hold; no other gets an account.
    """
    people = (*_PEOPLE, *await _clinicians(world, clinicians))
    return tuple(
        [one.username for one in people if await accounts.named(world, one.username) or await _made(world, one)]
    )


async def _made(world: World, one: _Person) -> bool:
    at_work = one.role not in {Role.PATIENT, Role.AUDITOR}
    try:
        await accounts.add(
            world,
            username=one.username,
            password=PASSWORD,
            role=one.role,
            name=one.name,
            fhir_user=one.fhir_user,
            clinics=(CLINIC,) if at_work else (),
        )
    except Problem as refused:
        if refused.category is Category.RULE:
            return False  # an empty database, or another clinic: nobody of that name is in it
        if refused.category is not Category.CONFLICT:
            raise
    return True


async def _clinicians(world: World, known: Mapping[str, str]) -> list[_Person]:
    """Those of the known who are there, under the name that the demo gives them: what is stored may be anything."""
    rows = await world.store.resources.find("Practitioner", {"_id": {"$in": list(known)}}, fields={"_id": 1})
    there = {one["_id"] for one in rows}
    return [_Person(id_, name, Role.PRACTITIONER, f"Practitioner/{id_}") for id_, name in known.items() if id_ in there]

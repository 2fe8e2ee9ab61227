"""Compartments: which resources belong to a patient and the like, https://hl7.org/fhir/R4/compartmentdefinition.html.

A resource is a member when one of the listed search parameters refers to the compartment's own resource. Types that are
not listed are in no compartment of that kind: a Slot, a Location or a HealthcareService is nobody's. Of the types that
R4 lists those stand here that this server holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from fhir_server.errors import Category, problem
from fhir_server.search.definitions import Definitions
from fhir_server.search.query import Clause, IdIn, Or, Query, ReferenceIn

if TYPE_CHECKING:
    from fhir_server.services.world import World

_TABLE = {
    "Patient": """
        Appointment: actor
        AppointmentResponse: actor
        Communication: subject sender recipient
        CommunicationRequest: subject sender recipient requester
        Consent: patient
        Coverage: policy-holder subscriber beneficiary payor
        Encounter: patient
        Flag: patient
        Group: member
        Patient: link
        RelatedPerson: patient
        Schedule: actor
        ServiceRequest: subject performer
    """,
    "Practitioner": """
        Appointment: actor
        AppointmentResponse: actor
        Communication: sender recipient
        CommunicationRequest: sender recipient requester
        Encounter: practitioner participant
        Flag: author
        Group: member
        Patient: general-practitioner
        Practitioner:
        PractitionerRole: practitioner
        Schedule: actor
        ServiceRequest: performer requester
    """,
    "RelatedPerson": """
        Appointment: actor
        AppointmentResponse: actor
        Communication: sender recipient
        CommunicationRequest: sender recipient requester
        Coverage: policy-holder subscriber payor
        Encounter: participant
        Patient: link
        RelatedPerson:
        Schedule: actor
        ServiceRequest: performer
    """,
    "Device": """
        Appointment: actor
        AppointmentResponse: actor
        Communication: sender recipient
        CommunicationRequest: sender recipient
        Device:
        Flag: author
        Group: member
        Schedule: actor
        ServiceRequest: performer requester
    """,
    "Encounter": """
        Communication: encounter
        CommunicationRequest: encounter
        Encounter:
        ServiceRequest: encounter
    """,
}


def _read(table: str) -> Mapping[str, tuple[str, ...]]:
    rows = (line.split(":") for line in table.strip().splitlines())
    return MappingProxyType({type_.strip(): tuple(codes.split()) for type_, codes in rows})


COMPARTMENTS: Mapping[str, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {name: _read(table) for name, table in _TABLE.items()}
)
"""Compartment → member type → search parameters that make it a member. The compartment's own resource is always one."""


def membership(definitions: Definitions, compartment: str, id_: str, type_: str) -> Clause | None:
    """The clause that is true for members of a type in the compartment ``compartment/id_``; None where it has none."""
    codes = COMPARTMENTS[compartment].get(type_)
    if codes is None:
        return None
    known = definitions.of(type_)
    ways: list[Clause] = [ReferenceIn(known[code], (f"{compartment}/{id_}",)) for code in codes]
    if type_ == compartment:
        ways.append(IdIn((id_,)))
    return ways[0] if len(ways) == 1 else Or(tuple(ways))


def within(world: World, compartment: str, id_: str, query: Query) -> Query:
    """The search narrowed to members.

    :raises Problem: 404 for a type that has none in this kind of compartment.
    """
    clause = membership(world.definitions, compartment, id_, query.type)
    if clause is None:
        raise problem(Category.NOT_FOUND, f"{query.type} is in no compartment of a {compartment}", query.type)
    return replace(query, clauses=(*query.clauses, clause))


async def check(world: World, compartment: str, id_: str) -> None:
    """:raises Problem: 404 for a compartment whose resource never was or is hidden, 410 for one that is deleted."""
    found = await world.view.get(compartment, id_)
    if found is None:
        raise problem(Category.NOT_FOUND, f"{compartment}/{id_} does not exist", compartment)
    if found.deleted:
        raise problem(Category.GONE, f"{compartment}/{id_} is deleted", compartment)

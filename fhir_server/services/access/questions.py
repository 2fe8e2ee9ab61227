"""What a caller may ask by: a question about what they do not see would answer itself.

Who does not see an element cannot search, sort or include by it (403). Patients ask about other patients in vain: a
reference to them matches nothing; and what company would reveal (``part-status`` of a family's visit) is only asked of
Appointments that have one patient.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from fhir_server.access.caller import Role
from fhir_server.search.query import Include, Query
from fhir_server.services.access import looks
from fhir_server.services.access.policy import READING, AccessPolicy, Clauses

if TYPE_CHECKING:
    from fhir_server.search.definitions import Definition
    from fhir_server.services.world import World


async def narrowed(world: World, type_: str, clauses: Clauses, permissions: str = READING) -> Clauses | None:
    """The clauses of a question as this caller may ask it, with what they see; None where they see nothing.

    :raises Problem: 403 for a parameter that looks at what is withheld.
    """
    policy = world.policy
    seen = await policy.sees(world, type_, permissions)
    if seen is None:
        return None
    if policy.caller.role is Role.SYSTEM:
        return (*clauses, *seen) if seen else clauses
    for one in clauses:
        looks.check(policy.caller.role, type_, one)
    if policy.caller.role is Role.PATIENT:
        people = await policy.people(world)
        clauses = tuple(looks.asked_by_patient(type_, one, people) for one in clauses)
    return (*clauses, *seen)


async def narrow(world: World, query: Query) -> Query | None:
    """A search as this caller may make it; None where it finds nothing whatever it asks.

    :raises Problem: 403 for a parameter, a sort key or an include that looks at what is withheld.
    """
    policy = world.policy
    if policy.caller.role is not Role.SYSTEM:
        for key in query.sort:
            looks.refuse_hidden(policy.caller.role, query.type, key.definition)
        for include in (*query.includes, *query.revincludes):
            if include.definition is not None:
                looks.refuse_hidden(policy.caller.role, include.source, include.definition)
    clauses = await narrowed(world, query.type, query.clauses)
    return None if clauses is None else replace(query, clauses=clauses)


def followed(policy: AccessPolicy, include: Include, definitions: Iterable[Definition]) -> list[Definition]:
    """The reference parameters of a wildcard include that the caller may follow."""
    return [one for one in definitions if not looks.is_hidden(policy.caller.role, one.base or include.source, one)]

"""What a caller may ask by: a question about what they do not see would answer itself.

Who does not see an element cannot search, sort or include by it (403). Patients ask about other patients in vain: a
reference to them matches nothing; and what company would reveal (``part-status`` of a family's visit) is only asked of
Appointments that have one patient.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from fhir_server.access.caller import Role
from fhir_server.access.rules import IN_COMPANY, MEMBERS, WITHHELD
from fhir_server.errors import Category, problem
from fhir_server.search.query import All, Chain, Clause, Has, IdIn, Include, Missing, Not, Or, Query, ReferenceIn
from fhir_server.services.access.about import SECOND
from fhir_server.services.access.policy import READING, AccessPolicy, Clauses

if TYPE_CHECKING:
    from fhir_server.search.definitions import Definition
    from fhir_server.services.world import World

_ELEMENT = re.compile(r"\b([A-Z][A-Za-z]+)\.([a-z][A-Za-z]*)")
ALONE = Missing(SECOND, missing=True)
"""True for what speaks of one patient at most."""


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
        _check(policy, type_, one)
    if policy.caller.role is Role.PATIENT:
        people = await policy.people(world)
        clauses = tuple(_asked_by_patient(type_, one, people) for one in clauses)
    return (*clauses, *seen)


async def narrow(world: World, query: Query) -> Query | None:
    """A search as this caller may make it; None where it finds nothing whatever it asks.

    :raises Problem: 403 for a parameter, a sort key or an include that looks at what is withheld.
    """
    policy = world.policy
    if policy.caller.role is not Role.SYSTEM:
        for key in query.sort:
            _refuse_hidden(policy, query.type, key.definition)
        for include in (*query.includes, *query.revincludes):
            if include.definition is not None:
                _refuse_hidden(policy, include.source, include.definition)
    clauses = await narrowed(world, query.type, query.clauses)
    return None if clauses is None else replace(query, clauses=clauses)


def followed(policy: AccessPolicy, include: Include, definitions: Iterable[Definition]) -> list[Definition]:
    """The reference parameters of a wildcard include that the caller may follow."""
    return [one for one in definitions if not _is_hidden(policy, one.base or include.source, one)]


def _check(policy: AccessPolicy, type_: str, clause: Clause) -> None:
    """:raises Problem: 403 for a part of the question that looks at what is withheld."""
    match clause:
        case Not(clause=inner):
            _check(policy, type_, inner)
        case Or(clauses=several) | All(clauses=several):
            for one in several:
                _check(policy, type_, one)
        case Chain(definition=definition, target=target, clauses=several):
            _refuse_hidden(policy, type_, definition)
            for one in several:
                _check(policy, target, one)
        case Has(kind=kind, definition=definition, clauses=several):
            _refuse_hidden(policy, kind, definition)
            for one in several:
                _check(policy, kind, one)
        case IdIn():
            pass
        case _:
            _refuse_hidden(policy, type_, clause.definition)


def _refuse_hidden(policy: AccessPolicy, type_: str, definition: Definition) -> None:
    if _is_hidden(policy, type_, definition):
        text = "this parameter looks at what is withheld from this role"
        raise problem(Category.FORBIDDEN, text, definition.code, "withheld")


def _is_hidden(policy: AccessPolicy, type_: str, definition: Definition) -> bool:
    withheld = WITHHELD.get(policy.caller.role, {}).get(type_, frozenset())
    return bool(withheld & elements_of(definition.expression, type_))


@lru_cache(maxsize=4096)
def elements_of(expression: str, type_: str) -> frozenset[str]:
    """Top-level elements of a type that an expression reads: ``Appointment.reasonCode`` reads ``reasonCode``."""
    return frozenset(name for kind, name in _ELEMENT.findall(expression) if kind == type_)


def _asked_by_patient(type_: str, clause: Clause, people: frozenset[str]) -> Clause:
    """The question without what it would reveal about others."""
    own = _about_own(clause, people)
    return All((own, ALONE)) if _tells_on_company(type_, clause) else own


def _about_own(clause: Clause, people: frozenset[str]) -> Clause:
    match clause:
        case Not(clause=inner):
            return Not(_about_own(inner, people))
        case Or(clauses=several) | All(clauses=several):
            return type(clause)(tuple(_about_own(one, people) for one in several))
        case ReferenceIn(definition=definition, values=values) if "Patient" in definition.targets:
            return ReferenceIn(definition, tuple(one for one in values if _is_open(one, people)))
        case _:
            return clause


def _is_open(value: str, people: frozenset[str]) -> bool:
    """Whether a patient may ask by a reference: one of their own, or one to something that is no person."""
    type_ = value.partition("/")[0]
    return value in people or (
        not value.startswith("#") and "://" not in value and type_ not in {"Patient", "RelatedPerson"}
    )


def _tells_on_company(type_: str, clause: Clause) -> bool:
    """Whether a question looks at elements that are withheld from a patient in company."""
    if type_ not in IN_COMPANY:
        return False
    codes = IN_COMPANY[type_] | {MEMBERS[type_][0]} if type_ in MEMBERS else IN_COMPANY[type_]
    return any(
        elements_of(one.expression, type_) & codes and not _by_reference(type_, one) for one in _definitions(clause)
    )


def _by_reference(type_: str, definition: Definition) -> bool:
    """References to members are asked by value, and only about one's own people."""
    return definition.type == "reference" and type_ in MEMBERS and MEMBERS[type_][0] in elements_of(
        definition.expression, type_
    )  # fmt: skip


def _definitions(clause: Clause) -> Sequence[Definition]:
    match clause:
        case Not(clause=inner):
            return _definitions(inner)
        case Or(clauses=several) | All(clauses=several):
            return [found for one in several for found in _definitions(one)]
        case IdIn() | Has():
            return []
        case _:
            return [clause.definition]

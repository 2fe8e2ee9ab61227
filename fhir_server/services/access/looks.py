"""What a question looks at: withheld elements, other people, other resources. Searches and scopes ask so."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from fhir_server.access.caller import Role
from fhir_server.access.rules import IN_COMPANY, MEMBERS, WITHHELD
from fhir_server.errors import Category, problem
from fhir_server.search.query import All, Chain, Clause, Has, IdIn, Missing, Not, Or, ReferenceIn
from fhir_server.services.access.about import SECOND

if TYPE_CHECKING:
    from fhir_server.search.definitions import Definition

_ELEMENT = re.compile(r"\b([A-Z][A-Za-z]+)\.([a-z][A-Za-z]*)")
ALONE = Missing(SECOND, missing=True)
"""True for what speaks of one patient at most."""


def looks_elsewhere(clause: Clause) -> bool:
    """Whether a clause asks other resources than the one it is about."""
    match clause:
        case Not(clause=inner):
            return looks_elsewhere(inner)
        case Or(clauses=several) | All(clauses=several):
            return any(looks_elsewhere(one) for one in several)
        case _:
            return isinstance(clause, Chain | Has)


def check(role: Role, type_: str, clause: Clause) -> None:
    """:raises Problem: 403 for a part of the question that looks at what is withheld."""
    match clause:
        case Not(clause=inner):
            check(role, type_, inner)
        case Or(clauses=several) | All(clauses=several):
            for one in several:
                check(role, type_, one)
        case Chain(definition=definition, target=target, clauses=several):
            refuse_hidden(role, type_, definition)
            for one in several:
                check(role, target, one)
        case Has(kind=kind, definition=definition, clauses=several):
            refuse_hidden(role, kind, definition)
            for one in several:
                check(role, kind, one)
        case IdIn():
            pass
        case _:
            refuse_hidden(role, type_, clause.definition)


def refuse_hidden(role: Role, type_: str, definition: Definition) -> None:
    if is_hidden(role, type_, definition):
        text = "this parameter looks at what is withheld from this role"
        raise problem(Category.FORBIDDEN, text, definition.code, "withheld")


def is_hidden(role: Role, type_: str, definition: Definition) -> bool:
    withheld = WITHHELD.get(role, {}).get(type_, frozenset())
    return bool(withheld & elements_of(definition.expression, type_))


@lru_cache(maxsize=4096)
def elements_of(expression: str, type_: str) -> frozenset[str]:
    """Top-level elements of a type that an expression reads: ``Appointment.reasonCode`` reads ``reasonCode``."""
    return frozenset(name for kind, name in _ELEMENT.findall(expression) if kind == type_)


def asked_by_patient(type_: str, clause: Clause, people: frozenset[str]) -> Clause:
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

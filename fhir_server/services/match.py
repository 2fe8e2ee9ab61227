"""``Patient/$match``, https://hl7.org/fhir/R4/patient-operation-match.html.

Who could be meant is looked up by index: an identifier, a birth date with a family or given name, a telephone or e-mail
address. Each of those is scored by the table of :mod:`fhir_server.services.match_score`; *certainly-not* is no answer.
A patient who is inactive or was replaced by another is nobody to be matched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fhir_server.errors import Category, problem
from fhir_server.fhir.json import parse
from fhir_server.fhir.temporal import date_range
from fhir_server.search.extract import normalised
from fhir_server.search.query import Clause, DateCompare, StringStarts, TokenIn
from fhir_server.services.match_score import MOST, Patient, grade, identifiers, names, points, score, telecoms
from fhir_server.services.world import World

MOST_CANDIDATES = 100
"""Candidates of one lookup."""


@dataclass(frozen=True, slots=True)
class Match:
    """A patient who could be meant; ``grade`` is ``certain``, ``probable`` or ``possible``."""

    id: str
    body: bytes
    score: Decimal
    grade: str


@dataclass(frozen=True, slots=True)
class Matches:
    """Best first; ``several``: nobody is named because more than one is certain and only the certain one was wanted."""

    found: tuple[Match, ...]
    several: bool = False


async def match(world: World, patient: Patient, *, place: str, only_certain: bool = False) -> Matches:
    """Who the patient could be.

    :param patient: a checked Patient, as far as it is known.
    :param place: where the patient stands in the request.
    :raises Problem: 422 when too little is known to look anybody up.
    """
    lookups = _lookups(world, patient)
    if not lookups:
        text = "an identifier, a name with a birth date, or a telephone or e-mail address is needed to match a patient"
        raise problem(Category.RULE, text, place, "param-missing")
    bodies: dict[str, bytes] = {}
    for clauses in lookups:
        found = await world.view.find("Patient", clauses, limit=MOST_CANDIDATES, fields={"body": 1})
        bodies.update({one["_id"]: bytes(one["body"]) for one in found})
    graded = sorted(
        (one for id_, body in bodies.items() if (one := _graded(id_, body, patient)).grade != "certainly-not"),
        key=lambda one: (-one.score, one.id),
    )
    if not only_certain:
        return Matches(tuple(graded))
    certain = tuple(one for one in graded if one.grade == "certain")
    return Matches(certain) if len(certain) < 2 else Matches((), several=True)


def _graded(id_: str, body: bytes, patient: Patient) -> Match:
    candidate = parse(body)
    found = points(patient, candidate) if _is_current(candidate) else 0
    return Match(id_, body, score(found), grade(found))


def _is_current(candidate: Mapping[str, Any]) -> bool:
    replaced = any(one.get("type") == "replaced-by" for one in candidate.get("link", ()))
    return candidate.get("active", True) and not replaced


def _lookups(world: World, patient: Patient) -> list[tuple[Clause, ...]]:
    """What to look up, each by an index."""
    known = world.definitions.of("Patient")
    found: list[tuple[Clause, ...]] = []
    if named := identifiers(patient):
        found.append((TokenIn(known["identifier"], tuple(f"{s}|{v}" if s else f"={v}" for s, v in named)),))
    if stated := patient.get("birthDate"):
        born = DateCompare(known["birthdate"], "eq", *date_range(stated, world.zone))
        for code, texts in (("family", _said(patient, "family")), ("given", _said(patient, "given"))):
            if texts:
                found.append((born, StringStarts(known[code], texts)))
    reached = {system: tuple(f"={value}" for value in telecoms(patient, system)) for system in ("phone", "email")}
    return found + [(TokenIn(known[system], values),) for system, values in reached.items() if values]


def _said(patient: Patient, part: str) -> tuple[str, ...]:
    """Family or given names as the index has them, and as they are compared."""
    texts: dict[str, None] = {}
    for one in list(patient.get("name", ()))[:MOST]:
        values = one.get(part) or ()
        for value in [values] if isinstance(values, str) else values[:MOST]:
            if value and (text := normalised(value)):
                texts[text] = None
    for family, given in names(patient):
        texts.update(dict.fromkeys(filter(None, [family] if part == "family" else given[:MOST])))
    return tuple(texts)

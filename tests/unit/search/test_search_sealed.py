"""What a sealed parameter answers, and what it refuses: the table of fhir_server/search/sealed.py."""

from __future__ import annotations

import pytest

from fhir_server.errors import Category, Problem
from fhir_server.fhir.types import HELD, SEALED_TYPES
from fhir_server.search.sealed import LONGEST, PERSONAL, SEALED
from tests.builders.search import DEFINITIONS, read


def refusal(kind, *pairs):
    with pytest.raises(Problem) as refused:
        read(kind, *pairs)
    return refused.value


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("Patient", "birthdate", "ge1980"),
        ("Patient", "birthdate", "1980,lt1990"),
        ("Patient", "birthdate", "ap1980-05-03"),
        ("Patient", "death-date", "2020-01-01T10:00:00Z"),
        ("RelatedPerson", "birthdate", "ne1980"),
        ("Patient", "name:contains", "son"),
        ("Patient", "address-city:contains", "wich"),
        ("Coverage", "class-value:contains", "1"),
        ("Patient", "family", "x" * (LONGEST + 1)),
        ("Appointment", "service-type:text", "x" * (LONGEST + 1)),
        ("Patient", "_sort", "family"),
        ("Patient", "_sort", "-birthdate,_lastUpdated"),
        ("Appointment", "_sort", "identifier"),
        ("Appointment", "patient.birthdate", "ge1980"),
        ("Appointment", "actor.name:contains", "son"),
        ("Patient", "_has:RelatedPerson:patient:birthdate", "lt1980"),
    ],
)
def test_what_a_hash_cannot_answer_is_refused_by_name(kind, name, value):
    problem = refusal(kind, (name, value))
    assert problem.category is Category.NOT_SUPPORTED
    (issue,) = problem.issues
    assert issue.expression == name
    assert issue.text.startswith("this parameter is sealed: ")


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("Patient", "birthdate", "1980"),
        ("Patient", "birthdate", "eq1980-05,1981"),
        ("Patient", "birthdate:missing", "true"),
        ("Patient", "family", "x" * LONGEST),
        ("Patient", "family:exact", "x" * 100),
        ("Patient", "identifier:not", "http://s|1"),
        ("Patient", "identifier:of-type", "http://t|MR|1"),
        ("Appointment", "reason-code:text", "knee"),
        ("Appointment", "reason-code:in", "http://v"),
        ("Appointment", "actor:Practitioner.name:contains", "son"),
        ("Practitioner", "name:contains", "son"),
        ("Practitioner", "_sort", "family"),
    ],
)
def test_what_it_can_is_read(kind, name, value):
    assert read(kind, (name, value)).query


def test_a_malformed_date_is_malformed():
    assert refusal("Patient", ("birthdate", "soon")).category is Category.INVALID


def test_the_table_names_parameters_of_sealed_types():
    assert PERSONAL < SEALED_TYPES < HELD
    assert set(SEALED) <= PERSONAL
    for kind, codes in SEALED.items():
        for code, wider in codes.items():
            definition = DEFINITIONS.of(kind)[code]
            assert definition.sealed
            assert definition.type in {"token", "string", "date", "uri"}
            assert not definition.sortable
            assert not wider or (definition.domain == wider and DEFINITIONS.of(kind)[wider].domain == wider)
            assert "contains" not in definition.modifiers


def test_every_identifier_of_a_person_s_record_is_sealed():
    for kind in PERSONAL:
        for code in ("identifier", "telecom", "birthdate", "name", "address", "reason-code"):
            definition = DEFINITIONS.of(kind).get(code)
            assert definition is None or definition.sealed, (kind, code)

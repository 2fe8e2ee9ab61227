"""The table of points and grades of ``$match``."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.services.match_score import grade, identifiers, names, points, score, telecoms

ANN: dict[str, Any] = {
    "resourceType": "Patient",
    "identifier": [{"system": "urn:member", "value": "M1"}],
    "name": [{"family": "Núñez", "given": ["Ann", "Marie"]}],
    "birthDate": "1980-02-03",
    "gender": "female",
    "telecom": [{"system": "phone", "value": "+1 (555) 123-4567"}, {"system": "email", "value": "Ann@x.example"}],
    "address": [{"line": ["1 Main St"], "postalCode": "02101", "city": "Boston"}],
}


def ann(**changes: Any) -> dict[str, Any]:
    """Ann with other elements; None takes one away."""
    return {name: value for name, value in {**ANN, **changes}.items() if value is not None}


def only(**elements: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", **elements}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        # Each row of the table.
        (only(identifier=[{"system": "urn:member", "value": "M1"}]), 60),
        (only(identifier=[{"value": "M1"}]), 30),
        (only(identifier=[{"system": "urn:else", "value": "M1"}]), 0),
        (only(identifier=[{"system": "urn:member", "value": "M2"}]), 0),
        (only(identifier=[{"system": "urn:member", "value": "M1", "use": "old"}]), 0),
        (only(name=[{"family": "nunez"}]), 15),
        (only(name=[{"family": "Garcia-Nuñez"}]), 8),
        (only(name=[{"family": "Smith"}]), 0),
        (only(name=[{"given": ["ANN"]}]), 10),
        (only(name=[{"given": ["Marie"]}]), 5),
        (only(name=[{"given": ["A."]}]), 5),
        (only(name=[{"given": ["Alice"]}]), 0),
        (only(name=[{"text": "Ann Nunez"}]), 25),
        (only(name=[{"text": "Nunez, Ann"}]), 25),
        (only(name=[{"family": "Smith", "given": ["Ann"]}, {"family": "Nunez", "given": ["Ann"]}]), 25),
        (only(birthDate="1980-02-03"), 20),
        (only(birthDate="1980-02"), 8),
        (only(birthDate="1980"), 8),
        (only(birthDate="1980-02-04"), 0),
        (only(gender="female"), 5),
        (only(gender="unknown"), 0),
        (only(telecom=[{"system": "phone", "value": "555-123-4567"}]), 15),
        (only(telecom=[{"system": "phone", "value": "4567"}]), 0),
        (only(telecom=[{"system": "phone", "value": "555-123-4568"}]), 0),
        (only(telecom=[{"system": "email", "value": "ann@X.example"}]), 15),
        (only(telecom=[{"system": "fax", "value": "555-123-4567"}]), 0),
        (only(address=[{"line": ["1 main st."], "postalCode": "02101"}]), 10),
        (only(address=[{"line": ["2 Main St"], "city": "boston"}]), 5),
        (only(address=[{"line": ["1 Main St"]}]), 0),
        (only(), 0),
        # Together.
        (ann(), 100),
        (only(name=[{"family": "Nunez"}], birthDate="1980-02-03", identifier=ANN["identifier"]), 95),
        (only(name=[{"family": "Nunez", "given": ["Ann"]}], birthDate="1980-02-03", gender="female"), 50),
        (ann(identifier=None), 75),
        # Against: a twin, a spouse's name, a child under the same member number.
        (ann(name=[{"family": "Núñez", "given": ["Eve"]}]), 94),
        (ann(name=[{"family": "Smith", "given": ["Ann"]}]), 94),
        (ann(gender="male"), 94),
        (ann(birthDate="2010-02-03"), 49),
        (ann(birthDate="2010-02-03", name=[{"family": "Núñez", "given": ["Eve"]}]), 49),
        (only(identifier=ANN["identifier"], birthDate="2010-02-03"), 30),
    ],
)
def test_the_table(asked: dict[str, Any], expected: int) -> None:
    assert points(asked, ANN) == expected
    assert points(ANN, asked) == expected


@pytest.mark.parametrize(
    ("found", "name"),
    [(100, "certain"), (95, "certain"), (94, "probable"), (50, "probable"), (49, "possible"), (30, "possible"),
     (29, "certainly-not"), (0, "certainly-not")],
)  # fmt: skip
def test_grades(found: int, name: str) -> None:
    assert grade(found) == name
    assert score(found) == Decimal(found) / 100


def test_what_is_odd_is_no_evidence() -> None:
    odd = only(
        name=[{"family": "---", "given": [None, ""]}, {"use": "usual"}],
        identifier=[{"system": "urn:x"}, {"value": " "}],
        telecom=[{"system": "phone"}],
        address=[{"line": [None], "city": "!"}],
    )
    assert names(odd) == identifiers(odd) == telecoms(odd, "phone") == []
    assert points(odd, odd) == 0


_texts = st.text(max_size=6)
_patients = st.fixed_dictionaries(
    {},
    optional={
        "name": st.lists(
            st.fixed_dictionaries(
                {}, optional={"family": _texts, "given": st.lists(_texts, max_size=2), "text": _texts}
            ),
            max_size=3,
        ),
        "identifier": st.lists(st.fixed_dictionaries({}, optional={"system": _texts, "value": _texts}), max_size=3),
        "telecom": st.lists(
            st.fixed_dictionaries({"system": st.sampled_from(["phone", "email"])}, optional={"value": _texts}),
            max_size=3,
        ),
        "birthDate": st.sampled_from(["1980", "1980-02", "1980-02-03", "1981-02-03"]),
        "gender": st.sampled_from(["male", "female", "other", "unknown"]),
        "address": st.lists(
            st.fixed_dictionaries({}, optional={"line": st.lists(_texts, max_size=2), "city": _texts}), max_size=2
        ),
    },
)


@given(_patients, _patients)
def test_points_are_fair_and_bounded(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert 0 <= points(one, other) <= 100
    assert points(one, other) == points(other, one)
    assert points(one, one) >= points(one, other) or points(one, other) <= points(other, other)
    if not (identifiers(one) and identifiers(other)):
        assert grade(points(one, other)) != "certain"

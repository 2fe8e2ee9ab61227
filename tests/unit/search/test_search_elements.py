"""The tables about elements say what the R4 models say."""

from __future__ import annotations

import pytest

from fhir_server.fhir.models import elements
from fhir_server.fhir.types import RESOURCE_TYPES
from fhir_server.search.elements import CHOICES, CODED, DATES, IDENTIFIERS, INSTANTS, PLAIN, REPEATING
from fhir_server.search.path import compile_path
from tests.builders.search import DEFINITIONS

REACHED = sorted(
    {
        (definition.type, element)
        for kind in RESOURCE_TYPES
        for definition in DEFINITIONS.of(kind).values()
        if definition.expression.startswith((kind, f"({kind}"))
        for element in compile_path(definition.expression, kind).elements
        if ".extension" not in element
    }
)


def _walk(path):
    """``(path so far, its elements in the model)`` of every step; a choice has several."""
    kind, *steps = path.split(".")
    so_far = kind
    for step in steps:
        known = elements(kind)
        so_far = f"{so_far}.{step}"
        endings = CHOICES.get(so_far)
        found = [known[step + ending] for ending in endings] if endings else [known[step]]
        yield so_far, found
        kind = found[0].type


@pytest.mark.parametrize(("style", "path"), REACHED, ids=lambda each: each)
def test_an_element_is_as_the_model_says(style, path):
    for so_far, found in _walk(path):
        assert (so_far in REPEATING) == found[0].many, so_far
    kinds = {one.type for one in found}
    if style == "token" and path not in CHOICES:
        (kind,) = kinds
        assert (path in CODED) == (kind in ("code", "boolean", "id"))
        assert (path in IDENTIFIERS) == (kind == "Identifier")
        assert (path in PLAIN) == (kind in ("boolean", "id", "ContactPoint", "string"))
    elif style == "date" and path not in CHOICES:
        assert (path in INSTANTS) == (kinds == {"instant"})
        assert (path in DATES) == (kinds <= {"date", "dateTime"})


def test_choices_have_the_endings_of_the_models():
    for path, endings in CHOICES.items():
        kind, *steps, last = path.split(".")
        for step in steps:
            kind = elements(kind)[step].type
        stated = {name.removeprefix(last) for name, one in elements(kind).items() if one.choice == f"{last}[x]"}
        assert set(endings) == (stated or set(endings)), path
        assert all(last + ending in elements(kind) for ending in endings), path

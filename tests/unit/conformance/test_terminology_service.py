"""Expansion, membership, subsumption and translation on value sets made for it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from fhir_server.conformance.concept_maps import translations
from fhir_server.conformance.terminology import Coded, Terminology
from fhir_server.conformance.value_sets import PARTS, matching
from fhir_server.errors import Category, Problem

S, T = "urn:s", "urn:t"
ANIMALS = {
    "resourceType": "CodeSystem", "url": S, "version": "2", "name": "Animals", "content": "complete",
    "concept": [
        {"code": "animal", "display": "Animal", "concept": [
            {"code": "dog", "display": "Dog", "designation": [{"language": "es", "value": "Perro"}], "concept": [
                {"code": "poodle", "display": "Small poodle",
                 "property": [{"code": "legs", "valueInteger": 4}, {"code": "tame", "valueBoolean": True}]},
            ]},
            {"code": "cat", "display": "Cat", "property": [{"code": "legs", "valueInteger": 4}]},
        ]},
        {"code": "dodo", "display": "Dodo", "property": [{"code": "inactive", "valueBoolean": True}]},
        {"code": "wolfdog", "display": "Wolfdog", "property": [{"code": "parent", "valueCode": "dog"},
                                                               {"code": "kin", "valueCoding": {"code": "wolf"}}]},
    ],
}  # fmt: skip
COLOURS = {"url": T, "name": "Colours", "content": "fragment", "concept": [{"code": "red"}, {"code": "dog"}]}


def held(**value_sets):
    sets = {f"urn:{name}": {"url": f"urn:{name}", **one} for name, one in value_sets.items()}
    return Terminology(
        SimpleNamespace(code_systems={S: ANIMALS, T: COLOURS}, value_sets=sets, concept_maps={})  # type: ignore[arg-type]
    )


def compose(*include, exclude=(), **more):
    found = {"resourceType": "ValueSet", "compose": {"include": list(include), **more}}
    if exclude:
        found["compose"]["exclude"] = list(exclude)
    return found


def of(resource, **value_sets):
    return [code for _, code in held(**value_sets).value_sets.expand(resource)]


def by(prop, op, value):
    return compose({"system": S, "filter": [{"property": prop, "op": op, "value": value}]})


@pytest.mark.parametrize(
    ("prop", "op", "value", "expected"),
    [
        ("concept", "is-a", "dog", ["dog", "poodle", "wolfdog"]),
        ("concept", "descendent-of", "dog", ["poodle", "wolfdog"]),
        ("concept", "is-not-a", "animal", ["dodo"]),
        ("code", "in", "cat,dog", ["dog", "cat"]),
        ("code", "not-in", "cat, dog", ["animal", "poodle", "dodo", "wolfdog"]),
        ("code", "=", "cat", ["cat"]),
        ("concept", "generalizes", "poodle", ["animal", "dog", "poodle"]),
        ("parent", "=", "animal", ["dog", "cat"]),
        ("child", "=", "poodle", ["dog"]),
        ("legs", "=", "4", ["poodle", "cat"]),
        ("legs", "in", "3,4", ["poodle", "cat"]),
        ("legs", "not-in", "4", ["animal", "dog", "dodo", "wolfdog"]),
        ("legs", "exists", "true", ["poodle", "cat"]),
        ("tame", "=", "true", ["poodle"]),
        ("kin", "=", "wolf", ["wolfdog"]),
        ("concept", "is-a", "unicorn", []),
    ],
)
def test_filters(prop, op, value, expected):
    assert of(by(prop, op, value)) == expected


def test_includes_are_joined_imports_cut_and_excludes_taken_away():
    dogs = compose({"system": S, "filter": [{"property": "concept", "op": "is-a", "value": "dog"}]})
    assert of(compose({"system": S, "concept": [{"code": "cat"}, {"code": "dog"}]}, {"system": T})) == [
        "cat", "dog", "red", "dog",
    ]  # fmt: skip
    assert of(compose({"valueSet": ["urn:dogs"]}), dogs=dogs) == ["dog", "poodle", "wolfdog"]
    assert of(compose({"system": S, "concept": [{"code": "cat"}, {"code": "dog"}], "valueSet": ["urn:dogs"]}),
              dogs=dogs) == ["dog"]  # fmt: skip
    assert of(compose({"system": S}, exclude=[{"valueSet": ["urn:dogs"]}]), dogs=dogs) == ["animal", "cat", "dodo"]
    assert of(compose({"system": S, "concept": [{"code": "dodo"}, {"code": "cat"}]}, inactive=False)) == ["cat"]
    assert of(compose({"system": S, "version": "2", "concept": [{"code": "cat"}, {"code": "no such"}]})) == ["cat"]


def test_a_listed_display_wins():
    expanded = held().value_sets.expand(compose({"system": S, "concept": [{"code": "cat", "display": "Tom"}]}))
    assert expanded[S, "cat"].display == "Tom"


@pytest.mark.parametrize(
    ("resource", "place", "category"),
    [
        ({"resourceType": "ValueSet"}, "ValueSet.compose", Category.NOT_SUPPORTED),
        (compose({"system": "urn:none"}), "ValueSet.compose.include[0].system", Category.NOT_FOUND),
        (compose({"system": S, "version": "1"}), "ValueSet.compose.include[0].system", Category.NOT_FOUND),
        (compose({"valueSet": ["urn:none"]}), "ValueSet.compose.include[0].valueSet[0]", Category.NOT_FOUND),
        (compose({"version": "1"}), "ValueSet.compose.include[0]", Category.INVALID),
        (by("concept", "regex", "(a+)+$"), "ValueSet.compose.include[0].filter[0]", Category.NOT_SUPPORTED),
        (by("legs", "is-a", "4"), "ValueSet.compose.include[0].filter[0]", Category.NOT_SUPPORTED),
        (compose(*[{"system": S}] * (PARTS + 1)), "ValueSet.compose", Category.TOO_LARGE),
        (compose({"valueSet": ["urn:loop"]}), "ValueSet.compose.include[0].valueSet[0]", Category.INVALID),
    ],
)
def test_what_cannot_be_expanded_is_named(resource, place, category):
    with pytest.raises(Problem) as refused:
        of(resource, loop=compose({"valueSet": ["urn:loop"]}))
    assert refused.value.category.status == 422
    assert [(one.expression, one.category) for one in refused.value.issues] == [(place, category)]


def test_members_and_versions():
    terminology = held(
        cats=compose(
            {"system": S, "concept": [{"code": "cat"}]},
        ),
        lost=compose({"system": "urn:no"}),
    )
    assert terminology.members("urn:cats") == {(S, "cat")}
    assert terminology.members("urn:cats") is terminology.members("urn:cats")
    assert terminology.members("urn:lost") is None
    assert terminology.members("urn:none") is None
    assert terminology.members("urn:cats|7") is None


def test_above_and_below():
    terminology = held()
    assert terminology.below(S, "dog") == {"dog", "poodle", "wolfdog"}
    assert terminology.above(S, "wolfdog") == {"wolfdog", "dog", "animal"}
    assert terminology.below(S, "unicorn") == {"unicorn"}
    assert terminology.above("urn:none", "dog") is None
    assert terminology.below(f"{S}|3", "dog") is None


def test_words_of_a_display_are_matched_from_their_beginning():
    concepts = list(held().value_sets.expand(compose({"system": S})).values())
    assert [one.code for one in matching(concepts, "po SM")] == ["poodle"]
    assert [one.code for one in matching(concepts, "perr")] == ["dog"]
    assert [one.code for one in matching(concepts, "oodle")] == []
    assert [one.code for one in matching(concepts, ".*")] == []


def test_verdicts():
    terminology = held()
    cats = compose({"system": S, "concept": [{"code": "cat"}, {"code": "dog"}]})

    def verdict(*codings, **more):
        return terminology.in_value_set(cats, [Coded(*one) for one in codings], **more)

    assert verdict((S, "cat")).display == "Cat"
    assert verdict((S, "cat", " CAT ")).valid
    assert verdict((S, "dog", "perro"), language="es-MX").display == "Perro"
    assert verdict((S, "cat", "Dog")).message == "the display is not one of this code"
    assert verdict((T, "dog")).message == "the code is not in the value set"
    assert verdict((S, "cat", "", "1")).valid is False
    assert verdict((S, "poodle"), (S, "dog")).valid
    system = terminology.systems.need(T, "url")
    assert terminology.in_code_system(system, [Coded("", "red")]).valid
    found = terminology.in_code_system(system, [Coded(T, "blue")])
    assert found.message == "the code is not in the part of the code system that is held here"
    assert not terminology.in_code_system(system, [Coded(S, "red")]).valid


MAP = {
    "url": "urn:map",
    "group": [{
        "source": S, "target": T,
        "element": [
            {"code": "dog", "target": [{"code": "red", "equivalence": "wider"}]},
            {"code": "cat", "target": [{"equivalence": "unmatched"}]},
        ],
        "unmapped": {"mode": "fixed", "code": "red"},
    }],
}  # fmt: skip


def test_translation_both_ways():
    assert [(one.code, one.equivalence) for one in translations([MAP], [(S, "dog")])] == [("red", "wider")]
    assert [one.found for one in translations([MAP], [(S, "cat")])] == [False]
    assert [one.code for one in translations([MAP], [(S, "dodo")])] == ["red"]
    assert translations([MAP], [(S, "dog")], target="urn:other") == []
    assert [(one.system, one.code, one.equivalence) for one in translations([MAP], [(T, "red")], reverse=True)] == [
        (S, "dog", "narrower")
    ]
    same = {**MAP, "group": [{**MAP["group"][0], "unmapped": {"mode": "provided"}}]}
    assert [(one.code, one.equivalence) for one in translations([same], [(S, "dodo")])] == [("dodo", "equal")]

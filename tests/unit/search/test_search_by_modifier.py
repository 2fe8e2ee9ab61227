"""Modifiers, composites and numbers, by https://hl7.org/fhir/R4/search.html#modifiers."""

from __future__ import annotations

import json
from datetime import UTC
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from fhir_server.errors import Category, Problem
from fhir_server.fhir.types import RESOURCE_TYPES
from fhir_server.search.definitions import load
from fhir_server.search.extract import index_values
from fhir_server.search.match import matches
from fhir_server.search.parser import criteria, parse
from fhir_server.search.terminology import MEMBERS
from tests.builders.search import DEFINITIONS, NOW_MS, PARAMETERS, TERMINOLOGY, document, read

X, Y = "http://x.example", "http://y.example"


def found(resource, name, value, **options):
    clauses = read(resource["resourceType"], (name, value), **options).query.clauses
    return matches(clauses, document(resource, zone=options.get("zone", UTC)))


def refused(kind, name, value, **options):
    with pytest.raises(Problem) as caught:
        read(kind, (name, value), **options)
    return caught.value


SLOT = {
    "resourceType": "Slot",
    "status": "free",
    "serviceType": [
        {"coding": [{"system": X, "code": "b", "display": "Follow-up visit"}], "text": "Núñez  Clinic"},
        {"coding": [{"system": Y, "code": "c"}]},
    ],
    "identifier": [
        {
            "system": "urn:mrn",
            "value": "5",
            "type": {"coding": [{"system": "urn:t", "code": "MR"}], "text": "Record number"},
        },
        {"system": "urn:mrn", "value": "6"},
    ],
    "meta": {"profile": ["http://p.example/a/b|2"], "source": "http://s.example/fhir/Device/1"},
}


@pytest.mark.parametrize(
    ("name", "value", "hit"),
    [
        ("service-type:text", "follow", True),
        ("service-type:text", "NUNEZ clinic", True),
        ("service-type:text", "visit", False),
        ("service-type:text", "b", False),
        ("service-type:text", "x,núñ", True),
        ("identifier:text", "record", True),
        ("identifier:text", "5", False),
        ("identifier:of-type", "urn:t|MR|5", True),
        ("identifier:of-type", "urn:t|MR|6", False),
        ("identifier:of-type", "urn:u|MR|5", False),
        ("identifier:of-type", "urn:t|MR|6,urn:t|MR|5", True),
        ("service-type:in", "http://v", False),
        ("service-type:not-in", "http://v", True),
        ("service-type:in", "http://none", False),
        ("specialty:not-in", "http://v", True),
        ("service-type:below", f"{X}|a", True),
        ("service-type:below", f"{X}|b", True),
        ("service-type:below", f"{X}|c", False),
        ("service-type:above", f"{X}|c", True),
        ("service-type:above", f"{X}|a", False),
        ("service-type:above", f"{X}|a,{Y}|c", True),
        ("_source:below", "http://s.example", True),
        ("_source:below", "http://s.example/fhir/", True),
        ("_source:below", "http://s.example/fhir/Device/1", True),
        ("_source:below", "http://s.example/fh", False),
        ("_source:below", "http://s.example/fhir/Device/1/2", False),
        ("_source:above", "http://s.example/fhir/Device/1/2", True),
        ("_source:above", "http://s.example/fhir/Device/1", True),
        ("_source:above", "http://s.example/fhir/Device", False),
        ("_source:above", "http://s.example/fhir/Device/12", False),
        ("_profile", "http://p.example/a/b", True),
        ("_profile", "http://p.example/a/b|2", True),
        ("_profile", "http://p.example/a/b|1", False),
        ("_profile:below", "http://p.example/a", True),
        ("_profile:above", "http://p.example/a/b/c", True),
        ("_id:missing", "false", True),
        ("_id:missing", "true", False),
        ("_lastUpdated:missing", "true", False),
        ("_tag:missing", "true", True),
    ],
)
def test_modifiers(name, value, hit):
    assert found(SLOT, name, value) is hit


def test_a_code_element_has_its_system_implied():
    slot = {"resourceType": "Slot", "status": "b"}
    assert found(slot, "status:in", "http://v")
    assert found(slot, "status:below", f"{X}|a")
    assert not found(slot, "status:not-in", "http://v")


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("Slot", "service-type:in", "http://unknown"),
        ("Slot", "service-type:not-in", "http://v,http://unknown"),
        ("Slot", "service-type:below", "http://unknown|a"),
        ("Slot", "service-type:above", "http://unknown|a"),
        ("Slot", "service-type:below", "a"),
        ("Slot", "service-type:below", "|a"),
        ("Slot", "service-type:above", f"{X}|"),
        ("Slot", "service-type:text", "\u0301"),
        ("Slot", "identifier:of-type", "urn:t|MR"),
        ("Slot", "identifier:of-type", "|MR|5"),
        ("Slot", "identifier:of-type", "urn:t||5"),
        ("Slot", "identifier:of-type", "urn:t|MR|5|6"),
        ("Slot", "_source:below", "urn:oid:1.2"),
        ("Slot", "_source:above", "fhir/Device"),
        ("Slot", "_source:above", "http://x" + "/y" * 100),
        ("Slot", "_profile:below", "http://p.example|1"),
        ("Slot", "_id:missing", "maybe"),
        ("Group", "characteristic-value", "a"),
        ("Group", "characteristic-value", "a$"),
        ("Group", "characteristic-value", "a$b$c"),
        ("Group", "characteristic-value", r"a\$b"),
        ("Group", "characteristic-value", "|$b"),
    ],
)
def test_what_is_malformed_or_unknown_is_named(kind, name, value):
    problem = refused(kind, name, value, strict=False)
    assert problem.category is Category.INVALID
    assert [issue.expression for issue in problem.issues] == [name]


def test_a_value_set_of_too_many_codes_is_refused():
    class Large:
        def members(self, _):
            return [(X, str(number)) for number in range(MEMBERS + 1)]

    assert refused("Slot", "service-type:in", "http://v", terminology=Large()).category is Category.INVALID


def test_terminology_reaches_criteria_and_chains():
    options = {"zone": UTC, "now_ms": NOW_MS, "terminology": TERMINOLOGY}
    (clause,) = criteria("Slot", [("service-type:below", f"{X}|b")], DEFINITIONS, **options)
    assert clause.values == (f"{X}|b", f"{X}|c")
    (chain,) = read("Appointment", ("slot.service-type:in", "http://v")).query.clauses
    assert chain.clauses[0].values == (f"{X}|a", f"{Y}|b")


def _trait(code, **value):
    return {"code": {"coding": [{"system": X, "code": code}]}, "exclude": False, **value}


GROUP = {
    "resourceType": "Group",
    "characteristic": [
        _trait("gender", valueCodeableConcept={"coding": [{"system": Y, "code": "f,1"}]}),
        _trait("smoker", valueBoolean=True),
        _trait("weight", valueQuantity={"value": Decimal(3), "code": "kg"}),
    ],
}


@pytest.mark.parametrize(
    ("value", "hit"),
    [
        (r"gender$f\,1", True),
        (rf"{X}|gender${Y}|f\,1", True),
        (rf"{Y}|gender${Y}|f\,1", False),
        (r"smoker$f\,1", False),
        ("smoker$true", True),
        ("gender$true", False),
        ("smoker$false,smoker$true", True),
        ("weight$kg", False),
    ],
)
def test_a_composite_is_true_for_one_and_the_same_element(value, hit):
    assert found(GROUP, "characteristic-value", value) is hit
    assert found(GROUP, "characteristic", value.partition("$")[0].partition("|")[2] or value.partition("$")[0])


def test_a_composite_may_be_missing():
    assert found(GROUP, "characteristic-value:missing", "false")
    assert found({"resourceType": "Group", "characteristic": [_trait("x")]}, "characteristic-value:missing", "true")


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """Parameters of types that R4 defines for none of the held resources, on elements of their shape."""
    folder = tmp_path_factory.mktemp("parameters")
    made = [
        ("number", "number", "Encounter.length.value", {}),
        ("when", "date", "Encounter.location.period", {}),
        ("place", "reference", "Encounter.location.location", {}),
        ("long", "quantity", "Encounter.length", {}),
        (
            "where-when", "composite", "Encounter.location",
            {"component": [{"definition": "urn:place", "expression": "location"},
                           {"definition": "urn:when", "expression": "period"}]},
        ),
    ]  # fmt: skip
    entries = [
        {"resource": {"url": f"urn:{code}", "code": code, "base": ["Encounter"], "type": style, "expression": path,
                      "description": "x.", **more}}
        for code, style, path, more in made
    ]  # fmt: skip
    (folder / "Encounter.json").write_text(json.dumps({"entry": entries}))
    (folder / "Resource.json").write_text((PARAMETERS / "Resource.json").read_text())
    definitions = load(folder)

    def holds(resource, name, value):
        clauses = parse(
            "Encounter", [(name, value)], definitions, strict=True, zone=UTC, page_size=1, page_limit=1, now_ms=NOW_MS
        ).query.clauses
        return matches(clauses, {"_id": "1", "at": 0, "idx": index_values(resource, definitions.of("Encounter"))})

    return holds


@pytest.mark.parametrize(
    ("stored", "searched", "hit"),
    [
        ("99.5", "100", True),
        ("100.49", "100", True),
        ("100.5", "100", False),
        ("99.49", "100", False),
        ("100.004", "100.00", True),
        ("100.005", "100.00", False),
        ("95", "1e2", True),
        ("104.9", "1e2", True),
        ("105", "1e2", False),
        ("94.9", "1e2", False),
        ("100.4", "1.00e2", True),
        ("100.5", "1.00e2", False),
        ("-0.004", "-0.00", True),
        ("100.4", "ne100", False),
        ("101", "ne100", True),
        ("100.1", "gt100", True),
        ("100", "gt100", False),
        ("100", "ge100", True),
        ("99.9", "lt100", True),
        ("100", "le100", True),
        ("100.1", "sa100", True),
        ("99.9", "eb100", True),
        ("109", "ap100", True),
        ("111", "ap100", False),
        ("111", "5,ap100,1.11e2", True),
    ],
)
def test_numbers_have_the_precision_in_which_they_are_written(machine, stored, searched, hit):
    encounter = {"resourceType": "Encounter", "length": {"value": Decimal(stored), "unit": "min"}}
    assert machine(encounter, "number", searched) is hit
    assert machine(encounter, "long", searched) is hit


@pytest.mark.parametrize("value", ["many", "5|s|c", "1e999", "\u0661", "NaN", "--5", "5 ", "0x5", "1_0"])
def test_what_is_no_number_is_refused(machine, value):
    with pytest.raises(Problem) as caught:
        machine({"resourceType": "Encounter"}, "number", value)
    assert caught.value.category is Category.INVALID


def test_a_composite_of_other_types_compares_each_part_as_its_type_does(machine):
    stay = [
        {"location": {"reference": "Location/1"}, "period": {"start": "2026-11-01", "end": "2026-11-10"}},
        {"location": {"reference": "Location/2"}, "period": {"start": "2026-12-01"}},
    ]
    encounter = {"resourceType": "Encounter", "location": stay}
    assert machine(encounter, "where-when", "Location/1$lt2026-11-05")
    assert machine(encounter, "where-when", "Location/2$ge2030")
    assert not machine(encounter, "where-when", "Location/1$ge2026-12")
    assert not machine(encounter, "where-when", "Location/2$eb2026-11-20")


@pytest.mark.parametrize("kind", [*RESOURCE_TYPES, "Resource"])
def test_the_artifacts_state_the_modifiers_that_are_read(kind):
    held = DEFINITIONS.of("Slot" if kind == "Resource" else kind)
    for entry in json.loads((PARAMETERS / f"{kind}.json").read_text())["entry"]:
        stated = {"of-type" if each == "ofType" else each for each in entry["resource"]["modifier"]}
        definition = held[entry["resource"]["code"]]
        assert stated == definition.modifiers | ({"type"} if definition.targets else set()), entry["fullUrl"]


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [("Europe/Berlin", "2026-03-29", 23), ("Europe/Berlin", "2026-10-25", 25), ("America/New_York", "2026-03-08", 23),
     ("America/Santiago", "2026-09-06", 23), ("Asia/Kolkata", "2026-03-29", 24)],
)  # fmt: skip
def test_a_day_without_an_offset_is_the_local_day(zone, day, hours):
    (clause,) = read("Slot", ("start", day), zone=ZoneInfo(zone)).query.clauses
    assert clause.high - clause.low == hours * 3_600_000
    (exact,) = read("Slot", ("start", f"{day}T12:00:00Z"), zone=ZoneInfo(zone)).query.clauses
    assert exact.high - exact.low == 1000
    assert exact == read("Slot", ("start", f"{day}T12:00:00Z")).query.clauses[0]


def test_wildcards_of_includes():
    (here,) = read("Slot", ("_include", "*")).query.includes
    assert (here.source, here.definition, here.iterate) == ("Slot", None, False)
    everywhere = read("Slot", ("_include:iterate", "*")).query.includes
    assert {one.source for one in everywhere} == set(DEFINITIONS.types)
    pointing = {one.source for one in read("Schedule", ("_revinclude", "*")).query.revincludes}
    assert {"Slot", "Appointment"} <= pointing
    assert "HealthcareService" not in pointing
    (typed,) = read("Schedule", ("_revinclude", "Slot:*")).query.revincludes
    assert (typed.source, typed.definition, typed.iterate) == ("Slot", None, False)


@pytest.mark.parametrize(
    ("sort", "keys"),
    [
        ("name,-given", [("name", False), ("given", True)]),
        ("-date-or-req-period", [("-date-or-req-period", False)]),
        ("--date-or-req-period,date", [("-date-or-req-period", True), ("date", False)]),
        ("actor,patient,-location", [("actor", False), ("patient", False), ("location", True)]),
    ],
)
def test_several_keys_with_several_values_each(sort, keys):
    kind = "Practitioner" if "given" in sort else "Appointment"
    found_keys = read(kind, ("_sort", sort)).query.sort
    assert [(key.definition.code, key.descending) for key in found_keys] == keys


@pytest.mark.parametrize("value", ["a\ud800", "\udfff", "\ud83d,x"])
def test_lone_surrogates_are_refused(value):
    for name in ("name", "name:exact", "identifier", "_source", value):
        problem = refused("Patient", name, value, strict=False)
        assert problem.category is Category.INVALID
        assert "\ud800" not in problem.issues[0].expression

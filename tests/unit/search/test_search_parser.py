"""Search requests become the syntax tree, or a Problem that names the parameter."""

from __future__ import annotations

import pytest

from fhir_server.errors import Category, Problem
from fhir_server.search.parser import LEVELS, PARAMETERS, VALUES, criteria
from fhir_server.search.query import Chain, DateCompare, Has, IdIn, Missing, Not, Or, ReferenceIn, TokenIn
from fhir_server.search.syntax import plain, split, token
from tests.builders.search import BASE, DEFINITIONS, NOW_MS, UTC, read


def only(kind, name, value, **options):
    (clause,) = read(kind, (name, value), **options).query.clauses
    return clause


def refused(kind, *pairs, **options):
    with pytest.raises(Problem) as caught:
        read(kind, *pairs, **options)
    return caught.value


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a,b", ["a", "b"]),
        (r"a\,b,c", [r"a\,b", "c"]),
        (r"a\\,b", [r"a\\", "b"]),
        (r"a\,", [r"a\,"]),
        (r"a\\,", [r"a\\", ""]),
        ("a,", ["a", ""]),
        ("a\\", ["a\\"]),
        (r"\|,\$", [r"\|", r"\$"]),
        ("", [""]),
    ],
)
def test_split(text, parts):
    assert split(text, ",") == parts


def test_escapes():
    assert plain(r"a\,b\|c\$d\\e\f") == r"a,b|c$d\e\f"
    assert token(r"s\|t|c\|d") == ("s|t", "c|d")
    assert token("c") == (None, "c")
    assert token("|c") == ("", "c")
    assert token("s|") == ("s", "")


def test_repeats_are_and_commas_are_or():
    clauses = read(
        "Appointment", ("date", "ge2026-11-01"), ("date", "lt2026-12-01"), ("status", "booked,arrived")
    ).query.clauses
    assert [type(clause) for clause in clauses] == [DateCompare, DateCompare, TokenIn]
    assert clauses[2].values == ("=booked", "=arrived")
    assert [clause.prefix for clause in clauses[:2]] == ["ge", "lt"]
    either = only("Appointment", "date", "2026-11-01,2026-11-02")
    assert isinstance(either, Or)
    assert len(either.clauses) == 2


@pytest.mark.parametrize("value", ["", ",", ",,"])
def test_an_empty_value_is_ignored(value):
    parsed = read("Appointment", ("status", value), ("actor:Patient.name", value))
    assert parsed.query.clauses == ()
    assert parsed.used == []


@pytest.mark.parametrize(
    ("name", "value", "values"),
    [
        ("patient", "1", ("Patient/1",)),
        ("patient", "Patient/1", ("Patient/1",)),
        ("patient", f"{BASE}/Patient/1", ("Patient/1",)),
        ("patient", "Patient/1/_history/2", ("Patient/1",)),
        ("patient:Patient", "1", ("Patient/1",)),
        ("patient:Patient", "Patient/1", ("Patient/1",)),
        ("patient", "Practitioner/1", ("Practitioner/1",)),
        ("patient", "http://other.example/Patient/1", ("http://other.example/Patient/1",)),
        ("patient", "urn:uuid:0", ("urn:uuid:0",)),
        ("actor:Location", "1,2", ("Location/1", "Location/2")),
        ("patient:identifier", "s|v,|v,v,s|", ("#s|v", "#|v", "#=v", "#s|")),
    ],
)
def test_reference_forms(name, value, values):
    clause = only("Appointment", name, value)
    assert isinstance(clause, ReferenceIn)
    assert clause.values == values


def test_a_bare_id_means_the_declared_targets_alone():
    targets = DEFINITIONS.of("Appointment")["actor"].targets
    assert only("Appointment", "actor", "1").values == tuple(f"{target}/1" for target in targets)


@pytest.mark.parametrize(
    ("value", "values"),
    [
        ("c", ("=c",)),
        ("s|c", ("s|c",)),
        ("|c", ("|c",)),
        ("s|", ("s|",)),
        (r"s\|t|c", ("s|t|c",)),
        (r"a\,b,c", ("=a,b", "=c")),
    ],
)
def test_token_forms(value, values):
    assert only("Slot", "service-type", value).values == values


def test_the_system_of_a_code_is_implied():
    for value in ("booked", "|booked", "http://hl7.org/fhir/appointmentstatus|booked"):
        assert only("Appointment", "status", value).values == ("=booked",)


def test_not_wraps_all_values():
    clause = only("Appointment", "status:not", "booked,arrived")
    assert isinstance(clause, Not)
    assert clause.clause.values == ("=booked", "=arrived")
    assert isinstance(only("Appointment", "_id:not", "1"), Not)


def test_missing():
    assert only("Appointment", "slot:missing", "true") == Missing(DEFINITIONS.of("Appointment")["slot"], missing=True)
    assert only("Location", "near:missing", "false").missing is False


def test_ids_and_common_parameters():
    assert only("Slot", "_id", "a,b") == IdIn(("a", "b"))
    assert only("Slot", "_tag", "s|t").values == ("s|t",)
    assert only("Slot", "_profile", "http://p|1").values == ("http://p|1",)
    assert only("Slot", "_source", "http://s").values == ("http://s",)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("Appointment", "date", "soon"),
        ("Appointment", "date", "xx2026"),
        ("Appointment", "date", "2026-02-30"),
        ("Appointment", "date", "ge"),
        ("Appointment", "date", "2026-11-23T25:00:00Z"),
        ("Appointment", "_lastUpdated", "yesterday"),
        ("Appointment", "status:missing", "maybe"),
        ("Appointment", "service-type", "|"),
        ("Appointment", "status", "s|"),
        ("Appointment", "patient:Patient", "Practitioner/1"),
        ("Patient", "name", "\u0301"),
        ("Encounter", "length", "long"),
        ("Encounter", "length", "1e999"),
        ("Encounter", "length", "5|min"),
        ("Encounter", "length", "5|s|"),
        ("Location", "near", "46.9"),
        ("Location", "near", "46.9|x"),
        ("Location", "near", "91|7"),
        ("Location", "near", "46|7|5|furlong"),
        ("Location", "near", "46|7|-5|km"),
        ("Location", "near", "46|7|5|km|x"),
        ("Slot", "_count", "abc"),
        ("Slot", "_count", "-1"),
        ("Slot", "_count", "1.5"),
        ("Slot", "_total", "x"),
        ("Slot", "_summary", "x"),
        ("Slot", "_elements", "a b"),
        ("Slot", "_include", "schedule"),
        ("Slot", "_include", "Slot:schedule:"),
        ("Slot", "_include", "Slot:schedule:Patient"),
        ("Slot", "_has:Appointment:slot", "x"),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_a_malformed_value_is_refused_by_name(kind, name, value, strict):
    problem = refused(kind, (name, value), strict=strict)
    assert problem.category is Category.INVALID
    assert [issue.expression for issue in problem.issues] == [name]
    assert len(value) < 4 or value not in problem.issues[0].text


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("Slot", "service-type:in", "http://v"),
        ("Slot", "service-type:not-in", "http://v"),
        ("Slot", "service-type:below", "s|x"),
        ("Slot", "service-type:of-type", "s|t|v"),
        ("Slot", "identifier:in", "http://v"),
        ("Slot", "status:text", "x"),
        ("Patient", "active:above", "s|x"),
        ("Patient", "phone:text", "x"),
        ("Slot", "start:exact", "2026"),
        ("Slot", "_profile:exact", "http://p"),
        ("Slot", "_id:text", "x"),
        ("ServiceRequest", "instantiates-canonical:below", "http://p"),
        ("Group", "characteristic-value:exact", "a$b"),
        ("Patient", "name:not", "x"),
        ("Appointment", "actor:Organization", "1"),
        ("Appointment", "actor:not", "1"),
        ("Appointment", "date.name", "x"),
        ("Appointment", "actor:Organization.name", "x"),
        ("Appointment", "actor.no-such", "x"),
        ("Appointment", "reason-reference.code", "x"),
        ("Appointment", "patient.general-practitioner.no-such", "x"),
        ("Patient", "_has:Appointment:status:date", "2026"),
        ("Patient", "_has:Slot:schedule:start", "2026"),
        ("Patient", "_has:Observation:patient:code", "x"),
        ("Patient", "_has:Appointment:patient:no-such", "x"),
        ("Location", "near:exact", "1|1"),
        ("Location", "_sort", "near"),
        ("Group", "_sort", "characteristic-value"),
        ("Appointment", "_sort", "date,date,date,date,date,date"),
        ("Slot", "_include:recurse", "Slot:schedule"),
        ("Slot", "_text", "x"),
        ("Slot", "_content", "x"),
        ("Slot", "_list", "x"),
        ("Slot", "_filter", "x"),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_what_would_widen_the_answer_is_refused_even_when_lenient(kind, name, value, strict):
    problem = refused(kind, (name, value), strict=strict, terminology=None)
    assert problem.category is Category.NOT_SUPPORTED
    assert [issue.expression for issue in problem.issues] == [name]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bogus", "1"),
        ("bogus:exact", "1"),
        ("bogus.name", "1"),
        ("_bogus", "1"),
        ("_sort", "bogus"),
        ("_include", "Slot:bogus"),
        ("_include", "Slot:status"),
        ("_include", "Observation:subject"),
        ("_revinclude", "Provenance:target"),
    ],
)
def test_an_unknown_parameter_is_refused_or_listed(name, value):
    problem = refused("Slot", (name, value))
    assert problem.category is Category.NOT_SUPPORTED
    assert problem.issues[0].expression == name
    parsed = read("Slot", (name, value), ("status", "free"), strict=False)
    assert parsed.unknown == (name,)
    assert parsed.used == [("status", "free")]
    assert len(parsed.query.clauses) == 1


def test_all_issues_are_reported_together():
    problem = refused("Slot", ("bogus", "1"), ("start", "soon"), ("status:text", "x"))
    assert [issue.expression for issue in problem.issues] == ["bogus", "start", "status:text"]
    assert [issue.category for issue in problem.issues] == [
        Category.NOT_SUPPORTED,
        Category.INVALID,
        Category.NOT_SUPPORTED,
    ]
    assert problem.category is Category.INVALID


def test_chains():
    chain = only("Slot", "schedule.actor", "Practitioner/1")
    assert isinstance(chain, Chain)
    assert (chain.definition.code, chain.target, chain.clauses[0].values) == (
        "schedule",
        "Schedule",
        ("Practitioner/1",),
    )
    deep = only("Appointment", "slot.schedule.actor:Practitioner.name:exact", "Adams")
    assert deep.clauses[0].clauses[0].target == "Practitioner"
    assert deep.clauses[0].clauses[0].clauses[0].values == ("Adams",)
    negated = only("Appointment", "patient.gender:not", "male")
    assert isinstance(negated.clauses[0], Not)
    assert only("Appointment", "patient._id", "1").clauses == (IdIn(("1",)),)


def test_a_chain_by_type_name():
    """The spelling of BaRS for the actors of a Slot's Schedule."""
    assert only("Slot", "Schedule.actor:HealthcareService", "1") == only(
        "Slot", "schedule.actor:HealthcareService", "1"
    )
    assert only("Slot", "Schedule.actor:HealthcareService.name", "x").clauses[0].target == "HealthcareService"


def test_an_ambiguous_chain_tries_every_type_that_knows_the_parameter():
    either = only("Appointment", "actor.name", "x")
    assert isinstance(either, Or)
    assert {chain.target for chain in either.clauses} == {
        "Practitioner", "Patient", "HealthcareService", "RelatedPerson", "Location",
    }  # fmt: skip
    assert only("Appointment", "actor.birthdate", "2026").clauses[0].target in ("Patient", "RelatedPerson")
    assert refused("Appointment", ("actor.birthdate", "soon")).category is Category.INVALID


def test_reverse_chains():
    has = only("Patient", "_has:Appointment:patient:status", "booked")
    assert isinstance(has, Has)
    assert (has.kind, has.definition.code, has.clauses[0].values) == ("Appointment", "patient", ("=booked",))
    nested = only("Schedule", "_has:Slot:schedule:_has:Appointment:slot:status:not", "booked")
    assert isinstance(nested.clauses[0].clauses[0], Not)
    chained = only("Patient", "_has:Appointment:patient:practitioner.name", "x")
    assert isinstance(chained.clauses[0], Chain)
    assert isinstance(only("Appointment", "patient._has:Coverage:beneficiary:status", "active").clauses[0], Has)


def test_limits():
    deep = ".".join(["partof"] * (LEVELS + 1)) + ".name"
    assert refused("Location", (deep, "x")).category is Category.NOT_SUPPORTED
    assert refused("Slot", ("status", "x," * VALUES)).category is Category.INVALID
    assert refused("Slot", *[("status", "free")] * (PARAMETERS + 1)).category is Category.INVALID
    assert read("Location", (".".join(["partof"] * LEVELS) + ".name", "x")).query.clauses


@pytest.mark.parametrize(("text", "count"), [("0", 0), ("10", 10), ("5000", 1000)])
def test_count(text, count):
    parsed = read("Slot", ("_count", text))
    assert parsed.query.count == count
    assert parsed.query.counts_only == (count == 0)
    assert parsed.used == [("_count", str(count))]


def test_result_parameters():
    query = read(
        "Slot", ("_sort", "start,-_lastUpdated"), ("_summary", "data"), ("_elements", "start,end"), ("_total", "none"),
        ("_page", "opaque"), ("_format", "json"), ("_pretty", "true"),
    ).query  # fmt: skip
    assert [(key.definition.code, key.descending) for key in query.sort] == [("start", False), ("_lastUpdated", True)]
    assert (query.summary, query.elements, query.total, query.page) == ("data", ("start", "end"), "none", "opaque")
    assert read("Slot", ("_summary", "count")).query.counts_only
    assert read("Slot").query.count == 50


@pytest.mark.parametrize("name", ["_count", "_total", "_summary", "_elements", "_page"])
def test_some_parameters_are_accepted_once(name):
    value = {"_count": "1", "_total": "none", "_summary": "data"}.get(name, "start")
    assert refused("Slot", (name, value), (name, value)).category is Category.INVALID


def test_used_keeps_spelling_and_order():
    pairs = [
        ("status", "free,busy"),
        ("schedule.actor", "1"),
        ("_include", "Slot:schedule"),
        ("start", "ge2026-11-23T09:00:00+01:00"),
    ]
    parsed = read("Slot", *pairs, ("_page", "x"), ("_format", "json"))
    assert parsed.used == pairs


def test_includes():
    query = read(
        "Slot",
        ("_include", "Slot:schedule"),
        ("_include", "Schedule:actor:Practitioner"),
        ("_include:iterate", "PractitionerRole:*"),
        ("_include", "*"),
        ("_revinclude", "Appointment:slot"),
        ("_revinclude:iterate", "Encounter:appointment"),
    ).query
    found = [(one.source, one.definition and one.definition.code, one.target, one.iterate) for one in query.includes]
    assert found == [
        ("Slot", "schedule", None, False),
        ("Schedule", "actor", "Practitioner", True),
        ("PractitionerRole", None, None, True),
        ("Slot", None, None, False),
    ]
    assert [(one.source, one.iterate) for one in query.revincludes] == [("Appointment", False), ("Encounter", True)]


def test_a_plus_that_became_a_space_is_an_offset():
    assert only("Slot", "start", "ge2026-11-23T09:00:00 01:00") == only("Slot", "start", "ge2026-11-23T09:00:00+01:00")
    assert (
        only("Slot", "start", "2026-11-23T09:00 01:00").high - only("Slot", "start", "2026-11-23T09:00Z").low
        == -3_540_000
    )


def test_about_widens_by_a_tenth_of_the_time_from_now():
    clause = only("Appointment", "date", "ap2026-11-23")
    exact = only("Appointment", "date", "2026-11-23")
    gap = abs(NOW_MS - exact.low) // 10
    assert (clause.low, clause.high) == (exact.low - gap, exact.high + gap)


def test_criteria_are_strict_and_select_something():
    options = {"zone": UTC, "now_ms": NOW_MS}
    (clause,) = criteria("Appointment", [("identifier", "s|v")], DEFINITIONS, **options)
    assert clause.values == ("s|v",)
    for pairs in ([], [("identifier", "")], [("_count", "1")], [("bogus", "x")]):
        with pytest.raises(Problem):
            criteria("Appointment", pairs, DEFINITIONS, **options)

"""Arguments of operations from Parameters, queries and bodies."""

from __future__ import annotations

from datetime import date

import pytest

from fhir_server.errors import Category, Problem
from fhir_server.fhir.models import issues_of
from fhir_server.fhir.parameters import Arguments, Moment, Token, parameters
from fhir_server.fhir.references import Reference


def _sent(*entries):
    return Arguments.from_parameters({"resourceType": "Parameters", "parameter": list(entries)})


def _asked(**pairs):
    return Arguments.from_query([(name.replace("_", "-"), value) for name, value in pairs.items()])


def _refusal(call):
    with pytest.raises(Problem) as refusal:
        call()
    return refusal.value


def test_a_moment_is_an_instant_or_a_day():
    text = "2026-11-23T09:00:00-05:00"
    assert _sent({"name": "start", "valueDateTime": text}).instant_or_date("start") == Moment(text, 1795442400, None)
    assert _sent({"name": "start", "valueInstant": text}).instant_or_date("start") == Moment(text, 1795442400, None)
    assert _asked(start="2026-11-23").instant_or_date("start") == Moment("2026-11-23", None, date(2026, 11, 23))
    assert _asked(start="2026-11-23T09:00:00 05:00").instant_or_date("start") == Moment(
        "2026-11-23T09:00:00+05:00", 1795406400, None
    )
    assert _asked().instant_or_date("start") is None


@pytest.mark.parametrize("text", ["x", "2026-11", "2026-11-23T09:00:00", "2026-13-01", "2026-11-23T25:00:00Z"])
def test_a_moment_that_cannot_be_read_names_its_place(text):
    refusal = _refusal(
        lambda: _sent({"name": "a", "valueString": "b"}, {"name": "start", "valueDateTime": text}).instant_or_date(
            "start"
        )
    )
    assert refusal.category is Category.INVALID
    assert (refusal.issues[0].expression, refusal.issues[0].code) == ("Parameters.parameter[1]", "param-invalid")
    assert _refusal(lambda: _asked(start=text).instant_or_date("start")).issues[0].expression == "start"


def test_tokens_in_every_spelling():
    concept = {"coding": [{"system": "s", "code": "a"}, {"code": "b"}], "text": "words"}
    found = _sent(
        {"name": "t", "valueString": "s|a"},
        {"name": "t", "valueCode": "a"},
        {"name": "t", "valueString": "|a"},
        {"name": "t", "valueString": "s|"},
        {"name": "t", "valueCoding": {"system": "s", "code": "a"}},
        {"name": "t", "valueCodeableConcept": concept},
        {"name": "t", "valueIdentifier": {"system": "s", "value": "v"}},
    ).tokens("t")
    assert found == (
        Token("s", "a"),
        Token(None, "a"),
        Token("", "a"),
        Token("s", ""),
        Token("s", "a"),
        Token("s", "a"),
        Token(None, "b"),
        Token("s", "v"),
    )
    assert _asked(service_type="s|a,b").tokens("service-type") == (Token("s", "a"), Token(None, "b"))
    assert _asked(t="a").token("t") == Token(None, "a")


@pytest.mark.parametrize(
    "entry",
    [
        {"valueCodeableConcept": {"text": "words"}},
        {"valueCodeableConcept": {"coding": "a"}},
        {"valueCoding": {"system": 5, "code": "a"}},
        {"valueCoding": {}},
        {"valueString": "|"},
        {"valueInteger": 5},
        {"valueReference": {"reference": "Slot/1"}},
    ],
)
def test_what_is_no_token_is_refused(entry):
    assert _refusal(lambda: _sent({"name": "t", **entry}).tokens("t")).category is Category.INVALID


def test_references_in_every_spelling():
    found = _sent(
        {"name": "p", "valueReference": {"reference": "Practitioner/1"}},
        {"name": "p", "valueUri": "https://ehr.example/fhir/Practitioner/1"},
        {"name": "p", "valueString": "Practitioner/1"},
        {"name": "p", "valueId": "1"},
        {"name": "p", "valueIdentifier": {"system": "s", "value": "v"}},
        {"name": "p", "valueReference": {"identifier": {"system": "s", "value": "v"}}},
        {"name": "p", "valueString": "s|v"},
    ).references("p", "Practitioner")
    assert [one.key for one in found[:4]] == ["Practitioner/1"] * 4
    assert [(one.system, one.value) for one in found[4:]] == [("s", "v")] * 3
    assert _asked(p="Slot/1,Slot/2").references("p", "Slot")[1] == Reference("relative", "Slot/2", "Slot", "2")
    assert _asked(p="abc").reference("p", "Appointment") == Reference(
        "relative", "Appointment/abc", "Appointment", "abc"
    )


@pytest.mark.parametrize(
    "entry",
    [
        {"valueReference": {"reference": "Slot/1"}},
        {"valueReference": {"display": "x"}},
        {"valueReference": {"reference": "nonsense"}},
        {"valueString": "a b"},
        {"valueInteger": 5},
        {"valueReference": "Patient/1"},
    ],
)
def test_what_is_no_such_reference_is_refused(entry):
    refusal = _refusal(lambda: _sent({"name": "p", **entry}).reference("p", "Patient"))
    assert "a reference to Patient" in refusal.issues[0].text


def test_a_bare_id_needs_one_type():
    _refusal(lambda: _asked(p="abc").reference("p", "Patient", "Practitioner"))


@pytest.mark.parametrize(
    ("entry", "seconds"),
    [
        ({"valueDuration": {"value": 1, "code": "h"}}, 3600),
        ({"valueQuantity": {"value": 20, "unit": "min"}}, 1200),
        ({"valueString": "30"}, 1800),
        ({"valueString": "30min"}, 1800),
        ({"valueString": "2h"}, 7200),
        ({"valueInteger": 15}, 900),
        ({"valuePositiveInt": 15}, 900),
    ],
)
def test_durations(entry, seconds):
    assert _sent({"name": "d", **entry}).duration("d") == seconds


@pytest.mark.parametrize(
    "entry",
    [
        {"valueString": "PT30M"},
        {"valueString": "0"},
        {"valueString": "-5"},
        {"valueString": "1.5h"},
        {"valueDuration": {"value": 0, "code": "min"}},
        {"valueDuration": {"value": 1, "code": "mo"}},
        {"valueDuration": {}},
        {"valueInteger": "5"},
        {"valueBoolean": True},
    ],
)
def test_what_is_no_duration_is_refused(entry):
    _refusal(lambda: _sent({"name": "d", **entry}).duration("d"))


def test_integers_and_booleans():
    assert _sent({"name": "n", "valueInteger": 5}).integer("n") == 5
    assert _asked(n="7").integer("n", minimum=0) == 7
    assert _asked(b="true").boolean("b") is True
    assert _sent({"name": "b", "valueBoolean": False}).boolean("b") is False
    assert _asked().integer("n") is None
    assert _asked().boolean("b") is None
    for text in ("x", "1.5", "99999999999", "-1"):
        _refusal(lambda text=text: _asked(n=text).integer("n", minimum=0))
    for entry in ({"valueInteger": True}, {"valueDecimal": 5}, {"valueInteger": 2**31}):
        _refusal(lambda entry=entry: _sent({"name": "n", **entry}).integer("n"))
    for entry in ({"valueString": "true"}, {"valueBoolean": "true"}):
        _refusal(lambda entry=entry: _sent({"name": "b", **entry}).boolean("b"))
    _refusal(lambda: _asked(b="yes").boolean("b"))


def test_texts():
    assert _sent({"name": "s", "valueCode": "x"}).string("s") == "x"
    assert _asked(s="mon,tue 08:00-12:00").strings("s") == ("mon,tue 08:00-12:00",)
    assert _asked().string("s") is None
    _refusal(lambda: _sent({"name": "s", "valueBoolean": True}).string("s"))


def test_resources_and_elements():
    slot = {"resourceType": "Slot", "id": "1"}
    assert _sent({"name": "resource", "resource": slot}).resource("resource", "Slot") is slot
    assert Arguments.from_resource(slot).resource("resource", "Slot") is slot
    timing = {"event": ["2026-01-01"]}
    assert _sent({"name": "timing", "valueTiming": timing}).element("timing", "Timing") is timing
    assert _asked().resource("resource") is None
    assert _asked().element("timing", "Timing") is None
    refusal = _refusal(lambda: _sent({"name": "resource", "resource": slot}).resource("resource", "Appointment"))
    assert refusal.issues[0].expression == "Parameters.parameter[0].resource"
    _refusal(lambda: _sent({"name": "timing", "valuePeriod": {}}).element("timing", "Timing"))


def test_one_value_is_one_value():
    twice = _sent({"name": "a", "valueString": "x"}, {"name": "a", "valueString": "y"})
    refusal = _refusal(lambda: twice.string("a"))
    assert refusal.issues[0].expression == "Parameters.parameter[1]"
    assert twice.strings("a") == ("x", "y")


def test_what_is_missing_is_said_together():
    refusal = _refusal(lambda: _asked(end="2026-01-01").require("start", "end", "service"))
    assert refusal.category is Category.REQUIRED
    assert [(issue.expression, issue.code) for issue in refusal.issues] == [
        ("start", "param-missing"),
        ("service", "param-missing"),
    ]


def test_empty_values_are_none_and_names_are_listed():
    found = _asked(a="", b="x")
    assert list(found) == ["b"]
    assert "a" not in found
    assert list(found + _asked(c="y")) == ["b", "c"]
    assert [one.value for one in (found + _asked(b="z")).all("b")] == ["x", "z"]
    assert [one.value for one in _asked(b="x,,y").all("b")] == ["x", "y"]


@pytest.mark.parametrize(
    "resource",
    [
        {"resourceType": "Slot"},
        {"resourceType": "Parameters", "parameter": {}},
        {"resourceType": "Parameters", "parameter": ["x"]},
        {"resourceType": "Parameters", "parameter": [{"valueString": "x"}]},
        {"resourceType": "Parameters", "parameter": [{"name": "x"}]},
        {"resourceType": "Parameters", "parameter": [{"name": "x", "value": "x"}]},
        {"resourceType": "Parameters", "parameter": [{"name": "x", "valueString": "x", "valueCode": "x"}]},
        {"resourceType": "Parameters", "parameter": [{"name": "x", "foo": "x"}]},
        {"resourceType": "Parameters", "parameter": [{"name": "x", "resource": {"id": "1"}}]},
        {"resourceType": "Parameters", "parameter": [{"name": "x", "part": {}}]},
    ],
)
def test_what_is_no_parameters_resource_is_refused(resource):
    refusal = _refusal(lambda: Arguments.from_parameters(resource))
    assert refusal.category is Category.STRUCTURE
    assert refusal.issues[0].expression.startswith("Parameters")


def test_parts_and_building():
    part = [{"name": "x", "valueString": "y"}]
    built = parameters(
        ("a", "dateTime", "2026-01-01"), ("b", "part", part), ("c", "resource", {"resourceType": "Slot"})
    )
    assert built["parameter"] == [
        {"name": "a", "valueDateTime": "2026-01-01"},
        {"name": "b", "part": part},
        {"name": "c", "resource": {"resourceType": "Slot"}},
    ]
    assert Arguments.from_parameters(built).get("b").kind == "part"
    assert issues_of(parameters(("a", "dateTime", "2026-01-01"))) == []
    assert parameters() == {"resourceType": "Parameters"}

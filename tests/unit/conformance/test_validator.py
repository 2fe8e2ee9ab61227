"""What may be stored, and what is said about the rest."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.conformance.artifacts import Artifacts
from fhir_server.conformance.validator import Validator
from fhir_server.errors import Category, Issue, Problem
from fhir_server.fhir.types import HELD
from fhir_server.services.terms import problems

VALIDATOR = Validator(dict.fromkeys(HELD, problems))
DIV = '<div xmlns="http://www.w3.org/1999/xhtml">{}</div>'


def appointment(**changes):
    made = {
        "resourceType": "Appointment",
        "id": "a-1",
        "status": "booked",
        "start": "2026-11-23T09:00:00-05:00",
        "end": "2026-11-23T09:20:00-05:00",
        "minutesDuration": 20,
        "slot": [{"reference": "Slot/1"}],
        "participant": [
            {"actor": {"reference": "Patient/1"}, "status": "accepted"},
            {"actor": {"reference": "https://ehr.example/fhir/Practitioner/2"}, "status": "needs-action"},
        ],
    }
    made.update(changes)
    return {name: value for name, value in made.items() if value is not None}


def faults(resource, type_name=None):
    with pytest.raises(Problem) as refusal:
        VALIDATOR.check(resource, type_name or resource["resourceType"])
    return refusal.value


def test_a_good_resource_passes_unchanged():
    resource = appointment()
    before = copy.deepcopy(resource)
    VALIDATOR.check(resource, "Appointment")
    assert resource == before


@pytest.mark.parametrize(
    "changes",
    [
        {"supportingInformation": [{"reference": "Basic/1"}, {"reference": "urn:uuid:1"}]},
        {"basedOn": [{"identifier": {"system": "s", "value": "v"}}]},
        {"basedOn": [{"type": "ServiceRequest", "identifier": {"value": "v"}}, {"display": "a letter"}]},
        {"slot": [{"reference": "https://elsewhere.example/some/thing"}]},
        {"_status": {"extension": [{"url": "http://example.org/x", "valueString": "y"}]}},
        {"text": {"status": "generated", "div": DIV.format("<p>words</p>")}},
        {"start": "2016-12-31T23:59:60Z", "end": "2017-01-01T00:20:00Z"},
        {
            "contained": [
                {
                    "resourceType": "Slot",
                    "id": "s",
                    "schedule": {"reference": "Schedule/1"},
                    "status": "busy",
                    "start": "2026-11-23T09:00:00-05:00",
                    "end": "2026-11-23T09:20:00-05:00",
                }
            ],
            "slot": [{"reference": "#s"}],
        },
    ],
)
def test_what_r4_allows_passes(changes):
    VALIDATOR.check(appointment(**changes), "Appointment")


@pytest.mark.parametrize(
    ("changes", "place", "category"),
    [
        ({"foo": 1}, "Appointment.foo", Category.STRUCTURE),
        ({"_foo": {"id": "x"}}, "Appointment._foo", Category.STRUCTURE),
        ({"fhir_comments": "x"}, "Appointment.fhir_comments", Category.STRUCTURE),
        ({"resource_type": "Appointment"}, "Appointment.resource_type", Category.STRUCTURE),
        ({"minutesDuration": "20"}, "Appointment.minutesDuration", Category.STRUCTURE),
        ({"minutesDuration": True}, "Appointment.minutesDuration", Category.STRUCTURE),
        ({"minutesDuration": 0}, "Appointment.minutesDuration", Category.INVALID),
        ({"start": 5}, "Appointment.start", Category.STRUCTURE),
        ({"start": "2026-13-40T00:00:00Z"}, "Appointment.start", Category.INVALID),
        ({"start": "2026-11-23T09:00:00"}, "Appointment.start", Category.INVALID),
        ({"slot": []}, "Appointment.slot", Category.STRUCTURE),
        ({"slot": {"reference": "Slot/1"}}, "Appointment.slot", Category.STRUCTURE),
        ({"slot": [{}]}, "Appointment.slot[0]", Category.STRUCTURE),
        ({"slot": ["Slot/1"]}, "Appointment.slot[0]", Category.STRUCTURE),
        ({"slot": [{"reference": "Schedule/1"}]}, "Appointment.slot[0].reference", Category.INVALID),
        ({"slot": [{"reference": "no reference"}]}, "Appointment.slot[0].reference", Category.INVALID),
        ({"slot": [{"reference": "Slot?status=free"}]}, "Appointment.slot[0].reference", Category.INVALID),
        ({"slot": [{"reference": "Slot/1", "type": "Schedule"}]}, "Appointment.slot[0].type", Category.INVALID),
        ({"slot": [{"type": "Patient", "identifier": {"value": "v"}}]}, "Appointment.slot[0]", Category.INVALID),
        ({"slot": [{"reference": "#s"}]}, "Appointment.slot[0].reference", Category.RULE),
        ({"status": "bogus"}, "Appointment.status", Category.INVALID),
        ({"status": None}, "Appointment.status", Category.REQUIRED),
        ({"status": None, "_status": {}}, "Appointment._status", Category.STRUCTURE),
        ({"participant": None}, "Appointment.participant", Category.REQUIRED),
        ({"participant": [{"type": [{"text": "x"}]}]}, "Appointment.participant[0].status", Category.REQUIRED),
        (
            {"participant": [{"actor": {"reference": "Patient/1"}, "status": "maybe"}]},
            "Appointment.participant[0].status",
            Category.INVALID,
        ),
        (
            {"identifier": [{"use": "bogus", "value": "1"}]},
            "Appointment.identifier[0].use",
            Category.INVALID,
        ),
        ({"comment": ""}, "Appointment.comment", Category.INVALID),
        ({"comment": "x" * 1_048_577}, "Appointment.comment", Category.INVALID),
        ({"id": "a b"}, "Appointment.id", Category.INVALID),
        ({"id": "x" * 65}, "Appointment.id", Category.INVALID),
        ({"extension": [{"url": "http://x.example"}]}, "Appointment.extension[0]", Category.INVALID),
        ({"extension": [{"valueString": "x"}]}, "Appointment.extension[0].url", Category.REQUIRED),
        (
            {"extension": [{"url": "http://x.example", "valueString": "x", "valueCode": "x"}]},
            "Appointment.extension[0].valueCode",
            Category.STRUCTURE,
        ),
        (
            {"extension": [{"url": "http://x.example", "valueFoo": "x"}]},
            "Appointment.extension[0].valueFoo",
            Category.STRUCTURE,
        ),
        ({"contained": [{"resourceType": "Slots"}]}, "Appointment.contained[0]", Category.STRUCTURE),
        ({"contained": [{"id": "x"}]}, "Appointment.contained[0]", Category.STRUCTURE),
        ({"contained": [{"resourceType": ["Slot"]}]}, "Appointment.contained[0]", Category.STRUCTURE),
        ({"text": {"status": "generated", "div": DIV.format("<script/>")}}, "Appointment.text.div", Category.INVALID),
        ({"requestedPeriod": [{"start": "2026", "end": "2025"}]}, "Appointment.requestedPeriod[0]", Category.RULE),
        ({"end": "2026-11-23T09:00:00-05:00"}, "Appointment.end", Category.RULE),
        ({"cancelationReason": {"text": "x"}}, "Appointment.cancelationReason", Category.RULE),
        (
            {
                "extension": [
                    {"url": "https://fhir-scheduling.example/fhir/StructureDefinition/modality", "valueCode": "x"}
                ]
            },
            "Appointment.extension[0].valueCode",
            Category.INVALID,
        ),
    ],
)
def test_one_fault_is_one_issue_at_its_place(changes, place, category):
    refusal = faults(appointment(**changes))
    assert [(issue.expression, issue.category) for issue in refusal.issues] == [(place, category)]
    assert refusal.category is category


def test_all_faults_come_together_and_the_gravest_decides():
    refusal = faults(
        appointment(status="bogus", foo=1, end="2026-11-23T09:00:00", participant=[{"status": "accepted"}])
    )
    assert {issue.expression for issue in refusal.issues} == {
        "Appointment.status",
        "Appointment.foo",
        "Appointment.end",
    }
    assert refusal.category is Category.STRUCTURE
    refusal = faults(appointment(participant=[{"status": "accepted"}], cancelationReason={"text": "x"}))
    assert [issue.text[:5] for issue in refusal.issues] == ["app-1", "app-4"]
    assert refusal.category is Category.RULE


def test_contained_resources_are_checked_like_others():
    slot = {"resourceType": "Slot", "id": "s", "meta": {"versionId": "1", "security": [{"code": "R"}]}, "status": "x"}
    slot["contained"] = [{"resourceType": "Patient", "id": "p"}]
    found = {
        (issue.expression, issue.text.split(":")[0])
        for issue in faults(appointment(contained=[slot, {"resourceType": "Patient"}])).issues
    }
    assert {
        ("Appointment.contained[0].schedule", "a mandatory element is missing"),
        ("Appointment.contained[0]", "dom-2"),
        ("Appointment.contained[0]", "dom-3"),
        ("Appointment.contained[0]", "dom-4"),
        ("Appointment.contained[0]", "dom-5"),
        ("Appointment.contained[1]", "a contained resource needs an id"),
    } <= found


def test_a_contained_resource_may_point_at_its_container():
    patient = {"resourceType": "RelatedPerson", "id": "r", "patient": {"reference": "#"}}
    VALIDATOR.check({"resourceType": "Patient", "contained": [patient]}, "Patient")


def test_primitive_arrays_and_their_extensions():
    VALIDATOR.check(
        {"resourceType": "Patient", "name": [{"given": [None, "x"], "_given": [{"id": "a"}, None]}]}, "Patient"
    )
    for name, place in (
        ({"given": [None, "x"]}, "Patient.name[0].given[0]"),
        ({"given": ["x"], "_given": {"id": "a"}}, "Patient.name[0]._given"),
        ({"given": ["x"], "_given": [{"id": "a"}, {"id": "b"}]}, "Patient.name[0]._given"),
        ({"given": ["x"], "_given": ["a"]}, "Patient.name[0]._given[0]"),
        ({"family": "x", "_family": [{"id": "a"}]}, "Patient.name[0]._family"),
        ({"family": "x", "_family": {"foo": "a"}}, "Patient.name[0]._family.foo"),
    ):
        assert faults({"resourceType": "Patient", "name": [name]}).issues[0].expression == place


def test_only_one_of_a_choice():
    refusal = faults({"resourceType": "Patient", "deceasedBoolean": True, "deceasedDateTime": "2020"})
    assert refusal.issues[0].expression == "Patient.deceasedDateTime"


@pytest.mark.parametrize("body", [None, [], "x", 5, {}, {"resourceType": 5}])
def test_what_is_no_resource(body):
    assert faults(body, "Slot").category is Category.STRUCTURE


def test_the_type_is_the_one_of_the_url():
    assert faults(appointment(), "Slot").category is Category.INVALID


def test_no_value_of_a_patient_is_echoed():
    refusal = faults(
        {
            "resourceType": "Patient",
            "birthDate": "19-secret",
            "gender": "secret",
            "name": [{"use": "secret", "family": {"secret": 1}}],
            "telecom": [{"system": "secret", "value": "secret"}],
        }
    )
    assert refusal.issues
    assert not any("secret" in issue.text + issue.expression for issue in refusal.issues)


def test_an_extra_check_sees_only_what_has_the_right_shape():
    seen = []
    validator = Validator(
        {"Slot": lambda resource: seen.append(resource) or [Issue("no", "Slot.comment", category=Category.RULE)]}
    )
    slot = {
        "resourceType": "Slot",
        "schedule": {"reference": "Schedule/1"},
        "status": "free",
        "start": "2026-01-01T00:00:00Z",
        "end": "2026-01-01T01:00:00Z",
    }
    assert [issue.text for issue in validator.issues(slot, "Slot")] == ["no"]
    validator.issues({**slot, "status": 5}, "Slot")
    assert seen == [slot]


EXAMPLES = [example for example in Artifacts.load().examples.values() if example["resourceType"] in HELD]
junk = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just([]) | st.just({}) | st.just([None])
junk |= st.just({"resourceType": "Nonsense"}) | st.just({"reference": "#x"}) | st.just({"value": 1, "code": "min"})


def _places(node, place=()):
    for key in node if isinstance(node, dict) else range(len(node)):
        yield (*place, key)
        if isinstance(node[key], dict | list):
            yield from _places(node[key], (*place, key))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from(EXAMPLES))
def test_any_damage_is_a_problem_and_never_a_defect(data, example):
    damaged = json.loads(json.dumps(example, default=float))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(list(_places(damaged))))
        node = damaged
        for key in place[:-1]:
            node = node[key]
        node[place[-1]] = copy.deepcopy(data.draw(junk))
    try:
        VALIDATOR.check(damaged, example["resourceType"])
    except Problem as refusal:
        assert refusal.issues  # noqa: PT017  a refusal says why

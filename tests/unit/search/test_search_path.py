"""Search expressions compile to closures that find the elements."""

from __future__ import annotations

import pytest

from fhir_server.search.path import compile_path

PATIENT = {
    "resourceType": "Patient",
    "active": False,
    "name": [{"family": "Adams", "given": ["Ann", None, "Lee"]}, {"given": ["Bo"]}],
    "telecom": [{"system": "phone", "value": "1"}, {"system": "email", "value": "2"}, {"value": "3"}],
    "deceasedDateTime": "2026-11-23",
    "extension": [
        {"url": "http://x/a", "valueReference": {"reference": "HealthcareService/1"}},
        {"url": "http://x/b", "valueCode": "no"},
        {"url": "http://x/a", "extension": []},
    ],
}
APPOINTMENT = {
    "participant": [
        {"actor": {"reference": "Patient/1"}},
        {"actor": {"reference": "https://x.example/fhir/Patient/2/_history/3"}},
        {"actor": {"reference": "Practitioner/1", "type": "Patient"}},
        {"actor": {"reference": "urn:uuid:0", "type": "Patient"}},
        {"actor": {"reference": "#p", "type": "Patient"}},
        {"actor": {"identifier": {"value": "x"}}},
        {"status": "accepted"},
    ]
}


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("Patient.name.family", ["Adams"]),
        ("Patient.name.given", ["Ann", "Lee", "Bo"]),
        ("Patient.active", [False]),
        ("Patient.active.value", []),
        ("Patient.telecom.where(system='phone')", [{"system": "phone", "value": "1"}]),
        ("Patient.telecom.where(system = 'email').value", ["2"]),
        ("Patient.name.family | Patient.telecom.value", ["Adams", "1", "2", "3"]),
        ("(Patient.deceased as dateTime)", ["2026-11-23"]),
        ("Patient.deceased.as(dateTime)", ["2026-11-23"]),
        ("Patient.deceased.ofType(boolean)", []),
        ("Patient.deceased", ["2026-11-23"]),
        ("Patient.deceased.exists() and Patient.deceased != false", [True]),
        ("Patient.active.exists() and Patient.active != false", [False]),
        ("Patient.link.exists() and Patient.link != false", [False]),
        ("Patient.extension('http://x/a').value", [{"reference": "HealthcareService/1"}]),
        ("Patient.extension.where(url='http://x/b').value", ["no"]),
    ],
)
def test_elements_are_found(expression, found):
    assert compile_path(expression, "Patient").select(PATIENT) == found


def test_references_are_told_apart_by_type():
    select = compile_path("Appointment.participant.actor.where(resolve() is Patient)", "Appointment").select
    assert [actor["reference"] for actor in select(APPOINTMENT)] == [
        "Patient/1",
        "https://x.example/fhir/Patient/2/_history/3",
        "urn:uuid:0",
        "#p",
    ]


def test_the_paths_of_the_branches_are_kept():
    path = compile_path("Appointment.start | Appointment.participant.actor.where(resolve() is Patient)", "Appointment")
    assert path.elements == ("Appointment.start", "Appointment.participant.actor")


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "Patient",
        "Patient.",
        "Patient.name |",
        "name.family",
        "Slot.start",
        "Patient.name.exists()",
        "Patient.deceased.exists() and Patient.active != false",
        "Patient.name.where(use)",
        "Patient.name.where(use=official)",
        "Patient.name.where(resolve() is Patient",
        "(Patient.name as HumanName)",
        "Patient.deceased.as(Age)",
        "Patient.name[0]",
        "Patient.extension(url)",
        "Patient.name)",
        "Patient.'x'",
    ],
)
def test_other_syntax_is_refused(expression):
    with pytest.raises(ValueError, match="not understood"):
        compile_path(expression, "Patient")

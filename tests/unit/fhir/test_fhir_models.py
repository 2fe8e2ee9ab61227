"""The element tables and what the models say about values."""

from __future__ import annotations

import pytest

from fhir_server.errors import Category
from fhir_server.fhir.models import elements, is_resource_type, issues_of, required_codes, warm
from fhir_server.fhir.types import RESOURCE_TYPES


def test_every_held_type_can_be_loaded():
    warm()
    assert all(is_resource_type(name) for name in RESOURCE_TYPES)
    assert all(elements(name)["id"].type == "id" for name in RESOURCE_TYPES)


def test_elements_say_type_cardinality_binding_and_targets():
    appointment = elements("Appointment")
    assert appointment["slot"].targets == {"Slot"}
    assert appointment["slot"].many
    assert appointment["status"].required
    assert "waitlist" in (appointment["status"].codes or ())
    assert appointment["start"].type == "instant"
    assert appointment["participant"].required
    assert elements("AppointmentParticipant")["actor"].type == "Reference"
    assert elements("Patient")["deceasedBoolean"].choice == "deceased"
    assert elements("Narrative")["div"].type == "xhtml"
    assert elements("Attachment")["data"].type == "base64Binary"
    assert "entered-in-error" in (elements("Encounter")["status"].codes or ())
    assert not {"resourceType", "resource_type", "fhir_comments", "_status"} & appointment.keys()


def test_what_came_after_r4_is_unknown():
    assert "valueCodeableReference" not in elements("Extension")


@pytest.mark.parametrize(
    "name", ["Slots", "", "slot", "Period", "AppointmentParticipant", "Resource", "__class__", "Slot/1"]
)
def test_what_is_no_resource_type(name):
    assert not is_resource_type(name)


def test_an_unknown_type_has_no_elements():
    with pytest.raises(ValueError, match="not a FHIR type"):
        elements("Nonsense")


def test_required_codes_at_any_depth():
    assert required_codes("Appointment").keys() == {
        "Appointment.status",
        "Appointment.participant.status",
        "Appointment.participant.required",
    }
    assert required_codes("Encounter")["Encounter.location.status"] == {"planned", "active", "reserved", "completed"}
    assert "Consent.provision.type" in required_codes("Consent")


def test_faults_have_a_place_and_no_value():
    issues = issues_of(
        {
            "resourceType": "Appointment",
            "status": "booked",
            "start": "2026-13-40T00:00:00Z",
            "minutesDuration": 0,
            "comment": "",
            "participant": [{"actor": {"reference": "Patient/secret"}}, {"status": "accepted", "foo": "secret"}],
        }
    )
    assert {(issue.expression, issue.category) for issue in issues} == {
        ("Appointment.start", Category.INVALID),
        ("Appointment.minutesDuration", Category.INVALID),
        ("Appointment.comment", Category.INVALID),
        ("Appointment.participant[0].status", Category.REQUIRED),
        ("Appointment.participant[1].foo", Category.STRUCTURE),
    }
    assert not any("secret" in issue.text or "13-40" in issue.text for issue in issues)

"""Invariants of resources."""

from __future__ import annotations

import pytest

from fhir_server.conformance.invariants import invariant_issues
from fhir_server.errors import Category

START, END = "2026-11-23T09:00:00-05:00", "2026-11-23T14:20:00Z"
SCOPE = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]}


@pytest.mark.parametrize(
    "resource",
    [
        {"resourceType": "Appointment", "status": "booked", "start": START, "end": END, "participant": [{"type": []}]},
        {"resourceType": "Appointment", "status": "proposed", "participant": [{"actor": {}}]},
        {"resourceType": "Appointment", "status": "waitlist"},
        {"resourceType": "Appointment", "status": "cancelled", "cancelationReason": {}},
        {"resourceType": "Appointment", "status": "noshow", "cancelationReason": {}, "start": START, "end": END},
        {"resourceType": "Slot", "start": START, "end": END},
        {"resourceType": "Slot", "start": "malformed", "end": END},
        {"resourceType": "AppointmentResponse", "actor": {}},
        {"resourceType": "Consent", "scope": SCOPE, "patient": {}, "policyRule": {}},
        {"resourceType": "Organization", "name": "x", "telecom": [{"use": "work"}]},
        {"resourceType": "Patient", "contact": [{"name": {}}]},
        {"resourceType": "ServiceRequest", "orderDetail": [], "code": {}},
        {"resourceType": "Schedule"},
    ],
)
def test_what_holds(resource):
    assert invariant_issues(resource) == []


@pytest.mark.parametrize(
    ("resource", "key", "place"),
    [
        (
            {"resourceType": "Appointment", "status": "proposed", "participant": [{"actor": {}}, {"status": "x"}]},
            "app-1",
            "Appointment.participant[1]",
        ),
        ({"resourceType": "Appointment", "status": "proposed", "start": START}, "app-2", "Appointment.end"),
        ({"resourceType": "Appointment", "status": "booked", "end": START}, "app-2", "Appointment.start"),
        ({"resourceType": "Appointment", "status": "booked"}, "app-3", "Appointment.start"),
        (
            {"resourceType": "Appointment", "status": "booked", "cancelationReason": {}, "start": START, "end": END},
            "app-4",
            "Appointment.cancelationReason",
        ),
        (
            {"resourceType": "Appointment", "status": "booked", "start": END, "end": START},
            "the end",
            "Appointment.end",
        ),
        ({"resourceType": "Slot", "start": START, "end": START}, "the end", "Slot.end"),
        ({"resourceType": "AppointmentResponse"}, "apr-1", "AppointmentResponse"),
        ({"resourceType": "Consent", "patient": {}}, "ppc-1", "Consent"),
        ({"resourceType": "Consent", "policyRule": {}, "scope": SCOPE}, "ppc-2", "Consent.patient"),
        ({"resourceType": "Organization"}, "org-1", "Organization"),
        (
            {"resourceType": "Organization", "name": "x", "address": [{"use": "home"}]},
            "org-2",
            "Organization.address[0].use",
        ),
        (
            {"resourceType": "Organization", "name": "x", "telecom": [{}, {"use": "home"}]},
            "org-3",
            "Organization.telecom[1].use",
        ),
        ({"resourceType": "Patient", "contact": [{"gender": "male"}]}, "pat-1", "Patient.contact[0]"),
        ({"resourceType": "ServiceRequest", "orderDetail": []}, "prr-1", "ServiceRequest.orderDetail"),
    ],
)
def test_what_is_broken_names_its_key_and_place(resource, key, place):
    (issue,) = invariant_issues(resource)
    assert issue.text.startswith(key)
    assert issue.expression == place
    assert issue.category is Category.RULE

"""A resource of each held type with as little as FHIR asks."""

from __future__ import annotations

from typing import Any

_PATIENT, _TEXT = {"reference": "Patient/1"}, {"text": "x"}
_CONCEPT = {"coding": [{"system": "https://clinic.example/codes", "code": "x"}]}
_NEEDED: dict[str, dict[str, Any]] = {
    "Appointment": {"status": "proposed", "participant": [{"actor": _PATIENT, "status": "accepted"}]},
    "AppointmentResponse": {
        "appointment": {"reference": "Appointment/1"}, "actor": _PATIENT, "participantStatus": "accepted",
    },
    "Communication": {"status": "completed", "subject": _PATIENT},
    "CommunicationRequest": {"status": "active", "subject": _PATIENT},
    "Consent": {"status": "active", "scope": _CONCEPT, "category": [_CONCEPT], "policyRule": _CONCEPT},
    "Coverage": {"status": "active", "beneficiary": _PATIENT, "payor": [_PATIENT]},
    "Encounter": {"status": "planned", "class": {"code": "AMB"}},
    "Group": {"type": "person", "actual": True},
    "Flag": {"status": "active", "code": _TEXT, "subject": _PATIENT},
    "Organization": {"name": "x"},
    "RelatedPerson": {"patient": _PATIENT},
    "Schedule": {"actor": [{"reference": "Location/1"}]},
    "ServiceRequest": {"status": "active", "intent": "order", "subject": _PATIENT},
    "Slot": {
        "schedule": {"reference": "Schedule/1"}, "status": "free",
        "start": "2020-01-01T00:00:00Z", "end": "2020-01-01T01:00:00Z",
    },
    "Subscription": {
        "status": "requested", "reason": "x", "criteria": "Appointment?status=booked",
        "channel": {"type": "rest-hook", "endpoint": "https://emr.example/in"},
    },
}  # fmt: skip


def smallest(type_: str, id_: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": type_, "id": id_, **_NEEDED.get(type_, {}), **more}

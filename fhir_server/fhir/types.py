"""The resource types that this server holds, and what an id looks like, https://hl7.org/fhir/R4/datatypes.html#id."""

from __future__ import annotations

import re

RESOURCE_TYPES: tuple[str, ...] = (
    "Appointment",
    "AppointmentResponse",
    "Communication",
    "CommunicationRequest",
    "Consent",
    "Coverage",
    "Device",
    "Encounter",
    "Flag",
    "Group",
    "HealthcareService",
    "Location",
    "Organization",
    "Patient",
    "Practitioner",
    "PractitionerRole",
    "RelatedPerson",
    "Schedule",
    "ServiceRequest",
    "Slot",
    "Subscription",
)
"""Every resource type with interactions of its own, in alphabetical order."""

CONFORMANCE_TYPES: tuple[str, ...] = (
    "CapabilityStatement",
    "CodeSystem",
    "ConceptMap",
    "OperationDefinition",
    "SearchParameter",
    "StructureDefinition",
    "ValueSet",
)
"""Types whose resources are part of the server: read and searched, never written."""

SEALED_TYPES = frozenset(
    {
        "Appointment",
        "AppointmentResponse",
        "Communication",
        "CommunicationRequest",
        "Consent",
        "Coverage",
        "Encounter",
        "Flag",
        "Group",
        "Patient",
        "RelatedPerson",
        "Schedule",
        "ServiceRequest",
        "Slot",
        "Subscription",
    }
)
"""Types whose content may speak of a patient, or holds secrets: it is stored sealed.

The others are a directory that stays readable.
"""
AUDIT_EVENT = "AuditEvent"
"""Made from the access record: read and searched by those who may, never written."""

HELD = frozenset(RESOURCE_TYPES)
"""``RESOURCE_TYPES`` for membership tests."""

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)


def is_id(text: str) -> bool:
    """Whether ``text`` is a FHIR id: 1 to 64 of letters, digits, ``-`` and ``.``."""
    return _ID.fullmatch(text) is not None

"""The MongoDB indexes that serve search, by resource type.

Every index costs each write, so the types with most writes have few. A compound index holds one list at most: MongoDB
does not index two lists of a document together.
"""

from __future__ import annotations

from typing import TypeAlias

Keys: TypeAlias = tuple[tuple[str, int | str], ...]
"""Fields and directions as the driver takes them."""

_TABLE: dict[str, tuple[str, ...]] = {
    "Appointment": (
        "patient date.l",
        "practitioner date.l",
        "location date.l",
        "actor date.l",
        "status date.l",
        "identifier",
        "slot",
        "at",
    ),
    "AppointmentResponse": ("appointment", "actor", "identifier", "at"),
    "Consent": ("patient", "identifier", "at"),
    "Coverage": ("beneficiary", "subscriber", "payor", "identifier", "at"),
    "Device": ("patient", "location", "organization", "identifier", "type", "at"),
    "Encounter": ("patient date.l", "practitioner date.l", "status date.l", "appointment", "identifier", "at"),
    "Flag": ("subject", "identifier", "at"),
    "Group": ("member", "identifier", "at"),
    "HealthcareService": (
        "organization",
        "location",
        "service-type",
        "specialty",
        "name",
        "identifier",
        "at",
    ),
    "Location": ("organization", "partof", "name", "address", "type", "identifier", "at"),
    "Organization": ("partof", "name", "address", "type", "identifier", "at"),
    "Patient": (
        "name",
        "family",
        "given",
        "birthdate.l",
        "phone",
        "email",
        "address",
        "general-practitioner",
        "organization",
        "identifier",
        "at",
    ),
    "Practitioner": ("name", "family", "identifier", "at"),
    "PractitionerRole": ("practitioner", "organization", "location", "service", "specialty", "identifier", "at"),
    "RelatedPerson": ("patient", "name", "identifier", "at"),
    "Schedule": ("actor", "offers", "service-type", "specialty", "identifier", "at"),
    "ServiceRequest": (
        "subject authored.l",
        "requester",
        "performer",
        "status authored.l",
        "requisition",
        "identifier",
        "at",
    ),
    "Slot": ("schedule start.l _id", "service-type start.l", "status start.l", "start.l _id", "identifier", "at"),
}


def indexes() -> dict[str, list[Keys]]:
    """Resource type → the keys of its search indexes; ``Location`` has a 2dsphere index for ``near`` besides."""
    found: dict[str, list[Keys]] = {
        kind: [tuple((_field(code), 1) for code in row.split()) for row in rows] for kind, rows in _TABLE.items()
    }
    found["Location"].append((("idx.near", "2dsphere"),))
    return found


def _field(code: str) -> str:
    return code if code in ("_id", "at") else f"idx.{code}"

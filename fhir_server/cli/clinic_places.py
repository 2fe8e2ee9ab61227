"""Where the demo clinic is: organizations, two sites, their rooms and one device."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from fhir_server.settings import CANONICAL

ZONE_NAME = "America/New_York"
ZONE = ZoneInfo(ZONE_NAME)
"""The clinic's zone: every time of day in this demo is meant in it."""

ORGANIZATION = "demo-clinic"
PAYER = "demo-payer"
DOWNTOWN = "demo-downtown"
RIVERSIDE = "demo-riverside"
ULTRASOUND = "ultrasound-1"

IMAGING_ROOMS = ("downtown-imaging-1", "downtown-imaging-2")
"""Rooms that the ultrasound needs one of; the pool is their ``type``."""

IMAGING_ROOM: dict[str, Any] = {
    "coding": [
        {
            "system": "http://terminology.hl7.org/CodeSystem/v3-RoleCode",
            "code": "RADDX",
            "display": "Radiology diagnostics or therapeutics unit",
        }
    ],
    "text": "imaging room",
}

_PHYSICAL = "http://terminology.hl7.org/CodeSystem/location-physical-type"
_KINDS = "http://terminology.hl7.org/CodeSystem/organization-type"
_SITES = (
    (DOWNTOWN, "Downtown Clinic", "100 Example Street", "10001", Decimal("40.7506"), Decimal("-73.9972")),
    (RIVERSIDE, "Riverside Clinic", "200 Sample Avenue", "10025", Decimal("40.7986"), Decimal("-73.9668")),
)
_EXAM_ROOM: dict[str, Any] = {"text": "examination room"}
_ROOMS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("downtown-exam-1", "Downtown examination room 1", DOWNTOWN, _EXAM_ROOM),
    ("downtown-exam-2", "Downtown examination room 2", DOWNTOWN, _EXAM_ROOM),
    (IMAGING_ROOMS[0], "Downtown imaging room 1", DOWNTOWN, IMAGING_ROOM),
    (IMAGING_ROOMS[1], "Downtown imaging room 2", DOWNTOWN, IMAGING_ROOM),
    ("riverside-exam-1", "Riverside examination room 1", RIVERSIDE, _EXAM_ROOM),
    ("riverside-group-1", "Riverside group room", RIVERSIDE, {"text": "group room"}),
)


def time_zone() -> dict[str, Any]:
    """The standard timezone extension with the clinic's zone."""
    return {"url": "http://hl7.org/fhir/StructureDefinition/timezone", "valueCode": ZONE_NAME}


def organizations(policy: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The clinic with its zone and booking-policy extension, and the payer of the Coverages."""
    yield {
        "resourceType": "Organization",
        "id": ORGANIZATION,
        "extension": [time_zone(), policy],
        "identifier": [{"system": f"{CANONICAL}NamingSystem/demo-organization", "value": ORGANIZATION}],
        "active": True,
        "type": [{"coding": [{"system": _KINDS, "code": "prov", "display": "Healthcare Provider"}]}],
        "name": "Demo Clinic",
        "telecom": [{"system": "phone", "value": "+1-212-555-0100", "use": "work"}],
    }
    yield {
        "resourceType": "Organization",
        "id": PAYER,
        "active": True,
        "type": [{"coding": [{"system": _KINDS, "code": "ins", "display": "Insurance Company"}]}],
        "name": "Demo Health Plan",
    }


def locations() -> Iterator[dict[str, Any]]:
    """The two sites, then their rooms."""
    for id_, name, street, code, latitude, longitude in _SITES:
        yield {
            "resourceType": "Location",
            "id": id_,
            "extension": [time_zone()],
            "status": "active",
            "name": name,
            "mode": "instance",
            "address": {"line": [street], "city": "New York", "state": "NY", "postalCode": code, "country": "US"},
            "physicalType": {"coding": [{"system": _PHYSICAL, "code": "si", "display": "Site"}]},
            "position": {"longitude": longitude, "latitude": latitude},
            "managingOrganization": {"reference": f"Organization/{ORGANIZATION}"},
        }
    for id_, name, site, kind in _ROOMS:
        yield {
            "resourceType": "Location",
            "id": id_,
            "status": "active",
            "name": name,
            "mode": "instance",
            "type": [kind],
            "physicalType": {"coding": [{"system": _PHYSICAL, "code": "ro", "display": "Room"}]},
            "managingOrganization": {"reference": f"Organization/{ORGANIZATION}"},
            "partOf": {"reference": f"Location/{site}"},
        }


def devices() -> Iterator[dict[str, Any]]:
    """The one ultrasound machine."""
    yield {
        "resourceType": "Device",
        "id": ULTRASOUND,
        "status": "active",
        "deviceName": [{"name": "Ultrasound 1", "type": "user-friendly-name"}],
        "type": {"text": "ultrasound machine"},
        "owner": {"reference": f"Organization/{ORGANIZATION}"},
        "location": {"reference": f"Location/{DOWNTOWN}"},
    }

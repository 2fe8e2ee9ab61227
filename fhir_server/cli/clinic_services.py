"""What the demo clinic offers: its appointment types as HealthcareServices with ``service-parameters``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fhir_server.cli.clinic_places import DOWNTOWN, IMAGING_ROOM, ORGANIZATION, RIVERSIDE, ULTRASOUND
from fhir_server.settings import CANONICAL

SERVICE_TYPES = f"{CANONICAL}CodeSystem/demo-service-type"
"""System of the codes in ``HealthcareService.type``; a code is the id of its service."""

NUCC = "http://nucc.org/provider-taxonomy"


@dataclass(frozen=True, slots=True)
class Service:
    """One appointment type; lengths in minutes, ``minutes[0]`` is the default, starts lie on ``alignment``."""

    id: str
    name: str
    minutes: tuple[int, ...]
    alignment: int
    color: str
    specialty: tuple[str, str]
    before: int = 0
    after: int = 0
    capacity: int = 1
    referral: bool = False
    online: bool = True
    video: bool = False
    imaging: bool = False
    code: str = ""
    policy: tuple[dict[str, Any], ...] = ()
    sites: tuple[str, ...] = (DOWNTOWN, RIVERSIDE)


def extension(name: str, *parts: dict[str, Any]) -> dict[str, Any]:
    """An extension of our own with parts."""
    return {"url": f"{CANONICAL}StructureDefinition/{name}", "extension": list(parts)}


def duration(url: str, value: int, unit: str = "min") -> dict[str, Any]:
    """A part with a Duration in a UCUM unit."""
    return {
        "url": url,
        "valueDuration": {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit},
    }


def limit(scope: str, per: str, count: int) -> dict[str, Any]:
    """A ``limit`` of a booking-policy."""
    return {
        "url": "limit",
        "extension": [
            {"url": "scope", "valueCode": scope},
            {"url": "per", "valueCode": per},
            {"url": "count", "valuePositiveInt": count},
        ],
    }


PRIMARY_CARE = ("207Q00000X", "Family Medicine Physician")
INTERNAL = ("207R00000X", "Internal Medicine Physician")
EMERGENCY = ("207P00000X", "Emergency Medicine Physician")
SONOGRAPHY = ("2471S1302X", "Sonography Radiologic Technologist")
THERAPY = ("225100000X", "Physical Therapist")
EDUCATION = ("163WD0400X", "Diabetes Educator Registered Nurse")

SERVICES: dict[str, Service] = {
    one.id: one
    for one in (
        Service(
            "new-patient-visit",
            "New patient visit",
            (40, 60),
            20,
            "#1b7f79",
            PRIMARY_CARE,
            after=10,
            code="ROUTINE",
            policy=(duration("cancelCutoff", 24, "h"),),
        ),
        Service("follow-up", "Follow-up visit", (20, 40), 10, "#2f6fb0", PRIMARY_CARE, code="FOLLOWUP"),
        Service(
            "telehealth",
            "Video visit",
            (20,),
            20,
            "#7a5aa6",
            PRIMARY_CARE,
            before=5,
            video=True,
            policy=(duration("holdDuration", 5),),
        ),
        Service(
            "ultrasound",
            "Ultrasound",
            (30,),
            10,
            "#a6611a",
            SONOGRAPHY,
            after=10,
            online=False,
            imaging=True,
            sites=(DOWNTOWN,),
        ),
        Service(
            "group-education",
            "Diabetes education group",
            (60,),
            20,
            "#5b8c2a",
            EDUCATION,
            before=10,
            capacity=8,
            policy=({"url": "overbooking", "valuePositiveInt": 2},),
            sites=(RIVERSIDE,),
        ),
        Service(
            "physical-therapy",
            "Physical therapy",
            (40, 60),
            20,
            "#b0413e",
            THERAPY,
            after=10,
            referral=True,
            sites=(RIVERSIDE,),
        ),
    )
}


def type_of(service: str) -> dict[str, Any]:
    """The CodeableConcept of a service in HealthcareService.type, Schedule.serviceType and Appointment.serviceType."""
    name = SERVICES[service].name
    return {"coding": [{"system": SERVICE_TYPES, "code": service, "display": name}], "text": name}


def specialty_of(specialty: tuple[str, str]) -> dict[str, Any]:
    """A CodeableConcept of the NUCC provider taxonomy."""
    code, display = specialty
    return {"coding": [{"system": NUCC, "code": code, "display": display}], "text": display}


def services() -> Iterator[dict[str, Any]]:
    """The HealthcareServices of the clinic."""
    for one in SERVICES.values():
        resource: dict[str, Any] = {
            "resourceType": "HealthcareService",
            "id": one.id,
            "extension": [_parameters(one)],
            "active": True,
            "providedBy": {"reference": f"Organization/{ORGANIZATION}"},
            "type": [type_of(one.id)],
            "specialty": [specialty_of(one.specialty)],
            "location": [{"reference": f"Location/{site}"} for site in one.sites],
            "name": one.name,
            "appointmentRequired": True,
        }
        if one.policy:
            resource["extension"].append(extension("booking-policy", *one.policy))
        if one.video:
            modality = {"system": f"{CANONICAL}CodeSystem/modality", "code": "video"}
            resource["characteristic"] = [{"coding": [modality], "text": "video"}]
        yield resource


def _parameters(one: Service) -> dict[str, Any]:
    parts = [duration("duration", minutes) for minutes in one.minutes]
    if one.before:
        parts.append(duration("bufferBefore", one.before))
    if one.after:
        parts.append(duration("bufferAfter", one.after))
    parts.append(duration("alignment", one.alignment))
    if one.capacity > 1:
        parts.append({"url": "capacity", "valuePositiveInt": one.capacity})
    if one.referral:
        parts.append({"url": "referralRequired", "valueBoolean": True})
    if not one.online:
        parts.append({"url": "onlineBooking", "valueBoolean": False})
    if one.imaging:
        parts.append({"url": "requires", "valueReference": {"reference": f"Device/{ULTRASOUND}"}})
        parts.append({"url": "requires", "valueCodeableConcept": IMAGING_ROOM})
    parts.append({"url": "color", "valueString": one.color})
    return extension("service-parameters", *parts)

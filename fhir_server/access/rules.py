"""What each role may do with each type, and what is withheld from it: the minimum necessary, said once.

Letters are those of SMART's scopes: create, read, update, delete, search. A type that is not named is not allowed. What
a role may do is cut further by scopes (``access/scopes.py``), by the clinic's walls and by whose patients they are
(``services/access/policy.py``). 45 CFR 164.502(b).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from fhir_server.access.caller import Role
from fhir_server.fhir.types import RESOURCE_TYPES

PATIENT_DATA = frozenset({
    "Appointment", "AppointmentResponse", "Communication", "CommunicationRequest", "Consent", "Coverage", "Encounter",
    "Flag", "Patient", "RelatedPerson", "ServiceRequest",
})  # fmt: skip
"""Types whose every resource speaks of patients."""

DIRECTORY = frozenset({"HealthcareService", "Location", "Organization", "Practitioner", "PractitionerRole"})
"""What a clinic publishes about itself: whoever has the scope may read it, of whichever clinic. Writing is walled."""

SHARED = frozenset({"Device", "Group", "Schedule", "Slot"})
"""Inside a clinic's walls for its staff; open to patients unless another patient is in it."""

PERSONAL = frozenset({"Device", "Group"})
"""Shared types that clinicians see, where patients are in it, only if they care for one of these."""

OWNED = frozenset({"Subscription"})
"""Types whose every resource is seen by the party alone that made it, and by the administrators of its clinics."""

_READ = dict.fromkeys(DIRECTORY, "rs")

_PATIENT = _READ | {
    "Appointment": "crus", "AppointmentResponse": "crus", "Communication": "rs", "CommunicationRequest": "rs",
    "Consent": "rs", "Coverage": "rs", "Device": "rs",
    "Encounter": "rs", "Flag": "rs", "Group": "rs", "Patient": "rus", "RelatedPerson": "rs", "Schedule": "rs",
    "ServiceRequest": "rs", "Slot": "rs", "Subscription": "cruds",
}  # fmt: skip

_PRACTITIONER = _READ | {
    "Appointment": "cruds", "AppointmentResponse": "cruds", "Communication": "rs", "CommunicationRequest": "rs",
    "Consent": "crus", "Coverage": "rs", "Device": "rs",
    "Encounter": "crus", "Flag": "crus", "Group": "rs", "Patient": "rus", "RelatedPerson": "rs", "Schedule": "rus",
    "ServiceRequest": "crus", "Slot": "cruds", "Subscription": "cruds",
}  # fmt: skip

_FRONT_DESK = _READ | {
    "Appointment": "cruds", "AppointmentResponse": "cruds", "Communication": "rs", "CommunicationRequest": "rs",
    "Consent": "crus", "Coverage": "cruds", "Device": "rs",
    "Encounter": "crus", "Group": "rs", "Patient": "crus", "RelatedPerson": "cruds", "Schedule": "crus",
    "ServiceRequest": "rs", "Slot": "cruds", "Subscription": "cruds",
}  # fmt: skip

_ADMINISTRATOR = _FRONT_DESK | dict.fromkeys(DIRECTORY | SHARED, "cruds")

ALLOWED: Mapping[Role, Mapping[str, str]] = MappingProxyType({
    Role.SYSTEM: dict.fromkeys(RESOURCE_TYPES, "cruds"),
    Role.PATIENT: _PATIENT,
    Role.PRACTITIONER: _PRACTITIONER,
    Role.FRONT_DESK: _FRONT_DESK,
    Role.ADMINISTRATOR: _ADMINISTRATOR,
    Role.AUDITOR: _READ,
})  # fmt: skip
"""Role → type → permissions."""

_UNSAID = frozenset({"contained", "text"})
"""Free text and nested resources may say anything, so they go where something else goes."""

_OFFICE = MappingProxyType({
    "Appointment": _UNSAID | {
        "reasonCode", "reasonReference", "comment", "description", "patientInstruction", "supportingInformation",
    },
    "AppointmentResponse": _UNSAID | {"comment"},
    "Communication": _UNSAID | {"reasonCode", "reasonReference", "note"},
    "CommunicationRequest": _UNSAID | {"reasonCode", "reasonReference", "note"},
    "Encounter": _UNSAID | {"reasonCode", "reasonReference", "diagnosis"},
    "ServiceRequest": _UNSAID | {
        "reasonCode", "reasonReference", "note", "orderDetail", "patientInstruction", "supportingInfo", "bodySite",
    },
})  # fmt: skip

WITHHELD: Mapping[Role, Mapping[str, frozenset[str]]] = MappingProxyType({
    Role.PATIENT: {
        "Slot": _UNSAID | {"comment", "overbooked"},
        "Schedule": _UNSAID | {"comment"},
        "Practitioner": frozenset({"birthDate"}),
    },
    Role.FRONT_DESK: _OFFICE,
    Role.ADMINISTRATOR: _OFFICE,
    Role.AUDITOR: {"Practitioner": frozenset({"birthDate"})},
})  # fmt: skip
"""Role → type → elements that it does not get to see, on no route."""

IN_COMPANY = MappingProxyType({
    "Appointment": _UNSAID | {
        "reasonCode", "reasonReference", "comment", "description", "patientInstruction", "supportingInformation",
        "basedOn",
    },
    "Group": _UNSAID,
    "Encounter": _UNSAID | {"reasonCode", "reasonReference", "diagnosis"},
})  # fmt: skip
"""Elements that a patient does not see where the resource speaks of other patients too, besides those themselves."""

MEMBERS = MappingProxyType({"Appointment": ("participant", "actor"), "Group": ("member", "entity")})
"""Where a resource lists people: the list and the reference in each item."""

KEPT_EXTENSIONS: Mapping[str, frozenset[str]] = MappingProxyType({
    "Slot": frozenset({"http://fhir-registry.smarthealthit.org/StructureDefinition/slot-capacity"}),
    "Schedule": frozenset({
        "http://hl7.org/fhir/StructureDefinition/timezone",
        "https://fhir-scheduling.example/fhir/StructureDefinition/offers",
    }),
})  # fmt: skip
"""Extensions that a patient sees; the others (rules, reasons of absence, holds) are the clinic's own matter."""

REMOVED_EXTENSIONS: Mapping[str, frozenset[str]] = MappingProxyType({
    "Appointment": frozenset({"https://fhir-scheduling.example/fhir/StructureDefinition/override-reason"}),
})  # fmt: skip
"""Extensions that a patient does not see: why the staff set a rule aside."""

OWN_PATIENT_ELEMENTS = frozenset({
    "telecom", "address", "contact", "communication", "photo", "maritalStatus", "name", "gender", "extension", "text",
    "meta", "id", "resourceType", "implicitRules", "language",
})  # fmt: skip
"""What patients may change in their own record; identifiers, links, doctors and clinics are the staff's to set."""

OWN_STATES = frozenset({"proposed", "pending", "booked", "waitlist", "cancelled"})
"""States into which patients bring an Appointment; that a visit took place, or did not, is the clinic's to say."""

STATE_CHANNEL = frozenset({Role.SYSTEM, Role.PRACTITIONER, Role.FRONT_DESK, Role.ADMINISTRATOR})
"""Roles that may say through which channel a booking came, and override rules with a reason."""

"""The MongoDB indexes that serve search, by resource type.

Every index costs each write, so the types with most writes have few: what is asked often, and in an order, has an index
of its own; all other parameters share one wildcard index, which serves a value or a range of one parameter but no
order. A parameter whose values another one has too (patient and actor, family and name) is looked up by that one: each
beginning of a name is a key of the index. A compound index holds one list at most: MongoDB does not index two lists of
a document together.

Measured with MongoDB 6.0, CPU of mongod for an insert: an Appointment 27 µs without indexes, 77 µs with eight that
serve a dozen parameters, 135 µs with these; a Patient 38, 185 and 278 µs. One wildcard index over everything that is
stored for search costs a Patient 390 µs and gives no order. Beginnings as keys cost more than the texts themselves: on
another machine, for the same Patients, 425 µs instead of 175, of which the name 185 and the address 150; an
Appointment as before.
"""

from __future__ import annotations

from typing import TypeAlias

Keys: TypeAlias = tuple[tuple[str, int | str], ...]
"""Fields and directions as the driver takes them."""

_OWN: dict[str, tuple[str, ...]] = {
    "Appointment": ("actor date.l", "status date.l", "date.l _id", "identifier", "slot"),
    "AppointmentResponse": ("appointment", "actor", "identifier"),
    "Communication": ("subject sent.l", "based-on", "identifier"),
    "CommunicationRequest": ("subject occurrence.l", "identifier", "group-identifier"),
    "Consent": ("patient", "identifier"),
    "Coverage": ("beneficiary", "subscriber", "payor", "identifier"),
    "Device": ("patient", "location", "organization", "identifier", "type"),
    "Encounter": ("subject date.l", "participant date.l", "status date.l", "date.l _id", "appointment", "identifier"),
    "Flag": ("subject", "identifier"),
    "Group": ("member", "identifier"),
    "HealthcareService": ("organization", "location", "service-type", "specialty", "name", "identifier"),
    "Location": ("organization", "partof", "name", "address", "type", "identifier"),
    "Organization": ("partof", "name", "address", "type", "identifier"),
    "Patient": ("name", "birthdate", "identifier"),
    "Practitioner": ("name", "family", "identifier"),
    "PractitionerRole": ("practitioner", "organization", "location", "service", "specialty", "identifier"),
    "RelatedPerson": ("patient", "name", "identifier"),
    "Schedule": ("actor", "offers", "service-type", "specialty", "identifier"),
    "ServiceRequest": (
        "subject authored.l",
        "requester",
        "performer",
        "status authored.l",
        "requisition",
        "identifier",
    ),
    "Slot": ("schedule start.l _id", "service-type start.l", "status start.l", "start.l _id"),
    "Subscription": ("status", "url"),
}
"""Indexes of some parameters, besides ``_lastUpdated`` which each type has."""

_SHARED = """
Appointment: -date-or-req-period appointment-type based-on part-status reason-code reason-reference requested-period
Appointment: service-category service-type specialty supporting-info
AppointmentResponse: part-status
Communication: category encounter instantiates-canonical instantiates-uri medium part-of received recipient sender
Communication: sent.l status
CommunicationRequest: authored.l based-on category encounter medium occurrence priority recipient replaces
CommunicationRequest: requester sender status
Consent: action actor category consentor data date.l organization period purpose scope security-label source-reference
Consent: status
Coverage: class-type class-value dependent patient policy-holder status type
Device: device-name manufacturer model status udi-carrier udi-di url
Encounter: account based-on class date.h diagnosis episode-of-care length.v location location-period part-of
Encounter: participant-type reason-code reason-reference service-provider special-arrangement type
Flag: author date encounter
Group: actual characteristic characteristic-value code exclude managing-entity type value
HealthcareService: active characteristic coverage-area endpoint program service-category
Location: address-city address-country address-postalcode address-state address-use endpoint operational-status status
Organization: active address-city address-country address-postalcode address-state address-use endpoint
Patient: active address address-use birthOrderBoolean death-date deceased gender general-practitioner language link
Patient: mothersMaidenName organization telecom
Practitioner: active address address-city address-country address-postalcode address-state address-use communication
Practitioner: email gender given phone telecom
PractitionerRole: active date email endpoint phone role telecom
RelatedPerson: active address address-use birthdate gender relationship telecom
Schedule: active date service-category
ServiceRequest: authored.l based-on body-site category code encounter instantiates-canonical instantiates-uri intent
ServiceRequest: occurrence performer-type priority replaces specimen
Slot: appointment-type identifier service-category specialty
Subscription: contact criteria payload type
"""
"""The parameters in the wildcard index of a type, besides those of every type."""

_COMMON = ("_profile", "_security", "_source", "_tag")


def indexes() -> dict[str, list[Keys]]:
    """Resource type → the keys of its search indexes; ``Location`` has a 2dsphere index for ``near`` besides."""
    found: dict[str, list[Keys]] = {
        kind: [tuple((_field(code), 1) for code in row.split()) for row in (*rows, "at _id")]
        for kind, rows in _OWN.items()
    }
    found["Location"].append((("idx.near", "2dsphere"),))
    return found


def wildcards() -> dict[str, list[str]]:
    """Resource type → the fields of its wildcard index."""
    found = {kind: [_field(code) for code in _COMMON] for kind in _OWN}
    for line in _SHARED.strip().splitlines():
        kind, _, codes = line.partition(": ")
        found[kind] += [_field(code) for code in codes.split()]
    return found


def _field(code: str) -> str:
    return code if code in ("_id", "at") else f"idx.{code}"

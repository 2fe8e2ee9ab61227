"""What search needs to know about R4 elements: which repeat and which are codes, instants or choices.

Taken from the R4 StructureDefinitions; only elements that a search expression of the held types reaches are listed.
"""

from __future__ import annotations


def _paths(table: str) -> frozenset[str]:
    """Rows of ``Type: path path …`` as a set of ``Type.path``."""
    rows = (line.split(":", 1) for line in table.strip().splitlines())
    return frozenset(f"{base.strip()}.{path}" for base, paths in rows for path in paths.split())


REPEATING = _paths("""
Resource: meta.profile meta.security meta.tag
Appointment: basedOn identifier participant reasonCode reasonReference serviceCategory serviceType slot specialty
Appointment: supportingInformation
AppointmentResponse: identifier
Consent: category identifier organization performer provision.action provision.actor provision.data provision.purpose
Consent: provision.securityLabel
Coverage: class identifier payor
Device: deviceName identifier type.coding udiCarrier
Encounter: account appointment basedOn diagnosis episodeOfCare hospitalization.specialArrangement identifier location
Encounter: participant participant.type reasonCode reasonReference type
Flag: identifier
Group: identifier member
HealthcareService: category characteristic coverageArea endpoint identifier location program specialty type
Location: alias endpoint identifier type
Organization: address alias endpoint identifier type
Patient: address communication generalPractitioner identifier link name name.given telecom
Practitioner: address communication identifier name name.given telecom
PractitionerRole: code endpoint healthcareService identifier location specialty telecom
RelatedPerson: address identifier name relationship telecom
Schedule: actor identifier serviceCategory serviceType specialty
ServiceRequest: basedOn bodySite category identifier instantiatesCanonical instantiatesUri performer replaces specimen
Slot: identifier serviceCategory serviceType specialty
""")
"""Elements with a maximum above one."""

CODED = _paths("""
Resource: id
Appointment: participant.status status
AppointmentResponse: participantStatus
Consent: status
Coverage: status
Device: status
Encounter: status
Group: actual type
HealthcareService: active
Location: address.use status
Organization: active address.use
Patient: active address.use gender
Practitioner: active address.use gender
PractitionerRole: active
RelatedPerson: active address.use gender
Schedule: active
ServiceRequest: intent priority status
Slot: status
""")
"""Elements of type code, boolean or id: the system is implied, one value gives one index string."""

INSTANTS = frozenset({"Appointment.start", "Slot.start", "Resource.meta.lastUpdated"})
"""Elements of type instant: a value lasts a second at most."""

PARTED = frozenset({"Location.address"})
"""Elements with a maximum of one whose one value gives several strings."""

CHOICES: dict[str, tuple[str, ...]] = {
    "Consent.source": ("Attachment", "Reference"),
    "Patient.deceased": ("Boolean", "DateTime"),
    "ServiceRequest.occurrence": ("DateTime", "Period", "Timing"),
}
"""Choice elements and the endings of their JSON names."""

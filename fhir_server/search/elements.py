"""What search needs to know about R4 elements: which repeat, which are choices, and which are of some datatypes.

Taken from the R4 StructureDefinitions; only elements that a search expression of the held types reaches are listed.
"""

from __future__ import annotations


def _paths(table: str) -> frozenset[str]:
    """Rows of ``Type: path path …`` as a set of ``Type.path``."""
    rows = (line.split(":", 1) for line in table.strip().splitlines())
    return frozenset(f"{base.strip()}.{path}" for base, paths in rows for path in paths.split())


REPEATING = _paths("""
Resource: meta.profile meta.security meta.tag
Appointment: basedOn identifier participant reasonCode reasonReference requestedPeriod serviceCategory serviceType
Appointment: slot specialty supportingInformation
AppointmentResponse: identifier
Communication: about basedOn category identifier inResponseTo instantiatesCanonical instantiatesUri medium partOf
Communication: reasonCode reasonReference recipient
CommunicationRequest: about basedOn category identifier medium reasonCode reasonReference recipient replaces
Consent: category identifier organization performer provision.action provision.actor provision.data provision.purpose
Consent: provision.securityLabel
Coverage: class identifier payor
Device: deviceName identifier type.coding udiCarrier
Encounter: account appointment basedOn diagnosis episodeOfCare hospitalization.specialArrangement identifier location
Encounter: participant participant.type reasonCode reasonReference type
Flag: identifier
Group: characteristic identifier member
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
Subscription: channel.header contact
CapabilityStatement: format implementationGuide jurisdiction rest rest.resource rest.resource.supportedProfile
CapabilityStatement: rest.security.service
CodeSystem: concept concept.designation identifier jurisdiction
ConceptMap: group group.element group.element.target group.element.target.dependsOn group.element.target.product
ConceptMap: jurisdiction
OperationDefinition: jurisdiction
SearchParameter: base component jurisdiction target
StructureDefinition: context differential.element identifier jurisdiction keyword snapshot.element
ValueSet: compose.include compose.include.concept expansion.contains identifier jurisdiction
""")
"""Elements with a maximum above one."""

CODED = _paths("""
Resource: id
Appointment: participant.status status
AppointmentResponse: participantStatus
Communication: priority status
CommunicationRequest: priority status
Consent: status
Coverage: status
Device: status
Encounter: status
Group: actual characteristic.exclude type
HealthcareService: active
Location: address.use status
Organization: active address.use
Patient: active address.use deceased gender multipleBirth
Practitioner: active address.use gender
PractitionerRole: active
RelatedPerson: active address.use gender
Schedule: active
ServiceRequest: intent priority status
Slot: status
Subscription: channel.payload channel.type status
CapabilityStatement: fhirVersion format rest.mode rest.resource.type status
CodeSystem: concept.code concept.designation.language content status
ConceptMap: group.element.code group.element.target.code status
OperationDefinition: code instance kind status system type
SearchParameter: base code status target type
StructureDefinition: abstract context.type derivation experimental kind status
ValueSet: compose.include.concept.code expansion.contains.code status
""")
"""Elements of type code, boolean or id: the system is implied, one value gives one index string."""

PLAIN = _paths("""
Resource: id
Group: actual characteristic.exclude
HealthcareService: active
Organization: active
Patient: active deceased multipleBirth telecom
Practitioner: active telecom
PractitionerRole: active telecom
RelatedPerson: active telecom
Schedule: active
Subscription: contact
CapabilityStatement: version
CodeSystem: version
ConceptMap: version
OperationDefinition: instance system type version
SearchParameter: version
StructureDefinition: abstract differential.element.base.path differential.element.path experimental
StructureDefinition: snapshot.element.base.path snapshot.element.path version
ValueSet: version
""")
"""Token elements with no terminology behind them: booleans, ids, strings and contact points."""

IDENTIFIERS = _paths("""
Appointment: identifier
AppointmentResponse: identifier
Communication: identifier
CommunicationRequest: groupIdentifier identifier
Consent: identifier
Coverage: identifier
Device: identifier
Encounter: identifier
Flag: identifier
Group: identifier
HealthcareService: identifier
Location: identifier
Organization: identifier
Patient: identifier
Practitioner: identifier
PractitionerRole: identifier
RelatedPerson: identifier
Schedule: identifier
ServiceRequest: identifier requisition
Slot: identifier
CodeSystem: identifier
ConceptMap: identifier
StructureDefinition: identifier
ValueSet: identifier
""")
"""Elements of type Identifier."""

INSTANTS = frozenset({"Appointment.start", "Slot.start", "Resource.meta.lastUpdated"})
"""Elements of type instant: a value lasts a second at most."""

DATES = _paths("""
Communication: received sent
CommunicationRequest: authoredOn
Consent: dateTime
Patient: birthDate deceased
RelatedPerson: birthDate
ServiceRequest: authoredOn
""")
"""Elements of type date or dateTime: a value lasts a year at most."""

PARTED = frozenset({"Location.address"})
"""Elements with a maximum of one whose one value gives several strings."""

CHOICES: dict[str, tuple[str, ...]] = {
    "CommunicationRequest.occurrence": ("DateTime", "Period"),
    "ConceptMap.source": ("Canonical", "Uri"),
    "ConceptMap.target": ("Canonical", "Uri"),
    "Consent.source": ("Attachment", "Reference"),
    "Group.characteristic.value": ("CodeableConcept", "Boolean", "Quantity", "Range", "Reference"),
    "Patient.deceased": ("Boolean", "DateTime"),
    "Patient.multipleBirth": ("Boolean", "Integer"),
    "ServiceRequest.occurrence": ("DateTime", "Period", "Timing"),
}
"""Choice elements and the endings of their JSON names."""

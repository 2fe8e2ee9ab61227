"""Parts of resources: ``_summary`` and ``_elements``, https://hl7.org/fhir/R4/search.html#summary.

_summary   what is shown besides resourceType, id, meta and the mandatory elements
---------  ------------------------------------------------------------------------------------
true       the elements that R4 marks as summary, inside of backbone elements too
text       text
data       everything but text
_elements  the named elements, and those that change the meaning of all others

What is shown in part carries the tag SUBSETTED, so that nobody stores it in place of the whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from fhir_server.fhir.json import dump, parse

TAG_SYSTEM = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"
TAG = {"system": TAG_SYSTEM, "code": "SUBSETTED"}

_ELEMENTS = {
    "Appointment": "identifier+ status+! cancelationReason+ serviceCategory+ serviceType+ specialty+ appointmentType+ "
    "reasonCode+ reasonReference priority description supportingInformation start+ end+ minutesDuration slot created "
    "comment patientInstruction basedOn participant+! requestedPeriod",
    "AppointmentResponse": "identifier+ appointment+! start end participantType+ actor+ participantStatus+! comment",
    "Communication": "identifier+ instantiatesCanonical+ instantiatesUri+ basedOn+ partOf+ inResponseTo status+! "
    "statusReason+ category priority+ medium subject+ topic about encounter+ sent received recipient sender "
    "reasonCode+ reasonReference+ payload note",
    "CommunicationRequest": "identifier+ basedOn+ replaces+ groupIdentifier+ status+! statusReason category priority+ "
    "doNotPerform+ medium subject+ about encounter+ payload occurrence[x]+ authoredOn+ requester+ recipient+ sender+ "
    "reasonCode+ reasonReference+ note",
    "Consent": "identifier+ status+! scope+! category+! patient+ dateTime+ performer+ organization+ source[x]+ policy "
    "policyRule+ verification+ provision+",
    "Coverage": "identifier+ status+! type+ policyHolder+ subscriber+ subscriberId+ beneficiary+! dependent+ "
    "relationship period+ payor+! class order+ network+ costToBeneficiary subrogation contract",
    "Device": "identifier definition udiCarrier+ status+ statusReason distinctIdentifier manufacturer manufactureDate "
    "expirationDate lotNumber serialNumber deviceName modelNumber partNumber type specialization version property "
    "patient owner contact location url note safety+ parent",
    "Encounter": "identifier+ status+! statusHistory class+! classHistory type+ serviceType+ priority subject+ "
    "episodeOfCare+ basedOn participant+ appointment+ period length reasonCode+ reasonReference+ diagnosis+ account "
    "hospitalization location serviceProvider partOf",
    "Flag": "identifier+ status+! category+ code+! subject+! period+ encounter+ author+",
    "Group": "identifier+ active+ type+! actual+! code+ name+ quantity+ managingEntity+ characteristic member",
    "HealthcareService": "identifier+ active+ providedBy+ category+ type+ specialty+ location+ name+ comment+ "
    "extraDetails photo+ telecom coverageArea serviceProvisionCode eligibility program characteristic communication "
    "referralMethod appointmentRequired availableTime notAvailable availabilityExceptions endpoint",
    "Location": "identifier+ status+ operationalStatus+ name+ alias description+ mode+ type+ telecom address "
    "physicalType+ position managingOrganization+ partOf hoursOfOperation availabilityExceptions endpoint",
    "Organization": "identifier+ active+ type+ name+ alias telecom address partOf+ contact endpoint",
    "Patient": "identifier+ active+ name+ telecom+ gender+ birthDate+ deceased[x]+ address+ maritalStatus "
    "multipleBirth[x] photo contact communication generalPractitioner managingOrganization+ link+",
    "Practitioner": "identifier+ active+ name+ telecom+ address+ gender+ birthDate+ photo qualification communication",
    "PractitionerRole": "identifier+ active+ period+ practitioner+ organization+ code+ specialty+ location+ "
    "healthcareService telecom+ availableTime notAvailable availabilityExceptions endpoint",
    "RelatedPerson": "identifier+ active+ patient+! relationship+ name+ telecom+ gender+ birthDate+ address+ photo "
    "period communication",
    "Schedule": "identifier+ active+ serviceCategory+ serviceType+ specialty+ actor+! planningHorizon+ comment",
    "ServiceRequest": "identifier+ instantiatesCanonical+ instantiatesUri+ basedOn+ replaces+ requisition+ status+! "
    "intent+! category+ priority+ doNotPerform+ code+ orderDetail+ quantity[x]+ subject+! encounter+ occurrence[x]+ "
    "asNeeded[x]+ authoredOn+ requester+ performerType+ performer+ locationCode+ locationReference+ reasonCode+ "
    "reasonReference+ insurance supportingInfo specimen+ bodySite+ note patientInstruction+ relevantHistory",
    "Slot": "identifier+ serviceCategory+ serviceType+ specialty+ appointmentType+ schedule+! status+! start+! end+! "
    "overbooked comment",
    "Subscription": "status+! contact+ end+ reason+! criteria+! error+ channel+!",
}
"""Elements of each type: ``+`` is part of the summary, ``!`` is mandatory, ``[x]`` is a choice.

R4 marks the parts of Appointment.participant but not the element itself; mandatory as it is, its parts follow the mark.
"""

_PARTS = {
    "Appointment.participant": "type actor required status",
    "Consent.provision": "type period action securityLabel purpose class code dataPeriod data",
    "Consent.source": "contentType language url size hash title creation reference type identifier display",
    "Consent.verification": "verified",
    "Device.udiCarrier": "deviceIdentifier carrierAIDC carrierHRF",
    "Encounter.diagnosis": "condition",
    "Encounter.participant": "type individual",
    "HealthcareService.photo": "contentType language url size hash title creation",
}
"""Summary elements of which only these parts belong to the summary."""

_BASE = frozenset({"id", "meta", "implicitRules", "language", "text", "contained", "extension", "modifierExtension"})
_ALWAYS = frozenset({"id", "meta", "implicitRules", "modifierExtension"})
"""What says who a resource is and how it is to be read."""


@dataclass(frozen=True, slots=True)
class Subset:
    """What to show: ``summary`` is ``true``, ``text``, ``data`` or empty; ``elements`` are named by type.

    Types that ``elements`` does not name are shown whole: in a search the list concerns the matches alone.
    """

    summary: str = ""
    elements: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def applies(self, type_: str) -> bool:
        return bool(self.summary) or type_ in self.elements

    def show(self, type_: str, body: bytes) -> bytes:
        """The JSON text of a resource with what is to be shown, tagged; as it was where nothing is to be left out."""
        return dump(self.of(parse(body))) if self.applies(type_) else body

    def of(self, resource: dict[str, Any]) -> dict[str, Any]:
        """The resource with what is to be shown, tagged."""
        shape = _shape(resource["resourceType"])
        kept = {name: value for name, value in resource.items() if self._keeps(shape, name)}
        if self.summary == "true":
            kept = {name: _parts(shape, name, value) for name, value in kept.items()}
        head: dict[str, Any] = {name: resource[name] for name in ("resourceType", "id") if name in resource}
        return {**head, "meta": _tagged(resource.get("meta") or {}), **kept}

    def _keeps(self, shape: _Shape, name: str) -> bool:
        if name in {"resourceType", "id", "meta"}:
            return False
        element = shape.element(name)
        if element in _ALWAYS or element in shape.mandatory:
            return True
        if self.summary == "data":
            return element != "text"
        if self.summary == "text":
            return element == "text"
        return element in (shape.summary if self.summary else self.elements[shape.type])


@dataclass(frozen=True, slots=True)
class _Shape:
    """The elements of one type; choices without their ``[x]``."""

    type: str
    every: frozenset[str]
    summary: frozenset[str]
    mandatory: frozenset[str]
    choices: tuple[str, ...]

    def element(self, name: str) -> str:
        """The element of a JSON property: ``_birthDate`` is birthDate, ``deceasedBoolean`` is deceased."""
        plain = name.removeprefix("_").removesuffix("[x]")
        if plain in self.every:
            return plain
        return next((one for one in self.choices if plain.startswith(one) and plain[len(one)].isupper()), plain)


@lru_cache
def _shape(type_: str) -> _Shape:
    rows = [(row.rstrip("+!").removesuffix("[x]"), row) for row in _ELEMENTS[type_].split()]
    return _Shape(
        type_,
        frozenset(name for name, _ in rows) | _BASE,
        frozenset(name for name, row in rows if "+" in row),
        frozenset(name for name, row in rows if "!" in row),
        tuple(name for name, row in rows if "[x]" in row),
    )


def _parts(shape: _Shape, name: str, value: Any) -> Any:
    """An element of the summary without the parts that do not belong to it."""
    parts = _PARTS.get(f"{shape.type}.{shape.element(name)}")
    return value if parts is None else _only(frozenset(parts.split()) | {"id", "modifierExtension"}, value)


def _only(parts: Collection[str], value: Any) -> Any:
    if isinstance(value, list):
        return [_only(parts, one) for one in value]
    if not isinstance(value, dict):
        return value
    return {name: one for name, one in value.items() if name.removeprefix("_") in parts}


def _tagged(meta: Mapping[str, Any]) -> dict[str, Any]:
    tags = [one for one in meta.get("tag", ()) if not _is_tag(one)]
    return {**meta, "tag": [*tags, TAG]}


def _is_tag(tag: Mapping[str, Any]) -> bool:
    return tag.get("code") == TAG["code"] and tag.get("system", TAG_SYSTEM) == TAG_SYSTEM


def is_subsetted(resource: Mapping[str, Any]) -> bool:
    """Whether a resource says of itself that it is a part of the whole: storing it would lose the rest."""
    meta = resource.get("meta")
    tags = meta.get("tag") if isinstance(meta, dict) else None
    return isinstance(tags, list) and any(isinstance(one, dict) and _is_tag(one) for one in tags)


def named(elements: Iterable[str], types: Sequence[str]) -> tuple[dict[str, frozenset[str]], list[str]]:
    """The elements that ``_elements`` names, by type, and the names that are no element of ``types``.

    ``birthDate`` is one of every type searched that has it; ``Patient.birthDate`` is one of Patient alone, which may
    also be a type that is only included.
    """
    found: dict[str, set[str]] = {}
    unknown = []
    for name in elements:
        type_, dot, rest = name.partition(".")
        qualified = bool(dot) and type_ in _ELEMENTS
        where = [type_] if qualified else list(types)
        having = [(one, _shape(one).element(rest if qualified else name)) for one in where]
        having = [(one, element) for one, element in having if element in _shape(one).every]
        if not having:
            unknown.append(name)
        for one, element in having:
            found.setdefault(one, set()).add(element)
    if found:
        for one in types:
            found.setdefault(one, set())
    return {one: frozenset(each) for one, each in found.items()}, unknown

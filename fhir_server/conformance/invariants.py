"""R4 invariants of the held types and the order of start and end, each a small function under its key.

    Appointment          app-1 app-2 app-3 app-4, start before end     https://hl7.org/fhir/R4/appointment.html
    AppointmentResponse  apr-1, start before end
    Consent              ppc-1 ppc-2 … ppc-5
    Organization         org-1 org-2 org-3
    Patient              pat-1
    ServiceRequest       prr-1
    Slot                 start before end

Those of datatypes (``datatypes``), references and contained resources (ref-1, dom-2 … dom-5) are met on the walk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_server.errors import Category, Issue
from fhir_server.fhir.temporal import instant_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Resource = dict[str, Any]
Found = tuple[str, str]  # words and place

_UNTIMED = frozenset(("proposed", "cancelled", "waitlist"))
_CONSENT_SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope"


_SCOPES = {"patient-privacy": "ppc-2", "research": "ppc-3", "adr": "ppc-4", "treatment": "ppc-5"}


def invariant_issues(resource: Resource) -> list[Issue]:
    """Broken invariants of one resource whose shape is right; every issue is a RULE."""
    checks = _CHECKS.get(resource["resourceType"], ())
    return [
        Issue(text, f"{resource['resourceType']}{place}", category=Category.RULE)
        for check in checks
        for text, place in check(resource)
    ]


def _app_1(appointment: Resource) -> Iterator[Found]:
    for index, participant in enumerate(appointment.get("participant", ())):
        if "type" not in participant and "actor" not in participant:
            yield "app-1: a participant needs a type or an actor", f".participant[{index}]"


def _app_2(appointment: Resource) -> Iterator[Found]:
    if ("start" in appointment) != ("end" in appointment):
        yield "app-2: either both start and end are given, or neither", ".end" if "start" in appointment else ".start"


def _app_3(appointment: Resource) -> Iterator[Found]:
    timed = "start" in appointment or "end" in appointment
    if not timed and appointment.get("status") not in _UNTIMED:
        yield "app-3: only proposed, cancelled and waitlist appointments lack start and end", ".start"


def _app_4(appointment: Resource) -> Iterator[Found]:
    if "cancelationReason" in appointment and appointment.get("status") not in {"cancelled", "noshow"}:
        yield "app-4: a cancelationReason is for cancelled and noshow only", ".cancelationReason"


def _order(resource: Resource) -> Iterator[Found]:
    start, end = resource.get("start"), resource.get("end")
    if start is None or end is None:
        return
    try:
        ordered = instant_ms(start) < instant_ms(end)
    except ValueError:
        # A malformed instant is reported as such.
        return
    if not ordered:
        yield "the end is not after the start", ".end"


def _apr_1(response: Resource) -> Iterator[Found]:
    if "participantType" not in response and "actor" not in response:
        yield "apr-1: a participantType or an actor is needed", ""


def _ppc_1(consent: Resource) -> Iterator[Found]:
    if "policy" not in consent and "policyRule" not in consent:
        yield "ppc-1: a policy or a policyRule is needed", ""


def _ppc_2(consent: Resource) -> Iterator[Found]:
    for coding in consent.get("scope", {}).get("coding", ()):
        if coding.get("system") == _CONSENT_SCOPE and coding.get("code") in _SCOPES and "patient" not in consent:
            yield f"{_SCOPES[coding['code']]}: a consent of this scope needs a patient", ".patient"


def _org_1(organization: Resource) -> Iterator[Found]:
    if "name" not in organization and "identifier" not in organization:
        yield "org-1: a name or an identifier is needed", ""


def _org_2_3(organization: Resource) -> Iterator[Found]:
    for key, name in (("org-2", "address"), ("org-3", "telecom")):
        for index, item in enumerate(organization.get(name, ())):
            if item.get("use") == "home":
                yield f"{key}: an organization has no home {name}", f".{name}[{index}].use"


def _pat_1(patient: Resource) -> Iterator[Found]:
    for index, contact in enumerate(patient.get("contact", ())):
        if contact.keys().isdisjoint(("name", "telecom", "address", "organization")):
            yield "pat-1: a contact needs a name, telecom, address or organization", f".contact[{index}]"


def _prr_1(request: Resource) -> Iterator[Found]:
    if "orderDetail" in request and "code" not in request:
        yield "prr-1: orderDetail needs a code", ".orderDetail"


_CHECKS: dict[str, tuple[Callable[[Resource], Iterator[Found]], ...]] = {
    "Appointment": (_app_1, _app_2, _app_3, _app_4, _order),
    "AppointmentResponse": (_apr_1, _order),
    "Consent": (_ppc_1, _ppc_2),
    "Organization": (_org_1, _org_2_3),
    "Patient": (_pat_1,),
    "ServiceRequest": (_prr_1,),
    "Slot": (_order,),
}

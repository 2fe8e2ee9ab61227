"""Accesses as FHIR AuditEvents in the shapes of IHE BALP, one for each patient that an access touched.

An event of one patient shows the resources about that patient and those about nobody, so it tells nothing of another
one. Its id is ``chain-place-entry-number``. https://profiles.ihe.net/ITI/BALP/ https://hl7.org/fhir/R4/auditevent.html
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from fhir_server.access.record import Access, Accessed
from fhir_server.services.audit.kinds import PROFILE, Code, Kind, kind
from fhir_server.services.versions import instant
from fhir_server.store.audit.batches import Batch

ENTITY_TYPE = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
OBJECT_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
RESOURCE = "http://hl7.org/fhir/resource-types"
REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
PERSON, SYSTEM_OBJECT = Code(ENTITY_TYPE, "1", "Person"), Code(ENTITY_TYPE, "2", "System Object")
TRANSACTION = Code("https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType", "XrequestId", "X-Request-Id")
PATIENT_ROLE = Code(OBJECT_ROLE, "1", "Patient")
RESOURCE_ROLE = Code(OBJECT_ROLE, "4", "Domain Resource")
QUERY_ROLE = Code(OBJECT_ROLE, "24", "Query")
APPLICATION_SERVER = Code("http://terminology.hl7.org/CodeSystem/security-source-type", "4", "Application Server")
LATE_MS = 1000
"""What was recorded so long after it happened says when it happened."""

RECOVERED = "recorded by another process after the one that served it had ended"

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """One AuditEvent to be: entry ``entry`` of a batch, for its patient ``number`` (empty: it touched none)."""

    chain: str
    n: int
    entry: int
    number: int
    recorded: int
    access: Access
    patient: str

    @property
    def id(self) -> str:
        return f"{self.chain}-{self.n}-{self.entry}-{self.number}"

    @property
    def objects(self) -> tuple[Accessed, ...]:
        """The resources that it shows."""
        if not self.patient:
            return self.access.objects
        return tuple(one for one in self.access.objects if not one.people or self.patient in one.people)


def events_of(batch: Batch) -> list[Event]:
    """The events of a batch, the newest first."""
    return [
        Event(batch.chain, batch.n, entry, number, batch.at, access, patient)
        for entry, access in reversed(list(enumerate(batch.entries)))
        if access is not None
        for number, patient in reversed(list(enumerate(access.people or ("",))))
    ]


def render(event: Event, base: str, names: Mapping[str, str] | None = None, *, queries: bool = True) -> Resource:
    """The AuditEvent.

    :param base: our FHIR base: the server's name and address.
    :param names: of persons by their references.
    :param queries: whether the text of a search is shown, which can name other patients.
    """
    access, what = event.access, kind(event.access.interaction)
    recorded = instant(event.recorded)
    entities = _entities(event, what, queries=queries)
    found: Resource = {"resourceType": "AuditEvent", "id": event.id, "meta": {"lastUpdated": recorded}}
    if what.profile and _is_whole(event, what, queries=queries):
        patient = "Patient" if event.patient else ""
        found["meta"]["profile"] = [f"{PROFILE}{patient}{what.profile}"]
    found |= {"type": what.type.coding(), "subtype": [one.coding() for one in what.subtypes], "action": access.action}
    if access.recovered or abs(event.recorded - access.at) >= LATE_MS:
        found["period"] = {"start": instant(access.at), "end": instant(access.at)}
    found |= {"recorded": recorded, "outcome": str(access.outcome)}
    said = [access.reason, *([RECOVERED] if access.recovered else [])]
    if any(said):
        found["outcomeDesc"] = "; ".join(one for one in said if one)
    if access.purpose:
        found["purposeOfEvent"] = [_purpose(access.purpose)]
    found["agent"] = _agents(access, what, base, names or {})
    host = urlsplit(base).hostname or "localhost"
    found["source"] = {"observer": {"identifier": {"value": host}}, "type": [APPLICATION_SERVER.coding()]}
    if entities:
        found["entity"] = entities
    return found


def _is_whole(event: Event, what: Kind, *, queries: bool) -> bool:
    """Whether the entity that the BALP profile asks for is there, once."""
    return (queries and bool(event.access.query)) if what.profile == "Query" else len(event.objects) == 1


def _purpose(code: str) -> Resource:
    return {"coding": [{"system": REASON, "code": code}]}


def _agents(access: Access, what: Kind, base: str, names: Mapping[str, str]) -> list[Resource]:
    """The client, the server and, where there is one, the person."""
    person = bool(access.subject or access.fhir_user)
    who: Resource = {"identifier": {"value": access.client}} if access.client else {"display": "not identified"}
    client: Resource = {"type": _concept(what.client), "who": who, "requestor": not person}
    if access.network:
        client["network"] = _network(access.network)
    if access.token and not person:
        client["policy"] = [access.token]
    server: Resource = {
        "type": _concept(what.server),
        "who": {"identifier": {"value": urlsplit(base).hostname or "localhost"}},
        "requestor": False,
        "network": {"address": base, "type": "5"},
    }
    return [client, server, *([_person(access, what, names)] if person else [])]


def _person(access: Access, what: Kind, names: Mapping[str, str]) -> Resource:
    """No network: a person is no device."""
    who: Resource = {}
    if access.fhir_user:
        who["reference"] = access.fhir_user
    if access.subject:
        who["identifier"] = {"system": access.issuer, "value": access.subject}
        if not access.issuer:
            del who["identifier"]["system"]
    found: Resource = {"type": _concept(what.person)}
    if access.role:
        found["role"] = [{"text": access.role}]
    found["who"] = who
    name = names.get(access.fhir_user, "")
    if name:
        found["name"] = name
    found["requestor"] = True
    if access.token:
        found["policy"] = [access.token]
    if access.purpose:
        found["purposeOfUse"] = [_purpose(access.purpose)]
    return found


def _network(address: str) -> Resource:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return {"address": address, "type": "1"}
    return {"address": address, "type": "2"}


def _concept(code: Code) -> Resource:
    return {"coding": [code.coding()]}


def _entities(event: Event, what: Kind, *, queries: bool) -> list[Resource]:
    access = event.access
    single = what.profile not in {"", "Query"}
    found = [_object(one, SYSTEM_OBJECT if single else Code(RESOURCE, one.type)) for one in event.objects]
    if event.patient:
        found.append({"what": {"reference": event.patient}, "type": PERSON.coding(), "role": PATIENT_ROLE.coding()})
    if access.query and queries:
        query = base64.b64encode(access.query).decode()
        found.append({"type": SYSTEM_OBJECT.coding(), "role": QUERY_ROLE.coding(), "query": query})
    if access.request_id:
        found.append({"what": {"identifier": {"value": access.request_id}}, "type": TRANSACTION.coding()})
    return found


def _object(one: Accessed, type_: Code) -> Resource:
    version = f"/_history/{one.version}" if one.version else ""
    reference = f"{one.type}/{one.id}{version}"
    return {"what": {"reference": reference}, "type": type_.coding(), "role": RESOURCE_ROLE.coding()}

"""Notifications of the R5 Backport on R4: Bundles whose first entry says how the Subscription stands. Pure.

kind                 events   content
-------------------  -------  ------------------------------------------------------------------------------
handshake            none     status requested
heartbeat            none
event-notification   listed   empty: numbers alone; id-only: foci, entries without resources; full-resource
query-event          listed   the same, asked for by ``$events``
query-status         none     the Parameters alone, in a searchset

https://hl7.org/fhir/uv/subscriptions-backport/STU1.1/StructureDefinition-backport-subscription-status-r4.html
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fhir_server.fhir.json import parse
from fhir_server.services.subscriptions.terms import BACKPORT
from fhir_server.services.versions import instant
from fhir_server.settings import CANONICAL

STATUS_PROFILE = f"{BACKPORT}backport-subscription-status-r4"
BUNDLE_PROFILE = f"{BACKPORT}backport-subscription-notification-r4"
ERRORS = f"{CANONICAL}CodeSystem/delivery-error"
SPACE = uuid.UUID("5b0d2a60-6e2f-4c3c-9a52-0e4b8f1d7c11")
"""Names of notifications are made in it, so that one that is sent again has the same id."""

Kind = Literal["handshake", "heartbeat", "event-notification", "query-status", "query-event"]
Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """One event as its receiver may see it: ``at`` in milliseconds since the epoch.

    ``focus`` is ``Appointment/1``, empty where the receiver may no longer know it. ``method`` is what happened to it
    (POST, PUT, DELETE); ``body`` the version that triggered, None where it is not shown; ``gone``: deleted since.
    """

    number: int
    at: int
    focus: str = ""
    method: str = "PUT"
    body: bytes | None = None
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """How a Subscription stands: ``count`` events since its start, ``error`` codes and words of what is wrong.

    ``base`` is our FHIR base without a slash. ``version`` of the Subscription names its handshake, 0: each is another.
    """

    base: str
    id: str
    topic: str
    status: str
    count: int
    content: str = "empty"
    error: tuple[str, str] | None = None
    version: int = 0

    @property
    def url(self) -> str:
        return f"{self.base}/Subscription/{self.id}"


def status(standing: Standing, kind: Kind, events: Sequence[Told] = (), *, id_: str = "") -> Resource:
    """The Parameters that say it, in the order of the profile."""
    given: list[Resource] = [{"name": "subscription", "valueReference": {"reference": standing.url}}]
    shown = standing.content != "empty" or kind not in {"event-notification", "query-event"}
    if standing.topic and shown:
        given.append({"name": "topic", "valueCanonical": standing.topic})
    given += [
        {"name": "status", "valueCode": standing.status},
        {"name": "type", "valueCode": kind},
        {"name": "events-since-subscription-start", "valueString": str(standing.count)},
        *(_event(one, standing) for one in events),
    ]
    if standing.error:
        given.append({"name": "error", "valueCodeableConcept": _error(*standing.error)})
    name = id_ or str(uuid.uuid4())
    return {"resourceType": "Parameters", "id": name, "meta": {"profile": [STATUS_PROFILE]}, "parameter": given}


def _event(one: Told, standing: Standing) -> Resource:
    parts: list[Resource] = [
        {"name": "event-number", "valueString": str(one.number)},
        {"name": "timestamp", "valueInstant": instant(one.at)},
    ]
    if one.focus and standing.content != "empty":
        parts.append({"name": "focus", "valueReference": {"reference": f"{standing.base}/{one.focus}"}})
    return {"name": "notification-event", "part": parts}


def _error(code: str, text: str) -> Resource:
    return {"coding": [{"system": ERRORS, "code": code}], "text": text}


def bundle(standing: Standing, kind: Kind, events: Sequence[Told], now: int) -> Resource:
    """One notification; :param now: milliseconds since the epoch."""
    name = _name(standing, kind, events)
    first = {
        "fullUrl": f"urn:uuid:{name}",
        "resource": status(standing, kind, events, id_=name),
        "request": {"method": "GET", "url": f"{standing.url}/$status"},
        "response": {"status": "200"},
    }
    shown = [] if standing.content == "empty" else [_entry(one, standing) for one in events if one.focus]
    return {
        "resourceType": "Bundle", "id": str(uuid.uuid5(SPACE, f"bundle {name}")),
        "meta": {"profile": [BUNDLE_PROFILE]}, "type": "history", "timestamp": instant(now), "entry": [first, *shown],
    }  # fmt: skip


def _name(standing: Standing, kind: Kind, events: Sequence[Told]) -> str:
    if kind == "handshake" and standing.version:
        return str(uuid.uuid5(SPACE, f"{standing.url} handshake {standing.version}"))
    if kind != "event-notification" or not events:
        return str(uuid.uuid4())
    return str(uuid.uuid5(SPACE, f"{standing.url} {events[0].number}-{events[-1].number}"))


def _entry(one: Told, standing: Standing) -> Resource:
    """What happened to a focus, with the version that triggered where it is shown."""
    type_, _, id_ = one.focus.partition("/")
    url = type_ if one.method == "POST" else f"{type_}/{id_}"
    found: Resource = {"fullUrl": f"{standing.base}/{one.focus}"}
    if standing.content == "full-resource" and one.body and not one.gone:
        found["resource"] = parse(one.body)
    response = {"status": "410" if one.gone else {"POST": "201", "DELETE": "204"}.get(one.method, "200")}
    if one.method == "POST":
        response["location"] = f"{standing.base}/{one.focus}"
    return found | {"request": {"method": one.method, "url": url}, "response": response}


def searchset(standings: Sequence[Standing], url: str) -> Resource:
    """The answer of ``$status``."""
    entries = []
    for one in standings:
        found = status(one, "query-status")
        entries.append({"fullUrl": f"urn:uuid:{found['id']}", "resource": found, "search": {"mode": "match"}})
    answer: Resource = {
        "resourceType": "Bundle", "id": str(uuid.uuid4()), "type": "searchset", "total": len(entries),
        "link": [{"relation": "self", "url": url}],
    }  # fmt: skip
    return answer | ({"entry": entries} if entries else {})

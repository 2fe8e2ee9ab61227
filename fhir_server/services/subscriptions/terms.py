"""What a Subscription asks for, read from the resource: R4 criteria, or a topic of the R5 Backport profile. Pure.

element                                             meaning
--------------------------------------------------  ------------------------------------------------------------------
criteria                                            canonical URL of a topic, or a search: ``Appointment?status=booked``
criteria.extension backport-filter-criteria 0..*    ``Appointment?patient=Patient/1``, ``Appointment.patient=Patient/1``
                                                    or ``patient=Patient/1``; all of them must be met
channel.type                                        rest-hook, websocket or email
channel.payload, its backport-payload-content       application/fhir+json or +xml; empty, id-only, full-resource
channel.extension backport-heartbeat-period         seconds; also backport-timeout, backport-max-count
end                                                 when it is over

https://hl7.org/fhir/uv/subscriptions-backport/STU1.1/StructureDefinition-backport-subscription.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from fhir_server.errors import Category, Issue, Problem, problem
from fhir_server.fhir.temporal import instant_ms
from fhir_server.fhir.types import HELD
from fhir_server.services.access.looks import looks_elsewhere
from fhir_server.services.subscriptions.topics import Clauses, Reader, Topic, Topics, Trigger, ad_hoc

BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"
FILTER, CONTENT = f"{BACKPORT}backport-filter-criteria", f"{BACKPORT}backport-payload-content"
LOCATION = f"{BACKPORT}backport-notification-url-location"
LOCATIONS = frozenset({"full-url", "request-response", "all"})
"""Where URLs may be asked for: they are in all of these places."""

HEARTBEAT, TIMEOUT, MOST = (f"{BACKPORT}backport-{one}" for one in ("heartbeat-period", "timeout", "max-count"))
R5 = "http://hl7.org/fhir/5.0/StructureDefinition/"
CHANNELS = frozenset({"rest-hook", "websocket", "email"})
PAYLOADS = frozenset({"application/fhir+json", "application/fhir+xml"})
CONTENTS = ("empty", "id-only", "full-resource")
"""From the least to the most that a notification says."""

TIMEOUT_SECONDS, MOST_EVENTS = 30, 100
"""The longest that a receiver is waited for, and the most events of one notification."""

USUAL_EVENTS = 20
FILTERS, LONGEST_FILTER = 20, 2000
NOT_TOLD = frozenset({"Subscription"})
"""Types of which nobody is told: a Subscription would wake itself."""

_SEARCH = re.compile(r"([A-Z][A-Za-z]{1,63})(?:\?(.*))?", re.DOTALL)
_DOTTED = re.compile(r"([A-Z][A-Za-z]{1,63})\.([a-z_][A-Za-z_-]*(?::[A-Za-z-]+)?=.*)", re.DOTALL)
_QUERIED = re.compile(r"([A-Z][A-Za-z]{1,63})?\?(.+)", re.DOTALL)
_BARE = re.compile(r"[a-z_][A-Za-z_-]*(?::[A-Za-z-]+)?=.*", re.DOTALL)

Resource = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter criterion: its type, query text and clauses."""

    type: str
    query: str
    clauses: Clauses


@dataclass(frozen=True, slots=True)
class Terms:
    """What is asked; times in seconds, ``end`` in milliseconds since the epoch, 0 where nothing is said.

    ``topic`` is the canonical URL, empty for a classic search. ``content`` is one of :data:`CONTENTS`.
    """

    topic: str
    triggers: tuple[Trigger, ...]
    filters: tuple[Filter, ...]
    channel: str
    endpoint: str
    payload: str
    content: str
    headers: tuple[str, ...] = ()
    heartbeat: int = 0
    timeout: int = TIMEOUT_SECONDS
    most: int = USUAL_EVENTS
    end: int = 0

    @property
    def types(self) -> frozenset[str]:
        return frozenset(one.type for one in self.triggers)

    def filtered(self, type_: str) -> Clauses:
        """Every filter of a resource type, all of which must be true."""
        return tuple(clause for one in self.filters if one.type == type_ for clause in one.clauses)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the server allows: the shortest heartbeat period in seconds."""

    heartbeat: int = 10


def read(resource: Resource, topics: Topics, reader: Reader, limits: Limits = Limits()) -> Terms:
    """The terms of a Subscription whose shape is valid.

    :raises Problem: 400 for what is missing, 422 for what this server does not do; all faults together.
    """
    found = _Found(resource, topics, reader, limits)
    terms = found.terms()
    found.raise_all()
    assert terms is not None
    return terms


@dataclass
class _Found:
    resource: Resource
    topics: Topics
    reader: Reader
    limits: Limits

    def __post_init__(self) -> None:
        self.issues: list[Issue] = []
        self.channel: Resource = self.resource.get("channel") or {}

    def refuse(self, text: str, place: str, category: Category = Category.RULE, code: str = "") -> None:
        self.issues.append(Issue(text, place, code, category))

    def raise_all(self) -> None:
        if not self.issues:
            return
        missing = any(one.category is Category.REQUIRED for one in self.issues)
        raise Problem(Category.REQUIRED if missing else Category.RULE, tuple(self.issues))

    def terms(self) -> Terms | None:
        self._check_extensions()
        criteria = str(self.resource.get("criteria", ""))
        topic = self._topic(criteria)
        triggers = topic.triggers if topic else self._classic(criteria)
        filters = self._filters(topic, triggers)
        channel = self._channel_type()
        payload, content = self._payload(classic=topic is None)
        if channel == "email" and content == "full-resource":
            self.refuse("e-mail carries the content empty or id-only", "Subscription.channel.payload")
        if channel == "rest-hook" and content == "full-resource" and payload == "":
            self.refuse("full-resource needs a payload format", "Subscription.channel.payload", Category.REQUIRED)
        return Terms(
            topic=topic.url if topic else "",
            triggers=triggers,
            filters=filters,
            channel=channel,
            endpoint=self._endpoint(channel),
            payload=payload,
            content=content,
            headers=tuple(self.channel.get("header", ())),
            heartbeat=self._heartbeat(),
            timeout=self._number(TIMEOUT, TIMEOUT_SECONDS) or TIMEOUT_SECONDS,
            most=self._number(MOST, MOST_EVENTS) or USUAL_EVENTS,
            end=self._end(),
        )

    # -- what is told ------------------------------------------------------------------------------------------------

    def _topic(self, criteria: str) -> Topic | None:
        if "://" not in criteria.partition("?")[0]:
            return None
        found = self.topics.by_url.get(criteria.partition("|")[0])
        if found is None:
            text = "this server has no such topic; it has those that its CapabilityStatement names"
            self.refuse(text, "Subscription.criteria")
            return Topic(criteria, "", ())
        return found

    def _classic(self, criteria: str) -> tuple[Trigger, ...]:
        found = _SEARCH.fullmatch(criteria)
        if found is None or found[1] not in HELD or found[1] in NOT_TOLD:
            text = "criteria are the URL of a topic, or a search such as Appointment?status=booked"
            self.refuse(text, "Subscription.criteria")
            return ()
        clauses = self._clauses(found[1], found[2], "Subscription.criteria") if found[2] else ()
        return (ad_hoc(found[1], clauses),)

    def _clauses(self, type_: str, query: str, place: str) -> Clauses:
        try:
            clauses = self.reader.clauses(type_, query)
        except Problem as refused:
            self.issues += [Issue(one.text, place, one.code, Category.RULE) for one in refused.issues]
            return ()
        except ValueError:
            self.refuse("this is not a search", place)
            return ()
        known = self.reader.definitions.of(type_)
        if any(unquote(one.partition("=")[0]).partition(":")[0] not in known for one in query.split("&")):
            self.refuse("criteria are search parameters alone: nothing that orders or cuts an answer", place)
        if any(looks_elsewhere(one) for one in clauses):
            self.refuse("criteria look at the resource itself: no chains and no _has", place)
        return clauses

    def _filters(self, topic: Topic | None, triggers: Sequence[Trigger]) -> tuple[Filter, ...]:
        extensions = (self.resource.get("_criteria") or {}).get("extension", ())
        found: list[Filter] = []
        for at, one in enumerate(extensions):
            place = f"Subscription.criteria.extension[{at}]"
            if one.get("url") != FILTER:
                self.refuse("this extension of criteria is not supported", place)
            elif at >= FILTERS or len(str(one.get("valueString", ""))) > LONGEST_FILTER:
                self.refuse(f"at most {FILTERS} filters of {LONGEST_FILTER} characters are accepted", place)
            elif topic is None:
                self.refuse("filters belong to a topic; write a search as one criteria", place)
            else:
                found += self._filter(topic, {each.type for each in triggers}, str(one.get("valueString", "")), place)
        return tuple(found)

    def _filter(self, topic: Topic, types: set[str], text: str, place: str) -> list[Filter]:
        type_, query = _taken_apart(text.strip())
        type_ = type_ or (next(iter(types)) if len(types) == 1 else "")
        if not query or type_ not in types:
            said = ", ".join(f"{one}?name=value" for one in sorted(types))
            self.refuse(f"a filter of this topic is written as {said}", place)
            return []
        known = topic.filters.get(type_, {})
        for part in query.split("&"):
            name, _, modifier = unquote(part.partition("=")[0]).partition(":")
            if name not in known:
                allowed = ", ".join(sorted(known))
                self.refuse(f"this topic is not filtered by that parameter; it is by {allowed}", place)
                return []
            if modifier and modifier not in known[name] and not modifier[:1].isupper():
                self.refuse(f"this topic is not filtered by {name} with that modifier", place)
                return []
        return [Filter(type_, query, self._clauses(type_, query, place))]

    # -- how it is told ----------------------------------------------------------------------------------------------

    def _channel_type(self) -> str:
        type_ = str(self.channel.get("type", ""))
        place = "Subscription.channel.type"
        if type_ not in CHANNELS or "_type" in self.channel:
            self.refuse(f"the channel is one of {', '.join(sorted(CHANNELS))}", place)
        return type_

    def _endpoint(self, channel: str) -> str:
        endpoint = str(self.channel.get("endpoint", ""))
        if channel in {"rest-hook", "email"} and not endpoint:
            self.refuse("this channel needs an endpoint", "Subscription.channel.endpoint", Category.REQUIRED)
        return endpoint

    def _payload(self, *, classic: bool) -> tuple[str, str]:
        """The format and the content."""
        place = "Subscription.channel.payload"
        payload = str(self.channel.get("payload", ""))
        extensions = (self.channel.get("_payload") or {}).get("extension", ())
        stated = [one.get("valueCode") for one in extensions if one.get("url") == CONTENT]
        if payload and payload not in PAYLOADS:
            self.refuse(f"the payload is one of {', '.join(sorted(PAYLOADS))}", place)
        if any(one.get("url") != CONTENT for one in extensions) or len(stated) > 1:
            self.refuse("the payload has one extension, backport-payload-content", place)
        if stated and stated[0] not in CONTENTS:
            self.refuse(f"the content is one of {', '.join(CONTENTS)}", f"{place}.extension[0]")
        if not classic:
            if not payload:
                self.refuse("the Backport profile needs a payload", place, Category.REQUIRED)
            if not stated:
                text = "the Backport profile needs the extension backport-payload-content"
                self.refuse(text, f"{place}.extension", Category.REQUIRED)
        content = str(stated[0]) if stated else "full-resource" if payload else "empty"
        return payload or "application/fhir+json", content

    def _check_extensions(self) -> None:
        """What is not understood is refused: nobody shall believe that it works."""
        for at, one in enumerate(self.resource.get("extension", ())):
            url = str(one.get("url", ""))
            if url.startswith((R5, BACKPORT)):
                self.refuse("this extension is not supported on Subscription", f"Subscription.extension[{at}]")
        for at, one in enumerate(self.channel.get("extension", ())):
            url, place = str(one.get("url", "")), f"Subscription.channel.extension[{at}]"
            if url == LOCATION:
                if one.get("valueCode") not in LOCATIONS:
                    self.refuse(f"the location is one of {', '.join(sorted(LOCATIONS))}", place)
            elif url not in {HEARTBEAT, TIMEOUT, MOST}:
                self.refuse("this extension of the channel is not supported", place)
            elif not any(isinstance(one.get(name), int) for name in ("valueUnsignedInt", "valuePositiveInt")):
                self.refuse("this extension has a whole number", place)
        if self.resource.get("modifierExtension") or self.channel.get("modifierExtension"):
            self.refuse("modifier extensions are not understood here", "Subscription.modifierExtension")

    def _number(self, url: str, greatest: int = 0) -> int:
        for at, one in enumerate(self.channel.get("extension", ())):
            if one.get("url") == url:
                number = int(one.get("valueUnsignedInt") or one.get("valuePositiveInt") or 0)
                if greatest and number > greatest:
                    self.refuse(f"this is {greatest} at most", f"Subscription.channel.extension[{at}]")
                return number
        return 0

    def _heartbeat(self) -> int:
        period = self._number(HEARTBEAT)
        if period and period < self.limits.heartbeat:
            text = f"the shortest heartbeat period is {self.limits.heartbeat} seconds"
            self.refuse(text, "Subscription.channel.extension")
        return period

    def _end(self) -> int:
        end = self.resource.get("end")
        return instant_ms(end) if isinstance(end, str) else 0


def _taken_apart(text: str) -> tuple[str, str]:
    """Type (empty if none is said) and query of a filter; no query for what is none."""
    if found := _DOTTED.fullmatch(text):
        return found[1], found[2]
    if found := _QUERIED.fullmatch(text):
        return found[1] or "", found[2]
    return ("", text) if _BARE.fullmatch(text) else ("", "")


def check_end(terms: Terms, now: int) -> None:
    """:raises Problem: 422 for an end that is past.

    :param now: milliseconds since the epoch.
    """
    if terms.end and terms.end <= now:
        raise problem(Category.RULE, "the end is in the past", "Subscription.end")

"""Topics: which changes of which resources are told, as ``profiles/topics/`` says them. Pure.

A topic fires when one of its triggers does. A trigger asks for the interaction, for search criteria that the states
before and after satisfy, and for FHIRPath criteria that compare the two; what it does not say it does not ask.
https://hl7.org/fhir/R5/subscriptiontopic.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

from fhir_server.search.definitions import Definitions
from fhir_server.search.extract import index_values
from fhir_server.search.match import matches
from fhir_server.search.parser import criteria
from fhir_server.services.subscriptions.path_criteria import Test, compile_criteria

if TYPE_CHECKING:
    from fhir_server.search.query import Clause
    from fhir_server.search.terminology import Terminology

Clauses = tuple["Clause", ...]
Resource = Mapping[str, Any]
DEFINITION = "http://hl7.org/fhir/StructureDefinition/"


@dataclass(frozen=True)
class State:
    """A resource at one moment, with its search values."""

    resource: Resource
    definitions: Definitions
    bases: tuple[str, ...]
    zone: ZoneInfo
    at: int = 0

    @cached_property
    def document(self) -> dict[str, Any]:
        """What the search tree's evaluator reads; the caller adds what stands beside the body."""
        resource = dict(self.resource)
        values = index_values(resource, self.definitions.of(resource["resourceType"]), self.bases, self.zone)
        return {"_id": resource.get("id", ""), "at": self.at, "idx": values}


@dataclass(frozen=True)
class Change:
    """What happened to one resource: ``before`` None for a creation, ``after`` None for a deletion."""

    type: str
    before: State | None
    after: State | None

    @property
    def interaction(self) -> str:
        return "create" if self.before is None else "delete" if self.after is None else "update"


@dataclass(frozen=True, slots=True)
class Trigger:
    """One ``resourceTrigger``; ``on_create`` and ``on_delete`` stand for the result of a state that is not there."""

    type: str
    interactions: frozenset[str]
    previous: Clauses | None = None
    current: Clauses | None = None
    both: bool = True
    on_create: bool = True
    on_delete: bool = True
    paths: Test | None = None

    def fires(self, change: Change) -> bool:
        """Whether the change is one of those that the trigger names."""
        if change.type != self.type or change.interaction not in self.interactions:
            return False
        asked = [
            _meets(change.before, self.previous, otherwise=self.on_create),
            _meets(change.after, self.current, otherwise=self.on_delete),
        ]
        stated = [one for one in asked if one is not None]
        if stated and not (all(stated) if self.both else any(stated)):
            return False
        before, after = (one.resource if one else None for one in (change.before, change.after))
        return self.paths is None or self.paths(before, after)


def _meets(state: State | None, clauses: Clauses | None, *, otherwise: bool) -> bool | None:
    if clauses is None:
        return None
    return otherwise if state is None else matches(clauses, state.document)


@dataclass(frozen=True, slots=True)
class Topic:
    """``filters``: by resource type the parameters that a Subscription may filter by, each with its modifiers."""

    url: str
    title: str
    triggers: tuple[Trigger, ...]
    filters: Mapping[str, Mapping[str, frozenset[str]]] = field(default_factory=dict)

    @property
    def types(self) -> frozenset[str]:
        return frozenset(one.type for one in self.triggers)

    def fires(self, change: Change) -> bool:
        return any(one.fires(change) for one in self.triggers)


@dataclass(frozen=True)
class Topics:
    """Every topic by its canonical URL."""

    by_url: Mapping[str, Topic]

    @property
    def types(self) -> frozenset[str]:
        """The resource types that some topic is about."""
        return frozenset(type_ for one in self.by_url.values() for type_ in one.types)


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads search criteria as topics and Subscriptions write them."""

    definitions: Definitions
    zone: ZoneInfo
    bases: tuple[str, ...]
    terminology: Terminology | None = None

    def clauses(self, type_: str, query: str, now: int = 0) -> Clauses:
        """The clauses of ``status=booked&patient=Patient/1``.

        :raises Problem: for what is no search of this type.
        :raises ValueError: for what is no query.
        """
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict")
        return criteria(
            type_, pairs, self.definitions, zone=self.zone, now_ms=now, bases=self.bases, terminology=self.terminology
        )

    def state(self, resource: Resource | None, at: int = 0) -> State | None:
        """The state of a resource that is there."""
        return State(resource, self.definitions, self.bases, self.zone, at) if resource is not None else None


def load(artifacts: Mapping[str, Resource], reader: Reader) -> Topics:
    """Compile the topics of ``profiles/topics/``.

    :raises ValueError: one of them cannot be evaluated here.
    """
    return Topics({url: _topic(url, one, reader) for url, one in artifacts.items()})


def _topic(url: str, resource: Resource, reader: Reader) -> Topic:
    filters: dict[str, dict[str, frozenset[str]]] = {}
    for one in resource.get("canFilterBy", ()):
        filters.setdefault(one["resource"], {})[one["filterParameter"]] = frozenset(one.get("modifier", ()))
    triggers = tuple(_trigger(one, reader) for one in resource["resourceTrigger"])
    return Topic(url, resource["title"], triggers, filters)


def _trigger(resource: Resource, reader: Reader) -> Trigger:
    type_ = str(resource["resource"]).removeprefix(DEFINITION)
    asked: Resource = resource.get("queryCriteria") or {}
    paths = resource.get("fhirPathCriteria")
    return Trigger(
        type=type_,
        interactions=frozenset(resource.get("supportedInteraction") or ("create", "update", "delete")),
        previous=reader.clauses(type_, asked["previous"]) if "previous" in asked else None,
        current=reader.clauses(type_, asked["current"]) if "current" in asked else None,
        both=bool(asked.get("requireBoth", False)),
        on_create=asked.get("resultForCreate", "test-passes") == "test-passes",
        on_delete=asked.get("resultForDelete", "test-passes") == "test-passes",
        paths=compile_criteria(paths) if paths else None,
    )


def ad_hoc(type_: str, clauses: Sequence[Clause]) -> Trigger:
    """The trigger of R4's own criteria: whenever a resource is created or changed and then matches the search."""
    return Trigger(type_, frozenset({"create", "update"}), current=tuple(clauses))

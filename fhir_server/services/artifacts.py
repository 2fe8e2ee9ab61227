"""The artifacts of this server as resources that are read and searched; they are part of the program, all in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from fhir_server.conformance.artifacts import Artifacts
from fhir_server.errors import Category, problem
from fhir_server.fhir.json import dump, parse
from fhir_server.fhir.temporal import date_range
from fhir_server.fhir.types import CONFORMANCE_TYPES
from fhir_server.search import definitions
from fhir_server.search.definitions import Definition
from fhir_server.search.extract import index_values
from fhir_server.search.match import NeedsOtherResourcesError, matches
from fhir_server.search.query import Query

Resource = dict[str, Any]

PUBLISHED = "2019-11-01"
"""The date of what states none: R4 was published then."""

_JOINED = ("base", "target", "comparator", "modifier", "chain")


@dataclass(frozen=True, slots=True)
class Document:
    """One artifact: ``body`` as it is served, ``version`` a digest of its content, ``at`` in milliseconds."""

    type: str
    id: str
    resource: Resource
    body: bytes
    version: str
    at: int
    index: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """One page of a search; ``next`` is the place where the next one begins, or empty."""

    documents: tuple[Document, ...]
    total: int
    next: str


class Shelf:
    """Every artifact by type and id; a type is prepared when it is first asked for."""

    def __init__(self, artifacts: Artifacts, zone: ZoneInfo) -> None:
        self.definitions = definitions.load(artifacts.search_parameters, CONFORMANCE_TYPES)
        self._artifacts = artifacts
        self._zone = zone
        self._documents: dict[str, dict[str, Document]] = {}

    def of(self, type_: str) -> dict[str, Document]:
        """Every artifact of a type by id, in the order of the ids."""
        if type_ not in self._documents:
            made = (self._document(one) for one in self._resources(type_))
            self._documents[type_] = {one.id: one for one in sorted(made, key=lambda one: one.id)}
        return self._documents[type_]

    def put(self, resource: Resource) -> None:
        """Add an artifact that is made by the program, such as its CapabilityStatement."""
        document = self._document(resource)
        self.of(document.type)[document.id] = document

    def read(self, type_: str, id_: str) -> Document:
        """:raises Problem: 404 for an unknown id."""
        found = self.of(type_).get(id_)
        if found is None:
            raise problem(Category.NOT_FOUND, f"{type_}/{id_} does not exist", type_)
        return found

    def search(self, query: Query) -> Found:
        """The page that a query asks for.

        :raises Problem: 400 for chains, includes and a page that is none.
        """
        if query.includes or query.revincludes:
            raise problem(Category.NOT_SUPPORTED, "no includes from this type", "_include", "param-invalid")
        if query.page and not (query.page.isascii() and query.page.isdigit() and len(query.page) < 9):
            raise problem(Category.INVALID, "this page token is none of this search", "_page", "param-invalid")
        try:
            found = [
                one
                for one in self.of(query.type).values()
                if matches(query.clauses, {"_id": one.id, "at": one.at, "idx": one.index})
            ]
        except NeedsOtherResourcesError:
            raise problem(Category.NOT_SUPPORTED, "no chains from this type", "", "param-invalid") from None
        for key in reversed(query.sort):
            found = _sorted(found, key.definition, descending=key.descending)
        start = int(query.page or 0)
        if query.counts_only:
            return Found((), len(found), "")
        end = start + query.count
        return Found(tuple(found[start:end]), len(found), str(end) if end < len(found) else "")

    def _resources(self, type_: str) -> Iterable[Resource]:
        held = self._artifacts
        by_type: dict[str, Mapping[str, Resource]] = {
            "StructureDefinition": held.structure_definitions,
            "OperationDefinition": held.operation_definitions,
            "CodeSystem": held.code_systems,
            "ValueSet": held.value_sets,
            "ConceptMap": held.concept_maps,
        }
        if type_ == "SearchParameter":
            return search_parameters(held.search_parameters)
        return by_type.get(type_, {}).values()

    def _document(self, resource: Resource) -> Document:
        version = hashlib.sha256(dump(resource)).hexdigest()[:16]
        at = date_range(resource.get("date", PUBLISHED)[:10], UTC)[0]
        updated = datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        head = {name: resource[name] for name in ("resourceType", "id")}
        whole = {**head, "meta": {"versionId": version, "lastUpdated": updated}, **resource}
        type_ = resource["resourceType"]
        index = index_values(whole, self.definitions.of(type_), (), self._zone)
        return Document(type_, resource["id"], whole, dump(whole), version, at, index)


def search_parameters(folder: Path) -> list[Resource]:
    """The SearchParameters of every Bundle, each once: what several types share is one resource with several bases."""
    found: dict[str, Resource] = {}
    for path in sorted(folder.glob("*.json")):
        for entry in parse(path.read_bytes())["entry"]:
            one: Resource = entry["resource"]
            known = found.get(one["id"])
            found[one["id"]] = one if known is None else _merged(known, one)
    return list(found.values())


def _merged(one: Resource, other: Resource) -> Resource:
    expressions = dict.fromkeys([*one["expression"].split(" | "), *other["expression"].split(" | ")])
    joined = {
        name: list(dict.fromkeys([*one.get(name, ()), *other.get(name, ())]))
        for name in _JOINED
        if name in one or name in other
    }
    return {**one, **joined, "expression": " | ".join(expressions)}


def _sorted(found: list[Document], definition: Definition, *, descending: bool) -> list[Document]:
    """In the order of a parameter's values; without a value at the end."""
    choose = max if descending else min
    keyed = [(choose(values), one) for one in found if (values := _values(one, definition))]
    keyed.sort(key=lambda pair: pair[0], reverse=descending)
    return [one for _, one in keyed] + [one for one in found if not _values(one, definition)]


def _values(one: Document, definition: Definition) -> list[Any]:
    if definition.code == "_id":
        return [one.id]
    if definition.code == "_lastUpdated":
        return [one.at]
    value = one.index.get(definition.code)
    values = value if isinstance(value, list) else [] if value is None else [value]
    return [item["l"] if isinstance(item, dict) else item for item in values]

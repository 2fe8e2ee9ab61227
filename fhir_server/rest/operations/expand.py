"""``ValueSet/$expand``, https://hl7.org/fhir/R4/valueset-operation-expand.html: flat, from what is held here."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from fhir_server.conformance.code_systems import Concept
from fhir_server.conformance.value_sets import matching
from fhir_server.errors import Category, problem
from fhir_server.fhir.json import dump
from fhir_server.fhir.parameters import Arguments
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.operations.arguments import arguments
from fhir_server.rest.operations.coded import artifact, only, sent_along

KNOWN = frozenset({
    "url", "valueSet", "valueSetVersion", "filter", "offset", "count", "includeDesignations", "includeDefinition",
    "activeOnly", "excludeNested", "displayLanguage",
})  # fmt: skip
ECHOED: tuple[tuple[str, str, Callable[[Arguments, str], Any]], ...] = (
    ("filter", "valueString", Arguments.string),
    ("displayLanguage", "valueCode", Arguments.string),
    ("activeOnly", "valueBoolean", Arguments.boolean),
    ("includeDesignations", "valueBoolean", Arguments.boolean),
    ("excludeNested", "valueBoolean", Arguments.boolean),
    ("offset", "valueInteger", Arguments.integer),
    ("count", "valueInteger", Arguments.integer),
)


async def handle(context: Context) -> Answer:
    """The value set with its expansion; ``total`` counts what the filter leaves, before paging."""
    given = await arguments(context, bare="valueSet")
    only(given, KNOWN)
    resource = value_set(context, given)
    terminology = context.world.terminology
    held = terminology.value_sets.get(resource.get("url", "")) is resource
    expanded = terminology.value_sets.held(resource) if held else terminology.value_sets.expand(resource)
    concepts = list(expanded.values())
    if given.boolean("activeOnly"):
        concepts = [one for one in concepts if not one.inactive]
    if text := given.string("filter"):
        concepts = matching(concepts, text)
    return Answer(200, dump(_written(context, given, resource, concepts)))


def value_set(context: Context, given: Arguments) -> dict[str, Any]:
    """The value set that is meant: of the URL's id, of ``url``, or sent along.

    :raises Problem: 404 for an unknown one, 400 when none or several are named.
    """
    found = artifact(context, context.world.artifacts.value_sets, "ValueSet")
    stated = [name for name in ("url", "valueSet") if name in given]
    if len(stated) + (found is not None) != 1:
        raise problem(Category.REQUIRED, "one value set is needed: url or valueSet", "url", "param-missing")
    if found is None and "url" in given:
        return context.world.terminology.value_sets.need(
            given.string("url") or "", "url", given.string("valueSetVersion") or ""
        )
    return found or sent_along(context, given, "valueSet", "ValueSet") or {}


def _written(context: Context, given: Arguments, resource: dict[str, Any], concepts: list[Concept]) -> dict[str, Any]:
    offset = given.integer("offset", 0) or 0
    count = given.integer("count", 0)
    shown = concepts[offset:] if count is None else concepts[offset : offset + count]
    language = given.string("displayLanguage") or ""
    said = [{"name": name, key: read(given, name)} for name, key, read in ECHOED if name in given]
    versions = dict.fromkeys(f"{one.system}|{one.version}" for one in concepts if one.version)
    said += [{"name": "version", "valueUri": one} for one in versions]
    now = datetime.fromtimestamp(context.world.now(), UTC).isoformat().replace("+00:00", "Z")
    expansion: dict[str, Any] = {
        "identifier": f"urn:uuid:{uuid.uuid4()}",
        "timestamp": now,
        "total": len(concepts),
        "offset": offset,
    }
    if said:
        expansion["parameter"] = said
    if shown:
        designated = given.boolean("includeDesignations") or False
        expansion["contains"] = [_contained(one, language, designated=designated) for one in shown]
    left_out = {"text", "meta"} if given.boolean("includeDefinition") else {"text", "meta", "compose"}
    found = {name: value for name, value in resource.items() if name not in left_out | {"expansion"}}
    return {**found, "expansion": expansion}


def _contained(concept: Concept, language: str, *, designated: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"system": concept.system}
    if concept.inactive:
        found["inactive"] = True
    if concept.version:
        found["version"] = concept.version
    found |= {"code": concept.code, "display": concept.shown(language)}
    if designated and concept.designations:
        found["designation"] = list(concept.designations)
    return found

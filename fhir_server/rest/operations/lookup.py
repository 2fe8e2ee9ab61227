"""``CodeSystem/$lookup``, https://hl7.org/fhir/R4/codesystem-operation-lookup.html."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fhir_server.conformance.code_systems import CodeSystem, Concept
from fhir_server.errors import Category, problem
from fhir_server.fhir.json import dump
from fhir_server.fhir.parameters import parameters
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.operations.arguments import arguments
from fhir_server.rest.operations.coded import codings, only

KNOWN = frozenset({"code", "system", "version", "coding", "displayLanguage", "property"})


async def handle(context: Context) -> Answer:
    """Name, version, display, designations and properties of a code; 404 for a code or system that is not held."""
    given = await arguments(context)
    only(given, KNOWN)
    if "code" in given and "system" not in given:
        raise problem(Category.REQUIRED, "a code needs its system", "system", "param-missing")
    (coding,) = codings(given, system=given.string("system") or "", version="version", concepts=False)
    system = context.world.terminology.systems.need(coding.system, "system", coding.version)
    concept = system.concepts.get(coding.code)
    if concept is None:
        raise problem(Category.NOT_FOUND, "the code is not in this code system, as far as it is held here", "code")
    wanted = frozenset(given.strings("property"))
    entries: list[tuple[str, str, Any]] = [("name", "string", system.resource["name"])]
    if concept.version:
        entries.append(("version", "string", concept.version))
    entries.append(("display", "string", concept.shown(given.string("displayLanguage") or "")))
    if not wanted or "designation" in wanted:
        entries += (("designation", "part", _designation(one)) for one in concept.designations)
    entries += (
        ("property", "part", [{"name": "code", "valueCode": name}, {"name": "value", **value}])
        for name, value in _properties(system, concept)
        if not wanted or name in wanted
    )
    return Answer(200, dump(parameters(*entries)))


def _designation(one: dict[str, Any]) -> list[dict[str, Any]]:
    kinds = {"language": "Code", "use": "Coding", "value": "String"}
    return [{"name": name, f"value{kind}": one[name]} for name, kind in kinds.items() if name in one]


def _properties(system: CodeSystem, concept: Concept) -> Iterator[tuple[str, dict[str, Any]]]:
    if concept.definition:
        yield "definition", {"valueString": concept.definition}
    for parent in concept.parents:
        yield "parent", {"valueCode": parent}
    for child in system.children(concept.code):
        yield "child", {"valueCode": child}
    for one in concept.properties:
        if one["code"] not in {"parent", "child"}:
            yield one["code"], {name: value for name, value in one.items() if name.startswith("value")}

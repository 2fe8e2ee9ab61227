"""``ConceptMap/$translate``, https://hl7.org/fhir/R4/conceptmap-operation-translate.html."""

from __future__ import annotations

from typing import Any

from fhir_server.conformance.concept_maps import Match, translations
from fhir_server.errors import Category, problem
from fhir_server.fhir.json import dump
from fhir_server.fhir.parameters import Arguments, parameters
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.operations.arguments import arguments
from fhir_server.rest.operations.coded import artifact, codings, only, sent_along
from fhir_server.services.world import World

KNOWN = frozenset({
    "url", "conceptMap", "conceptMapVersion", "code", "system", "version", "source", "coding", "codeableConcept",
    "target", "targetsystem", "reverse",
})  # fmt: skip


async def handle(context: Context) -> Answer:
    """``result`` and every ``match`` with its equivalence; no translation is an answer too."""
    given = await arguments(context)
    only(given, KNOWN)
    if "code" in given and "system" not in given:
        raise problem(Category.REQUIRED, "a code needs its system", "system", "param-missing")
    wanted = codings(given, system=given.string("system") or "", version="version")
    reverse = given.boolean("reverse") or False
    found = translations(
        _maps(context, given, reverse=reverse),
        [(one.system, one.code) for one in wanted],
        target=given.string("targetsystem") or "",
        reverse=reverse,
    )
    result = any(one.found for one in found)
    entries: list[tuple[str, str, Any]] = [("result", "boolean", result)]
    if not result:
        entries.append(("message", "string", "no concept map here translates this code"))
    entries += (("match", "part", _match(context.world, one)) for one in found)
    return Answer(200, dump(parameters(*entries)))


def _maps(context: Context, given: Arguments, *, reverse: bool) -> list[dict[str, Any]]:
    """The map that is named or sent along, else those between the value sets."""
    held = context.world.terminology.concept_maps
    found = artifact(context, context.world.artifacts.concept_maps, "ConceptMap")
    stated = [name for name in ("url", "conceptMap") if name in given]
    if len(stated) + (found is not None) > 1:
        raise problem(Category.INVALID, "one concept map is enough: url or conceptMap", "url", "param-invalid")
    if "url" in given:
        found = held.need(given.string("url") or "", "url", given.string("conceptMapVersion") or "")
    elif "conceptMap" in given:
        found = sent_along(context, given, "conceptMap", "ConceptMap")
    source, target = given.string("source") or "", given.string("target") or ""
    return [found] if found else held.between(source, target, reverse=reverse)


def _match(world: World, match: Match) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [{"name": "equivalence", "valueCode": match.equivalence}]
    if match.code:
        system = world.terminology.systems.get(match.system)
        known = system.concepts.get(match.code) if system else None
        display = match.display or (known.display if known else "")
        coding = {"system": match.system, "code": match.code, "display": display}
        parts.append({"name": "concept", "valueCoding": {name: value for name, value in coding.items() if value}})
    if match.source:
        parts.append({"name": "source", "valueUri": match.source})
    return parts

"""``ValueSet/$validate-code`` and ``CodeSystem/$validate-code``.

https://hl7.org/fhir/R4/valueset-operation-validate-code.html and
https://hl7.org/fhir/R4/codesystem-operation-validate-code.html
"""

from __future__ import annotations

from fhir_server.conformance.code_systems import CodeSystem
from fhir_server.errors import Category, problem
from fhir_server.fhir.parameters import Arguments
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.operations.arguments import arguments
from fhir_server.rest.operations.coded import artifact, codings, only, sent_along, verdict
from fhir_server.rest.operations.expand import value_set

COMMON = frozenset({"url", "code", "coding", "codeableConcept", "display", "displayLanguage", "abstract"})
OF_VALUE_SET = COMMON | {"valueSet", "valueSetVersion", "system", "systemVersion"}
OF_CODE_SYSTEM = COMMON | {"codeSystem", "version"}


async def handle(context: Context) -> Answer:
    """``result`` with ``display``, or with a ``message`` that says why not."""
    given = await arguments(context)
    language = given.string("displayLanguage") or ""
    terminology = context.world.terminology
    if context.segments[0] == "CodeSystem":
        only(given, OF_CODE_SYSTEM)
        wanted = codings(given, system="", version="version")
        return verdict(terminology.in_code_system(_system(context, given), wanted, language=language))
    only(given, OF_VALUE_SET)
    resource = value_set(context, given)
    if "code" in given and "system" not in given:
        raise problem(Category.REQUIRED, "a code needs its system", "system", "param-missing")
    wanted = codings(given, system=given.string("system") or "", version="systemVersion")
    return verdict(terminology.in_value_set(resource, wanted, language=language))


def _system(context: Context, given: Arguments) -> CodeSystem:
    held = context.world.terminology.systems
    found = artifact(context, context.world.artifacts.code_systems, "CodeSystem")
    stated = [name for name in ("url", "codeSystem") if name in given]
    if found is not None and not stated:
        return held.need(found["url"], "id")
    if found is None and stated == ["codeSystem"]:
        return CodeSystem(sent_along(context, given, "codeSystem", "CodeSystem") or {})
    if found is None and stated == ["url"]:
        return held.need(given.string("url") or "", "url")
    if found is None and not stated and "coding" in given:
        (coding,) = codings(given, system="", version="version")
        return held.need(coding.system, "coding.system")
    raise problem(Category.REQUIRED, "one code system is needed: url or codeSystem", "url", "param-missing")

"""``$validate``, https://hl7.org/fhir/R4/resource-operation-validate.html."""

from __future__ import annotations

from fhir_server.errors import Category, Issue, problem
from fhir_server.fhir.json import dump
from fhir_server.fhir.outcome import informational
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.operations.arguments import arguments
from fhir_server.rest.operations.coded import only
from fhir_server.services.validation import MODES, validate

KNOWN = frozenset({"resource", "mode", "profile"})


async def handle(context: Context) -> Answer:
    """200 with every issue, whether the resource is valid or not; nothing is written."""
    given = await arguments(context)
    only(given, KNOWN)
    mode = given.string("mode") or ""
    if mode and mode not in MODES:
        raise problem(Category.INVALID, f"mode is one of {', '.join(sorted(MODES))}", "mode", "param-invalid")
    type_, id_ = context.segments[0], context.segments[1] if len(context.segments) > 2 else ""
    found = await validate(
        context.world, context.caller, type_, id_, given.resource("resource"), mode, given.strings("profile")
    )
    if not any(one.severity in {"error", "fatal"} for one in found):
        found = [*found, Issue("no fault was found", severity="information")]
    return Answer(200, dump(informational(found)))

"""``Appointment/[id]/$cancel``."""

from __future__ import annotations

from typing import Any

from fhir_server.fhir.parameters import Arguments
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.idempotency import keyed
from fhir_server.rest.operations.arguments import arguments
from fhir_server.rest.operations.dialects.canonical import channel
from fhir_server.rest.written import written
from fhir_server.services.cancel import Cancellation, cancel

REASONS = "http://terminology.hl7.org/CodeSystem/appointment-cancellation-reason"


async def handle(context: Context) -> Answer:
    """200 with the cancelled Appointment; its time is free at once."""
    given = await arguments(context)
    asked = Cancellation(reason_of(given, "reason"), given.string("comment") or "", channel(given), context.condition)
    key = await keyed(context, "cancel", lambda stored, status: written(context, stored, status))
    return written(context, await cancel(context.world, context.caller, context.segments[1], asked, key), 200)


def reason_of(given: Arguments, name: str, system: str = REASONS) -> dict[str, Any] | None:
    """A reason as CodeableConcept, code (of ``system`` where it states none), or text."""
    argument = given.get(name)
    if argument is None:
        return None
    if argument.kind == "CodeableConcept":
        return given.element(name, "CodeableConcept")
    if argument.kind == "string":
        return {"text": given.string(name)}
    token = given.token(name)
    assert token is not None
    return {"coding": [{"system": token.system or system, "code": token.code}]}

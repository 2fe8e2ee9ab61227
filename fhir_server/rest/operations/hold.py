"""``Appointment/$hold``, at type and at instance level."""

from __future__ import annotations

from fhir_server.errors import Problem
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.idempotency import keyed
from fhir_server.rest.operations import acts
from fhir_server.rest.operations.arguments import arguments
from fhir_server.services import hold as use_case
from fhir_server.services.targets import booking_of


async def handle(context: Context) -> Answer:
    """The pending Appointment with ``held-until`` and ``Expires``; 201, or as the dialect says."""
    given = await arguments(context)
    dialect, act = acts.read(context, "hold", given)
    seconds = given.duration("hold-duration")
    key = await keyed(context, "hold", lambda stored, status: dialect.accepted(context, act, stored, status))
    try:
        acts.check(context.world, act)
        booking = await booking_of(context.world, context.caller, act.target)
        stored = await use_case.hold(context.world, context.caller, booking, seconds, key)
    except Problem as refusal:
        answer = dialect.refused(context, act, refusal)
        if answer is None:
            raise
        return answer
    return dialect.accepted(context, act, stored, 201)

"""``Appointment/$book``, at type and at instance level, with ``first-available`` over a pool."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fhir_server.errors import Problem
from fhir_server.fhir.parameters import Arguments
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.idempotency import keyed
from fhir_server.rest.operations import acts
from fhir_server.rest.operations import criteria as reading
from fhir_server.rest.operations.arguments import arguments
from fhir_server.rest.operations.dialects.canonical import channel
from fhir_server.rest.operations.dialects.dialect import Act
from fhir_server.services import book as use_case
from fhir_server.services import resources
from fhir_server.services.cancel import Cancellation, cancel
from fhir_server.services.candidates import Criteria
from fhir_server.services.first_available import book_first
from fhir_server.services.keyed import Keyed
from fhir_server.services.targets import booking_of
from fhir_server.store.resources import Stored


async def handle(context: Context) -> Answer:
    """The booked Appointment; 201 with Location and ETag, or as the dialect says."""
    given = await arguments(context)
    dialect, act = acts.read(context, "book", given)
    key = await keyed(context, "book", lambda stored, status: dialect.accepted(context, act, stored, status))
    try:
        acts.check(context.world, act)
        stored = await _act(context, given, act, key)
    except Problem as refusal:
        answer = dialect.refused(context, act, refusal)
        if answer is None:
            raise
        return answer
    return dialect.accepted(context, act, stored, 201)


async def _act(context: Context, given: Arguments, act: Act, key: Keyed | None) -> Stored:
    world, caller = context.world, context.caller
    if act.verb == "cancel":
        reason = (act.target.resource or {}).get("cancelationReason")
        return await cancel(world, caller, act.id, Cancellation(reason, act.target.comment, act.target.channel), key)
    if act.verb == "move" and await world.view.get("Appointment", act.id):
        resource = dict(act.target.resource or {})
        return (await resources.update(world, caller, resource, act.id)).stored
    if given.boolean("first-available"):
        asked = await reading.criteria(world, caller, given)
        sent: dict[str, Any] = {"comment": act.target.comment} if act.target.comment else {}
        return await book_first(world, caller, _with_channel(asked, given), sent, key)
    booking = await booking_of(world, caller, replace(act.target, condition=context.condition))
    return await use_case.book(world, caller, booking, key)


def _with_channel(asked: Criteria, given: Arguments) -> Criteria:
    return replace(asked, channel=channel(given) or asked.channel, first_available=False)

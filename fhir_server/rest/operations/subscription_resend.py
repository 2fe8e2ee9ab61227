"""``Subscription/[id]/$resend``: events are sent to the receiver again, with the numbers that they had."""

from __future__ import annotations

from fhir_server.access.record import Accessed
from fhir_server.errors import Issue
from fhir_server.fhir.json import dump
from fhir_server.fhir.outcome import informational
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.operations.arguments import CONTROLS, arguments
from fhir_server.rest.operations.coded import only
from fhir_server.services.subscriptions.asking import resend

KNOWN = frozenset({"eventsSinceNumber", "eventsUntilNumber"}) | CONTROLS


async def handle(context: Context) -> Answer:
    """202: they are on their way."""
    given = await arguments(context)
    only(given, KNOWN)
    id_ = context.segments[1]
    since, until = given.integer("eventsSinceNumber", 0), given.integer("eventsUntilNumber", 0)
    first, last = await resend(context.world, id_, since, until)
    text = f"events {first} to {last} are sent again"
    body = dump(informational([Issue(text, severity="information")]))
    return Answer(202, body, accessed=(Accessed("Subscription", id_),))

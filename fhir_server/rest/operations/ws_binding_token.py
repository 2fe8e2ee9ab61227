"""``$get-ws-binding-token``: what a websocket says first, to be told about Subscriptions of channel websocket.

https://hl7.org/fhir/uv/subscriptions-backport/STU1.1/OperationDefinition-backport-subscription-get-ws-binding-token.html
"""

from __future__ import annotations

from datetime import UTC

from fhir_server.access.record import Accessed
from fhir_server.fhir.json import dump
from fhir_server.fhir.parameters import parameters
from fhir_server.fhir.temporal import format_instant
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.operations.arguments import CONTROLS, arguments
from fhir_server.rest.operations.coded import only
from fhir_server.services.subscriptions.asking import binding_token, socket_url

KNOWN = frozenset({"id", "ids"}) | CONTROLS


async def handle(context: Context) -> Answer:
    """The token, which is good once and for a minute, the Subscriptions that it binds, and where to connect."""
    given = await arguments(context)
    only(given, KNOWN)
    named = [one for name in ("id", "ids") for text in given.strings(name) for one in text.split(",")]
    ids = [context.segments[1]] if len(context.segments) > 2 else list(dict.fromkeys(named))
    token, expires = await binding_token(context.world, ids)
    found = parameters(
        ("token", "string", token),
        ("expiration", "dateTime", format_instant(expires, UTC)),
        *(("subscription", "string", one) for one in ids),
        ("websocket-url", "url", socket_url(context.world)),
    )
    return Answer(200, dump(found), accessed=tuple(Accessed("Subscription", one) for one in ids))

"""``Subscription/[id]/$status`` and ``Subscription/$status``: how Subscriptions stand.

At type level ``id`` and ``status`` are OR among themselves; without them it is everything that the caller sees.
https://hl7.org/fhir/uv/subscriptions-backport/STU1.1/OperationDefinition-backport-subscription-status.html
"""

from __future__ import annotations

from fhir_server.access.record import Accessed
from fhir_server.fhir.json import dump
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.operations.arguments import CONTROLS, arguments
from fhir_server.rest.operations.coded import only
from fhir_server.services.subscriptions.asking import status_of, statuses

KNOWN = frozenset({"id", "status"}) | CONTROLS


async def handle(context: Context) -> Answer:
    """A searchset of Parameters; an instance has no use for ``id`` and ``status``."""
    given = await arguments(context)
    if len(context.segments) > 2:
        id_ = context.segments[1]
        found = await status_of(context.world, context.base, id_)
        return Answer(200, dump(found), accessed=(Accessed("Subscription", id_),))
    only(given, KNOWN)
    ids, states = ([one for text in given.strings(name) for one in text.split(",")] for name in ("id", "status"))
    url = f"{context.base}/Subscription/$status"
    return Answer(200, dump(await statuses(context.world, context.base, ids, states, url)))

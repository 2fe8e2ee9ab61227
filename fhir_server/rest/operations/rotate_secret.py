"""``Subscription/[id]/$rotate-secret``: the secret that signs notifications from now on, told this once.

The first call begins to sign; every other one puts a new secret in the place of the former, which signs too for a day.
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
from fhir_server.services.subscriptions.asking import rotate_secret


async def handle(context: Context) -> Answer:
    """200 with the secret and its id."""
    only(await arguments(context), CONTROLS)
    id_ = context.segments[1]
    made, until = await rotate_secret(context.world, id_)
    given = [("secret", "string", made.text), ("id", "string", made.id)]
    if until:
        given.append(("former-until", "instant", format_instant(until, UTC)))
    return Answer(200, dump(parameters(*given)), accessed=(Accessed("Subscription", id_),))

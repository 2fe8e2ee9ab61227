"""``Subscription/[id]/$events``: events that a subscriber missed, by their numbers.

eventsSinceNumber, eventsUntilNumber  the first and the last one, both included; the first and the last that there are
content                               empty, id-only or full-resource: at most what the Subscription says itself

At most 200 events are in one answer; whoever wants more asks on from the next number. Events that are no longer kept
are 410. https://hl7.org/fhir/uv/subscriptions-backport/STU1.1/OperationDefinition-backport-subscription-events.html
"""

from __future__ import annotations

from fhir_server.errors import Category, problem
from fhir_server.fhir.json import dump
from fhir_server.rest.answer import Answer, accessed
from fhir_server.rest.context import Context
from fhir_server.rest.operations.arguments import CONTROLS, arguments
from fhir_server.rest.operations.coded import only
from fhir_server.services.subscriptions.asking import events_of
from fhir_server.services.subscriptions.terms import CONTENTS

KNOWN = frozenset({"eventsSinceNumber", "eventsUntilNumber", "content"}) | CONTROLS


async def handle(context: Context) -> Answer:
    """A Bundle of type history whose status is a ``query-event``."""
    given = await arguments(context)
    only(given, KNOWN)
    content = given.string("content") or ""
    if content and content not in CONTENTS:
        raise problem(Category.INVALID, f"content is one of {', '.join(CONTENTS)}", "content", "param-invalid")
    since, until = given.integer("eventsSinceNumber", 0), given.integer("eventsUntilNumber", 0)
    found = await events_of(context.world, context.base, context.segments[1], since, until, content)
    shown = [each for one in (found.subscription, *found.shown) for each in accessed(one)]
    return Answer(200, dump(found.bundle), accessed=tuple(shown))

"""Performer ``resend``: sends events again that a subscriber asks for, beside what is delivered in order.

The numbers are those they had. An attempt that fails is not repeated for ever: the subscriber may ask again.
"""

from __future__ import annotations

from fhir_server.errors import Problem
from fhir_server.fhir.json import parse
from fhir_server.services.following.performance import Again
from fhir_server.services.subscriptions.deliver import backoff, target_of
from fhir_server.services.subscriptions.mailbox import is_own
from fhir_server.services.subscriptions.sending import prepared, send
from fhir_server.services.subscriptions.writing import TYPE, terms_of
from fhir_server.services.world import World
from fhir_server.store.work import Task

ATTEMPTS = 5


async def resend(world: World, task: Task) -> Again | None:
    """Send the next of ``about``'s events, ``first`` to ``last``; ``n`` counts on from notification to notification."""
    stored = await world.store.resources.get(TYPE, task.key)
    progress = await world.store.subscriptions.get(task.key)
    if stored is None or stored.deleted or progress is None or progress.line != task.about["line"]:
        return None
    if parse(stored.body)["status"] != "active":
        return None
    try:
        terms = terms_of(world, parse(stored.body))
    except Problem:
        return None
    target = await target_of(world, stored, terms, progress)
    first, last = int(task.about["first"]), min(int(task.about["last"]), progress.n)
    events = await world.store.subscriptions.events(progress.line, first, last, limit=terms.most)
    if target is None or not events or not await is_own(world.under(target.policy), terms):
        return None
    found = await prepared(world.under(target.policy), events, terms.content)
    outcome = await send(world, target, "event-notification", found, target.standing(world))
    if not outcome.accepted:
        return Again(world.clock() + backoff(task.attempts), kept=True) if task.attempts < ATTEMPTS else None
    if events[-1].number >= last or found.narrowed:
        return None
    about = {**task.about, "first": events[-1].number + 1}
    await world.store.work.plan(None, task.kind, task.key, world.clock(), about)
    return None

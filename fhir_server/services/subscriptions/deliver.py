"""Performer ``delivery``: sends what a Subscription is owed, in order, and lets no other Subscription wait for it.

state       what is done
----------  ----------------------------------------------------------------------------------------------------
requested   a handshake; success: ``active``, anything else: ``error``; who asks for too many waits
active      the next events; success goes on, failure waits (Retry-After, or 5 s doubling to an hour); after
            ``FHIR_DELIVERY_ATTEMPTS`` failures in a row: ``error``; 410: ``off``; a heartbeat where one is due;
            those that failed last time together get a quarter of the process's hands
error, off  nothing: only the subscriber asks for it again

Rights are looked up anew for each attempt. What the receiver took is noted after it took it: whoever dies in between
sends the same events with the same numbers again.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fhir_server.errors import Problem
from fhir_server.fhir.json import parse
from fhir_server.remote.webhook import Outcome
from fhir_server.services.following.performance import Again
from fhir_server.services.subscriptions.mailbox import is_own, is_person
from fhir_server.services.subscriptions.owner import policy_of
from fhir_server.services.subscriptions.sending import HOPELESS, NOTHING, Target, code_of, prepared, send, text_of
from fhir_server.services.subscriptions.terms import Terms
from fhir_server.services.subscriptions.writing import DELIVERY, TYPE, terms_of
from fhir_server.services.versions import version_of
from fhir_server.services.world import World
from fhir_server.store.resources import Stored
from fhir_server.store.subscriptions import Progress
from fhir_server.store.unit import Unit
from fhir_server.store.work import Task

LONGEST_WAIT_MS = 86_400_000
FIRST_PAUSE_MS, LONGEST_PAUSE_MS = 5_000, 3_600_000
HANDSHAKES, HANDSHAKES_MS = 3, 180_000
"""Of one Subscription in so long: one a minute, and a few that follow each other where somebody tries out."""

OF_PERSON, OF_SYSTEM, OF_OWNER_MS = 20, 600, 3_600_000
"""Handshakes of all Subscriptions of one owner in an hour."""

TROUBLED_SHARE = 4
"""Receivers that failed last time may take long again: together they get one in so many of a process's hands."""

ACCESS_ENDED = "the subscriber has no access any more to what this is about"


@dataclass
class Troubled:
    """How many receivers that failed last time this process waits for now."""

    count: int = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1


TROUBLED = Troubled()


async def deliver(world: World, task: Task) -> Again | None:
    """Send what is owed now; when to look again."""
    stored = await world.store.resources.get(TYPE, task.key)
    progress = await world.store.subscriptions.get(task.key)
    if stored is None or stored.deleted or progress is None:
        return None
    resource = parse(stored.body)
    status, now = resource["status"], world.clock()
    if status in {"off", "error"}:
        return None
    try:
        terms = terms_of(world, resource)
    except Problem:
        return await _fail(world, stored, "not-delivered", "this server no longer has what it asks for")
    if terms.end and terms.end <= now:
        await turn(world, stored, "off", error=("ended", "its end has come"))
        return None
    if progress.rest > now and status != "requested":
        return Again(progress.rest)
    target = await target_of(world, stored, terms, progress)
    if target is None:
        return await _fail(world, stored, "access-ended", ACCESS_ENDED)
    if not await is_own(world.under(target.policy), terms):
        return await _fail(world, stored, "not-delivered", "the address is not in the subscriber's record any more")
    if status == "requested":
        return await _handshake(world, target)
    if terms.channel == "websocket":
        return _later(terms, 0)
    if not progress.failures:
        return await _owed(world, target)
    if TROUBLED.count >= max(1, world.settings.worker_concurrency // TROUBLED_SHARE):
        return Again(now + backoff(progress.failures), reason="other failing receivers are tried first")
    with TROUBLED.one():
        return await _owed(world, target)


async def _owed(world: World, target: Target) -> Again | None:
    """The next events; a heartbeat where there are none."""
    if target.progress.sent < target.progress.n:
        return await _events(world, target)
    return await _heartbeat(world, target)


async def target_of(world: World, stored: Stored, terms: Terms, progress: Progress) -> Target | None:
    """What is sent to, by the rights of its owner; None when they may not read any of it."""
    policy = await policy_of(world, progress.owner)
    if policy is None or not all(policy.permits(one) for one in terms.types):
        return None
    return Target(stored, terms, progress, policy)


async def _handshake(world: World, target: Target) -> Again | None:
    stored = target.stored
    if target.terms.channel != "websocket":
        if wait := await _rationed(world, target):
            return Again(wait, reason="handshakes")
        standing = target.standing(world, status="requested", version=stored.version)
        outcome = await send(world, target, "handshake", NOTHING, standing)
        if outcome.status == 410:
            return await _gone(world, stored)
        if not outcome.accepted:
            return await _fail(world, stored, "handshake-failed", text_of(outcome))
    await turn(world, stored, "active", started=True, beat=world.clock())
    return Again(world.clock())


async def _rationed(world: World, target: Target) -> int:
    """Count a handshake; 0, or from when (ms) there is one: nobody is flooded by writing over and over."""
    caller, now, attempts = target.policy.caller, world.clock(), world.store.subscriptions.attempts
    wait = await attempts.take(f"{TYPE}/{target.stored.id}", HANDSHAKES, HANDSHAKES_MS, now)
    if wait:
        return wait
    owner = f"{caller.issuer}|{caller.subject}" if caller.subject else caller.client
    return await attempts.take(f"owner/{owner}", OF_PERSON if is_person(caller) else OF_SYSTEM, OF_OWNER_MS, now)


async def _events(world: World, target: Target) -> Again | None:
    """The next events, as many as fit into one notification."""
    progress, terms = target.progress, target.terms
    events = await world.store.subscriptions.events(progress.line, progress.sent + 1, progress.n, limit=terms.most)
    if not events:
        # They were kept as long as the setting says, and have gone.
        await world.store.subscriptions.delivered(None, target.stored.id, progress.line, progress.n, world.clock())
        return _later(terms, world.clock())
    found = await prepared(world.under(target.policy), events, terms.content)
    outcome = await send(world, target, "event-notification", found, target.standing(world))
    if not outcome.accepted:
        return await _wait(world, target, outcome)
    now = world.clock()
    await world.store.subscriptions.delivered(None, target.stored.id, progress.line, events[-1].number, now)
    if found.narrowed:
        return await _fail(world, target.stored, "access-ended", ACCESS_ENDED)
    return Again(now) if events[-1].number < progress.n else _later(terms, now)


async def _heartbeat(world: World, target: Target) -> Again | None:
    terms, progress, now = target.terms, target.progress, world.clock()
    if not terms.heartbeat or progress.beat + terms.heartbeat * 1000 > now:
        return _later(terms, progress.beat)
    outcome = await send(world, target, "heartbeat", NOTHING, target.standing(world))
    if not outcome.accepted:
        return await _wait(world, target, outcome)
    await world.store.subscriptions.delivered(None, target.stored.id, progress.line, progress.sent, now)
    return _later(terms, now)


def _later(terms: Terms, beat: int) -> Again | None:
    """When there is something to do without an event: the next heartbeat, or the end."""
    due = [beat + terms.heartbeat * 1000] if terms.heartbeat and terms.channel != "websocket" else []
    due += [terms.end] if terms.end else []
    return Again(min(due)) if due else None


async def _wait(world: World, target: Target, outcome: Outcome) -> Again | None:
    """After a failure: wait, or give up."""
    if outcome.status == 410:
        return await _gone(world, target.stored)
    failures = target.progress.failures + 1
    code, text = code_of(outcome), text_of(outcome)
    if failures >= world.settings.delivery_attempts or outcome.error in HOPELESS:
        return await _fail(world, target.stored, code, text)
    pause = max(backoff(failures), min((outcome.retry_after or 0) * 1000, LONGEST_WAIT_MS))
    rest = world.clock() + pause
    await world.store.subscriptions.change(None, target.stored.id, failures=failures, error=[code, text], rest=rest)
    return Again(rest, reason=code)


def backoff(failures: int) -> int:
    """Milliseconds until the next attempt: doubling, with jitter of a quarter, an hour at most."""
    longest = min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** max(0, failures - 1))
    return int(longest * random.uniform(0.75, 1.0))  # noqa: S311  jitter, not a secret


async def _gone(world: World, stored: Stored) -> Again | None:
    """Turn it off; there is nothing to do again."""
    await turn(world, stored, "off", error=("gone", "the receiver answered with status 410"))
    return None


async def _fail(world: World, stored: Stored, code: str, text: str) -> Again | None:
    """Note what is wrong; there is nothing to do until the subscriber asks."""
    await turn(world, stored, "error", error=(code, text))
    return None


async def turn(
    world: World, stored: Stored, status: str, *, error: tuple[str, str] | None = None, **progress: Any
) -> bool:
    """Write the status that a Subscription has from now on; False if it was changed meanwhile."""
    resource = {name: value for name, value in parse(stored.body).items() if name not in {"error", "_error"}}
    resource["status"] = status
    if error:
        resource["error"] = error[1]

    async def work(unit: Unit) -> bool:
        current = await unit.get(TYPE, stored.id)
        if current is None or current.version != stored.version:
            return False
        written, index = version_of(
            world, resource, id_=stored.id, version=stored.version + 1, at=world.clock(), method="PUT",
            clinics=stored.extra.get("clinics") or (), extra={"owner": stored.extra.get("owner")},
        )  # fmt: skip
        await unit.replace(current, written, index)
        await world.store.subscriptions.move(unit)
        change: dict[str, Any] = {"failures": 0, "rest": 0, "error": list(error) if error else None, **progress}
        await world.store.subscriptions.change(unit, stored.id, **change)
        return True

    turned = await world.store.units.run(work, now=world.now())
    if not turned:
        # Somebody wrote it: what they ask for is done next.
        await world.store.work.plan(None, DELIVERY, stored.id, world.clock())
    return turned

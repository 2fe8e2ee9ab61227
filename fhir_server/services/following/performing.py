"""Performing what is due: claim it, do it, and note what came of it.

A failure is tried again after 5 s, doubling to an hour, with jitter; after twelve the work is dead until an operator
replays it (``fhir-server outbox retry``).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fhir_server.log import get_logger
from fhir_server.services.following.performance import Again, DeadError, Performer
from fhir_server.services.following.relay import FOLLOW, follow_again
from fhir_server.services.following.table import PERFORMERS
from fhir_server.services.world import World
from fhir_server.store.driver import PyMongoError
from fhir_server.store.work import LEASE_SECONDS, TakenError, Task
from fhir_server.tasks import end

MOST_ATTEMPTS = 12
FIRST_PAUSE_MS = 5_000
LONGEST_PAUSE_MS = 3_600_000
LONGEST_SECONDS = 100
"""A performer that takes longer is stopped, and tried again."""

AT_ONCE_SECONDS = 5
"""So long one piece of work may go on while others wait for a free hand."""

log = get_logger("work")


async def perform(world: World, kind: str, key: str) -> str | None:
    """Do it if it is due and nobody else is at it.

    :returns: ``done``, ``again``, ``failed`` or ``dead``; None if there was nothing to do.
    """
    task = await world.store.work.claim(kind, key, world.clock())
    if task is None:
        return None
    work = world.store.work
    performer = follow_again if kind == FOLLOW else PERFORMERS.get(kind)
    if performer is None:
        await work.give_up(task, "no such kind of work")
        return "dead"
    try:
        async with asyncio.timeout(LONGEST_SECONDS), _kept(world, task):
            result = await _perform(world, performer, task)
    except TakenError:
        return None  # withdrawn, or somebody else's: nothing of ours was written
    except DeadError as dead:
        await work.give_up(task, str(dead))
        return "dead"
    except Exception as failed:  # noqa: BLE001  one defect must not stop the worker; it is logged and tried again
        return await _failed(world, task, failed)
    if result is None:
        await work.finish(task)
        return "done"
    await work.again(task, result.due, kept=result.kept, error=result.reason)
    return "again"


async def _perform(world: World, performer: Performer, task: Task) -> Again | None:
    """What is to be done again at once is, for a while: nobody has to hand it out and to claim it anew."""
    until = asyncio.get_running_loop().time() + AT_ONCE_SECONDS
    while True:
        result = await performer(world.own(), task)
        if result is None or result.kept or result.due > world.clock() or asyncio.get_running_loop().time() > until:
            return result


@asynccontextmanager
async def _kept(world: World, task: Task) -> AsyncIterator[None]:
    """The lease is renewed as long as the work takes."""

    async def renew() -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 3)
            with suppress(PyMongoError):
                await world.store.work.renew(task)

    renewing = asyncio.create_task(renew())
    try:
        yield
    finally:
        await end(renewing)


async def _failed(world: World, task: Task, failed: Exception) -> str:
    name = type(failed).__name__
    log.error("work failed", kind=task.kind, attempts=task.attempts, exc_info=(type(failed), failed, None))
    if task.attempts >= MOST_ATTEMPTS:
        await world.store.work.give_up(task, name)
        return "dead"
    await world.store.work.again(task, world.clock() + backoff(task.attempts), kept=True, error=name)
    return "failed"


def backoff(attempts: int) -> int:
    """Milliseconds until the next attempt: doubling, with jitter of a quarter, an hour at most."""
    longest = min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** max(0, attempts - 1))
    return int(longest * random.uniform(0.75, 1.0))  # noqa: S311  jitter, not a secret

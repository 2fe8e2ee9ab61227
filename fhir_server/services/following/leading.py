"""The loop of the relay: one process leads a stage, wakes when something is written, and looks for itself every two
seconds.

Whoever is not the leader asks for the lease now and then; when the leader dies it is free after ten seconds.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

from fhir_server.errors import Problem
from fhir_server.log import get_logger
from fhir_server.services.following.relay import LEASE_SECONDS, Stage
from fhir_server.services.world import World
from fhir_server.store.driver import PyMongoError
from fhir_server.store.outbox import LostLeaseError
from fhir_server.store.unit import IDLE_SECONDS
from fhir_server.store.work import WORK
from fhir_server.tasks import end

POLL_SECONDS = 2.0
QUICK_SECONDS = 0.2
"""Where development lets time run, hours pass in a second."""

RENEW_SECONDS = LEASE_SECONDS / 3
AT_ONCE = 200
"""Pieces of work that are handed out together."""

HandOut = Callable[[Iterable[tuple[str, str]]], Awaitable[None]]
"""Gives pieces of due work (kind, key) to the workers; what it loses is handed out again."""

log = get_logger("relay")


async def hand_out(world: World, give: HandOut) -> int:
    """Give what is due to the workers; how many pieces."""
    total = 0
    while due := await world.store.work.hand_out(world.clock(), AT_ONCE):
        await give(due)
        total += len(due)
        if len(due) < AT_ONCE:
            break
    return total


class Leader:
    """Relays one stage for as long as it runs; ``lead`` ends when it is cancelled."""

    def __init__(self, world: World, stage: Stage, give: HandOut) -> None:
        self._world = world.own()
        self._stage = stage
        self._give = give
        self._holder = secrets.token_hex(8)
        self._written: set[str] = set()
        self._woken = asyncio.Event()
        self._poll = QUICK_SECONDS if world.settings.clock.startswith(("x", "file:")) else POLL_SECONDS

    async def lead(self) -> None:
        """Lead whenever nobody else does."""
        outbox = self._world.store.outbox
        try:
            while True:
                try:
                    if await self._leads():
                        await self._relay()
                except LostLeaseError:
                    log.info("another process leads now", stage=self._stage.lease)
                except (PyMongoError, Problem) as failed:
                    log.warning("the relay waits for the database", fault=type(failed).__name__)
                await asyncio.sleep(random.uniform(0.5, 1.0) * POLL_SECONDS)  # noqa: S311  jitter, not a secret
        finally:
            with suppress(PyMongoError):
                await outbox.resign(self._stage.lease, self._holder)

    async def _leads(self) -> bool:
        return await self._world.store.outbox.lead(self._stage.lease, self._holder, LEASE_SECONDS)

    async def _relay(self) -> None:
        """Relay until the lease is lost or the database is away."""
        waker = asyncio.create_task(self._wake())
        renewed = 0.0
        try:
            written, dull = self._stage.collections, frozenset[str]()
            while True:
                now = asyncio.get_running_loop().time()
                if now - renewed > RENEW_SECONDS:
                    if not await self._leads():
                        raise LostLeaseError
                    renewed = now
                    # What a dead process left open stands in the way of everybody's work.
                    await self._world.store.connection.reap(IDLE_SECONDS)
                told = await self._stage.tell(self._world, written, holder=self._holder)
                if not self._stage.later:
                    await hand_out(self._world, self._give)
                if not told.left:
                    dull = told.dull or dull
                    written = await self._next(dull)
        finally:
            await end(waker)

    async def _next(self, dull: frozenset[str]) -> frozenset[str]:
        """Where something was written; everything after a silence. What nobody asks for wakes nobody."""
        self._woken.clear()
        try:
            async with asyncio.timeout(self._poll):
                while self._written <= dull:
                    await self._woken.wait()
                    self._woken.clear()
        except TimeoutError:
            return self._stage.collections
        written, self._written = self._written, set()
        return self._stage.collections & written

    async def _wake(self) -> None:
        """Follow the change stream; where there is none, the look every two seconds is enough."""
        # What is planned, also by the later stage, the first one hands out.
        watched = self._stage.collections | (frozenset() if self._stage.later else {WORK})
        while True:
            async for collection in self._world.store.outbox.changes(*watched):
                self._written.add(collection)
                self._woken.set()
            await asyncio.sleep(POLL_SECONDS)

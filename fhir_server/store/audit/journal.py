"""Group commit: accesses of one moment go into the chain with one insert, and each waits until it is durable.

While an insert is under way the next batch collects. When none is, a batch goes at once if its caller was alone lately,
else it waits some milliseconds at most for as many as there were. An insert that fails is tried
again a few times, and looked for by its id before that, so that it is never there twice. When it stays unknown the
chain is left as it is and the next batch begins another one; whoever waited is refused.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from fhir_server.access.record import Access
from fhir_server.errors import Problem
from fhir_server.log import get_logger
from fhir_server.store.audit.batches import Envelope, Head, made, place
from fhir_server.store.driver import Document, DuplicateKeyError, PyMongoError
from fhir_server.store.unit import pause, unavailable

MOST = 500
"""Entries of one batch."""

WEIGHT = 20_000
"""References of one batch: an index has a row for each."""

TRIES = 6
LINGER = 0.004
"""Seconds that a batch waits for company at most."""

PATIENCE = 8.0
"""Seconds after which a batch that is not confirmed has failed."""

log = get_logger("audit")


class Journal:
    """The chain of this process."""

    def __init__(
        self,
        batches: Any,
        envelope: Envelope,
        secret: Callable[[], Awaitable[bytes]],
        heads: Callable[[], Awaitable[list[Head]]],
        clock: Callable[[], int],
    ) -> None:
        """``secret`` gives the key of the batches' MAC, ``heads`` the chains to be named by a new one."""
        self._batches = batches
        self._envelope = envelope
        self._secret = secret
        self._heads = heads
        self._clock = clock
        self._waiting: list[tuple[Access, asyncio.Future[str]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._enough: asyncio.Future[None] | None = None
        self._company = 1
        self._at = 0
        self.head: Head | None = None
        """The last durable batch of the open chain."""

    async def add(self, access: Access) -> str:
        """Record an access; it is durable when this returns.

        :returns: the entry's name: chain, place of the batch, place in it.
        :raises Problem: UNAVAILABLE when it could not be recorded, or nobody knows.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[str] = loop.create_future()
        self._waiting.append((access, future))
        if self._enough is not None and len(self._waiting) >= self._company and not self._enough.done():
            self._enough.set_result(None)
        if self._writer is None or self._writer.done():
            self._writer = loop.create_task(self._write())
        return await future

    async def settled(self) -> None:
        """Wait until nothing is under way."""
        while self._writer is not None and not self._writer.done():
            await asyncio.wait([self._writer])

    def leave(self) -> Head | None:
        """End the open chain; its last batch. What comes later begins another chain."""
        head, self.head = self.head, None
        return head

    async def _write(self) -> None:
        while self._waiting:
            if len(self._waiting) < self._company:
                await self._gather()
            taken = self._take()
            self._company = len(taken)
            try:
                head = await self._put([access for access, _ in taken])
            except BaseException as failed:
                if not isinstance(failed, Problem):
                    log.warning("the access record failed", fault=type(failed).__name__)
                for _, future in taken:
                    if not future.done():
                        future.set_exception(unavailable("the access record does not answer"))
                if not isinstance(failed, Exception):
                    raise
            else:
                for number, (_, future) in enumerate(taken):
                    if not future.done():
                        future.set_result(f"{head.chain}-{head.n}-{number}")
            self._company = min(self._company + len(self._waiting), MOST)

    async def _gather(self) -> None:
        """Wait a moment for as many as there were lately: callers come in waves, and an insert costs more than a read.

        A caller who is alone never waits.
        """
        loop = asyncio.get_running_loop()
        self._enough = loop.create_future()
        timer = loop.call_later(LINGER, _finish, self._enough)
        try:
            await self._enough
        finally:
            timer.cancel()
            self._enough = None

    def _take(self) -> list[tuple[Access, asyncio.Future[str]]]:
        weight = 0
        for number, (access, _) in enumerate(self._waiting):
            weight += len(access.objects) + len(access.patients)
            if number == MOST or (weight > WEIGHT and number):
                taken, self._waiting = self._waiting[:number], self._waiting[number:]
                return taken
        taken, self._waiting = self._waiting, []
        return taken

    async def _put(self, accesses: list[Access]) -> Head:
        head, opens = self.head, None
        try:
            async with asyncio.timeout(PATIENCE):
                secret = await self._secret()
                if head is None:
                    head, opens = Head(secrets.token_hex(8)), await self._heads()
                # Time does not go back within a chain, whatever the clock does.
                self._at = max(self._at, self._clock())
                document = made(head, accesses, self._at, secret, self._envelope, opens)
                await self._insert(document)
        except BaseException:
            self.head = None
            raise
        self.head = Head(head.chain, document["n"], document["hash"])
        return self.head

    async def _insert(self, document: Document) -> None:
        for attempt in range(TRIES):
            try:
                await self._batches.insert_one(document)
            except DuplicateKeyError:
                failure: PyMongoError | None = None
            except PyMongoError as failed:
                failure = failed
            else:
                return
            if await self._is_there(document):
                return
            if attempt == TRIES - 1 and failure is not None:
                raise failure
            await pause(attempt + 2)
        msg = "another batch has this place"
        raise RuntimeError(msg, place(document["chain"], document["n"]))

    async def _is_there(self, document: Document) -> bool:
        """Whether an insert of unknown fate is durable."""
        try:
            found: Document | None = await self._batches.find_one({"_id": document["_id"]}, {"hash": 1})
        except PyMongoError:
            return False
        return found is not None and found["hash"] == document["hash"]


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)

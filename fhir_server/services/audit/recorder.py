"""The recorder of a process: takes accesses, and in the background shows that it lives and signs where its chain is."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress

from fhir_server.access.record import Access
from fhir_server.log import get_logger
from fhir_server.services.audit.recovery import Versions, recover
from fhir_server.store.audit.database import Audit
from fhir_server.store.audit.markers import Markers

BEAT_SECONDS = 2.0
CHECKPOINT_BEATS = 30
"""A minute, or a thousand batches."""

CHECKPOINT_BATCHES = 1000
RECOVERY_BEATS = 8
LAST_SECONDS = 10.0
"""How long the end waits for what is under way."""


log = get_logger("audit")


class Recorder:
    """What the door holds as ``world.record``.

    ``process`` names it in the stamps of versions. ``versions``, when set, lets it record what processes that died
    left out.
    """

    def __init__(
        self, audit: Audit, markers: Markers, clock: Callable[[], int], versions: Versions | None = None
    ) -> None:
        self.audit = audit
        self.process = secrets.token_hex(8)
        self.versions = versions
        self._markers = markers
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()
        self._signed = 0

    async def add(self, access: Access) -> None:
        """Record an access; it is durable when this returns, and only then may the answer leave.

        :raises Problem: UNAVAILABLE when it could not be recorded.
        """
        await self.audit.add(access)

    async def start(self) -> None:
        """Before the first request: without a marker nobody would notice our death."""
        self._ending.clear()
        await self._markers.move(self.process, self._clock())
        self._task = asyncio.create_task(self._live())

    async def stop(self) -> None:
        """After the last request: everything is durable and signed, the marker goes."""
        self._ending.set()
        if self._task is not None:
            # Not cancelled: it may be in the middle of a command.
            await asyncio.wait([self._task], timeout=LAST_SECONDS)
            self._task = None
        try:
            await self._sign(final=True)
            await self._markers.remove(self.process)
        except Exception as failed:  # noqa: BLE001  the end of a server whose database is gone is an end
            log.warning("the access record was not closed", fault=type(failed).__name__)

    async def _live(self) -> None:
        beats = 0
        while not self._ending.is_set():
            try:
                if beats:
                    await self._markers.move(self.process, self._clock())
                head = self.audit.journal.head
                grown = head.n - self._signed if head is not None else 0
                if grown >= CHECKPOINT_BATCHES or beats % CHECKPOINT_BEATS == 1:
                    await self._sign()
                if self.versions is not None and beats % RECOVERY_BEATS == 0:
                    await recover(self.audit, self._markers, self.versions, self._clock())
            except Exception as failed:  # noqa: BLE001  the next beat tries again
                log.warning("the access record's upkeep failed", fault=type(failed).__name__)
            beats += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_SECONDS):
                    await self._ending.wait()

    async def _sign(self, *, final: bool = False) -> None:
        made = await self.audit.checkpoint(final=final)
        if made is None:
            return
        self._signed = made.head.n
        # A log that is kept elsewhere holds what the database alone cannot deny.
        log.info(
            "checkpoint of the access record", chain=made.head.chain, n=made.head.n, hash=made.head.hash.hex(),
            at=made.at, kind=made.kind, before=made.before, key=made.key, signature=made.signature.hex(),
        )  # fmt: skip

"""The access epoch: tells each process whether the tokens that it remembers are still good.

Whoever ends access (a revoked grant, a disabled account or client, an ended session, other clinics) writes that first
and then moves the epoch on. A process that reads another number forgets what it remembers of an older one.

What a process has read it may believe for a lease of a quarter second, counted from when it began to read; whoever
moves the epoch on waits that long. So when the end of an access is confirmed it has ended everywhere, and a request
does not cost a query for it.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from fhir_server.store.driver import Connection, PyMongoError
from fhir_server.store.epoch import Epoch
from fhir_server.store.moves import EPOCH

READINGS = 3
PAUSE_SECONDS = 0.05
LEASE_SECONDS = 0.25
MARGIN_SECONDS = 0.02
"""By how much clocks of two processes may run apart within a lease."""


class AccessEpoch(Epoch):
    """One small document that all processes read; never None, for nobody announces anything here."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._documents = connection.collection(EPOCH)
        self._leased = (float("-inf"), 0)

    async def leased(self) -> int:
        """The number that was the present one within the lease; enough for everything that :meth:`moved` announces."""
        began, number = self._leased
        now = time.monotonic()
        if now - began < LEASE_SECONDS:
            return number
        number = await self.current() or 0
        self._leased = (now, number)
        return number

    async def _read(self) -> int | None:
        for attempt in range(READINGS - 1):
            try:
                return await self._number()
            except PyMongoError:
                # Every request asks this; an election shall not refuse those whom it need not.
                await asyncio.sleep(PAUSE_SECONDS * 2**attempt)
        return await self._number()

    async def _number(self) -> int:
        found: dict[str, Any] | None = await self._documents.find_one({"_id": "access"})
        return int(found["n"]) if found else 0

    async def moved(self) -> None:
        """After the end of somebody's access: when this returns, every process has forgotten."""
        await self._documents.update_one({"_id": "access"}, {"$inc": {"n": 1}}, upsert=True)
        self._leased = (float("-inf"), 0)
        await asyncio.sleep(LEASE_SECONDS + MARGIN_SECONDS)

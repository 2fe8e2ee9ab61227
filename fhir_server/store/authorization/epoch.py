"""The access epoch: tells each process whether the tokens that it remembers are still good.

Whoever ends access (a revoked grant, a disabled account or client, an ended session, other clinics) writes that first
and then moves the epoch on. A process reads the epoch before every answer and forgets what it remembers of an
older one.
"""

from __future__ import annotations

from typing import Any

from fhir_server.store.driver import Connection
from fhir_server.store.epoch import EPOCH, Epoch


class AccessEpoch(Epoch):
    """One small document that all processes read; never None, for nobody announces anything here."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._documents = connection.collection(EPOCH)

    async def _read(self) -> int | None:
        found: dict[str, Any] | None = await self._documents.find_one({"_id": "access"})
        return int(found["n"]) if found else 0

    async def moved(self) -> None:
        """After the end of somebody's access: every process forgets, before its next answer."""
        await self._documents.update_one({"_id": "access"}, {"$inc": {"n": 1}}, upsert=True)

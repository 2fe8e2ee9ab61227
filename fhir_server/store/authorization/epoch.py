"""The epoch of access: tells each process whether the tokens that it remembers may still be believed.

Whatever ends access (a revoked grant, a disabled account, an ended session) moves it on after it is written. A process
compares the number with the one under which it remembered a token.
"""

from __future__ import annotations

from typing import Any

from fhir_server.store.driver import Connection

ACCESS_EPOCH = "access_epoch"


class AccessEpoch:
    """One small document that all processes read."""

    def __init__(self, connection: Connection) -> None:
        self._collection = connection.collection(ACCESS_EPOCH)

    async def current(self) -> int:
        found: dict[str, Any] | None = await self._collection.find_one({"_id": "access"})
        return int(found["n"]) if found else 0

    async def moved(self) -> None:
        """Say that somebody's access has ended."""
        await self._collection.update_one({"_id": "access"}, {"$inc": {"n": 1}}, upsert=True)

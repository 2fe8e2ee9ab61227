"""The catalogue's epoch: tells each process whether what it remembers of schedules and services is still true.

A write to a catalogue type announces itself before it happens and finishes after. While one is announced nobody
remembers anything; when it is finished the number has moved on. A writer that died leaves its announcement, which loses
its effect after a minute (no write takes that long), and by then the number is moved on by whoever sees it.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fhir_server.store import moves
from fhir_server.store.driver import Connection
from fhir_server.store.moves import EPOCH, Move

CATALOGUE_TYPES = frozenset(
    {"Organization", "Location", "HealthcareService", "Schedule", "Practitioner", "PractitionerRole", "Device", "Group"}
)
ACCESS_TYPES = frozenset({"Consent", "RelatedPerson"})
"""Types by which people act for others."""

ANNOUNCED_SECONDS = 60


class Epoch:
    """One small document that all processes read."""

    def __init__(self, connection: Connection) -> None:
        self._collection = connection.collection(EPOCH)
        self._running: asyncio.Task[int | None] | None = None
        self._next: asyncio.Task[int | None] | None = None
        self.noted: tuple[Move, ...] = ()
        """Moves that others had yet to follow when the number was last read."""

    async def current(self) -> int | None:
        """The number of the present state; None while a write is under way.

        Callers who come while a read is under way share the next one: it starts after they came, so it is not stale.
        """
        if self._running is None or self._running.done():
            if self._next is None:
                self._running = asyncio.create_task(self._read())
                return await asyncio.shield(self._running)
        elif self._next is None:
            self._next = asyncio.create_task(self._read_after(self._running))
        return await asyncio.shield(self._next)

    async def _read_after(self, running: asyncio.Task[int | None]) -> int | None:
        await asyncio.wait([running])
        self._running, self._next = self._next, None
        return await self._read()

    async def _read(self) -> int | None:
        asked = self._collection.find(
            {"$or": [{"_id": "catalogue"}, moves.is_due(moves.now_ms())]}, sort=[("_id", 1)], limit=moves.AT_ONCE
        )
        rows: list[dict[str, Any]] = await asked.to_list(None)
        found = next((one for one in rows if one["_id"] == "catalogue"), None)
        self.noted = tuple(moves.read(one) for one in rows if one["_id"] != "catalogue")
        if found is None:
            return 0
        announced: dict[str, float] = found.get("announced") or {}
        if not announced:
            number: int = found["n"]
            return number
        dead = [writer for writer, at in announced.items() if time.time() - at > ANNOUNCED_SECONDS]
        if dead:
            await self._collection.update_one(
                {"_id": "catalogue"}, {"$inc": {"n": 1}, "$unset": {f"announced.{writer}": "" for writer in dead}}
            )
        return None

    @asynccontextmanager
    async def moving(self, type_: str) -> AsyncIterator[None]:
        """Around a write of ``type_``; does nothing for types that neither the catalogue nor access rests on."""
        if type_ in ACCESS_TYPES:
            yield
            # Whom a person acts for is remembered with their token.
            await self._collection.update_one({"_id": "access"}, {"$inc": {"n": 1}}, upsert=True)
            return
        if type_ not in CATALOGUE_TYPES:
            yield
            return
        writer = secrets.token_hex(8)
        await self._collection.update_one(
            {"_id": "catalogue"}, {"$inc": {"n": 1}, "$set": {f"announced.{writer}": time.time()}}, upsert=True
        )
        try:
            yield
        finally:
            await self._collection.update_one(
                {"_id": "catalogue"}, {"$inc": {"n": 1}, "$unset": {f"announced.{writer}": ""}}
            )

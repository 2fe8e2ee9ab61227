"""Markers: a document of each running process that records accesses, so that others notice its death.

``{_id, at, claimed}``: the process lived at ``at`` (ms), and until :data:`MARGIN` before that everything it wrote is in
the record. A process that ends in order takes its marker away. One whose marker is old has died: whoever claims the
marker first looks for what it left out. They lie beside the resources, for the record is only ever added to.
"""

from __future__ import annotations

from dataclasses import dataclass

from pymongo import IndexModel

from fhir_server.store.driver import Connection

MARKERS = "recorders"
DEAD_MS = 30_000
"""A marker that nobody moved for so long is of a dead process; it is moved every few seconds."""

MARGIN_MS = 120_000
"""No request takes so long between the time of its version and the end of its access."""

CLAIM_MS = 300_000


@dataclass(frozen=True, slots=True)
class Marker:
    """``since``: what the process wrote before this moment (ms) is recorded."""

    process: str
    since: int


class Markers:
    """The ``recorders`` collection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._collection = connection.collection(MARKERS)

    async def prepare(self) -> None:
        await self._collection.create_indexes([IndexModel([("at", 1)])])

    async def move(self, process: str, now: int) -> None:
        """Say that a process lives; one that is taken for dead is alive again."""
        await self._collection.update_one(
            {"_id": process}, {"$set": {"at": now}, "$unset": {"claimed": ""}}, upsert=True
        )

    async def remove(self, process: str) -> None:
        """A process ended in order, or what it left out is recorded."""
        await self._collection.delete_one({"_id": process})

    async def claim(self, now: int) -> Marker | None:
        """The marker of a dead process that nobody else is looking into."""
        free = [{"claimed": {"$exists": False}}, {"claimed": {"$lt": now - CLAIM_MS}}]
        found = await self._collection.find_one_and_update(
            {"at": {"$lt": now - DEAD_MS}, "$or": free}, {"$set": {"claimed": now}}
        )
        return Marker(found["_id"], found["at"] - MARGIN_MS) if found else None

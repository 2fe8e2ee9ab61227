"""Secrets of this database: random bytes made once, stored sealed, and read by every process, also after a restart."""

from __future__ import annotations

import secrets
from typing import Any

from fhir_server.store.driver import Connection, DuplicateKeyError
from fhir_server.store.sealing import Sealer

SECRETS = "secrets"


class Secrets:
    """The ``secrets`` collection; what was read stays in the process, for a secret never changes."""

    def __init__(self, connection: Connection, sealer: Sealer) -> None:
        self._sealer = sealer
        self._collection = connection.collection(SECRETS)
        self._known: dict[str, bytes] = {}

    async def get(self, name: str, size: int) -> bytes:
        """The secret of that name: ``size`` random bytes, made when nobody asked for it before."""
        known = self._known.get(name)
        if known is None:
            try:
                known = await self._settle(name, size)
            except DuplicateKeyError:
                # Another process made it at the same moment.
                known = await self._settle(name, size)
            self._known[name] = known
        return known

    async def _settle(self, name: str, size: int) -> bytes:
        found: dict[str, Any] = await self._collection.find_one_and_update(
            {"_id": name},
            {"$setOnInsert": {"sealed": self._sealer.seal_bytes(f"{SECRETS}/{name}", secrets.token_bytes(size))}},
            upsert=True,
            return_document=True,
        )
        return self._sealer.open_bytes(f"{SECRETS}/{name}", found["sealed"])

"""The ``signing_keys`` collection: what access and ID tokens are signed with.

A key has a use (``access``, ``id``) and a serial number; of two processes that make the next one at the same moment one
wins, and both use that. A key leaves by a TTL index when the last token that it may have signed has expired.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fhir_server.store.driver import Connection, DuplicateKeyError
from fhir_server.store.sealing import Sealer

SIGNING_KEYS = "signing_keys"


@dataclass(frozen=True, slots=True)
class StoredKey:
    """One key: its ``kid``, PEM of its private part, when it was made and until when it verifies (epoch seconds)."""

    kid: str
    use: str
    serial: int
    private: bytes
    created: int
    until: int


class SigningKeys:
    """Keys of both uses."""

    def __init__(self, connection: Connection, sealer: Sealer) -> None:
        self._collection = connection.collection(SIGNING_KEYS)
        self._sealer = sealer

    async def all(self, now: int) -> list[StoredKey]:
        """Keys that still verify, oldest first."""
        alive = {"until": {"$gt": datetime.fromtimestamp(now, UTC)}}
        return [self._key(one) for one in await self._collection.find(alive).sort("serial", 1).to_list(None)]

    async def add(self, key: StoredKey) -> bool:
        """Whether it was the first of its use and serial."""
        document = {
            "_id": key.kid,
            "use": key.use,
            "serial": key.serial,
            "private": self._sealer.seal_bytes(_place(key.kid), key.private),
            "created": key.created,
            "until": datetime.fromtimestamp(key.until, UTC),
        }
        try:
            await self._collection.insert_one(document)
        except DuplicateKeyError:
            return False
        return True

    def _key(self, found: dict[str, Any]) -> StoredKey:
        private = self._sealer.open_bytes(_place(found["_id"]), bytes(found["private"]))
        until = int(found["until"].timestamp())
        return StoredKey(found["_id"], found["use"], found["serial"], private, found["created"], until)


def _place(kid: str) -> str:
    return f"{SIGNING_KEYS}/{kid}"

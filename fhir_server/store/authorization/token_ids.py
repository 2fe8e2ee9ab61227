"""The ``token_ids`` collection: assertions that were used and access tokens that were revoked, by their ``jti``.

A unique id makes the first of several uses win, in whichever process and also after a restart. An entry leaves by a TTL
index when the token could not be used any more.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from fhir_server.store.driver import Connection, DuplicateKeyError

TOKEN_IDS = "token_ids"  # noqa: S105  a collection
MARGIN_SECONDS = 120


class TokenIds:
    """Digests of who issued a token and its ``jti``."""

    def __init__(self, connection: Connection) -> None:
        self._collection = connection.collection(TOKEN_IDS)

    async def first(self, issuer: str, jti: str, expires: int) -> bool:
        """Whether nobody noted this one before; it is noted now."""
        until = datetime.fromtimestamp(expires + MARGIN_SECONDS, UTC)
        try:
            await self._collection.insert_one({"_id": _digest(issuer, jti), "until": until})
        except DuplicateKeyError:
            return False
        return True

    async def known(self, issuer: str, jti: str) -> bool:
        return await self._collection.find_one({"_id": _digest(issuer, jti)}, {"_id": 1}) is not None


def _digest(issuer: str, jti: str) -> bytes:
    size = len(issuer.encode()).to_bytes(4, "big")
    return hashlib.sha256(size + issuer.encode() + jti.encode()).digest()

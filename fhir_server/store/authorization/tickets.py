"""Random texts that somebody brings back, found by their digest: who reads the database cannot use them.

collection            the text is                        used
--------------------  ---------------------------------  ---------------------------------------------
authorize_requests    a request that waits for a person  once, by the consent
launches              the context that an EMR started    once, by the consent
codes                 an authorization code              once; a second use revokes what the first gave
refresh_tokens        a refresh token                    once; a second use revokes the whole family
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fhir_server.store.driver import Connection

AUTHORIZE_REQUESTS = "authorize_requests"
LAUNCHES = "launches"
CODES = "codes"
REFRESH_TOKENS = "refresh_tokens"


class Tickets:
    """One of the collections above; a document leaves by a TTL index at ``until``."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._collection = connection.collection(name)

    async def put(self, text: str, content: Mapping[str, Any], *, expires: int, kept: int = 0) -> None:
        """Keep what a text stands for until it expires, and its trace for ``kept`` seconds more."""
        until = datetime.fromtimestamp(expires + kept, UTC)
        await self._collection.insert_one({**content, "_id": digest(text), "expires": expires, "until": until})

    async def get(self, text: str) -> dict[str, Any] | None:
        """What a text stands for, used or not, as long as there is a trace of it."""
        found: dict[str, Any] | None = await self._collection.find_one({"_id": digest(text)})
        return found

    async def use(self, text: str, now: int) -> dict[str, Any] | None:
        """Use it; None when it is unknown, over, or used: of any number of callers one gets it."""
        return await self.use_id(digest(text), now)

    async def use_id(self, id_: str, now: int) -> dict[str, Any] | None:
        """As :meth:`use`, by the digest."""
        found: dict[str, Any] | None = await self._collection.find_one_and_update(
            {"_id": id_, "used": {"$exists": False}, "expires": {"$gt": now}}, {"$set": {"used": now}}
        )
        return found


def digest(text: str) -> str:
    """What is stored of a text that has at least 128 random bits."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()

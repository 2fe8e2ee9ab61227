"""Remembered answers: an Idempotency-Key and the effect of its request are written in one transaction.

The record holds the first answer. A second request with the same key and body gets that answer again; with another body
it is refused. https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from fhir_server.store.driver import Connection
from fhir_server.store.unit import Unit

IDEMPOTENCY = "idempotency"


@dataclass(frozen=True, slots=True)
class Remembered:
    """The first answer to a key: HTTP status, headers, body, and the fingerprint of the request it answered."""

    key: str
    fingerprint: str
    status: int
    headers: Mapping[str, str]
    body: bytes


class Idempotency:
    """The ``idempotency`` collection; records leave it by a TTL index."""

    def __init__(self, connection: Connection, hours: int) -> None:
        self._collection = connection.collection(IDEMPOTENCY)
        self._lifetime = timedelta(hours=hours)

    async def get(self, key: str) -> Remembered | None:
        found: dict[str, Any] | None = await self._collection.find_one({"_id": key})
        if found is None:
            return None
        return Remembered(key, found["fingerprint"], found["status"], found["headers"], found["body"])

    async def put(self, unit: Unit, answer: Remembered) -> None:
        """Remember an answer in the transaction of its effect."""
        await unit.put_document(
            IDEMPOTENCY,
            {
                "_id": answer.key,
                "fingerprint": answer.fingerprint,
                "status": answer.status,
                "headers": dict(answer.headers),
                "body": answer.body,
                "until": datetime.now(UTC) + self._lifetime,
            },
        )

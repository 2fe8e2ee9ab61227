"""Remembered answers: an Idempotency-Key and the effect of its request are written in one transaction.

The record holds the first answer. A second request with the same key and body gets that answer again; with another body
it is refused. Status, headers, body and the fingerprint of the request lie sealed, for they speak of patients.
https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from fhir_server.store.driver import Connection
from fhir_server.store.sealing import Sealer
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

    def __init__(self, connection: Connection, sealer: Sealer, hours: int) -> None:
        self._sealer = sealer
        self._collection = connection.collection(IDEMPOTENCY)
        self._lifetime = timedelta(hours=hours)

    async def get(self, key: str) -> Remembered | None:
        found: dict[str, Any] | None = await self._collection.find_one({"_id": key})
        if found is None:
            return None
        head, _, body = self._sealer.open_bytes(f"{IDEMPOTENCY}/{key}", found["sealed"]).partition(b"\n")
        fingerprint, status, headers = orjson.loads(head)
        return Remembered(key, fingerprint, status, headers, body)

    async def put(self, unit: Unit, answer: Remembered) -> None:
        """Remember an answer in the transaction of its effect."""
        await unit.put_document(
            IDEMPOTENCY,
            {
                "_id": answer.key,
                "sealed": sealed(self._sealer, answer),
                "until": datetime.now(UTC) + self._lifetime,
            },
        )


def sealed(sealer: Sealer, answer: Remembered) -> bytes:
    """An answer as it is stored."""
    head = orjson.dumps([answer.fingerprint, answer.status, dict(answer.headers)])
    return sealer.seal_bytes(f"{IDEMPOTENCY}/{answer.key}", head + b"\n" + answer.body)

"""Break-glass accesses: who opened whose record until when, and why. They end by the clock; a TTL index tidies."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fhir_server.store.driver import Connection

EMERGENCIES = "emergencies"


class Emergencies:
    """The ``emergencies`` collection: ``{_id: "account|Patient/1", account, patient, until, reason}``."""

    def __init__(self, connection: Connection) -> None:
        self._collection = connection.collection(EMERGENCIES)

    async def open(self, account: str, patient: str, until: int, reason: str) -> None:
        """Note an access until ``until`` (epoch seconds); a later one for the same patient replaces it."""
        ends = datetime.fromtimestamp(until, UTC)
        found = {"account": account, "patient": patient, "until": ends, "reason": reason}
        await self._collection.replace_one({"_id": f"{account}|{patient}"}, found, upsert=True)

    async def of(self, account: str, now: int) -> set[str]:
        """Patients whom an account reaches by break-glass now."""
        found: list[dict[str, Any]] = await self._collection.find(
            {"account": account, "until": {"$gt": datetime.fromtimestamp(now, UTC)}}, {"patient": 1}
        ).to_list(None)
        return {one["patient"] for one in found}

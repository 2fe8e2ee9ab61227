"""Break-glass accesses: who opened whose record when, until when, and why. They end by the clock and are kept."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pymongo import IndexModel

from fhir_server.store.driver import Connection
from fhir_server.store.sealing import Sealer

EMERGENCIES = "emergencies"
INDEXES: Sequence[IndexModel] = [IndexModel([("account", 1), ("until", 1)]), IndexModel([("at", -1)])]


@dataclass(frozen=True, slots=True)
class Emergency:
    """One access; ``at`` and ``until`` in epoch seconds, ``person`` the reference of who did it."""

    account: str
    person: str
    patient: str
    at: int
    until: int
    reason: str


class Emergencies:
    """The ``emergencies`` collection; the reason is sealed, for it may speak of the patient."""

    def __init__(self, connection: Connection, sealer: Sealer) -> None:
        self._collection = connection.collection(EMERGENCIES)
        self._sealer = sealer

    async def add(self, one: Emergency) -> None:
        """Note an access."""
        id_ = secrets.token_hex(12)
        reason = self._sealer.seal_bytes(f"{EMERGENCIES}/{id_}", one.reason.encode())
        await self._collection.insert_one({
            "_id": id_, "account": one.account, "person": one.person, "patient": one.patient, "at": one.at,
            "until": one.until, "reason": reason,
        })  # fmt: skip

    async def of(self, account: str, now: int) -> set[str]:
        """Patients whom an account reaches by break-glass now."""
        found: list[dict[str, Any]] = await self._collection.find(
            {"account": account, "until": {"$gt": now}}, {"patient": 1}
        ).to_list(None)
        return {one["patient"] for one in found}

    async def since(self, at: int) -> list[Emergency]:
        """Accesses from an instant on, the newest first."""
        rows: list[dict[str, Any]] = await self._collection.find({"at": {"$gte": at}}).sort("at", -1).to_list(None)
        return [
            Emergency(
                one["account"], one["person"], one["patient"], one["at"], one["until"],
                self._sealer.open_bytes(f"{EMERGENCIES}/{one['_id']}", bytes(one["reason"])).decode(),
            )
            for one in rows
        ]  # fmt: skip

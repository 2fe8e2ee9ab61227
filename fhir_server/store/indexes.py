"""Every index of the database, created at start; creating one that exists is a no-op."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import IndexModel

from fhir_server.store.driver import Connection
from fhir_server.store.idempotency import IDEMPOTENCY
from fhir_server.store.search_indexes import indexes as search_indexes
from fhir_server.store.unit import GUARDS

IndexSpec = Sequence[tuple[str, Any]]


def _only(field: str) -> dict[str, Any]:
    return {"partialFilterExpression": {field: {"$exists": True}}}


def models() -> Mapping[str, list[IndexModel]]:
    """Index models by collection.

    ``wall`` is the last wall against double booking: one busy stored Slot a Schedule, start and seat. ``placer`` makes
    a placer's identifier unique. ``expires`` finds holds that are over. ``key`` finds what a proposal id names.
    """
    found: dict[str, list[IndexModel]] = {
        type_: [IndexModel(list(spec)) for spec in specs] for type_, specs in search_indexes().items()
    }
    found.setdefault("Slot", []).append(IndexModel([("wall", 1)], unique=True, **_only("wall")))
    found.setdefault("Appointment", []).append(IndexModel([("placer", 1)], unique=True, **_only("placer")))
    for type_ in ("Slot", "Appointment"):
        found[type_].append(IndexModel([("expires", 1)], **_only("expires")))
    for type_ in ("Schedule", "HealthcareService", "Patient"):
        found.setdefault(type_, []).append(IndexModel([("key", 1)], **_only("key")))
    found[IDEMPOTENCY] = [IndexModel([("until", 1)], expireAfterSeconds=0)]
    found[GUARDS] = [IndexModel([("at", 1)], expireAfterSeconds=3600)]
    return found


async def create(connection: Connection) -> None:
    """Create all indexes (and with them the collections, which a transaction can then write)."""
    for collection, wanted in models().items():
        await connection.collection(collection).create_indexes(wanted)

"""Every index of the database, created at start; creating one that exists is a no-op."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import IndexModel

from fhir_server.store import conversations, history, links, moves, outbox, subscriptions, work
from fhir_server.store.accounts import ACCOUNTS
from fhir_server.store.authorization.collections import INDEXES as AUTHORIZATION
from fhir_server.store.driver import Connection
from fhir_server.store.emergencies import EMERGENCIES
from fhir_server.store.emergencies import INDEXES as EMERGENCY_INDEXES
from fhir_server.store.idempotency import IDEMPOTENCY
from fhir_server.store.resources import HISTORY
from fhir_server.store.search_indexes import indexes as search_indexes
from fhir_server.store.search_indexes import wildcards
from fhir_server.store.sessions import SESSIONS
from fhir_server.store.unit import GUARDS

IndexSpec = Sequence[tuple[str, Any]]


def _only(field: str) -> dict[str, Any]:
    return {"partialFilterExpression": {field: {"$exists": True}}}


def _wildcard(fields: Sequence[str]) -> IndexModel:
    """One index over several fields, named after them: with other fields it is another index."""
    digest = hashlib.sha256(" ".join(sorted(fields)).encode()).hexdigest()[:8]
    return IndexModel([("$**", 1)], name=f"search_{digest}", wildcardProjection=dict.fromkeys(fields, 1))


def models() -> Mapping[str, list[IndexModel]]:
    """Index models by collection.

    ``wall`` is the last wall against double booking: one busy stored Slot a Schedule, start and seat. ``placer`` makes
    a placer's identifier unique. ``expires`` finds holds that are over. ``key`` finds what a proposal id names,
    ``waits`` who is on the waitlist for a service.
    """
    found: dict[str, list[IndexModel]] = {
        type_: [IndexModel(list(spec)) for spec in specs] for type_, specs in search_indexes().items()
    }
    for type_, fields in wildcards().items():
        found[type_].append(_wildcard(fields))
    found.setdefault("Slot", []).append(IndexModel([("wall", 1)], unique=True, **_only("wall")))
    found.setdefault("Appointment", []).append(IndexModel([("placer", 1)], unique=True, **_only("placer")))
    for of_type in found.values():
        of_type += [outbox.MARKED, *(IndexModel([(name, 1)], **_only(name)) for name in ("patients", "clinics"))]
    found["Appointment"].append(IndexModel([("waits", 1)], **_only("waits")))
    for type_ in ("Slot", "Appointment"):
        found[type_].append(IndexModel([("expires", 1)], **_only("expires")))
    for type_ in ("Schedule", "HealthcareService", "Patient"):
        found.setdefault(type_, []).append(IndexModel([("key", 1)], **_only("key")))
    found[HISTORY] = [history.INDEX, outbox.MARKED, IndexModel([("patients", 1)], **_only("patients"))]
    found.setdefault("Subscription", []).append(IndexModel([("owner", 1)], **_only("owner")))
    found |= {name: list(wanted) for name, wanted in subscriptions.INDEXES.items() if wanted}
    found |= {**outbox.INDEXES, **work.INDEXES, **links.INDEXES, **conversations.INDEXES}
    found[IDEMPOTENCY] = [IndexModel([("until", 1)], expireAfterSeconds=0)]
    found[EMERGENCIES] = list(EMERGENCY_INDEXES)
    found[moves.EPOCH] = [moves.INDEX]
    found[GUARDS] = [IndexModel([("at", 1)], expireAfterSeconds=3600)]
    found |= {name: list(wanted) for name, wanted in AUTHORIZATION.items()}
    found[ACCOUNTS] = [IndexModel([("key", 1)], unique=True)]
    found[SESSIONS] = [IndexModel([("until", 1)], expireAfterSeconds=0), IndexModel([("account", 1)])]
    return found


async def create(connection: Connection) -> None:
    """Create all indexes (and with them the collections, which a transaction can then write).

    Search indexes of former versions, which would only cost writes, are dropped.
    """
    for collection, wanted in models().items():
        await connection.collection(collection).create_indexes(wanted)
    for type_ in search_indexes():
        names = {model.document["name"] for model in models()[type_]}
        present = await connection.collection(type_).index_information()
        for name, index in present.items():
            first = str(index["key"][0][0])
            if name not in names and (first == "$**" or first.startswith("idx.")):
                await connection.collection(type_).drop_index(name)

"""Layout 4: what lay open in the database is sealed where it lies; again from the first open document if stopped.

What was written open before stays in the journal, the oplog and free pages of the files until MongoDB uses them anew,
and in old backups: docs/sealing.md says what to do about that.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from pymongo import ReplaceOne, UpdateOne

from fhir_server.fhir.types import SEALED_TYPES
from fhir_server.store.calendar_days import CALENDAR
from fhir_server.store.driver import Connection, Document
from fhir_server.store.idempotency import IDEMPOTENCY, Remembered, sealed
from fhir_server.store.secrets import SECRETS
from fhir_server.store.unit import GUARDS
from fhir_server.store.vault import HISTORY, PLACED, PLACER, Vault

BATCH = 200
HOLDERS = ("Appointment", "Slot")
"""Types of resources that keep somebody busy."""

_LOGICAL_KEY = {"$regex": r"^#[^|]*\|"}
_LOGICAL_DAY = {"$regex": r"^#[^|]*\|[\s\S]*\|"}
"""Of ``#system|value``, open: a hash has no ``|``, and the day of one has one."""

_OPEN = {"seal": {"$exists": False}}


async def seal_everything(connection: Connection, vault: Vault) -> None:
    """Seal resources, their search values and claims, calendar days, history, remembered answers and secrets."""
    for type_ in sorted(SEALED_TYPES):
        collection = connection.collection(type_)
        async for batch in _batches(collection, _OPEN | {"body": {"$ne": b""}}):
            await collection.bulk_write([_current(vault, type_, one) for one in batch], ordered=False)
    history = connection.collection(HISTORY)
    async for batch in _batches(history, _OPEN | {"type": {"$in": sorted(SEALED_TYPES)}, "body": {"$ne": b""}}):
        await history.bulk_write([_old(vault, one) for one in batch], ordered=False)
    for type_ in HOLDERS:
        await _claims(connection.collection(type_), vault)
    await _days(connection, vault)
    await _answers(connection, vault)
    await _secrets(connection, vault)
    await connection.collection(GUARDS).delete_many({"_id": {"$type": "string"}})


async def _batches(collection: Any, where: Document) -> AsyncIterator[list[Document]]:
    """Documents in order of id, some at a time."""
    first: Document = {}
    while True:
        found = await collection.find({"$and": [where, first]}, sort=[("_id", 1)], limit=BATCH).to_list(None)
        if not found:
            return
        yield found
        first = {"_id": {"$gt": found[-1]["_id"]}}


def _current(vault: Vault, type_: str, one: Document) -> UpdateOne:
    closed = vault.current(type_, {"_id": one["_id"], "v": one["v"], "body": one["body"], "idx": one["idx"]})
    change = {name: closed[name] for name in ("body", "seal", "idx")}
    change |= {
        name: vault.sealer.hashed(domain, one[name])
        for name, domain in (("placer", PLACER), ("placed", PLACED))
        if isinstance(one.get(name), str)
    }
    return UpdateOne({"_id": one["_id"], "v": one["v"], **_OPEN}, {"$set": change})


def _old(vault: Vault, one: Document) -> UpdateOne:
    closed = vault.old({"type": one["type"], "id": one["id"], "v": one["v"], "body": one["body"]})
    return UpdateOne({"_id": one["_id"], **_OPEN}, {"$set": {"body": closed["body"], "seal": closed["seal"]}})


async def _claims(holders: Any, vault: Vault) -> None:
    async for batch in _batches(holders, {"claim.key": _LOGICAL_KEY}):
        for one in batch:
            claim = _sealed_claim(vault, one["claim"])
            await holders.update_one({"_id": one["_id"], "v": one["v"]}, {"$set": {"claim": claim}})


def _sealed_claim(vault: Vault, claim: list[Document]) -> list[Document]:
    """In order of the keys, as a booking writes it."""
    sealed = [{**one, "key": vault.calendar_key(one["key"])} for one in claim]
    return sorted(sealed, key=lambda one: str(one["key"]))


async def _days(connection: Connection, vault: Vault) -> None:
    """Calendar days of logical references get another id: the copy is there before the open one goes."""
    days = connection.collection(CALENDAR)
    async for batch in _batches(days, {"_id": _LOGICAL_DAY}):
        copies = [one | {"_id": _sealed_day(vault, one["_id"])} for one in batch]
        await days.bulk_write([ReplaceOne({"_id": one["_id"]}, one, upsert=True) for one in copies], ordered=False)
        await days.delete_many({"_id": {"$in": [one["_id"] for one in batch]}})


def _sealed_day(vault: Vault, id_: str) -> str:
    key, day = id_.rsplit("|", 1)
    return f"{vault.calendar_key(key)}|{day}"


async def _answers(connection: Connection, vault: Vault) -> None:
    answers = connection.collection(IDEMPOTENCY)
    async for batch in _batches(answers, {"sealed": {"$exists": False}}):
        for one in batch:
            answer = Remembered(one["_id"], one["fingerprint"], one["status"], one["headers"], one["body"])
            opened = dict.fromkeys(("fingerprint", "status", "headers", "body"), "")
            change = {"$set": {"sealed": sealed(vault.sealer, answer)}, "$unset": opened}
            await answers.update_one({"_id": one["_id"]}, change)


async def _secrets(connection: Connection, vault: Vault) -> None:
    secrets = connection.collection(SECRETS)
    async for batch in _batches(secrets, {"sealed": {"$exists": False}}):
        for one in batch:
            value = vault.sealer.seal_bytes(f"{SECRETS}/{one['_id']}", bytes(one["value"]))
            await secrets.update_one({"_id": one["_id"]}, {"$set": {"sealed": value}, "$unset": {"value": ""}})

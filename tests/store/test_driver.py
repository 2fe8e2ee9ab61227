"""The seam: what the two drivers do differently looks the same from above it."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from fhir_server.remote import kms
from fhir_server.settings import Settings
from fhir_server.store.database import Store, open_store
from fhir_server.store.driver import ExecutionTimeout, OperationFailure
from tests.builders.search import DEFINITIONS


async def test_a_transaction_that_is_not_committed_never_was(store: Store) -> None:
    things = store.connection.collection("guards")
    name = uuid.uuid4().hex
    async with store.connection.transaction() as session:
        await things.insert_one({"_id": name}, session=session)
    assert await things.find_one({"_id": name}) is None
    async with store.connection.transaction() as session:
        await things.insert_one({"_id": name}, session=session)
        assert await things.find_one({"_id": name}) is None
        await session.commit_transaction()
    assert await things.find_one({"_id": name}) == {"_id": name}


async def test_aggregate_gives_all_documents(store: Store) -> None:
    name = uuid.uuid4().hex
    await store.connection.collection("guards").insert_many(
        [{"_id": f"{name}{at}", "group": name} for at in range(300)]
    )
    stages = [{"$match": {"group": name}}, {"$project": {"_id": 1}}]
    assert len(await store.connection.aggregate("guards", stages)) == 300


async def test_a_snapshot_sees_one_moment(store: Store) -> None:
    things = store.connection.collection("guards")
    name = uuid.uuid4().hex
    await things.insert_one({"_id": name, "n": 1})
    async with store.connection.snapshot() as session:
        assert (await things.find_one({"_id": name}, session=session))["n"] == 1
        await things.update_one({"_id": name}, {"$set": {"n": 2}})
        assert (await things.find_one({"_id": name}, session=session))["n"] == 1
    assert (await things.find_one({"_id": name}))["n"] == 2


async def test_writes_are_durable_and_reads_see_what_a_majority_has(store: Store) -> None:
    database = store.connection.database
    assert database.write_concern.document == {"w": "majority", "j": True, "wtimeout": 10_000}
    assert database.read_concern.level == "majority"


async def _written(things: Any, name: str, number: int) -> bool:
    """Whether a document can be written, which waits while a transaction holds it."""
    try:
        await things.find_one_and_update({"_id": name}, {"$set": {"n": number}}, maxTimeMS=100)
    except ExecutionTimeout:
        return False
    return True


async def test_what_a_dead_process_left_open_is_ended(store: Store) -> None:
    things = store.connection.collection("guards")
    name = uuid.uuid4().hex
    await things.insert_one({"_id": name, "n": 1})
    async with store.connection.transaction() as session:
        await things.update_one({"_id": name}, {"$set": {"n": 2}}, session=session)
        assert await store.connection.reap(60) == 0
        while not await _written(things, name, 3):
            await store.connection.reap(0.05)
        # Nobody holds the document any more, and the transaction finds that it is over.
        with pytest.raises(OperationFailure) as over:
            await session.commit_transaction()
        assert over.value.has_error_label("TransientTransactionError")
    assert (await things.find_one({"_id": name}))["n"] == 3


async def test_two_processes_may_prepare_at_once(store: Store, settings: Settings) -> None:
    name = f"{settings.mongo_database}_{uuid.uuid4().hex[:6]}"
    changed = settings.model_copy(update={"mongo_driver": store.connection.driver, "mongo_database": name})
    stores = [open_store(changed, kms.of(settings.keys), DEFINITIONS) for _ in range(4)]
    try:
        await asyncio.gather(*(one.prepare() for one in stores))
        assert await stores[0].ready()
        walls = await stores[1].connection.collection("Slot").index_information()
        assert walls["wall_1"]["unique"]
    finally:
        await stores[0].connection.client.drop_database(name)
        for one in stores:
            await one.close()

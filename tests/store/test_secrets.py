"""Secrets of a database: one value a name, whoever asks first."""

from __future__ import annotations

import asyncio
import uuid

from fhir_server.store.database import Store
from fhir_server.store.secrets import SECRETS, Secrets


async def test_all_processes_have_the_same_secret(store: Store) -> None:
    name = uuid.uuid4().hex
    processes = [Secrets(store.connection, store.sealer) for _ in range(12)]
    values = await asyncio.gather(*(one.get(name, 32) for one in processes))
    assert len(set(values)) == 1
    assert len(values[0]) == 32
    assert await Secrets(store.connection, store.sealer).get(name, 32) == values[0]
    assert await store.connection.collection(SECRETS).count_documents({"_id": name}) == 1


async def test_every_name_has_its_own(store: Store) -> None:
    first, second = uuid.uuid4().hex, uuid.uuid4().hex
    assert await store.secrets.get(first, 64) != await store.secrets.get(second, 64)


async def test_a_secret_is_asked_for_once(store: Store) -> None:
    name = uuid.uuid4().hex
    value = await store.secrets.get(name, 16)
    await store.connection.collection(SECRETS).delete_one({"_id": name})
    assert await store.secrets.get(name, 16) == value

"""The catalogue's epoch: nobody remembers anything while a write is under way, and everything anew after it."""

from __future__ import annotations

import asyncio
import time

import pytest

from fhir_server.store.database import Store
from fhir_server.store.epoch import ANNOUNCED_SECONDS, EPOCH


async def test_a_write_moves_the_epoch_on_and_hides_it_meanwhile(store: Store) -> None:
    async with store.epoch.moving("Schedule"):
        pass
    before = await store.epoch.current()
    async with store.epoch.moving("Schedule"):
        assert await store.epoch.current() is None
        async with store.epoch.moving("Location"):
            pass
        assert await store.epoch.current() is None
    after = await store.epoch.current()
    assert before is not None
    assert after is not None
    assert after > before


async def test_a_write_that_fails_moves_it_on_too(store: Store) -> None:
    before = await store.epoch.current() or 0

    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with store.epoch.moving("Schedule"):
            await fail()
    assert (await store.epoch.current() or 0) > before


async def test_what_the_catalogue_does_not_hold_moves_nothing(store: Store) -> None:
    async with store.epoch.moving("Schedule"):
        pass
    before = await store.epoch.current()
    async with store.epoch.moving("Patient"):
        assert await store.epoch.current() == before
    assert await store.epoch.current() == before


async def test_many_writers_at_once_end_in_a_present(store: Store) -> None:
    async def write() -> None:
        async with store.epoch.moving("Practitioner"):
            await asyncio.sleep(0.001)

    await asyncio.gather(*(write() for _ in range(20)))
    assert await store.epoch.current() is not None


async def test_a_writer_that_died_is_forgotten(store: Store) -> None:
    async with store.epoch.moving("Schedule"):
        pass
    before = await store.epoch.current()
    assert before is not None
    long_ago = time.time() - ANNOUNCED_SECONDS - 1
    await store.connection.collection(EPOCH).update_one({"_id": "catalogue"}, {"$set": {"announced.dead": long_ago}})
    assert await store.epoch.current() is None
    after = await store.epoch.current()
    assert after is not None
    assert after > before

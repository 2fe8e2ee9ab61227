"""A rotation seals everything under a new key: resumable, while others write, and it retires no key too early."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from fhir_server.remote import kms
from fhir_server.settings import Settings
from fhir_server.store import resealing
from fhir_server.store.database import Store, open_store
from fhir_server.store.keys import KEYS
from fhir_server.store.resealing import ROTATION, rotate, use
from fhir_server.store.resources import Stored
from tests.builders.search import DEFINITIONS

DOCUMENTS = 60


def _silent(_: int) -> None:
    return


def _body(id_: str, version: int) -> bytes:
    return f'{{"resourceType":"Patient","id":"{id_}","version":{version}}}'.encode()


def _patient(number: int, version: int = 1) -> Stored:
    id_ = f"{number:03}"
    return Stored("Patient", id_, version, 1000 * version, False, _body(id_, version), {"method": "PUT"})


@pytest_asyncio.fixture(loop_scope="session")
async def servers(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Store, Store]]:
    """Two processes on a database of some patients, each with an old version."""
    monkeypatch.setattr(resealing, "BATCH", 7)
    name = f"{settings.mongo_database}_{uuid.uuid4().hex[:6]}"
    changed = settings.model_copy(update={"mongo_database": name})
    made = [open_store(changed, kms.of(settings.keys), DEFINITIONS) for _ in "ab"]
    for one in made:
        await one.prepare()
    for number in range(DOCUMENTS):
        await made[0].resources.insert(_patient(number), {"family": ["x"]})
        await made[0].resources.replace(_patient(number), _patient(number, 2), {"family": ["x"]})
    yield made[0], made[1]
    await made[0].connection.client.drop_database(name)
    for one in made:
        await one.close()


async def _all_readable(store: Store) -> None:
    for number in range(DOCUMENTS):
        current = await store.resources.get("Patient", f"{number:03}")
        assert current
        for version in range(1, current.version + 1):
            found = await store.resources.version("Patient", current.id, version)
            assert found
            assert found.body == _body(current.id, version)


async def test_everything_is_sealed_under_the_new_key(servers: tuple[Store, Store]) -> None:
    store, other = servers
    before = store.sealer.primary
    documents = await store.connection.collection("Patient").find({}, {"idx": 1, "v": 1, "at": 1}).to_list(None)
    done = await rotate(store, _silent, settle=0)
    assert (done.resealed, done.retired, done.resumed) == (2 * DOCUMENTS, 1, False)
    assert await use(store) == {done.primary: 2 * DOCUMENTS}
    assert done.primary != before
    again = await store.connection.collection("Patient").find({}, {"idx": 1, "v": 1, "at": 1}).to_list(None)
    assert again == documents, "no version, time or search value changes"
    await _all_readable(store)
    await _all_readable(other)


async def test_a_rotation_that_was_killed_goes_on(servers: tuple[Store, Store]) -> None:
    store, other = servers

    class Killed(Exception):  # noqa: N818
        pass

    seen = 0

    def die(steps: int) -> None:
        nonlocal seen
        seen += steps
        if seen > DOCUMENTS // 2:
            raise Killed

    with pytest.raises(Killed):
        await rotate(store, die, settle=0)
    await _all_readable(store)
    await _all_readable(other)
    assert len(await use(store)) == 2
    left = await resealing.count(store)
    done = await rotate(other, _silent, settle=0)
    assert done.resumed
    assert done.resealed == left < 2 * DOCUMENTS
    assert await use(store) == {done.primary: 2 * DOCUMENTS}
    assert len([one for one in await store.keys.state() if one.retired is None]) == 1
    assert await store.connection.collection(KEYS).find_one({"_id": ROTATION}) is None
    await _all_readable(store)


async def test_servers_write_while_keys_rotate(servers: tuple[Store, Store]) -> None:
    """One that does not know of the new key yet writes under the old one: the next walk finds it."""
    store, other = servers
    paused = asyncio.Event()

    async def write() -> None:
        for version in (3, 4, 5):
            for number in range(0, DOCUMENTS, 3):
                before = await other.resources.get("Patient", f"{number:03}")
                assert before
                assert await other.resources.replace(before, _patient(number, version), {})
        await paused.wait()
        before = await other.resources.get("Patient", "000")
        assert before
        assert await other.resources.replace(before, replace(_patient(0, 6)), {})

    async def pause(_: float) -> None:
        paused.set()
        await asyncio.sleep(0.05)

    writer = asyncio.create_task(write())
    done = await rotate(store, _silent, settle=1.5, pause=pause)
    await writer
    assert set(await use(store)) == {done.primary}
    assert (await other.resources.get("Patient", "000")).version == 6  # type: ignore[union-attr]
    await _all_readable(store)
    await _all_readable(other)


async def test_retired_keys_are_forgotten_a_day_later_if_nothing_needs_them(servers: tuple[Store, Store]) -> None:
    store, _ = servers
    first = store.sealer.primary
    late = await store.connection.collection("Patient").find_one({"_id": "001"})
    await rotate(store, _silent, settle=0)
    await rotate(store, _silent, settle=0)
    assert len(await store.keys.state()) == 3, "too early"
    old = {f"keys.{one.id}.retired": 1 for one in await store.keys.state() if one.retired}
    await store.connection.collection(KEYS).update_one({"_id": "ring"}, {"$set": old})
    # A process that stood still since before the rotations writes at last.
    await store.connection.collection("Patient").replace_one({"_id": "001"}, late)
    done = await rotate(store, _silent, settle=0)
    assert done.forgotten == 1
    assert first in {one.id for one in await store.keys.state()}
    await _all_readable(store)
    assert set(await use(store)) == {done.primary}
    await rotate(store, _silent, settle=0)
    assert first not in {one.id for one in await store.keys.state()}
    await _all_readable(store)


async def test_what_does_not_open_is_named_and_retires_nothing(servers: tuple[Store, Store]) -> None:
    store, _ = servers
    stolen = await store.connection.collection("Patient").find_one({"_id": "001"})
    await store.connection.collection("Patient").update_one({"_id": "002"}, {"$set": {"body": stolen["body"]}})
    done = await rotate(store, _silent, settle=0)
    assert done.unreadable == ["Patient/002"]
    assert (done.retired, done.resealed) == (0, 2 * DOCUMENTS - 1)
    assert not [one for one in await store.keys.state() if one.retired]

"""Stored resources: bytes as they were given, versions one after the other, history without gaps."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace

import pytest

from fhir_server.store.database import Store
from fhir_server.store.driver import DuplicateKeyError
from fhir_server.store.history import History, Window
from fhir_server.store.resources import Stored
from fhir_server.store.search_indexes import indexes

WHOLE = Window()
BODY = b'{"resourceType":"Patient","weight":1.500}'


def _patient(id_: str, version: int = 1, *, deleted: bool = False) -> Stored:
    return Stored("Patient", id_, version, 1_000 * version, deleted, b"" if deleted else BODY, {"method": "PUT"})


async def _versions(store: Store, id_: str, window: Window = WHOLE, **options: int) -> list[int]:
    current = await store.resources.get("Patient", id_)
    assert current
    return [one.version for one in await History(store.resources).of(current, window, **options)]


async def _of_type(store: Store, id_: str) -> list[Stored]:
    return [one for one in await History(store.resources).page(["Patient"], Window(), None, 1_000) if one.id == id_]


async def test_bytes_in_bytes_out(store: Store) -> None:
    id_ = uuid.uuid4().hex
    assert await store.resources.insert(_patient(id_), {"family": ["a"]})
    assert await store.resources.get("Patient", id_) == _patient(id_)
    assert not await store.resources.insert(_patient(id_), {})


async def test_one_of_many_replaces_a_version(store: Store) -> None:
    id_ = uuid.uuid4().hex
    first = _patient(id_)
    await store.resources.insert(first, {})
    done = await asyncio.gather(
        *(store.resources.replace(first, replace(_patient(id_, 2), at=at), {}) for at in range(2_000, 2_010))
    )
    assert sum(done) == 1
    assert await _versions(store, id_) == [2, 1]


async def test_history_is_newest_first_by_pages(store: Store) -> None:
    id_ = uuid.uuid4().hex
    await store.resources.insert(_patient(id_), {})
    for version in range(1, 13):
        after = _patient(id_, version + 1, deleted=version == 6)
        assert await store.resources.replace(_patient(id_, version, deleted=version == 7), after, {})
    assert await _versions(store, id_) == list(range(13, 0, -1))
    assert await _versions(store, id_, limit=3) == [13, 12, 11]
    assert await _versions(store, id_, below=11, limit=3) == [10, 9, 8]
    assert await _versions(store, id_, Window(since=11_000)) == [13, 12, 11]
    current = await store.resources.get("Patient", id_)
    assert current
    assert await History(store.resources).count_of(current, Window(), 100) == 13
    old = await store.resources.version("Patient", id_, 7)
    assert old
    assert old.deleted
    assert await store.resources.version("Patient", id_, 14) is None
    assert await store.resources.version("Patient", id_ + "x", 1) is None


async def test_a_version_that_was_kept_and_not_replaced_shows_once(store: Store) -> None:
    """A process that dies between the two writes of an update leaves a copy of the current version in history."""
    id_ = uuid.uuid4().hex
    await store.resources.insert(_patient(id_), {})
    await store.resources._keep(_patient(id_), 2_000)
    assert await _versions(store, id_) == [1]
    assert await History(store.resources).count_of(_patient(id_), Window(), 100) == 1
    assert [one.version for one in await _of_type(store, id_)] == [1]
    assert await store.resources.replace(_patient(id_), _patient(id_, 2), {})
    assert await _versions(store, id_) == [2, 1]
    assert [one.version for one in await _of_type(store, id_)] == [2, 1]


@pytest.mark.parametrize(("type_", "field"), [("Slot", "wall"), ("Appointment", "placer")])
async def test_unique_keys_are_walls(store: Store, type_: str, field: str) -> None:
    key = uuid.uuid4().hex
    one = Stored(type_, uuid.uuid4().hex, 1, 1, False, b"{}", {field: key})
    assert await store.resources.insert(one, {})
    with pytest.raises(DuplicateKeyError):
        await store.resources.insert(replace(one, id=uuid.uuid4().hex), {})
    # Without the key there is no wall.
    assert await store.resources.insert(replace(one, id=uuid.uuid4().hex, extra={}), {})
    assert await store.resources.insert(replace(one, id=uuid.uuid4().hex, extra={}), {})


@pytest.mark.parametrize("type_", ["Appointment", "Patient", "Slot", "Schedule", "Practitioner", "Location"])
async def test_indexed_searches_do_not_read_the_whole_collection(store: Store, type_: str) -> None:
    for keys in indexes()[type_]:
        field, kind = keys[0]
        if kind == "2dsphere":
            continue
        plan = await store.connection.collection(type_).find({field: "x"}).explain()
        assert "IXSCAN" in str(plan["queryPlanner"]["winningPlan"]), field

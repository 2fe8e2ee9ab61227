"""Histories of types: merged from current and old versions, in pages that neither lose nor repeat a version."""

from __future__ import annotations

import random
import uuid
from itertools import pairwise
from typing import Any

import pytest

from fhir_server.errors import NewerDataError
from fhir_server.fhir.types import RESOURCE_TYPES
from fhir_server.store import layout
from fhir_server.store.database import Store
from fhir_server.store.history import FOREVER, History, Place, Window
from fhir_server.store.layout import LAYOUT
from fhir_server.store.resources import HISTORY, Stored

TYPES = ["Flag", "Group", "Patient"]


def _at(type_: str, id_: str, version: int, at: int, *, deleted: bool = False) -> Stored:
    return Stored(type_, id_, version, at, deleted, b"" if deleted else b"{}", {"method": "PUT"})


async def _written(store: Store, base: int, seed: int) -> list[Stored]:
    """Some resources of three types with the same ids, many versions in few milliseconds; all that was written."""
    rng = random.Random(seed)
    name = uuid.uuid4().hex[:6]
    every: list[Stored] = []
    for type_ in TYPES:
        for suffix in ("", "-1", ".a", "0"):
            at, before = base + rng.randrange(4), None
            for version in range(1, rng.randrange(2, 7)):
                after = _at(type_, f"{name}{suffix}", version, at, deleted=version > 1 and rng.random() < 0.2)
                if before is None:
                    assert await store.resources.insert(after, {})
                else:
                    assert await store.resources.replace(before, after, {})
                every.append(after)
                before, at = after, at + rng.randrange(3)
    return every


async def _walk(store: Store, types: list[str], window: Window, size: int) -> list[Place]:
    found: list[Place] = []
    after: Place | None = None
    while True:
        page = await History(store.resources).page(types, window, after, size + 1)
        found += [Place.of(one) for one in page[:size]]
        if len(page) <= size:
            return found
        after = found[-1]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
async def test_a_walk_meets_every_version_once_in_order(store: Store, seed: int, size: int) -> None:
    base = 10**12 + 10_000 * (seed * 100 + size)
    every = await _written(store, base, seed)
    for types in (TYPES, ["Group"]):
        wanted = sorted((Place.of(one) for one in every if one.type in types), reverse=True)
        window = Window(since=base, high=base + 10_000)
        assert await _walk(store, types, window, size) == wanted
        assert await History(store.resources).count(types, window, 1_000) == len(wanted)
        assert await _walk(store, types, Window(since=base + 3, high=base + 10_000), size) == [
            one for one in wanted if one.at >= base + 3
        ]


async def test_a_count_stops(store: Store) -> None:
    base = 2 * 10**12
    every = await _written(store, base, 1)
    assert await History(store.resources).count(TYPES, Window(since=base), 3) == 4
    assert len(every) > 4


async def test_what_was_current_at_a_time(store: Store) -> None:
    base = 10**12 + 5 * 10**8
    name = uuid.uuid4().hex
    versions = [
        _at("Device", name, 1, base + 10),
        _at("Device", name, 2, base + 20),
        _at("Device", name, 3, base + 30, deleted=True),
        _at("Device", name, 4, base + 40),
    ]
    await store.resources.insert(versions[0], {})
    for before, after in pairwise(versions):
        assert await store.resources.replace(before, after, {})

    async def at(low: int, high: int) -> list[int]:
        window = Window(low=base + low, high=base + high)
        found = [one for one in await History(store.resources).page(["Device"], window, None, 99) if one.id == name]
        assert found == [one for one in await History(store.resources).of(versions[3], window) if one.id == name]
        return [one.version for one in found]

    assert await at(0, 10) == []
    assert await at(10, 11) == [1]
    assert await at(19, 20) == [1]
    assert await at(19, 21) == [2, 1]
    assert await at(25, 35) == [3, 2]
    assert await at(33, 36) == []
    assert await at(50, 60) == [4]
    assert await at(5, 99) == [4, 3, 2, 1]


async def test_revived_versions_are_known(store: Store) -> None:
    name = uuid.uuid4().hex
    versions = [_at("Device", name, number, number, deleted=number == 2) for number in (1, 2, 3, 4)]
    await store.resources.insert(versions[0], {})
    for before, after in pairwise(versions):
        assert await store.resources.replace(before, after, {})
    assert await History(store.resources).revived(versions) == {Place.of(versions[2])}


@pytest.mark.parametrize("types", [["Patient"], TYPES, list(RESOURCE_TYPES)])
async def test_pages_walk_indexes(store: Store, types: list[str]) -> None:
    """Old versions come sorted out of their index; so do current ones."""
    asked: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
    rows = store.resources.rows

    class Recorded:
        async def rows(self, collection: str, where: Any, **options: Any) -> Any:
            asked.append((collection, where, options))
            return await rows(collection, where, **options)

    after = Place(10**12, "x", 3, "Group")
    for window in (Window(), Window(since=5, low=7, high=FOREVER - 1)):
        for place in (None, after):
            await History(Recorded()).page(types, window, place, 10)  # type: ignore[arg-type]
    assert len(asked) == 4 * (len(types) + 1)
    for collection, where, options in asked:
        cursor = store.connection.collection(collection).find(where, sort=options["sort"], limit=options["limit"])
        plan = str((await cursor.explain())["queryPlanner"]["winningPlan"])
        assert "IXSCAN" in plan, (collection, where)
        assert "COLLSCAN" not in plan
        assert "'SORT'" not in plan, (collection, where)


async def test_data_of_layout_1_is_completed(store: Store) -> None:
    name = uuid.uuid4().hex
    for suffix in ("", "-1"):
        versions = [_at("Device", name + suffix, number, 10 * number) for number in (1, 2, 3)]
        await store.resources.insert(versions[0], {})
        for before, after in pairwise(versions):
            assert await store.resources.replace(before, after, {})
    history = store.connection.collection(HISTORY)
    mine = {"id": {"$in": [name, name + "-1"]}}
    whole = await history.find(mine, sort=[("_id", 1)]).to_list(None)
    assert [(one["v"], one["until"]) for one in whole] == [(1, 20), (2, 30)] * 2
    ids = {"_id": {"$in": [one["_id"] for one in whole]}}
    await history.update_many(ids, {"$unset": {"type": "", "id": "", "v": "", "until": ""}})
    marker = store.connection.collection(layout.COLLECTION)
    await marker.update_one({"_id": "layout"}, {"$set": {"number": 1}})
    assert await store.prepare(), "search values are to be made anew"
    assert await history.find(ids, sort=[("_id", 1)]).to_list(None) == whole
    await store.reindexed()
    assert not await store.prepare()
    assert (await marker.find_one({"_id": "layout"}))["number"] == LAYOUT


async def test_newer_data_are_left_alone(store: Store) -> None:
    marker = store.connection.collection(layout.COLLECTION)
    await marker.update_one({"_id": "layout"}, {"$set": {"number": LAYOUT + 1}})
    with pytest.raises(NewerDataError):
        await store.prepare()
    await marker.update_one({"_id": "layout"}, {"$set": {"number": LAYOUT}})

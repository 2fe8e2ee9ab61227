"""Replace the data key: a new one seals from now on, what others sealed is sealed anew, and servers go on meanwhile.

No version changes and nothing is locked: a document is written where its version and its key are still those read.
Servers seal under the old key for ``FRESH_SECONDS`` at most; so the collections are walked until a walk finds nothing
and that time is over. The place is noted in the collection ``keys``: a rotation that was stopped goes on from there.

Then the old keys are retired. They still open, for a server that stood still in the middle of a write; the first
rotation a day later forgets them, if nothing is sealed under them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from pymongo import UpdateOne

from fhir_server.fhir.types import SEALED_TYPES
from fhir_server.store.database import Store
from fhir_server.store.driver import Document
from fhir_server.store.keys import FRESH_SECONDS, KEYS
from fhir_server.store.sealing import SealError
from fhir_server.store.vault import HISTORY

ROTATION = "rotation"
COLLECTIONS = (*sorted(SEALED_TYPES), HISTORY)
BATCH = 200
SETTLE_SECONDS = 2 * FRESH_SECONDS
FORGET_MS = 24 * 3600 * 1000

Progress = Callable[[int], None]


@dataclass(slots=True)
class Rotation:
    """What a rotation did; ``unreadable`` are references without content. With one of those no key is retired."""

    primary: str
    resumed: bool
    resealed: int = 0
    retired: int = 0
    forgotten: int = 0
    unreadable: list[str] = field(default_factory=list)


async def rotate(
    store: Store,
    progress: Progress,
    *,
    settle: float = SETTLE_SECONDS,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Rotation:
    """Make a new primary key and seal everything under it, or go on with a rotation that was stopped.

    :param progress: called with how many documents were looked at since the last call.
    :param settle: seconds after which every server seals under the new key.
    """
    place = store.connection.collection(KEYS)
    state = await place.find_one({"_id": ROTATION})
    done = Rotation(store.sealer.primary, resumed=bool(state))
    if state is None or state["target"] != store.sealer.primary:
        done.forgotten = await _forget(store)
        state = {"_id": ROTATION, "target": await store.keys.renew(), "began": _now(), "collection": "", "after": ""}
        await place.replace_one({"_id": ROTATION}, state, upsert=True)
    done.primary = state["target"]
    began = state["began"]
    while True:
        found = await _walk(store, place, done, progress)
        left = began / 1000 + settle - time.time()
        if not found and left <= 0:
            break
        if not found:
            await pause(left)
    if not done.unreadable:
        done.retired = await store.keys.retire(done.primary, _now())
    await place.delete_one({"_id": ROTATION})
    return done


async def count(store: Store) -> int:
    """Documents that the next rotation has to seal, or that one that was stopped has left."""
    state = await store.connection.collection(KEYS).find_one({"_id": ROTATION})
    done = state["target"] if state else ""
    return sum(number for id_, number in (await use(store)).items() if id_ != done)


async def is_stopped(store: Store) -> bool:
    """Whether a rotation has begun and is not over."""
    return await store.connection.collection(KEYS).find_one({"_id": ROTATION}) is not None


async def use(store: Store) -> dict[str, int]:
    """By key id, how many documents are sealed under it."""
    found: dict[str, int] = {}
    stages: list[Document] = [{"$sort": {"_id": 1}}, {"$group": {"_id": "$seal", "n": {"$sum": 1}}}]
    for name in COLLECTIONS:
        for one in await store.connection.aggregate(name, stages):
            if one["_id"] is not None:
                found[one["_id"]] = found.get(one["_id"], 0) + one["n"]
    return found


async def _walk(store: Store, place: Any, done: Rotation, progress: Progress) -> int:
    """One walk over all collections, from where the last one was stopped; how many documents were sealed anew."""
    state = await place.find_one({"_id": ROTATION})
    start, after, found = state["collection"], state["after"], 0
    unreadable: list[str] = []
    for name in COLLECTIONS[COLLECTIONS.index(start) if start else 0 :]:
        async for batch in _batches(store, name, done.primary, after if name == start else ""):
            found += await _reseal(store, name, batch, unreadable)
            progress(len(batch))
            await place.update_one({"_id": ROTATION}, {"$set": {"collection": name, "after": batch[-1]["_id"]}})
    await place.update_one({"_id": ROTATION}, {"$set": {"collection": "", "after": ""}})
    done.unreadable = unreadable
    done.resealed += found
    return found


async def _batches(store: Store, name: str, primary: str, after: str) -> AsyncIterator[list[Document]]:
    """Documents that another key sealed, in order of id."""
    collection = store.connection.collection(name)
    fields = {"v": 1, "body": 1, "seal": 1}
    while True:
        where = {"_id": {"$gt": after}, "seal": {"$exists": True, "$ne": primary}}
        found = await collection.find(where, fields, sort=[("_id", 1)], limit=BATCH).to_list(None)
        if not found:
            return
        yield found
        after = found[-1]["_id"]


async def _reseal(store: Store, name: str, batch: list[Document], unreadable: list[str]) -> int:
    sealer, writes = store.sealer, []
    for one in batch:
        type_, id_ = one["_id"].split("/")[:2] if name == HISTORY else (name, one["_id"])
        try:
            body = sealer.open(type_, id_, one["v"], one["body"])
        except SealError:
            unreadable.append(f"{type_}/{id_}")
            continue
        change = {"$set": {"body": sealer.seal(type_, id_, one["v"], body), "seal": sealer.primary}}
        writes.append(UpdateOne({"_id": one["_id"], "v": one["v"], "seal": one["seal"]}, change))
    if writes:
        await store.connection.collection(name).bulk_write(writes, ordered=False)
    return len(writes)


async def _forget(store: Store) -> int:
    """Drop keys that were retired long ago, unless something is sealed under them after all."""
    old = [one.id for one in await store.keys.state() if one.retired is not None and one.retired < _now() - FORGET_MS]
    if not old:
        return 0
    needed: set[str] = set()
    for name in COLLECTIONS:
        for id_ in old:
            where = {"seal": id_}
            if await store.connection.collection(name).find_one(where, {"_id": 1}, sort=[("_id", 1)]):
                needed.add(id_)
    dropped = set(old) - needed
    await store.keys.forget(dropped)
    return len(dropped)


def _now() -> int:
    return time.time_ns() // 1_000_000

"""Versions over time: of one resource, of a type, of the whole system, newest first.

A current version lies in its type's collection, every older one in ``history``: ``{_id, type, id, v, at, until,
deleted, body, method}`` with ``until``, when it was replaced (ms). A page is one indexed query a collection, merged
here in the order of :class:`Place`. Current versions are read first: one that is replaced meanwhile is then found in
``history``. A copy of a version that is also current, left by a process that died in the middle of an update, is left
out of pages; a count of several resources has it until the next update of that one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pymongo import IndexModel, UpdateOne

from fhir_server.store.driver import Connection
from fhir_server.store.resources import BATCH, BESIDE, HISTORY, Resources, Stored, history_id, old, stored

FOREVER = 2**53
_FIELDS = {"v": 1, "at": 1, "deleted": 1, "body": 1, "method": 1, **dict.fromkeys(BESIDE, 1)}
INDEX = IndexModel([("type", 1), ("at", -1), ("id", -1), ("v", -1), ("until", 1)])


@dataclass(frozen=True, slots=True)
class Window:
    """Which versions, in milliseconds: written at ``since`` or later, and current at some time in ``[low, high)``.

    A deletion is no state that could be current: its marker belongs to ``[low, high)`` when it happened then.
    ``about``: by type, a filter on the fields beside the body, which old versions have too; types that are absent have
    none.
    """

    since: int = 0
    low: int = 0
    high: int = FOREVER
    about: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    def has(self, current: Stored) -> bool:
        return self.since <= current.at < self.high and not (current.deleted and current.at < self.low)

    def current(self) -> dict[str, Any]:
        """The filter for documents of a type."""
        where: dict[str, Any] = {"at": {"$gte": self.since, "$lt": self.high}}
        return where | {"$nor": [{"deleted": True, "at": {"$lt": self.low}}]} if self.low else where

    def old(self) -> dict[str, Any]:
        """The filter for documents of ``history``."""
        return self.current() | {"until": {"$gt": self.low}} if self.low else self.current()


class Place(NamedTuple):
    """Where a version stands in a history; histories go from the greatest to the least."""

    at: int
    id: str
    version: int
    type: str

    @classmethod
    def of(cls, one: Stored) -> Place:
        return cls(one.at, one.id, one.version, one.type)


class History:
    """Reads versions in the transaction of ``resources`` or in none."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def of(self, current: Stored, window: Window, *, below: int = 0, limit: int = 0) -> list[Stored]:
        """Versions of one resource, newest first; ``below`` is exclusive, 0 = from the newest."""
        versions = [current] if (not below or current.version < below) and window.has(current) else []
        top = min(below or current.version, current.version)
        found = await self._resources.rows(
            HISTORY, _range(current, top) | window.old(), sort=[("_id", -1)], limit=limit
        )
        versions += [old(one) for one in found]
        return versions[:limit] if limit else versions

    async def count_of(self, current: Stored, window: Window, most: int) -> int:
        """How many versions of one resource there are, counted to ``most``."""
        older = await self._resources.count_rows(HISTORY, _range(current, current.version) | window.old(), most)
        return older + window.has(current)

    async def page(self, types: Sequence[str], window: Window, after: Place | None, limit: int) -> list[Stored]:
        """At most ``limit`` versions of several types that come after a place."""
        rows: dict[Place, Stored] = {}
        for type_ in types:
            where = window.current() if after is None else _after(window.current(), after, _ties_current(after, type_))
            found = await self._resources.rows(
                type_,
                _both(_not_below(where, rows, limit), window.about.get(type_)),
                sort=[("at", -1), ("_id", -1)],
                limit=limit,
                fields=_FIELDS,
            )
            rows = _newest(rows, (stored(type_, one) for one in found), limit)
        where = window.old() if after is None else _after(window.old(), after, _ties_old(after))
        # Versions that differ in nothing but the type come in no order: one more for each of them.
        found = await self._resources.rows(
            HISTORY,
            _both({"type": _one_of(types)} | _not_below(where, rows, limit), _any_about(types, window)),
            sort=[("at", -1), ("id", -1), ("v", -1)],
            limit=limit + len(types) - 1,
        )
        return list(_newest(rows, (old(one) for one in found), limit).values())

    async def count(self, types: Sequence[str], window: Window, most: int) -> int:
        """How many versions there are, counted to a little more than ``most``."""
        where = _both(window.old() | {"type": _one_of(types)}, _any_about(types, window))
        counted = await self._resources.count_rows(HISTORY, where, most + 1)
        for type_ in types:
            if counted > most:
                break
            where = _both(window.current(), window.about.get(type_))
            counted += await self._resources.count_rows(type_, where, most + 1)
        return counted

    async def revived(self, shown: Iterable[Stored]) -> frozenset[Place]:
        """Which of these versions came after a deletion."""
        before = {history_id(one.type, one.id, one.version - 1): Place.of(one) for one in shown if one.version > 1}
        if not before:
            return frozenset()
        found = await self._resources.rows(HISTORY, {"_id": {"$in": list(before)}, "deleted": True}, fields={"_id": 1})
        return frozenset(before[one["_id"]] for one in found)


def _both(where: dict[str, Any], about: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"$and": [where, about]} if about else where


def _any_about(types: Sequence[str], window: Window) -> dict[str, Any]:
    """The filters of all types together; types without one are let through."""
    narrow = [one for one in types if window.about.get(one)]
    if not narrow:
        return {}
    ways: list[dict[str, Any]] = [{"type": one, **window.about[one]} for one in narrow]
    wide = [one for one in types if one not in narrow]
    return {"$or": [*ways, {"type": _one_of(wide)}] if wide else ways}


def _range(current: Stored, top: int) -> dict[str, Any]:
    """Versions of one resource below ``top``."""
    low, high = (history_id(current.type, current.id, version) for version in (0, top))
    return {"_id": {"$gte": low, "$lt": high}}


def _one_of(types: Sequence[str]) -> Any:
    return types[0] if len(types) == 1 else {"$in": list(types)}


def _ties_old(after: Place) -> list[dict[str, Any]]:
    """Documents of ``history`` as old as a place that do not come after it."""
    same = {"at": after.at, "id": after.id}
    return [
        {"at": after.at, "id": {"$gt": after.id}},
        {**same, "v": {"$gt": after.version}},
        {**same, "v": after.version, "type": {"$gte": after.type}},
    ]


def _ties_current(after: Place, type_: str) -> list[dict[str, Any]]:
    """The same among the documents of a type."""
    least = "$gte" if type_ >= after.type else "$gt"
    return [{"at": after.at, "_id": {"$gt": after.id}}, {"at": after.at, "_id": after.id, "v": {least: after.version}}]


def _after(where: dict[str, Any], after: Place, ties: list[dict[str, Any]]) -> dict[str, Any]:
    """The filter for what comes after a place."""
    at = {**where["at"], "$lt": min(where["at"]["$lt"], after.at + 1)}
    return where | {"at": at, "$nor": [*where.get("$nor", ()), *ties]}


def _not_below(where: dict[str, Any], rows: Mapping[Place, Stored], limit: int) -> dict[str, Any]:
    """The filter without what is older than a whole page of rows that are known."""
    if len(rows) < limit:
        return where
    return where | {"at": {**where["at"], "$gte": max(where["at"]["$gte"], min(rows).at)}}


def _newest(rows: Mapping[Place, Stored], more: Iterable[Stored], limit: int) -> dict[Place, Stored]:
    """The newest of both, each version once, in order."""
    every = {**{Place.of(one): one for one in more}, **rows}
    return {place: every[place] for place in sorted(every, reverse=True)[:limit]}


async def complete(connection: Connection) -> None:
    """Layout 2: give every document of ``history`` the fields ``type``, ``id``, ``v`` and ``until``; again if stopped.

    Versions of one resource lie side by side, so each is replaced by the one read before it, the newest by the current.
    """
    history = connection.collection(HISTORY)
    writes: list[UpdateOne] = []
    newer, at = "", 0
    async for one in history.find({}, {"at": 1}, sort=[("_id", -1)], batch_size=BATCH):
        type_, id_, version = one["_id"].split("/")
        if newer != history_id(type_, id_, int(version) + 1):
            current = await connection.collection(type_).find_one({"_id": id_}, {"at": 1})
            at = current["at"] if current else one["at"]
        fields = {"type": type_, "id": id_, "v": int(version), "until": at}
        writes.append(UpdateOne({"_id": one["_id"], "type": {"$exists": False}}, {"$set": fields}))
        newer, at = one["_id"], one["at"]
        if len(writes) == BATCH:
            await history.bulk_write(writes, ordered=False)
            writes = []
    if writes:
        await history.bulk_write(writes, ordered=False)

"""The outbox: versions from which nothing followed yet carry a mark; what was told is noted in the act that told it.

A mark (``news``) is written with its version, atomically, whether in a transaction or not; so no fact is lost, and a
write costs nothing more. A version that is replaced takes its mark along into ``history``. Whoever relays notes in
``told`` the versions that they take (``_id`` = ``Type/id/version``, unique) in the same transaction as everything that
follows, and takes the marks away: a mark that comes back, because a writer had read the version before, finds the note.

``told``   ``{_id, at: when the version was written (ms), told: when it was told (date; the note goes after a week)}``;
           instead of ``told`` ``waits: true`` while those who are told later were not
``leases`` ``{_id: what, holder, until: date by the database's clock}``
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pymongo import IndexModel, UpdateOne

from fhir_server.fhir.types import RESOURCE_TYPES
from fhir_server.store.driver import Connection, Document, DuplicateKeyError, PyMongoError
from fhir_server.store.resources import HISTORY, NEWS, history_id
from fhir_server.store.unit import Unit

TOLD = "told"
LEASES = "leases"
TOLD_DAYS = 7
"""So long a note stays; a mark comes back within seconds or not at all."""

MARKED = IndexModel([(NEWS, 1), ("at", 1)], partialFilterExpression={NEWS: True})
WAITS = "waits"
COUNTED = 10_000
INDEXES = {
    TOLD: [
        IndexModel([("told", 1)], expireAfterSeconds=TOLD_DAYS * 86400),
        IndexModel([(WAITS, 1), ("at", 1)], partialFilterExpression={WAITS: True}),
    ]
}


@dataclass(frozen=True, slots=True)
class Mark:
    """A version from which nothing has followed yet; ``at`` in milliseconds since the epoch."""

    type: str
    id: str
    version: int
    at: int
    old: bool = False
    """Whether the mark was seen in ``history``."""

    @property
    def fact(self) -> str:
        """The id of the fact: ``Type/id/000000000v``."""
        return history_id(self.type, self.id, self.version)


class LostLeaseError(Exception):
    """Somebody else holds the lease now."""


class Outbox:
    """Marked versions, notes of what was told, and the lease of the one who tells."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def marked(self, types: Iterable[str] = RESOURCE_TYPES, limit: int = 500) -> list[Mark]:
        """Marked versions, in the order in which they are to be told.

        Current versions are read before old ones: of a resource whose newer version was seen, the older one is then
        found in ``history``.
        """
        first = _first(NEWS, limit)
        current = {"v": 1, "at": 1, "id": "$_id"}
        stages = {type_: [*first, {"$project": {**current, "type": {"$literal": type_}}}] for type_ in types}
        stages[HISTORY] = [*first, {"$project": {"v": 1, "at": 1, "id": 1, "type": 1, "old": {"$literal": True}}}]
        rows = await self._connection.union(stages)
        return ordered(Mark(one["type"], one["id"], one["v"], one["at"], one.get("old", False)) for one in rows)

    async def take(
        self, unit: Unit, marks: Sequence[Mark], now: int, later: Collection[str] = frozenset()
    ) -> list[Mark]:
        """Note these versions as told and take their marks away, in the unit; those that were told before are left out.

        :param now: milliseconds since the epoch.
        :param later: types of which somebody is told later; see :meth:`waiting`.
        """
        session = unit.session
        known = await self._connection.collection(TOLD).find(
            {"_id": {"$in": [one.fact for one in marks]}}, {"_id": 1}, session=session
        ).to_list(None)  # fmt: skip
        told = {one["_id"] for one in known}
        fresh = list({one.fact: one for one in marks if one.fact not in told}.values())
        if fresh:
            notes = [
                {"_id": one.fact, "at": one.at, **({WAITS: True} if one.type in later else {"told": _date(now)})}
                for one in fresh
            ]
            await self._connection.collection(TOLD).insert_many(notes, session=session)
        await self.clear(marks, session)
        return fresh

    async def waiting(self, limit: int) -> list[Mark]:
        """Versions of which somebody is yet to be told, in the order in which they are to be told."""
        rows = await self._connection.collection(TOLD).find(
            {WAITS: True}, {"at": 1}, sort=[(WAITS, 1), ("at", 1)], limit=limit
        ).to_list(None)  # fmt: skip
        return ordered(_noted(one) for one in rows)

    async def take_waiting(self, unit: Unit, marks: Sequence[Mark], now: int) -> list[Mark]:
        """Note that everybody was told of these, in the unit; those of whom that is known are left out."""
        notes = self._connection.collection(TOLD)
        where = {"_id": {"$in": [one.fact for one in marks]}, WAITS: True}
        found = await notes.find(where, {"_id": 1}, session=unit.session).to_list(None)
        left = {one["_id"] for one in found}
        await notes.update_many(where, {"$set": {"told": _date(now)}, "$unset": {WAITS: ""}}, session=unit.session)
        return [one for one in marks if one.fact in left]

    async def clear(self, marks: Iterable[Mark], session: Any = None) -> None:
        """Take marks away where they were seen; one that moved on into ``history`` meanwhile is seen again there."""
        operations: dict[str, list[UpdateOne]] = {}
        for one in marks:
            where = {"_id": one.fact} if one.old else {"_id": one.id, "v": one.version}
            operations.setdefault(HISTORY if one.old else one.type, []).append(UpdateOne(where, {"$unset": {NEWS: ""}}))
        for collection, wanted in operations.items():
            await self._connection.collection(collection).bulk_write(wanted, ordered=False, session=session)

    async def lag(self) -> tuple[int, int, int | None]:
        """How many versions are marked, how many wait for the second stage (each counted to ten thousand), and when the
        oldest was written (ms).
        """
        fields = {**dict.fromkeys((*RESOURCE_TYPES, HISTORY), NEWS), TOLD: WAITS}
        rows = await self._connection.union({
            name: [*_first(field, COUNTED), {"$group": {"_id": field, "n": {"$sum": 1}, "at": {"$min": "$at"}}}]
            for name, field in fields.items()
        })  # fmt: skip
        marked, waiting = (
            min(COUNTED, sum(one["n"] for one in rows if one["_id"] == field)) for field in (NEWS, WAITS)
        )
        return marked, waiting, min((one["at"] for one in rows), default=None)

    async def lead(self, what: str, holder: str, seconds: float) -> bool:
        """Take a lease or renew it, by the database's clock; False if somebody else has it."""
        until = {"$add": ["$$NOW", int(seconds * 1000)]}
        free = {"$or": [{"holder": holder}, {"$expr": {"$lt": ["$until", "$$NOW"]}}]}
        leases = self._connection.collection(LEASES)
        taken = await leases.update_one({"_id": what, **free}, [{"$set": {"holder": holder, "until": until}}])
        if taken.matched_count:
            return True
        try:
            # Free at once: the next call, ours or another's, sets its end.
            await leases.insert_one({"_id": what, "holder": holder, "until": _date(0)})
        except DuplicateKeyError:
            return False
        return await self.lead(what, holder, seconds)

    async def resign(self, what: str, holder: str) -> None:
        """Give a lease back, so that the next one need not wait for its end."""
        await self._connection.collection(LEASES).delete_one({"_id": what, "holder": holder})

    async def still_leads(self, unit: Unit, what: str, holder: str) -> None:
        """Let the unit commit only while the lease is ours: whoever takes it meanwhile conflicts with this write.

        :raises LostLeaseError: it is not ours any more.
        """
        done = await self._connection.collection(LEASES).update_one(
            {"_id": what, "holder": holder}, {"$inc": {"n": 1}}, session=unit.session
        )
        if not done.matched_count:
            raise LostLeaseError

    async def changes(self, *collections: str) -> AsyncIterator[str]:
        """Which of these something was written to, as a change stream tells; ends when that breaks.

        It only wakes: what it misses is found by its mark. https://www.mongodb.com/docs/manual/changeStreams/
        """
        wanted = {"operationType": {"$in": ["insert", "replace"]}, "ns.coll": {"$in": list(collections)}}
        pipeline = [{"$match": wanted}, {"$project": {"ns": 1}}]
        opening = self._connection.database.watch(pipeline)
        try:
            async with await opening if self._connection.driver == "pymongo" else opening as stream:
                async for change in stream:
                    yield change["ns"]["coll"]
        except PyMongoError:
            return


def _first(field: str, limit: int) -> list[dict[str, Any]]:
    """Stages: what has this mark, the oldest first."""
    return [{"$match": {field: True}}, {"$sort": {field: 1, "at": 1}}, {"$limit": limit}]


def ordered(marks: Iterable[Mark]) -> list[Mark]:
    """By time of writing, but never a version before the one that it replaced: clocks of processes may differ."""
    latest: dict[tuple[str, str], int] = {}
    keyed = []
    for one in sorted(marks, key=lambda mark: (mark.type, mark.id, mark.version)):
        at = latest[one.type, one.id] = max(one.at, latest.get((one.type, one.id), 0))
        keyed.append((at, one))
    return [one for _, one in sorted(keyed, key=lambda pair: (pair[0], pair[1].type, pair[1].id, pair[1].version))]


def _noted(note: Document) -> Mark:
    type_, id_, version = note["_id"].split("/")
    return Mark(type_, id_, int(version), note["at"])


def _date(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)

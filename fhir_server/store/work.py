"""Work that is due at a time: timers, queues and retries as documents, which no restart and no flushed broker loses.

``{_id: kind/key, kind, key, due: ms, about: ids, n: how often it was planned, state, attempts, …}``

waiting   nobody has it; ``sent`` is when it was last handed to the workers (by the database's clock)
running   a worker has it (``token``) until ``lease`` (by the database's clock)
dead      given up; ``error`` says why; an operator replays it

What is done is deleted. ``due`` is compared with the clock of the world, which development can move; leases and
``sent`` with that of the database. No patient data: ``about`` holds ids.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pymongo import IndexModel, ReturnDocument, UpdateOne

from fhir_server.store.driver import Connection, Document
from fhir_server.store.unit import Unit

WORK = "work"
INDEXES = {WORK: [IndexModel([("state", 1), ("due", 1)]), IndexModel([("kind", 1), ("key", 1)])]}
LEASE_SECONDS = 30
"""Renewed while the work is done; so long after a worker died another one may take it."""

RESEND_SECONDS = 15
"""What was handed out and not begun is handed out again: the broker may have lost it."""


@dataclass(frozen=True, slots=True)
class Task:
    """One piece of work in the hands of one worker; ``due`` in milliseconds since the epoch."""

    kind: str
    key: str
    due: int
    about: Mapping[str, Any]
    attempts: int
    token: str
    planned: int

    @property
    def id(self) -> str:
        return f"{self.kind}/{self.key}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done when; see :meth:`Work.plan`."""

    kind: str
    key: str
    due: int
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dead:
    """Work that was given up."""

    id: str
    kind: str
    key: str
    due: int
    attempts: int
    error: str


class TakenError(Exception):
    """The work is somebody else's now, or was planned anew."""


class Work:
    """The ``work`` collection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._collection = connection.collection(WORK)

    # -- planning ----------------------------------------------------------------------------------------------------

    async def plan(
        self, unit: Unit | None, kind: str, key: str, due: int, about: Mapping[str, Any] | None = None
    ) -> None:
        """Let it be done at ``due`` (ms), once; planned anew, at the new time and with the new ``about``.

        Work that runs meanwhile runs again.

        :param unit: it is planned if this unit commits; None = at once.
        """
        await self.plan_all(unit, [Plan(kind, key, due, about or {})])

    async def plan_all(self, unit: Unit | None, plans: Sequence[Plan]) -> None:
        """:meth:`plan` for several in one command."""
        if not plans:
            return
        await self._collection.bulk_write(
            [UpdateOne({"_id": f"{one.kind}/{one.key}"}, _planned(one), upsert=True) for one in plans],
            ordered=False,
            session=unit.session if unit else None,
        )

    async def withdraw(self, unit: Unit | None, kind: str, *keys: str) -> None:
        """Let it not be done; who is at it already is told when they settle."""
        ids = [f"{kind}/{one}" for one in keys]
        await self._collection.delete_many({"_id": {"$in": ids}}, session=unit.session if unit else None)

    async def planned(self, kind: str, key: str) -> Plan | None:
        """What is planned under a key."""
        found = await self._collection.find_one({"_id": f"{kind}/{key}"})
        return Plan(found["kind"], found["key"], found["due"], found["about"]) if found else None

    # -- doing -------------------------------------------------------------------------------------------------------

    async def hand_out(self, now: int, limit: int = 200) -> list[tuple[str, str]]:
        """Kind and key of what is due and not handed out yet, the longest due first; noted as handed out.

        :param now: milliseconds since the epoch.
        """
        quiet = {"$or": [{"sent": {"$exists": False}}, {"$expr": {"$lt": ["$sent", _ago(RESEND_SECONDS)]}}]}
        left = {"state": "running", "$expr": {"$lt": ["$lease", "$$NOW"]}}
        where = {"due": {"$lte": now}, "$and": [{"$or": [{"state": "waiting"}, left]}, quiet]}
        found = await self._collection.find(
            {"state": {"$in": ["waiting", "running"]}, **where}, {"kind": 1, "key": 1}, sort=[("due", 1)], limit=limit
        ).to_list(None)  # fmt: skip
        if found:
            ids = [one["_id"] for one in found]
            await self._collection.update_many({"_id": {"$in": ids}}, [{"$set": {"sent": "$$NOW"}}])
        return [(one["kind"], one["key"]) for one in found]

    async def claim(self, kind: str, key: str, now: int) -> Task | None:
        """Take it, if it is due and nobody else has it."""
        token = secrets.token_hex(8)
        free = {"$or": [{"state": "waiting"}, {"state": "running", "$expr": {"$lt": ["$lease", "$$NOW"]}}]}
        found: Document | None = await self._collection.find_one_and_update(
            {"_id": f"{kind}/{key}", "due": {"$lte": now}, **free},
            [
                {
                    "$set": {
                        "state": "running", "token": token, "attempts": {"$add": ["$attempts", 1]},
                        "lease": {"$add": ["$$NOW", LEASE_SECONDS * 1000]},
                    }
                }
            ],
            return_document=ReturnDocument.AFTER,
        )  # fmt: skip
        return _task(found) if found else None

    async def renew(self, task: Task) -> None:
        """Keep it for another while."""
        await self._collection.update_one(
            {"_id": task.id, "token": task.token},
            [{"$set": {"lease": {"$add": ["$$NOW", LEASE_SECONDS * 1000]}}}],
        )

    async def settle(self, unit: Unit | None, task: Task) -> None:
        """It is done, if this unit commits; what was planned anew meanwhile waits for its turn.

        :raises TakenError: it was withdrawn, or somebody else has it: what this unit writes must not be.
        """
        if not await self._done(task, unit.session if unit else None):
            raise TakenError

    async def finish(self, task: Task) -> None:
        """It is done; nothing happens if it was settled, withdrawn or taken."""
        await self._done(task)

    async def _done(self, task: Task, session: Any = None) -> bool:
        mine = {"_id": task.id, "token": task.token}
        done = await self._collection.delete_one({**mine, "n": task.planned}, session=session)
        return bool(done.deleted_count) or await self._wait(mine, {}, session)

    async def again(self, task: Task, due: int, *, error: str = "", kept: bool = False) -> None:
        """Let it wait until ``due`` (ms); a plan that was made meanwhile comes first.

        :param kept: count the attempts on.
        """
        mine = {"_id": task.id, "token": task.token}
        change: dict[str, Any] = {"due": due, "error": error or None}
        if not kept:
            change["attempts"] = 0
        if not await self._wait({**mine, "n": task.planned}, change):
            await self._wait(mine, {})

    async def _wait(self, where: Mapping[str, Any], change: Mapping[str, Any], session: Any = None) -> bool:
        done = await self._collection.update_one(
            where,
            {"$set": {"state": "waiting", **change}, "$unset": {"token": "", "lease": "", "sent": ""}},
            session=session,
        )
        return bool(done.matched_count)

    async def give_up(self, task: Task, error: str) -> None:
        """Put it where an operator sees it; what was planned anew meanwhile waits instead."""
        mine = {"_id": task.id, "token": task.token}
        done = await self._collection.update_one(
            {**mine, "n": task.planned},
            {"$set": {"state": "dead", "error": error}, "$unset": {"token": "", "lease": "", "sent": ""}},
        )
        if not done.matched_count:
            await self._wait(mine, {})

    # -- looking -----------------------------------------------------------------------------------------------------

    async def counts(self, now: int) -> dict[tuple[str, str], int]:
        """How many there are by kind and state; ``due`` are those that wait though their time (ms) has come."""
        overdue = {"$and": [{"$eq": ["$state", "waiting"]}, {"$lte": ["$due", now]}]}
        key = {"kind": "$kind", "state": {"$cond": [overdue, "due", "$state"]}}
        rows = await self._connection.aggregate(WORK, [{"$group": {"_id": key, "count": {"$sum": 1}}}])
        return {(one["_id"]["kind"], one["_id"]["state"]): one["count"] for one in rows}

    async def dead(self, kinds: Iterable[str] = (), limit: int = 100) -> list[Dead]:
        """What was given up, the oldest first."""
        where: dict[str, Any] = {"state": "dead"}
        if wanted := list(kinds):
            where["kind"] = {"$in": wanted}
        found = await self._collection.find(where, sort=[("due", 1)], limit=limit).to_list(None)
        return [
            Dead(one["_id"], one["kind"], one["key"], one["due"], one["attempts"], one.get("error") or "")
            for one in found
        ]

    async def revive(self, ids: Sequence[str], now: int) -> int:
        """Let what was given up be tried anew, now (ms); how many there were. No ids = all."""
        where: dict[str, Any] = {"state": "dead"}
        if ids:
            where["_id"] = {"$in": list(ids)}
        done = await self._collection.update_many(
            where, {"$set": {"state": "waiting", "attempts": 0, "due": now}, "$inc": {"n": 1}}
        )
        return int(done.modified_count)

    async def discard(self, ids: Sequence[str]) -> int:
        """Delete what was given up; how many there were."""
        done = await self._collection.delete_many({"state": "dead", "_id": {"$in": list(ids)}})
        return int(done.deleted_count)


def _planned(one: Plan) -> list[dict[str, Any]]:
    """The update that plans: work that runs stays with its worker."""
    running = {"$eq": ["$state", "running"]}
    return [
        {
            "$set": {
                "kind": one.kind, "key": one.key, "due": one.due, "about": {"$literal": dict(one.about)},
                "state": {"$cond": [running, "running", "waiting"]}, "attempts": {"$cond": [running, "$attempts", 0]},
                "n": {"$add": [{"$ifNull": ["$n", 0]}, 1]}, "error": None,
            }
        },
        {"$unset": "sent"},
    ]  # fmt: skip


def _ago(seconds: float) -> dict[str, Any]:
    return {"$subtract": ["$$NOW", int(seconds * 1000)]}


def _task(found: Mapping[str, Any]) -> Task:
    return Task(
        found["kind"], found["key"], found["due"], found["about"], found["attempts"], found["token"], found["n"]
    )

"""What stands behind each Subscription: who owns it, how far it has come, and its events. No patient data: ids alone.

``subscriptions``  ``{_id: Subscription id, line, sent, started, owner, secrets, failures, error, beat}``
``numbers``        ``{_id: Subscription id, line, n}``, apart so that numbering and sending do not disturb each other
``events``         ``{_id: line/00000000n, n, fact: Type/id/000000000v, method, at, until}``
``handshakes``     when handshakes were last tried, of one Subscription and of one owner (:mod:`store.attempts`)
``bindings``       single-use tokens that bind a websocket (``store.authorization.tickets``)

``line`` names the events of one life of a Subscription: one that is deleted and made again begins a new line. ``n`` is
the number of its last event, ``sent`` of the last that its receiver took. ``owner`` and ``secrets`` are sealed. Who
reads ``epoch`` inside a transaction sees there whether the Subscriptions that it remembers are still those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
from pymongo import IndexModel, UpdateOne

from fhir_server.store.attempts import Attempts
from fhir_server.store.authorization.tickets import Tickets
from fhir_server.store.driver import Connection, Document
from fhir_server.store.moves import EPOCH
from fhir_server.store.sealing import Sealer
from fhir_server.store.unit import Overtaken, Unit

SUBSCRIPTIONS = "subscriptions"
NUMBERS = "numbers"
EVENTS = "events"
BINDINGS = "bindings"
HANDSHAKES = "handshakes"
INDEXES: Mapping[str, Sequence[IndexModel]] = {
    SUBSCRIPTIONS: [],
    NUMBERS: [],
    EVENTS: [IndexModel([("until", 1)], expireAfterSeconds=0)],
    BINDINGS: [IndexModel([("until", 1)], expireAfterSeconds=0)],
    HANDSHAKES: [IndexModel([("until", 1)], expireAfterSeconds=0)],
}


@dataclass(frozen=True, slots=True)
class Secret:
    """What notifications are signed with; ``until`` in epoch seconds, 0: until another one takes its place."""

    id: str
    text: str
    until: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a Subscription has come.

    ``owner`` are the fields of the Caller who made it. ``started``: a handshake succeeded, so that events count.
    ``failures``: attempts in a row that failed. ``error`` is a code and words. ``beat`` is when the receiver last took
    something, ``rest`` until when nothing is tried, in milliseconds since the epoch.
    """

    id: str
    line: str
    n: int = 0
    sent: int = 0
    started: bool = False
    owner: Mapping[str, Any] = field(default_factory=dict)
    secrets: tuple[Secret, ...] = ()
    failures: int = 0
    error: tuple[str, str] | None = None
    beat: int = 0
    rest: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """One numbered event: ``fact`` names the version that triggered, ``at`` when it was written (ms)."""

    number: int
    fact: str
    method: str
    at: int

    @property
    def version(self) -> tuple[str, str, int]:
        """Type, id and version of what triggered it."""
        type_, id_, version = self.fact.split("/")
        return type_, id_, int(version)


class Subscriptions:
    """The collections above."""

    def __init__(self, connection: Connection, sealer: Sealer) -> None:
        self._progress = connection.collection(SUBSCRIPTIONS)
        self._numbers = connection.collection(NUMBERS)
        self._events = connection.collection(EVENTS)
        self._epoch = connection.collection(EPOCH)
        self._sealer = sealer
        self.bindings = Tickets(connection, BINDINGS)
        self.attempts = Attempts(connection, HANDSHAKES)

    # -- the epoch ---------------------------------------------------------------------------------------------------

    async def epoch(self, unit: Unit | None = None) -> int:
        """The number of the Subscriptions as this unit sees them; without one as they are now."""
        found = await self._epoch.find_one({"_id": SUBSCRIPTIONS}, session=unit.session if unit else None)
        return int(found["n"]) if found else 0

    async def move(self, unit: Unit) -> None:
        """Let everybody who remembers Subscriptions read them anew; units that do so commit one after the other."""
        await self._epoch.update_one({"_id": SUBSCRIPTIONS}, {"$inc": {"n": 1}}, upsert=True, session=unit.session)

    # -- progress ----------------------------------------------------------------------------------------------------

    async def get(self, id_: str, unit: Unit | None = None) -> Progress | None:
        return (await self.get_many([id_], unit)).get(id_)

    async def get_many(self, ids: Sequence[str], unit: Unit | None = None) -> dict[str, Progress]:
        """By id, of those that live."""
        numbers = await self.numbers(ids, unit)
        cursor = self._progress.find({"_id": {"$in": list(ids)}}, session=unit.session if unit else None)
        return {one["_id"]: self._read(one, numbers.get(one["_id"], 0)) async for one in cursor}

    async def numbers(self, ids: Sequence[str], unit: Unit | None = None) -> dict[str, int]:
        """The number of the last event of each."""
        cursor = self._numbers.find({"_id": {"$in": list(ids)}}, {"n": 1}, session=unit.session if unit else None)
        return {one["_id"]: one["n"] async for one in cursor}

    async def begin(self, unit: Unit, id_: str, line: str, owner: Mapping[str, Any]) -> None:
        """The start of a Subscription's life, in the unit that creates it."""
        sealed = self._sealed(id_, owner)
        document = {"_id": id_, "line": line, "sent": 0, "started": False, "owner": sealed, "failures": 0}
        await self._progress.replace_one({"_id": id_}, document, upsert=True, session=unit.session)
        number = {"_id": id_, "line": line, "n": 0}
        await self._numbers.replace_one({"_id": id_}, number, upsert=True, session=unit.session)

    async def own(self, unit: Unit, id_: str, owner: Mapping[str, Any]) -> None:
        """The owner as they are now."""
        await self.change(unit, id_, owner=self._sealed(id_, owner))

    def _sealed(self, id_: str, owner: Mapping[str, Any]) -> bytes:
        return self._sealer.seal_bytes(_place("owner", id_), orjson.dumps(dict(owner)))

    async def end(self, unit: Unit, id_: str) -> None:
        """The end of it: owner and secrets go; its events leave by themselves."""
        for one in (self._progress, self._numbers):
            await one.delete_one({"_id": id_}, session=unit.session)

    async def change(self, unit: Unit | None, id_: str, **fields: Any) -> None:
        """Set fields of :class:`Progress`: ``started``, ``failures``, ``error``, ``beat``, ``rest``."""
        await self._progress.update_one({"_id": id_}, {"$set": fields}, session=unit.session if unit else None)

    async def delivered(self, unit: Unit | None, id_: str, line: str, number: int, at: int) -> None:
        """The receiver took everything up to a number, at a time (ms)."""
        change = {"$max": {"sent": number, "beat": at}, "$set": {"failures": 0, "error": None, "rest": 0}}
        await self._progress.update_one({"_id": id_, "line": line}, change, session=unit.session if unit else None)

    async def keep_secrets(self, id_: str, before: Sequence[Secret], after: Sequence[Secret]) -> bool:
        """Put other secrets in place of those that were read; False if somebody was faster."""
        listed = [[one.id, one.text, one.until] for one in after]
        sealed = self._sealer.seal_bytes(_place("secrets", id_), orjson.dumps(listed))
        names = [one.id for one in before]
        where = {"_id": id_, "secret_ids": names} if names else {"_id": id_, "secret_ids": {"$exists": False}}
        change = {"$set": {"secrets": sealed, "secret_ids": [one.id for one in after]}}
        done = await self._progress.update_one(where, change)
        return bool(done.matched_count)

    # -- events ------------------------------------------------------------------------------------------------------

    async def number(self, unit: Unit, told: Mapping[str, Sequence[tuple[str, str, int]]], until: int) -> None:
        """Number the events (fact, method, at) of Subscriptions in their order, without gaps.

        Who numbers at the same moment conflicts with this unit, which then runs again.

        :param until: epoch seconds at which they may go.
        """
        cursor = self._numbers.find({"_id": {"$in": list(told)}}, session=unit.session)
        known = await cursor.to_list(None)
        if not known:
            return
        counts = [
            UpdateOne({"_id": one["_id"], "n": one["n"]}, {"$inc": {"n": len(told[one["_id"]])}}) for one in known
        ]
        done = await self._numbers.bulk_write(counts, session=unit.session, ordered=False)
        if done.matched_count != len(counts):
            raise Overtaken
        leaves = datetime.fromtimestamp(until, UTC)
        rows = [
            {"_id": _event_id(one["line"], number), "n": number, "fact": fact, "method": method, "at": at,
             "until": leaves}
            for one in known
            for number, (fact, method, at) in enumerate(told[one["_id"]], one["n"] + 1)
        ]  # fmt: skip
        await self._events.insert_many(rows, session=unit.session, ordered=False)

    async def events(self, line: str, first: int, last: int, limit: int = 0) -> list[Event]:
        """Events of a line from one number to another, both included, in their order."""
        where = {"_id": {"$gte": _event_id(line, first), "$lte": _event_id(line, last)}}
        cursor = self._events.find(where, sort=[("_id", 1)], limit=limit)
        return [_event(one) async for one in cursor]

    async def earliest(self, line: str) -> int | None:
        """The number of the first event of a line that is still kept."""
        where = {"_id": {"$gte": f"{line}/", "$lt": f"{line}0"}}
        found = await self._events.find_one(where, {"n": 1}, sort=[("_id", 1)])
        return int(found["n"]) if found else None

    def _read(self, found: Document, number: int) -> Progress:
        id_ = found["_id"]
        owner = self._sealer.open_bytes(_place("owner", id_), bytes(found["owner"]))
        secrets: list[list[Any]] = []
        if found.get("secrets"):
            secrets = orjson.loads(self._sealer.open_bytes(_place("secrets", id_), bytes(found["secrets"])))
        error = found.get("error")
        return Progress(
            id_, found["line"], number, found["sent"], found["started"], orjson.loads(owner),
            tuple(Secret(*one) for one in secrets), found.get("failures", 0), (error[0], error[1]) if error else None,
            found.get("beat", 0), found.get("rest", 0),
        )  # fmt: skip


def _place(what: str, id_: str) -> str:
    return f"{SUBSCRIPTIONS}/{id_}/{what}"


def _event_id(line: str, number: int) -> str:
    return f"{line}/{number:010d}"


def _event(found: Document) -> Event:
    return Event(found["n"], found["fact"], found["method"], found["at"])

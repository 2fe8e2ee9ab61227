"""The unit of work: one MongoDB transaction, committed once at the end, tried again a bounded number of times.

A write conflict, a lost election or a unique key that somebody took first are normal answers: the whole unit runs again
on fresh reads. When the tries are used up the answer is 503 with Retry-After, never a 500 and never a false "taken".
https://www.mongodb.com/docs/manual/core/transactions-in-applications/
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from pymongo import InsertOne, ReplaceOne

from fhir_server.errors import Category, Problem, problem
from fhir_server.log import get_logger
from fhir_server.store.calendar_days import CalendarDays, Days, StaleCalendar
from fhir_server.store.driver import BulkWriteError, Connection, DuplicateKeyError, OperationFailure, PyMongoError
from fhir_server.store.moves import Moves
from fhir_server.store.resources import HISTORY, Resources, Stored, document, kept, stored
from fhir_server.store.turns import Turns
from fhir_server.store.vault import Vault

T = TypeVar("T")

TRIES = 12
COMMIT_TRIES = 5
REAP_AT = (6, 10)
"""Tries after which it is likely that a dead process holds the lock."""

IDLE_SECONDS = 3.0
FIRST_PAUSE = 0.004
LONGEST_PAUSE = 0.25
GUARDS = "guards"
WRITE_CONFLICT = 112

log = get_logger("store")


async def pause(attempt: int) -> None:
    """Wait a moment that no other caller waits too, longer from attempt to attempt."""
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt)
    await asyncio.sleep(random.uniform(0, longest))  # noqa: S311  jitter, not a secret


class Overtaken(Exception):  # noqa: N818  as StaleCalendar: read again
    """A conditional write found another version than the one that was read."""


class Unit:
    """What a use case reads and writes in one transaction."""

    def __init__(self, connection: Connection, vault: Vault, session: Any, attempt: int = 0) -> None:
        """``attempt`` counts the runs of this work that were overtaken before."""
        self._connection = connection
        self._vault = vault
        self.session = session
        self.attempt = attempt
        self.resources = Resources(connection, vault, session)
        self.calendar = CalendarDays(connection)
        self.moves: list[str] = []
        self._days: Days | None = None

    async def get(self, type_: str, id_: str) -> Stored | None:
        return await self.resources.get(type_, id_)

    async def get_many(self, type_: str, ids: list[str]) -> list[Stored]:
        return await self.resources.get_many(type_, ids)

    async def current(self, type_: str, ids: Sequence[str]) -> dict[str, Stored]:
        """Current versions by id, deletion markers included."""
        if not ids:
            return {}
        found = await self.resources.rows(type_, {"_id": {"$in": list(ids)}}, fields={"idx": 0})
        return {one["_id"]: stored(type_, one) for one in found}

    async def find(self, type_: str, where: Mapping[str, Any], **options: Any) -> list[dict[str, Any]]:
        return await self.resources.find(type_, where, **options)

    async def insert(self, resource: Stored, index: Mapping[str, Any]) -> None:
        """:raises DuplicateKeyError: the id was taken meanwhile."""
        await self.resources.insert(resource, index)

    async def write_many(self, type_: str, writes: Sequence[tuple[Stored | None, Stored, Mapping[str, Any]]]) -> None:
        """As :meth:`write`, several of one type in two commands: ``(before, after, search values)``.

        :raises Overtaken: somebody else was faster with one of them.
        :raises BulkWriteError: an id was taken meanwhile.
        """
        await self._vault.fresh()
        old = [self._vault.old(kept(before, after.at)) for before, after, _ in writes if before]
        if old:
            await self._connection.collection(HISTORY).bulk_write(
                [ReplaceOne({"_id": one["_id"]}, one, upsert=True) for one in old], session=self.session
            )
        operations = [
            ReplaceOne({"_id": before.id, "v": before.version}, written) if before else InsertOne(written)
            for before, written in (
                (before, self._vault.current(type_, document(after, index))) for before, after, index in writes
            )
        ]
        if operations:
            done = await self._connection.collection(type_).bulk_write(operations, session=self.session)
            if done.inserted_count + done.matched_count != len(operations):
                raise Overtaken

    async def write(self, before: Stored | None, after: Stored, index: Mapping[str, Any]) -> None:
        """A first version, or the next one in place of ``before``.

        :raises Overtaken: somebody else was faster.
        """
        if before:
            await self.replace(before, after, index)
        else:
            await self.insert(after, index)

    async def replace(self, before: Stored, after: Stored, index: Mapping[str, Any]) -> None:
        """:raises Overtaken: ``before`` is no longer current."""
        if not await self.resources.replace(before, after, index):
            raise Overtaken

    async def days(self, wanted: Iterable[tuple[str, int]]) -> Days:
        """Read calendar days for a decision; they are written when the unit commits.

        A second decision in the same unit sees what the first one entered.
        """
        if self._days is None:
            self._days = await self.calendar.read(wanted, self.session)
        else:
            await self.widen(self._days, wanted)
        return self._days

    async def widen(self, days: Days, wanted: Iterable[tuple[str, int]]) -> None:
        """Read more days into those of this unit."""
        await self.calendar.widen(days, wanted, self.session)

    @asynccontextmanager
    async def attempt_days(self) -> AsyncIterator[None]:
        """Around one decision of several: one that is refused leaves no trace in the days."""
        before = self._days.copy() if self._days else None
        try:
            yield
        except BaseException:
            self._days = before
            raise

    async def guard(self, key: str) -> None:
        """Let only one of the units that name this key commit at a time (a conditional create)."""
        id_ = self._vault.sealer.hashed(GUARDS, key)
        await self._connection.collection(GUARDS).update_one(
            {"_id": id_}, {"$inc": {"n": 1}, "$currentDate": {"at": True}}, upsert=True, session=self.session
        )

    async def acquaint(self, patients: Iterable[str], clinics: Sequence[str]) -> None:
        """Let clinics know Patients: what a booking does to the field beside the body makes no new version."""
        known = list(patients)
        ids = [one.partition("/")[2] for one in known]
        await self._connection.collection("Patient").update_many(
            {"_id": {"$in": ids}}, {"$addToSet": {"clinics": {"$each": list(clinics)}}}, session=self.session
        )
        for one in known:
            await self.moved(one)

    async def moved(self, reference: str) -> None:
        """Note that others take their clinics from what this unit writes: they follow when it is committed."""
        if reference not in self.moves:
            self.moves.append(reference)
            await Moves(self._connection).note(reference, self.session)

    async def put_document(self, collection: str, document: Mapping[str, Any]) -> None:
        """Insert a document of the store's own (an idempotency record).

        :raises DuplicateKeyError: somebody wrote it first.
        """
        await self._connection.collection(collection).insert_one(document, session=self.session)

    async def finish(self, now: int) -> None:
        """Write the calendar days that changed."""
        if self._days is not None:
            self._days.forget_expired(now)
            await self.calendar.write(self._days, self.session)


class Units:
    """Runs units of work."""

    def __init__(self, connection: Connection, vault: Vault) -> None:
        self._connection = connection
        self._vault = vault
        self.turns = Turns()
        self.after: Callable[[], Awaitable[None]] | None = None
        """Called when a unit is committed in which something moved."""

    async def run(self, work: Callable[[Unit], Awaitable[T]], *, now: int, turns: Iterable[str] = ()) -> T:
        """Run ``work`` in a transaction and commit what it wrote.

        :param work: called again from the start when somebody else was faster; it must not have effects of its own.
        :param now: seconds since the epoch, to tidy expired holds in the days that are written.
        :param turns: calendar keys for which callers of this process queue.
        :raises Problem: what ``work`` raises; UNAVAILABLE when the tries are used up or the database is away.
        """
        result, moved = await self._tried(work, now, turns)
        if moved and self.after:
            await self.after()
        return result

    async def _tried(
        self, work: Callable[[Unit], Awaitable[T]], now: int, turns: Iterable[str]
    ) -> tuple[T, Sequence[str]]:
        """The result, and what moved."""
        async with self.turns.take(turns):
            for attempt in range(TRIES):
                try:
                    return await self._once(work, now, attempt)
                except (StaleCalendar, Overtaken, DuplicateKeyError):
                    pass
                except BulkWriteError as failed:
                    if not _is_conflict(failed):
                        raise
                except PyMongoError as failed:
                    if not _is_transient(failed):
                        raise
                    log.info("transaction retried", attempt=attempt, code=getattr(failed, "code", None))
                if attempt in REAP_AT and (reaped := await self._connection.reap(IDLE_SECONDS)):
                    log.warning("abandoned transactions ended", count=reaped)
                await pause(attempt)
        raise unavailable("too many callers want this at the same moment")

    async def _once(self, work: Callable[[Unit], Awaitable[T]], now: int, attempt: int) -> tuple[T, Sequence[str]]:
        async with self._connection.transaction() as session:
            unit = Unit(self._connection, self._vault, session, attempt)
            result = await work(unit)
            await unit.finish(now)
            await self._commit(session)
            return result, unit.moves

    async def _commit(self, session: Any) -> None:
        for attempt in range(COMMIT_TRIES):
            try:
                await session.commit_transaction()
            except PyMongoError as failed:
                # Committing the same transaction again is safe: the server knows its number.
                if not failed.has_error_label("UnknownTransactionCommitResult"):
                    raise
                if attempt == COMMIT_TRIES - 1:
                    await self._connection.abandon(session)
                    msg = "the database did not confirm the write; repeat the request with the same Idempotency-Key"
                    raise unavailable(msg) from failed
                await asyncio.sleep(FIRST_PAUSE * 4**attempt)
            else:
                return


def unavailable(text: str) -> Problem:
    return problem(Category.UNAVAILABLE, text, Retry_After="1")


def _is_conflict(failed: BulkWriteError) -> bool:
    details: Mapping[str, Any] = failed.details or {}
    return _is_transient(failed) or any(
        one.get("code") in {11000, WRITE_CONFLICT} for one in details.get("writeErrors", ())
    )


def _is_transient(failed: PyMongoError) -> bool:
    if failed.has_error_label("TransientTransactionError"):
        return True
    return isinstance(failed, OperationFailure) and failed.code == WRITE_CONFLICT

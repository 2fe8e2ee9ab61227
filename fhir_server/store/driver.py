"""The one seam to the MongoDB driver: PyMongo's async API by default, Motor by setting.

The two differ in what is awaited: ``aggregate``, ``start_session``, ``start_transaction`` and ``close``. Everything
else the store calls (``find``, ``find_one``, ``insert_one``, ``bulk_write`` …) is the same on both.
https://pymongo.readthedocs.io/en/stable/migrate-to-pymongo-async.html
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal

from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient, ReadPreference
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
)
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

__all__ = [
    "BulkWriteError",
    "Connection",
    "ConnectionFailure",
    "DuplicateKeyError",
    "ExecutionTimeout",
    "OperationFailure",
    "PyMongoError",
    "connect",
]

Document = dict[str, Any]

APPLICATION = "fhir-server"
"""Our name in the database's lists of connections and operations."""

MAJORITY = WriteConcern(w="majority", j=True, wtimeout=10_000)


class Connection:
    """One client of one event loop, and the database that holds the resources.

    Every command carries write concern majority with journal and read concern majority; a transaction reads at its
    snapshot. Reads go to the primary, so that a client reads what it wrote.
    """

    def __init__(self, client: Any, database: str, driver: Literal["pymongo", "motor"]) -> None:
        self.client = client
        self.driver = driver
        self.database = client.get_database(
            database,
            codec_options=CodecOptions(tz_aware=True),
            read_preference=ReadPreference.PRIMARY,
            write_concern=MAJORITY,
            read_concern=ReadConcern("majority"),
        )

    def beside(self, database: str) -> Connection:
        """The same client with another database."""
        return Connection(self.client, database, self.driver)

    async def create(self, name: str) -> None:
        """Create a collection; another process that starts at the same moment may have made it."""
        try:
            await self.database.create_collection(name)
        except PyMongoError as failed:
            if getattr(failed, "code", None) != 48 and "already exists" not in str(failed):
                raise

    def collection(self, name: str) -> Any:
        return self.database[name]

    async def union(self, pipelines: Mapping[str, Sequence[Document]], session: Any = None) -> list[Document]:
        """What a pipeline finds in each of some collections, read one after the other; one command."""
        (first, stages), *others = pipelines.items()
        more = [{"$unionWith": {"coll": name, "pipeline": list(each)}} for name, each in others]
        return await self.aggregate(first, [*stages, *more], session)

    async def aggregate(self, name: str, pipeline: Sequence[Mapping[str, Any]], session: Any = None) -> list[Document]:
        """All documents of an aggregation."""
        cursor = self.collection(name).aggregate(pipeline, session=session)
        if self.driver == "pymongo":
            cursor = await cursor
        found: list[Document] = await cursor.to_list(None)
        return found

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """A session in a started transaction; the caller commits, anything else aborts."""
        session = self.client.start_session() if self.driver == "pymongo" else await self.client.start_session()
        try:
            started = session.start_transaction(read_concern=ReadConcern("snapshot"), write_concern=MAJORITY)
            if self.driver == "pymongo":
                await started
            yield session
        finally:
            if session.in_transaction:
                await session.abort_transaction()
            await session.end_session()

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Any]:
        """A session whose reads all see the database at one moment; for at most five minutes.

        https://www.mongodb.com/docs/manual/reference/read-concern-snapshot/
        """
        starting = self.client.start_session(snapshot=True)
        session = starting if self.driver == "pymongo" else await starting
        try:
            yield session
        finally:
            await session.end_session()

    async def abandon(self, session: Any) -> None:
        """End what a session left open on the server: its locks would stay until the transaction's lifetime is over.

        Nothing happens to what it committed. https://www.mongodb.com/docs/manual/reference/command/killSessions/
        """
        with suppress(PyMongoError):
            await self.command("killSessions", [session.session_id])

    async def reap(self, seconds: float) -> int:
        """End transactions of this application that nobody has touched for so long; how many there were.

        A process that dies leaves its open transaction behind, and with it the locks, for a minute. A process that is
        only slow finds its transaction gone and runs it again. Needs no privilege for sessions of the same user.
        https://www.mongodb.com/docs/manual/reference/operator/aggregation/currentOp/
        """
        idle = {
            "type": "idleSession",
            "appName": APPLICATION,
            "transaction.timeInactiveMicros": {"$gt": int(seconds * 1e6)},
        }
        stages = [
            {"$currentOp": {"allUsers": False, "idleSessions": True}},
            {"$match": idle},
            {"$project": {"lsid": 1}},
        ]
        try:
            answer = await self.command({"aggregate": 1, "pipeline": stages, "cursor": {}})
            left = [{"id": one["lsid"]["id"]} for one in answer["cursor"]["firstBatch"]]
            if left:
                await self.command("killSessions", left)
        except PyMongoError:
            return 0
        return len(left)

    async def command(self, *args: Any, **kwargs: Any) -> Document:
        answer: Document = await self.client.admin.command(*args, **kwargs)
        return answer

    async def close(self) -> None:
        closing = self.client.close()
        if self.driver == "pymongo":
            await closing


def connect(uri: str, database: str, driver: Literal["pymongo", "motor"] = "pymongo") -> Connection:
    """Connect lazily: nothing is sent before the first command."""
    options: dict[str, Any] = {
        "serverSelectionTimeoutMS": 5_000,
        "connectTimeoutMS": 5_000,
        "socketTimeoutMS": 20_000,
        "maxPoolSize": 64,
        "retryWrites": True,
        "retryReads": True,
        "appname": APPLICATION,
    }
    if driver == "motor":
        from motor.motor_asyncio import AsyncIOMotorClient  # noqa: PLC0415  loaded only where it is chosen

        return Connection(AsyncIOMotorClient(uri, **options), database, driver)
    return Connection(AsyncMongoClient(uri, **options), database, driver)

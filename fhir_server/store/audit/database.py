"""The database of the access record: ``batches`` and ``checkpoints``, both only ever added to, until time is over.

``markers`` lie in the database of the resources: what recovery knows of processes (``store/audit/markers.py``).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from pymongo import IndexModel

from fhir_server.access.record import Access
from fhir_server.store.audit import checkpoints
from fhir_server.store.audit.batches import Batch, Envelope, Head, opened, place
from fhir_server.store.audit.checkpoints import FINAL, PRUNED, Checkpoint, Signer
from fhir_server.store.audit.journal import Journal
from fhir_server.store.driver import Connection, Document, DuplicateKeyError
from fhir_server.store.sealing import Sealer
from fhir_server.store.secrets import Secrets

BATCHES, CHECKPOINTS = "batches", "checkpoints"
SIGNING, MAC = "audit-signing", "audit-mac"
NEWEST = [("at", -1), ("_id", -1)]
AFTER = "}"
"""Sorts behind the ``|`` of a batch's id: behind everything of a chain."""


def _indexes() -> Mapping[str, list[IndexModel]]:
    return {
        BATCHES: [
            IndexModel(NEWEST),
            IndexModel([("about", 1), *NEWEST]),
            IndexModel([("who", 1), *NEWEST]),
            IndexModel([("wrote", 1)], partialFilterExpression={"wrote": {"$exists": True}}),
            IndexModel([("worst", 1), *NEWEST], partialFilterExpression={"worst": {"$exists": True}}),
            IndexModel([("n", 1)], partialFilterExpression={"n": 1}, name="openings"),
        ],
        CHECKPOINTS: [IndexModel([("kind", 1), ("_id", 1)])],
    }


class Audit:
    """What is recorded, and how it is found."""

    def __init__(
        self,
        connection: Connection,
        secrets: Secrets,
        sealer: Sealer,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """:param connection: of the record's own database."""
        self.connection = connection
        self.envelope = Envelope(sealer)
        self._clock = clock
        self._secrets = secrets
        self._signed: dict[str, int] = {}
        self.journal = Journal(self.batches, self.envelope, self.mac_secret, self.heads, clock)

    @property
    def batches(self) -> Any:
        return self.connection.collection(BATCHES)

    @property
    def checkpoints(self) -> Any:
        return self.connection.collection(CHECKPOINTS)

    async def prepare(self) -> None:
        """Create collections and indexes where they are missing."""
        existing = set(await self.connection.database.list_collection_names())
        for name, models in _indexes().items():
            if name not in existing:
                await self.connection.create(name)
            await self.connection.collection(name).create_indexes(models)

    async def add(self, access: Access) -> str:
        """See :meth:`Journal.add`."""
        return await self.journal.add(access)

    async def mac_secret(self) -> bytes:
        return await self._secrets.get(MAC, 32)

    async def signer(self) -> Signer:
        return Signer(await self._secrets.get(SIGNING, 32))

    async def has_written(self, keys: Sequence[str]) -> set[str]:
        """Those of the versions (``Type/id/version``) whose making is recorded."""
        wanted = set(keys)
        cursor = self.batches.find({"wrote": {"$in": sorted(wanted)}}, {"wrote": 1})
        return {key for found in await cursor.to_list(None) for key in found["wrote"] if key in wanted}

    async def checkpoint(self, *, final: bool = False) -> Checkpoint | None:
        """Sign the state of this process's chain; None where it is signed already. ``final`` ends the chain."""
        if final:
            await self.journal.settled()
        head = self.journal.leave() if final else self.journal.head
        if head is None or (self._signed.get(head.chain) == head.n and not final):
            return None
        kind = FINAL if final else checkpoints.RUNNING
        made = (await self.signer()).sign(head, self._clock(), kind, self._signed.get(head.chain, 0))
        await self.put(made)
        self._signed = {head.chain: head.n}
        return made

    async def put(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint."""
        document = checkpoints.document(checkpoint)
        try:
            await self.checkpoints.insert_one(document)
        except DuplicateKeyError:
            # The insert before was lost on its way back.
            return

    async def heads(self) -> list[Head]:
        """The chains that a new one must name: those that may have grown since the last one named them."""
        openings = await self.batches.find({"n": 1}, {"chain": 1, "opens": 1}).to_list(None)
        named = {(chain, n) for one in openings for chain, n, _ in one.get("opens", ())}
        known = {one["chain"] for one in openings}
        finals: dict[str, int] = {}
        for one in await self.checkpoints.find({"kind": {"$in": [FINAL, PRUNED]}}).to_list(None):
            known.add(one["chain"])
            if one["kind"] == FINAL:
                finals[one["chain"]] = one["n"]
        wanted = [chain for chain in sorted(known) if (chain, finals.get(chain)) not in named]
        found = [await self.last(chain) for chain in wanted]
        return [head for head in found if head is not None]

    async def last(self, chain: str) -> Head | None:
        """The last batch of a chain."""
        found = await self.batches.find_one(_of(chain), {"chain": 1, "n": 1, "hash": 1}, sort=[("_id", -1)])
        return Head(found["chain"], found["n"], found["hash"]) if found else None

    async def last_before(self, chain: str, at: int) -> Head | None:
        """The last batch of a chain that was recorded before a time, in ms."""
        where = _of(chain) | {"at": {"$lt": at}}
        found = await self.batches.find_one(where, {"chain": 1, "n": 1, "hash": 1}, sort=[("_id", -1)])
        return Head(found["chain"], found["n"], found["hash"]) if found else None

    async def chains(self) -> list[str]:
        """Every chain that has a batch or a checkpoint."""
        found: set[str] = set()
        for collection in (self.batches, self.checkpoints):
            last = ""
            while one := await collection.find_one({"_id": {"$gt": last}}, {"_id": 1}, sort=[("_id", 1)]):
                chain = str(one["_id"]).partition("|")[0]
                found.add(chain)
                last = chain + AFTER
        return sorted(found)

    def documents(self, chain: str, since: int = 0) -> AsyncIterator[Document]:
        """Documents of a chain's batches recorded at ``since`` (ms) or later, in their order."""
        where = _of(chain) | ({"at": {"$gte": since}} if since else {})
        found: AsyncIterator[Document] = self.batches.find(where, sort=[("_id", 1)])
        return found

    async def checkpoints_of(self, chain: str) -> list[Document]:
        """Documents of a chain's checkpoints in the order of their places."""
        found: list[Document] = await self.checkpoints.find(_of(chain), sort=[("_id", 1)]).to_list(None)
        return found

    async def openings(self) -> list[Document]:
        """``chain`` and ``opens`` of every chain's first batch."""
        found: list[Document] = await self.batches.find({"n": 1}, {"chain": 1, "opens": 1, "at": 1}).to_list(None)
        return found

    async def count(self) -> int:
        """About how many batches there are."""
        counted: int = await self.batches.estimated_document_count()
        return counted

    async def found(self, where: Mapping[str, Any], limit: int, about: frozenset[str] | None = None) -> list[Batch]:
        """Batches that a filter of the readable values finds, the newest first; see :func:`opened` for ``about``."""
        cursor = self.batches.find(where, {"body": 1, "chain": 1, "n": 1, "at": 1}, sort=NEWEST, limit=limit)
        return [opened(one, self.envelope, about) for one in await cursor.to_list(None)]

    async def batch(self, chain: str, n: int) -> Batch | None:
        found = await self.batches.find_one({"_id": place(chain, n)})
        return opened(found, self.envelope) if found else None

    async def remove(self, pruned: Checkpoint) -> int:
        """Remove a chain's batches up to a signed place, and the checkpoints of them; how many batches there were."""
        await self.put(pruned)
        head = pruned.head
        upto = {"_id": {"$gt": f"{head.chain}|", "$lte": place(head.chain, head.n)}}
        done = await self.batches.delete_many(upto)
        await self.checkpoints.delete_many(
            {
                "_id": {"$gt": f"{head.chain}|", "$lt": f"{place(head.chain, head.n)}{AFTER}"},
                # The end of a chain stays known.
                "kind": {"$ne": FINAL},
                "at": {"$lt": pruned.at},
            }
        )
        removed: int = done.deleted_count
        return removed


def _of(chain: str) -> dict[str, Any]:
    return {"_id": {"$gt": f"{chain}|", "$lt": f"{chain}{AFTER}"}}

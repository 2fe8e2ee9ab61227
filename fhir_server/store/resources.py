"""Stored resources: one collection a type, the served bytes beside their search values, old versions in ``history``.

A document is ``{_id, v, at, deleted, body, idx, …}``: ``body`` is the JSON text that is served, ``at`` is
``meta.lastUpdated`` in milliseconds since the epoch, ``idx`` holds the search values. In MongoDB most bodies are
sealed, and ``seal`` names the key (``vault.py``); what goes up from here is open. ``claim`` (what the resource keeps
busy), ``expires`` (end of a hold), ``wall`` and ``placer`` (unique keys) stand beside them where a type has them.

An update first puts the version it replaces into ``history`` (idempotent: its id determines the content, but for
``until``: when it was replaced) and then swaps the current document where the version is still the one read. So no
transaction is needed for one resource, and a crash between the two leaves only a copy of a version that is also
current, which readers leave out (``store/history.py``).

``news`` stands beside a version that nobody was told of yet, also after it went into ``history`` (``store/outbox.py``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fhir_server.fhir.types import RESOURCE_TYPES
from fhir_server.store.driver import Connection, Document, DuplicateKeyError
from fhir_server.store.vault import HISTORY, Vault

__all__ = ["BATCH", "HISTORY", "Resources", "Stored", "document", "history_id", "kept", "old", "stored"]

BATCH = 1000
"""Rows of one reply; the driver's default is 101."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of a resource as it lies in the store.

    ``body`` is FHIR JSON text (empty for a deletion), ``at`` milliseconds since the epoch, ``extra`` the fields beside
    the body: ``claim``, ``expires``, ``wall``, ``placer``, ``key``, ``method``.
    """

    type: str
    id: str
    version: int
    at: int
    deleted: bool
    body: bytes
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reference(self) -> str:
        return f"{self.type}/{self.id}"


BESIDE = ("patients", "clinics", "owner", "by", "slots", "shown")
"""What stands beside the body of every version, old ones too: whom it is about, whose it is, who wrote it."""

NEWS = "news"
"""Beside a version from which nothing has followed yet."""

_CORE = {"_id", "v", "at", "deleted", "body", "idx", "seal"}


def stored(type_: str, document: Mapping[str, Any]) -> Stored:
    """Read a document of a type's collection that is open."""
    extra = {name: value for name, value in document.items() if name not in _CORE}
    return Stored(
        type_,
        document["_id"],
        document["v"],
        document["at"],
        document.get("deleted", False),
        document.get("body", b""),
        extra,
    )


def document(resource: Stored, index: Mapping[str, Any]) -> Document:
    """The open document that holds a resource with its search values; empty extras are left out."""
    written: Document = {
        "_id": resource.id,
        "v": resource.version,
        "at": resource.at,
        "deleted": resource.deleted,
        "body": resource.body,
        "idx": dict(index),
    }
    written.update({name: value for name, value in resource.extra.items() if value is not None})
    return written


class Resources:
    """The resource collections; with ``session`` all of it happens in that session's transaction."""

    def __init__(self, connection: Connection, vault: Vault, session: Any = None) -> None:
        self._connection = connection
        self._vault = vault
        self._session = session

    async def get(self, type_: str, id_: str) -> Stored | None:
        """The current version, a tombstone included; None if it never existed."""
        found = await self._connection.collection(type_).find_one({"_id": id_}, {"idx": 0}, session=self._session)
        if found is None:
            return None
        await self._vault.opened(type_, [found])
        return stored(type_, found)

    async def get_many(self, type_: str, ids: Sequence[str]) -> list[Stored]:
        """Current versions that exist and are not deleted, in no order."""
        if not ids:
            return []
        found = await self.rows(type_, {"_id": {"$in": list(ids)}, "deleted": False}, fields={"idx": 0})
        return [stored(type_, one) for one in found]

    async def find(
        self,
        type_: str,
        where: Mapping[str, Any],
        *,
        sort: Sequence[tuple[str, int]] | None = None,
        limit: int = 0,
        fields: Mapping[str, int] | None = None,
    ) -> list[Document]:
        """Documents that are not deleted, for search; ``limit`` 0 = all."""
        return await self.rows(type_, {**where, "deleted": False}, sort=sort, limit=limit, fields=fields)

    async def distinct(self, type_: str, field_: str, where: Mapping[str, Any]) -> list[Any]:
        """The different values of a field among documents that are not deleted."""
        found: list[Any] = await self._connection.collection(type_).distinct(
            field_, self._vault.where({**where, "deleted": False}), session=self._session
        )
        return found

    async def count(self, type_: str, where: Mapping[str, Any]) -> int:
        counted: int = await self._connection.collection(type_).count_documents(
            self._vault.where({**where, "deleted": False}), session=self._session
        )
        return counted

    async def every(
        self, type_: str, session: Any = None, fields: Mapping[str, int] | None = None
    ) -> AsyncIterator[Document]:
        """Every document of a type, deletion markers included, in order of id."""
        found: AsyncIterator[Document] = self._connection.collection(type_).find(
            {}, self._vault.fields(type_, fields), sort=[("_id", 1)], session=session
        )
        async for one in found:
            await self._vault.opened(type_, [one])
            yield one

    async def stamped(self, collection: str, since: int) -> AsyncIterator[Document]:
        """Versions of a type's collection or of ``history`` with a stamp, written at ``since`` (ms) or later."""
        fields = {"v": 1, "at": 1, "by": 1, "patients": 1, "type": 1, "id": 1}
        where: dict[str, Any] = {"at": {"$gte": since}, "by": {"$exists": True}}
        if collection == HISTORY:
            where["type"] = {"$in": list(RESOURCE_TYPES)}
        async for one in self._connection.collection(collection).find(where, fields):
            yield one

    async def count_all(self, type_: str) -> int:
        counted: int = await self._connection.collection(type_).estimated_document_count()
        return counted

    async def fill(self, slots: Sequence[str], patients: Sequence[str]) -> None:
        """Note beside busy Slots whose bookings fill them."""
        await self._connection.collection("Slot").update_many(
            {"_id": {"$in": list(slots)}, "idx.status": {"$in": ["=busy", "=busy-tentative"]}},
            {"$addToSet": {"patients": {"$each": list(patients)}}},
            session=self._session,
        )

    def searched(self, type_: str, index: Mapping[str, Any]) -> dict[str, Any]:
        """Search values in the form in which documents have them as ``idx``."""
        return self._vault.index(type_, index)

    async def reindex(self, current: Stored, index: Mapping[str, Any], beside: Mapping[str, Any]) -> bool:
        """Replace the search values of a version, and fields beside its body, where it is still current."""
        change: dict[str, Any] = {"idx": self.searched(current.type, index)}
        change |= {name: value for name, value in beside.items() if value}
        result = await self._connection.collection(current.type).update_one(
            {"_id": current.id, "v": current.version}, {"$set": change}
        )
        return bool(result.matched_count)

    async def restamp(self, stored: Stored, clinics: Sequence[str], *, old: bool = False) -> bool:
        """Give a version other clinics, where it still has those that were read; it is no new version.

        :param old: the version lies in ``history``.
        """
        collection = HISTORY if old else stored.type
        id_ = history_id(stored.type, stored.id, stored.version) if old else stored.id
        before = stored.extra.get("clinics")
        where = {"_id": id_, "v": stored.version, "clinics": list(before) if before else {"$exists": False}}
        change = {"$set": {"clinics": list(clinics)}} if clinics else {"$unset": {"clinics": ""}}
        result = await self._connection.collection(collection).update_one(where, change, session=self._session)
        return bool(result.matched_count)

    async def restamp_all(self, type_: str, where: Mapping[str, Any], clinics: Sequence[str]) -> None:
        """Give all documents that match the same clinics, which are some."""
        await self._connection.collection(type_).update_many(
            {**self._vault.where(where), "clinics": {"$ne": list(clinics)}}, {"$set": {"clinics": list(clinics)}}
        )

    async def about(self, patients: Sequence[str], types: Sequence[str]) -> list[tuple[str, str]]:
        """Type and id of everything of some types that is or was about Patients, once or more often; one command."""
        named = list(patients)
        stages: dict[str, list[dict[str, Any]]] = {
            type_: [{"$match": {"patients": {"$in": named}}}, {"$project": {"t": {"$literal": type_}}}]
            for type_ in types
        }
        stages[HISTORY] = [
            {"$match": {"patients": {"$in": named}, "type": {"$in": list(types)}}},
            {"$project": {"t": "$type", "_id": "$id"}},
        ]
        found = await self._connection.union(stages, self._session)
        return [(one["t"], one["_id"]) for one in found]

    async def insert(self, resource: Stored, index: Mapping[str, Any]) -> bool:
        """Write a first version; False if the id exists already.

        :raises DuplicateKeyError: another unique key is taken; in a transaction, which is over then, also the id.
        """
        await self._vault.fresh()
        try:
            await self._connection.collection(resource.type).insert_one(
                self._vault.current(resource.type, document(resource, index)), session=self._session
            )
        except DuplicateKeyError as taken:
            if self._session is None and "_id" in (taken.details or {}).get("keyPattern", {"_id": 1}):
                return False
            raise
        return True

    async def replace(self, before: Stored, after: Stored, index: Mapping[str, Any]) -> bool:
        """Put the next version in place of ``before``; False if somebody was faster."""
        await self._vault.fresh()
        await self._keep(before, after.at)
        written = self._vault.current(after.type, document(after, index))
        result = await self._connection.collection(after.type).replace_one(
            {"_id": before.id, "v": before.version}, written, session=self._session
        )
        return bool(result.matched_count)

    async def _keep(self, before: Stored, until: int) -> None:
        found = self._vault.old(kept(before, until))
        await self._connection.collection(HISTORY).replace_one(
            {"_id": found["_id"]}, found, upsert=True, session=self._session
        )

    async def version(self, type_: str, id_: str, version: int) -> Stored | None:
        """One version, current or old, deletion markers included."""
        current = await self.get(type_, id_)
        if current is None or version > current.version:
            return None
        if current.version == version:
            return current
        found = await self.rows(HISTORY, {"_id": history_id(type_, id_, version)}, limit=1)
        return old(found[0]) if found else None

    async def versions(self, wanted: Iterable[tuple[str, str, int]]) -> dict[tuple[str, str, int], Stored]:
        """Versions by type, id and number, current or old, deletion markers included."""
        asked = set(wanted)
        found: dict[tuple[str, str, int], Stored] = {}
        for type_ in sorted({one[0] for one in asked}):
            ids = sorted({id_ for kind, id_, _ in asked if kind == type_})
            rows = await self.rows(type_, {"_id": {"$in": ids}}, fields={"idx": 0})
            found |= {(type_, one["_id"], one["v"]): stored(type_, one) for one in rows}
        left = [history_id(*one) for one in sorted(asked - found.keys())]
        if left:
            rows = await self.rows(HISTORY, {"_id": {"$in": left}})
            found |= {(one["type"], one["id"], one["v"]): old(one) for one in rows}
        return found

    async def rows(
        self,
        collection: str,
        where: Mapping[str, Any],
        *,
        sort: Sequence[tuple[str, int]] | None = None,
        limit: int = 0,
        fields: Mapping[str, int] | None = None,
    ) -> list[Document]:
        """Documents of a type's collection or of ``history``, deletion markers included; ``limit`` 0 = all."""
        cursor = self._connection.collection(collection).find(
            self._vault.where(where), self._vault.fields(collection, fields), sort=sort, limit=limit,
            session=self._session, batch_size=BATCH,
        )  # fmt: skip
        found: list[Document] = await cursor.to_list(None)
        await self._vault.opened(collection, found)
        return found

    async def count_rows(self, collection: str, where: Mapping[str, Any], most: int) -> int:
        """How many :meth:`rows` there are; it stops counting at ``most``."""
        counted: int = await self._connection.collection(collection).count_documents(
            self._vault.where(where), limit=most, session=self._session
        )
        return counted


def kept(before: Stored, until: int) -> Document:
    """The document of ``history`` for a version that was replaced at ``until`` (ms)."""
    return {
        "_id": history_id(before.type, before.id, before.version),
        "type": before.type,
        "id": before.id,
        "v": before.version,
        "at": before.at,
        "until": until,
        "deleted": before.deleted,
        "body": before.body,
        "method": before.extra.get("method", "PUT"),
        **{name: before.extra[name] for name in (*BESIDE, NEWS) if before.extra.get(name)},
    }


def history_id(type_: str, id_: str, version: int) -> str:
    """``Type/id/000000000v``: versions of one resource are one range of keys."""
    return f"{type_}/{id_}/{version:010d}"


def old(found: Mapping[str, Any]) -> Stored:
    """Read a document of ``history``."""
    extra = {"method": found.get("method", "PUT"), **{name: found[name] for name in BESIDE if name in found}}
    return Stored(found["type"], found["id"], found["v"], found["at"], found["deleted"], found["body"], extra)

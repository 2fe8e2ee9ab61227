"""Between the documents that go up to the use cases and those that lie in MongoDB: here they are sealed and opened.

Above it a document has a readable ``body`` and a filter has :class:`Hashed` values. Below it bodies of sealed types are
sealed, with the id of their key in ``seal``, and search values that identify people are hashes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Any

from fhir_server.fhir.types import SEALED_TYPES
from fhir_server.search.definitions import Definitions
from fhir_server.store.driver import Document
from fhir_server.store.keys import Keys
from fhir_server.store.sealed_index import Hashed, SealedIndex, domain_of
from fhir_server.store.sealing import Sealer, UnknownKeyError

HISTORY = "history"
PLACER, PLACED = "Appointment|placer", "Appointment|placed"
"""Domains of the hashes of a placer's identifier, and of the request that came under it."""


class Vault:
    """Seals what is written and opens what is read."""

    def __init__(self, keys: Keys, definitions: Definitions, zone: tzinfo) -> None:
        self._keys = keys
        self.sealer: Sealer = keys.sealer
        self._index = SealedIndex(self.sealer, definitions, zone)
        self._definitions = definitions

    async def fresh(self) -> None:
        """Called before a write: no key is used for long after it was replaced."""
        await self._keys.fresh()

    def current(self, type_: str, document: Document) -> Document:
        """The document of a type's collection as it is stored."""
        document["idx"] = self._index.of(type_, document["idx"])
        return self._closed(type_, document["_id"], document)

    def old(self, document: Document) -> Document:
        """The document of ``history`` as it is stored."""
        return self._closed(document["type"], document["id"], document)

    def index(self, type_: str, index: Mapping[str, Any]) -> dict[str, Any]:
        """Search values of a resource as they are stored."""
        return self._index.of(type_, index)

    def calendar_key(self, key: str) -> str:
        """The key under which somebody's calendar lies: of a logical reference (``#system|value``) ``#`` and a hash.

        It is the hash by which searches find Appointments with this actor. What is hashed already stays, for a hash
        has no ``|``.
        """
        if not key.startswith("#") or "|" not in key:
            return key
        domain = domain_of(self._definitions.of("Appointment")["actor"])
        return str(self._index.value(Hashed(domain, key, reference=True)))

    def _closed(self, type_: str, id_: str, document: Document) -> Document:
        if type_ in SEALED_TYPES and document["body"]:
            document["body"] = self.sealer.seal(type_, id_, document["v"], document["body"])
            document["seal"] = self.sealer.primary
        return document

    async def opened(self, collection: str, documents: Sequence[Document]) -> None:
        """Open the bodies of documents that were read; a key that another process made is fetched first.

        :raises SealError: one does not open.
        """
        if collection != HISTORY and collection not in SEALED_TYPES:
            return
        try:
            self._open(collection, documents)
        except UnknownKeyError:
            await self._keys.reload()
            self._open(collection, documents)

    def _open(self, collection: str, documents: Sequence[Document]) -> None:
        """All or none: whoever tries again begins with sealed ones."""
        bodies: list[tuple[Document, bytes]] = []
        for one in documents:
            if not (body := one.get("body")):
                continue
            if collection == HISTORY:
                type_, id_, version = one["_id"].split("/")
                if type_ in SEALED_TYPES:
                    bodies.append((one, self.sealer.open(type_, id_, int(version), body)))
            else:
                bodies.append((one, self.sealer.open(collection, one["_id"], one["v"], body)))
        for one, body in bodies:
            one["body"] = body

    @staticmethod
    def fields(collection: str, fields: Mapping[str, int] | None) -> Mapping[str, int] | None:
        """The projection with what is needed to open a body that it has."""
        if fields and fields.get("body") and (collection == HISTORY or collection in SEALED_TYPES):
            return {**fields, "v": 1}
        return fields

    def where(self, filter_: Any) -> Any:
        """The filter with hashes in place of :class:`Hashed` values."""
        if isinstance(filter_, dict):
            return {name: self.where(value) for name, value in filter_.items()}
        if isinstance(filter_, list):
            if filter_ and isinstance(filter_[0], str):
                return [self._index.value(one) if isinstance(one, Hashed) else one for one in filter_]
            return [self.where(one) for one in filter_]
        return self._index.value(filter_) if isinstance(filter_, Hashed) else filter_

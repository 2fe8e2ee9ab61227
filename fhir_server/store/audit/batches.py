"""One batch of a chain: a document whose hash covers its place, its bytes, its readable values and the batch before.

field   holds
------  -----------------------------------------------------------------------------------------------
_id     ``chain|0000000001``: the chain and the place in it, counted from 1
at      when it was recorded, milliseconds since the epoch; never goes back within a chain
prev    hash of the batch before, 32 zero bytes for the first
hash    SHA-256 over ``prev``, the readable values and ``body``
mac     HMAC-SHA-256 of ``hash`` with a secret of the server: who can only write documents cannot make one
body    the entries, sealed (:class:`Envelope`)
about, who, wrote, worst   by what it is found (``store/audit/entries.py``)
opens   of the first batch: the chains known then, each with its last place and hash
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from fhir_server.access.record import Access
from fhir_server.store.audit.entries import face, packed, unpacked
from fhir_server.store.driver import Document
from fhir_server.store.sealing import Sealer

START = bytes(32)
FORM = 1
"""The form of batches; the hash covers it."""

MAC_BYTES = 16


class Envelope:
    """How the bytes of a batch lie at rest; ``place`` is the batch's ``_id``, which the seal is bound to."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def seal(self, body: bytes, place: str) -> bytes:
        return self._sealer.seal_bytes(f"audit/{place}", body)

    def open(self, sealed: bytes, place: str) -> bytes:
        """:raises SealError: it does not open."""
        return self._sealer.open_bytes(f"audit/{place}", bytes(sealed))


@dataclass(frozen=True, slots=True)
class Head:
    """The last batch of a chain: its place and its hash; place 0 where there is none yet."""

    chain: str
    n: int = 0
    hash: bytes = START


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries that were recorded together; None stands for one that is not about what was looked for."""

    chain: str
    n: int
    at: int
    entries: tuple[Access | None, ...]


def place(chain: str, n: int) -> str:
    """``chain|0000000001``: the batches of a chain are one range of keys, in their order."""
    return f"{chain}|{n:010d}"


def made(
    head: Head, accesses: Sequence[Access], at: int, secret: bytes, envelope: Envelope, opens: Sequence[Head] | None
) -> Document:
    """The document of the batch behind ``head``."""
    n = head.n + 1
    key = place(head.chain, n)
    document: Document = {
        "_id": key,
        "form": FORM,
        "chain": head.chain,
        "n": n,
        "at": at,
        "count": len(accesses),
        "prev": head.hash,
        **face(accesses),
        "body": envelope.seal(packed(accesses), key),
    }
    if opens is not None:
        document["opens"] = [[one.chain, one.n, one.hash.hex()] for one in opens]
    document["hash"] = digest(document)
    document["mac"] = mac(document["hash"], secret)
    return document


def digest(document: Mapping[str, Any]) -> bytes:
    """The hash that a batch must have."""
    names = ("_id", "form", "chain", "n", "at", "count", "about", "who", "wrote", "worst", "opens")
    head = orjson.dumps([document.get(name) for name in names])
    return hashlib.sha256(b"".join((document["prev"], len(head).to_bytes(8, "big"), head, document["body"]))).digest()


def mac(hash_: bytes, secret: bytes) -> bytes:
    return hmac.digest(secret, hash_, "sha256")[:MAC_BYTES]


def opened(document: Mapping[str, Any], envelope: Envelope, about: frozenset[str] | None = None) -> Batch:
    """Read a batch's document; ``about`` makes only entries about these references."""
    entries = unpacked(envelope.open(document["body"], document["_id"]), about)
    return Batch(document["chain"], document["n"], document["at"], entries)

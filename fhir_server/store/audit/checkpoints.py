"""Checkpoints: the state of a chain at a moment, signed with Ed25519, so that the chain up to there cannot be remade.

kind     says
-------  ---------------------------------------------------------------------------------------
running  the chain had this batch last
final    and its process ended: no batch follows
pruned   the batches up to this one were removed when their time was over (``fhir-server audit prune``)

``before`` is the place of the checkpoint before, 0 for the first: a removed one is missed.
https://www.rfc-editor.org/rfc/rfc8032
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fhir_server.store.audit.batches import Head
from fhir_server.store.driver import Document

RUNNING, FINAL, PRUNED = "running", "final", "pruned"
_CONTEXT = "fhir-server access record 1"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A statement about a chain; ``at`` in milliseconds, ``key`` the public key in hex."""

    head: Head
    at: int
    kind: str
    before: int
    key: str
    signature: bytes


class Signer:
    """The key of this server's checkpoints."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._key.public_key().public_bytes_raw().hex()

    def sign(self, head: Head, at: int, kind: str, before: int) -> Checkpoint:
        return Checkpoint(head, at, kind, before, self.public, self._key.sign(_message(head, at, kind, before)))


def is_signed(checkpoint: Checkpoint, public: str) -> bool:
    """Whether it is as the holder of a public key signed it."""
    message = _message(checkpoint.head, checkpoint.at, checkpoint.kind, checkpoint.before)
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(checkpoint.signature, message)
    except (InvalidSignature, ValueError):
        return False
    return checkpoint.key == public


def document(checkpoint: Checkpoint) -> Document:
    """The document of a checkpoint; what is exported has the same fields."""
    head = checkpoint.head
    return {
        "_id": f"{head.chain}|{head.n:010d}|{checkpoint.kind}",
        "chain": head.chain,
        "n": head.n,
        "hash": head.hash.hex(),
        "at": checkpoint.at,
        "kind": checkpoint.kind,
        "before": checkpoint.before,
        "key": checkpoint.key,
        "signature": checkpoint.signature.hex(),
    }


def read(found: Mapping[str, Any]) -> Checkpoint:
    """Read a document.

    :raises ValueError: it has not the form of a checkpoint.
    """
    try:
        head = Head(found["chain"], int(found["n"]), bytes.fromhex(found["hash"]))
        at, before = int(found["at"]), int(found["before"])
        return Checkpoint(head, at, found["kind"], before, found["key"], bytes.fromhex(found["signature"]))
    except (KeyError, TypeError, ValueError):
        msg = "not a checkpoint"
        raise ValueError(msg) from None


def _message(head: Head, at: int, kind: str, before: int) -> bytes:
    return orjson.dumps([_CONTEXT, head.chain, head.n, head.hash.hex(), at, kind, before])

"""A vault with keys of this test process alone, without a database."""

from __future__ import annotations

import os
from datetime import UTC
from types import SimpleNamespace
from typing import Any, cast

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fhir_server.store.keys import Keys
from fhir_server.store.sealing import KEY_BYTES, KeyRing, Sealer
from fhir_server.store.vault import Vault
from tests.builders.search import DEFINITIONS


def ring(primary: str = "0a0b0c0d", *others: str, root: bytes | None = None) -> KeyRing:
    keys = {id_: AESGCM(os.urandom(KEY_BYTES)) for id_ in (primary, *others)}
    return KeyRing(keys, primary, root or os.urandom(KEY_BYTES))


VAULT = Vault(cast("Keys", SimpleNamespace(sealer=Sealer(ring()))), DEFINITIONS, UTC)


def stored(kind: str, document: dict[str, Any]) -> dict[str, Any]:
    """A document with plain search values as the store writes it, without a body."""
    return document | {"idx": VAULT.index(kind, document["idx"])}

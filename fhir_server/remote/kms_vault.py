"""HashiCorp Vault and OpenBao: the transit secrets engine, https://developer.hashicorp.com/vault/api-docs/secret/transit."""

from __future__ import annotations

import os
from typing import Self
from urllib.parse import urlsplit

from fhir_server.errors import KeysError
from fhir_server.remote.kms import ask, field, raw, text

_WHAT = "Vault"


class VaultKms:
    """A transit key; the token comes from ``VAULT_TOKEN``, a namespace from ``VAULT_NAMESPACE``, at each use."""

    name = "vault"

    def __init__(self, address: str, mount: str, key: str) -> None:
        self._base, self._key = f"{address}/v1/{mount}", key

    @classmethod
    def of(cls, url: str) -> Self | None:
        """``https://vault.example:8200/transit/key-name``."""
        parts = urlsplit(url)
        mount, _, key = parts.path.strip("/").rpartition("/")
        if parts.scheme not in {"http", "https"} or not parts.hostname or not mount or not key:
            return None
        if parts.scheme == "http" and parts.hostname not in {"127.0.0.1", "::1", "localhost"}:
            msg = "FHIR_KEYS names a Vault without TLS on another machine; use https."
            raise KeysError(msg)
        return cls(f"{parts.scheme}://{parts.netloc}", mount, key)

    async def begin(self) -> None:
        """The key is made by whoever runs Vault."""

    async def wrap(self, plain: bytes) -> bytes:
        return (await self._ask("encrypt", {"plaintext": text(plain)}, "ciphertext")).encode()

    async def unwrap(self, wrapped: bytes) -> bytes:
        return raw(_WHAT, await self._ask("decrypt", {"ciphertext": wrapped.decode("ascii", "replace")}, "plaintext"))

    async def _ask(self, act: str, body: dict[str, str], wanted: str) -> str:
        token = os.environ.get("VAULT_TOKEN")
        if not token:
            msg = "FHIR_KEYS names a Vault, and VAULT_TOKEN is not set."
            raise KeysError(msg)
        headers = {"X-Vault-Token": token}
        if namespace := os.environ.get("VAULT_NAMESPACE"):
            headers["X-Vault-Namespace"] = namespace
        answer = await ask(_WHAT, f"{self._base}/{act}/{self._key}", json=body, headers=headers)
        return field(_WHAT, answer, "data", wanted)

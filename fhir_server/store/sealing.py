"""Data at rest, sealed with AES-256-GCM: nobody reads, changes or moves it without the key.

    byte 0   1..4    5..16   17..
    format   key id  nonce   ciphertext and tag

The associated data name what was sealed (``Patient/1/3``: type, id and version), so that sealed bytes open nowhere
else. Data keys lie wrapped in the database (``keys.py``); several open, the primary one seals.
https://nvlpubs.nist.gov/nistpubs/Legacy/SP/nistspecialpublication800-38d.pdf
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
ID_BYTES = 4
NONCE_BYTES = 12
HASH_BYTES = 12

_FORMAT = b"\x01"
_HEADER = 1 + ID_BYTES
_BLOCK = 64
_OWN = b"\0" * ID_BYTES
"""The key id of what is sealed under keys derived from the root key."""


class SealError(Exception):
    """Sealed bytes do not open: they were changed, moved, or sealed elsewhere; the text names where they are."""


class UnknownKeyError(SealError):
    """Sealed under a data key that this ring does not have (yet)."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Data keys by id, the id of the one that seals, and the root key from which all other keys are derived."""

    keys: Mapping[str, AESGCM] = field(repr=False)
    primary: str
    root: bytes = field(repr=False)


class Sealer:
    """Seals and opens with the ring that it has; it has none before the store is opened."""

    def __init__(self, ring: KeyRing | None = None) -> None:
        self._begun: dict[str, tuple[Any, Any]] = {}
        self._own: dict[str, AESGCM] = {}
        if ring:
            self.adopt(ring)

    def adopt(self, ring: KeyRing) -> None:
        """Use this ring from now on."""
        self._keys = {bytes.fromhex(id_): key for id_, key in ring.keys.items()}
        self._primary = bytes.fromhex(ring.primary)
        self._root = ring.root
        self.primary = ring.primary

    def seal(self, type_: str, id_: str, version: int, plain: bytes) -> bytes:
        """``plain`` under the primary key, bound to its type, id and version."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._keys[self._primary].encrypt(nonce, plain, f"{type_}/{id_}/{version}".encode())
        return b"".join((_FORMAT, self._primary, nonce, sealed))

    def open(self, type_: str, id_: str, version: int, sealed: bytes) -> bytes:
        """What was sealed for this type, id and version.

        :raises UnknownKeyError: sealed under a key that is not in the ring.
        :raises SealError: it does not open.
        """
        key = self._keys.get(sealed[1:_HEADER])
        if sealed[:1] != _FORMAT or len(sealed) < _HEADER + NONCE_BYTES:
            raise SealError(f"{type_}/{id_} is not sealed")
        if key is None:
            raise UnknownKeyError(f"{type_}/{id_} is sealed under a key that is not in the ring")
        return self._opened(key, sealed, f"{type_}/{id_}/{version}", f"{type_}/{id_}")

    def seal_bytes(self, purpose: str, plain: bytes) -> bytes:
        """``plain`` under a key of its own for ``purpose``, which is not replaced when data keys are.

        :param purpose: what it is and where it stands (``secrets/page-tokens``); sealed bytes open for the same alone.
        """
        nonce = os.urandom(NONCE_BYTES)
        return b"".join((_FORMAT, _OWN, nonce, self._key_for(purpose).encrypt(nonce, plain, purpose.encode())))

    def open_bytes(self, purpose: str, sealed: bytes) -> bytes:
        """What :meth:`seal_bytes` sealed for this purpose.

        :raises SealError: it does not open.
        """
        if sealed[:_HEADER] != _FORMAT + _OWN or len(sealed) < _HEADER + NONCE_BYTES:
            raise SealError(f"{purpose} is not sealed")
        return self._opened(self._key_for(purpose), sealed, purpose, purpose)

    def hashed(self, domain: str, text: str) -> bytes:
        """The keyed hash of a text, HMAC-SHA-256 cut to 12 bytes; equal texts of another domain have another one."""
        begun = self._begun.get(domain) or self._begin(domain)
        inner, outer = begun[0].copy(), begun[1].copy()
        inner.update(text.encode("utf-8", "surrogatepass"))
        outer.update(inner.digest())
        return bytes(outer.digest()[:HASH_BYTES])

    @staticmethod
    def _opened(key: AESGCM, sealed: bytes, bound: str, place: str) -> bytes:
        try:
            return key.decrypt(sealed[_HEADER : _HEADER + NONCE_BYTES], sealed[_HEADER + NONCE_BYTES :], bound.encode())
        except InvalidTag:
            raise SealError(f"{place} does not open: it was changed, or sealed for another place") from None

    def _key_for(self, purpose: str) -> AESGCM:
        area = purpose.partition("/")[0]
        if area not in self._own:
            self._own[area] = AESGCM(derived(self._root, f"seal|{area}"))
        return self._own[area]

    def _begin(self, domain: str) -> tuple[Any, Any]:
        """HMAC as far as it is the same for every text: a third of the time of a whole one, and a write has hundreds.

        https://www.rfc-editor.org/rfc/rfc2104
        """
        key = derived(self._root, f"hash|{domain}").ljust(_BLOCK, b"\0")
        begun = tuple(hashlib.sha256(bytes(one ^ pad for one in key)) for pad in (0x36, 0x5C))
        self._begun[domain] = (begun[0], begun[1])
        return self._begun[domain]


def derived(root: bytes, name: str) -> bytes:
    """A key of its own for one use. https://www.rfc-editor.org/rfc/rfc5869"""
    return HKDF(SHA256(), KEY_BYTES, None, name.encode()).derive(root)


def key_of(sealed: bytes) -> str:
    """The id of the data key under which bytes are sealed."""
    return sealed[1:_HEADER].hex()

"""Secrets of clients: 256 random bits, shown once, kept as Argon2id. https://www.rfc-editor.org/rfc/rfc9106

A random secret cannot be guessed, so the hash need not be slow; it only must not be the secret.
"""

from __future__ import annotations

import asyncio
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

BYTES = 32
_HASHER = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1)
_NOBODY = _HASHER.hash(secrets.token_urlsafe(BYTES))


async def make() -> tuple[str, str]:
    """A new secret and its hash."""
    secret = secrets.token_urlsafe(BYTES)
    return secret, await asyncio.to_thread(_HASHER.hash, secret)


async def matches(hashed: str, secret: str) -> bool:
    """Whether it is the secret of that hash; takes as long where there is no hash."""
    return await asyncio.to_thread(_matches, hashed or _NOBODY, secret) and bool(hashed)


def _matches(hashed: str, secret: str) -> bool:
    try:
        return _HASHER.verify(hashed, secret.encode("utf-8", "surrogateescape"))
    except (VerificationError, InvalidHashError):
        return False

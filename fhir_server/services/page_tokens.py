"""Page tokens: where the next page of a list begins, sealed so that nobody reads, changes or lends it.

A token is AES-SIV (https://www.rfc-editor.org/rfc/rfc5297) over ``[expires, place]``, written in base64url. Its
associated data are what it was made for: the kind of list, the client and every parameter in effect. So a token of
another search, client or database does not open, and what it holds (names, dates) can be read by nobody. It is no
permission: whoever continues a list is checked as if it began.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from fhir_server.errors import Category, problem
from fhir_server.services.world import World

LIFETIME_SECONDS = 24 * 3600
SECRET = "page-tokens"  # noqa: S105  its name
SECRET_BYTES = 64
"""AES-256-SIV takes two keys of 32 bytes."""


def binding(kind: str, party: str, path: str, pairs: Iterable[tuple[str, str]]) -> bytes:
    """What a token is bound to: a digest of the kind of list, the caller, the path and the parameters in effect."""
    digest = hashlib.sha256()
    for part in (kind, party, path, *(part for pair in pairs for part in pair)):
        raw = part.encode()
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.digest()


async def write(world: World, bound: bytes, place: Sequence[Any]) -> str:
    """A token for a place: a list that JSON can hold."""
    text = orjson.dumps([world.now() + LIFETIME_SECONDS, list(place)])
    return base64.urlsafe_b64encode((await _cipher(world)).encrypt(text, [bound])).decode().rstrip("=")


async def read(world: World, bound: bytes, token: str) -> Any:
    """The place of a token.

    :raises Problem: 400 for one that is none of this list, 410 for one that is over.
    """
    try:
        sealed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        opened = (await _cipher(world)).decrypt(sealed, [bound])
    except (binascii.Error, ValueError, InvalidTag):
        text = "this page token is none of this search"
        raise problem(Category.INVALID, text, "_page", "param-invalid") from None
    expires, place = orjson.loads(opened)
    if expires <= world.now():
        raise problem(Category.GONE, "this page token is over; begin the search again", "_page")
    return place


async def _cipher(world: World) -> AESSIV:
    return AESSIV(await world.store.secrets.get(SECRET, SECRET_BYTES))

"""Keys that tokens are signed with: ES256 for access tokens, RS256 for ID tokens.

The next key of a use is published before it signs, so that who remembers our JWKS knows it by then; a key signs for
thirty days and verifies until the last token it signed has expired. https://www.rfc-editor.org/rfc/rfc7517
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import Any, Literal

from joserfc.jwk import ECKey, RSAKey

from fhir_server.services.world import World
from fhir_server.store.authorization.signing_keys import StoredKey

Use = Literal["access", "id"]
ALGORITHMS: dict[Use, str] = {"access": "ES256", "id": "RS256"}

SIGNING_SECONDS = 30 * 86400
PUBLISHED_SECONDS = 3600
"""So long a key is in our JWKS before it signs; the JWKS may be remembered no longer."""
LONGEST_TOKEN_SECONDS = 3600
REMEMBERED_SECONDS = 60


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key in hand; ``serial`` counts the keys of a use."""

    kid: str
    use: Use
    algorithm: str
    serial: int
    created: int
    until: int
    key: ECKey | RSAKey

    @property
    def public(self) -> dict[str, Any]:
        """The key as our JWKS shows it."""
        shown: dict[str, Any] = self.key.as_dict(private=False)
        return {**shown, "kid": self.kid, "use": "sig", "alg": self.algorithm}


async def signing(world: World, use: Use) -> SigningKey:
    """The key that signs now."""
    now = world.now()
    mine = [one for one in await all_keys(world) if one.use == use]
    if not mine or mine[-1].created <= now - SIGNING_SECONDS + PUBLISHED_SECONDS:
        await _add(world, use, mine[-1].serial + 1 if mine else 1)
        mine = [one for one in await all_keys(world, anew=True) if one.use == use]
    known = [one for one in mine if one.created <= now - PUBLISHED_SECONDS]
    return known[-1] if known else mine[0]


async def rotate(world: World, use: Use) -> None:
    """Publish a new key, which signs an hour from now."""
    mine = [one for one in await all_keys(world, anew=True) if one.use == use]
    await _add(world, use, mine[-1].serial + 1 if mine else 1)
    await all_keys(world, anew=True)


async def verifying(world: World, use: Use, kid: str) -> SigningKey | None:
    """The key of that name if it still verifies."""
    for anew in (False, True):
        for one in await all_keys(world, anew=anew):
            if one.kid == kid and one.use == use:
                return one
    return None


async def published(world: World) -> dict[str, Any]:
    """Our JWKS: public parts of every key that signs, will sign or still verifies."""
    await signing(world, "access")
    await signing(world, "id")
    return {"keys": [one.public for one in await all_keys(world)]}


async def all_keys(world: World, *, anew: bool = False) -> tuple[SigningKey, ...]:
    """Every key that verifies, oldest first; remembered for a minute, read anew at most once a second."""
    memory, now = world.memory, world.now()
    age = now - memory.keys_read
    if not memory.keys or age >= REMEMBERED_SECONDS or (anew and (age >= 1 or memory.keys_changed)):
        memory.keys_changed = False
        stored = await world.store.authorization.signing_keys.all(now)
        memory.keys = tuple(_in_hand(one, memory.keys) for one in stored)
        memory.keys_read = now
    return memory.keys


def _in_hand(stored: StoredKey, known: tuple[SigningKey, ...]) -> SigningKey:
    for one in known:
        if one.kid == stored.kid:
            return one
    use: Use = "access" if stored.use == "access" else "id"
    kind = ECKey if use == "access" else RSAKey
    key = kind.import_key(stored.private)
    return SigningKey(stored.kid, use, ALGORITHMS[use], stored.serial, stored.created, stored.until, key)


async def _add(world: World, use: Use, serial: int) -> None:
    now = world.now()
    key = await asyncio.to_thread(_made, use)
    until = now + SIGNING_SECONDS + PUBLISHED_SECONDS + LONGEST_TOKEN_SECONDS
    stored = StoredKey(secrets.token_urlsafe(12), use, serial, key.as_pem(private=True), now, until)
    await world.store.authorization.signing_keys.add(stored)
    world.memory.keys_changed = True


def _made(use: Use) -> ECKey | RSAKey:
    return ECKey.generate_key("P-256") if use == "access" else RSAKey.generate_key(2048)

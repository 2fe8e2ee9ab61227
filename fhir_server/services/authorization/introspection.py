"""What a token is worth now. https://hl7.org/fhir/smart-app-launch/token-introspection.html

Whoever asks sees tokens of their own; a client that is registered for it sees access tokens of everybody. Nobody learns
anything of other tokens, not even that there are such.
"""

from __future__ import annotations

from typing import Any

from fhir_server.access.client import Client
from fhir_server.services.authorization import tokens
from fhir_server.services.authorization.invalid_token import InvalidToken
from fhir_server.services.world import World

INACTIVE = {"active": False}
_SHOWN = ("scope", "client_id", "exp", "iat", "iss", "sub", "aud", "jti", "patient", "encounter", "fhirContext")


async def introspect(world: World, asker: Client, token: str) -> dict[str, Any]:
    """The token's state for a client that proved itself."""
    now = world.now()
    try:
        claims = await tokens.read(world, token, now)
        caller = await tokens.caller_of(world, token)
    except InvalidToken:
        return await _refresh_token(world, asker, token, now)
    if not asker.introspects and caller.client != asker.id:
        return INACTIVE
    found = {name: claims[name] for name in _SHOWN if name in claims}
    found |= {"active": True, "token_type": "Bearer", "scope": str(caller.scopes)}
    if "fhirUser" in claims and (caller.scopes.others & {"fhirUser", "profile"} or asker.introspects):
        found["fhirUser"] = claims["fhirUser"]
    return found


async def _refresh_token(world: World, asker: Client, token: str, now: int) -> dict[str, Any]:
    held = await world.store.authorization.refresh_tokens.get(token)
    if held is None or held["client"] != asker.id or "used" in held or held["expires"] <= now:
        return INACTIVE
    grant = await world.store.authorization.grants.get(held["grant"])
    if grant is None:
        return INACTIVE
    return {
        "active": True,
        "client_id": asker.id,
        "scope": str(grant.scopes),
        "exp": held["expires"],
        "iss": world.settings.issuer,
        "sub": grant.account,
    }

"""Tokens given back. https://www.rfc-editor.org/rfc/rfc7009

A refresh token ends its whole grant, access tokens included; an access token ends alone. Both at once, everywhere.
"""

from __future__ import annotations

from fhir_server.access.client import Client
from fhir_server.services.authorization import compact, grants, tokens
from fhir_server.services.authorization.invalid_token import InvalidToken
from fhir_server.services.world import World


async def revoke(world: World, client: Client, token: str) -> None:
    """End a token of this client; nothing happens to any other text."""
    held = await world.store.authorization.refresh_tokens.get(token)
    if held is not None:
        if held["client"] == client.id:
            await grants.end(world, held["grant"])
        return
    try:
        claims = await tokens.read(world, token, world.now())
        owner, jti = compact.text(claims, "client_id"), compact.text(claims, "jti")
    except InvalidToken:
        return
    if owner == client.id:
        await world.store.authorization.token_ids.first(world.settings.issuer, jti, int(claims["exp"]))
        await world.store.access_epoch.moved()

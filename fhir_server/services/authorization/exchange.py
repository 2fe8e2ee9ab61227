"""The token endpoint: a code, a refresh token or a client's own word becomes an access token.

https://www.rfc-editor.org/rfc/rfc6749#section-3.2, https://hl7.org/fhir/smart-app-launch/backend-services.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from authlib.oauth2.rfc6749.errors import (
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    UnauthorizedClientError,
    UnsupportedGrantTypeError,
)
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from fhir_server.access.account import Account
from fhir_server.access.client import Client, Kind
from fhir_server.access.scopes import Scopes, parse, within
from fhir_server.services.authorization import accounts, grants, sessions, token_response, tokens
from fhir_server.services.authorization.context import NoContextError
from fhir_server.services.world import World
from fhir_server.store.authorization.grants import Grant

_VERIFIER = re.compile(r"[A-Za-z0-9\-._~]{43,128}")

Form = Mapping[str, str]


async def exchange(world: World, client: Client, form: Form) -> dict[str, Any]:
    """The token response for a client that proved itself.

    :raises OAuth2Error: any refusal of https://www.rfc-editor.org/rfc/rfc6749#section-5.2
    """
    grant_type = form.get("grant_type", "")
    if not grant_type:
        raise InvalidRequestError("grant_type is missing")
    way = {
        "authorization_code": from_code,
        "refresh_token": from_refresh_token,
        "client_credentials": from_credentials,
    }.get(grant_type)
    if way is None:
        raise UnsupportedGrantTypeError(grant_type="")
    if grant_type not in client.grant_types:
        raise UnauthorizedClientError("the client is not registered for this grant type")
    return await way(world, client, form)


async def from_code(world: World, client: Client, form: Form) -> dict[str, Any]:
    """A code is good for one try of the client that asked for it; a second one ends what the first gave."""
    codes = world.store.authorization.codes
    code = form.get("code", "")
    if not code:
        raise InvalidRequestError("code is missing")
    found = await codes.get(code)
    if found is None or found["client"] != client.id:
        raise InvalidGrantError("the code is not known")
    if "used" in found:
        await grants.end(world, found["grant"])
        raise InvalidGrantError("the code was used")
    if await codes.use(code, world.now()) is None:
        await grants.end(world, found["grant"])
        raise InvalidGrantError("the code is over or was used")
    verifier = form.get("code_verifier", "")
    proved = _VERIFIER.fullmatch(verifier) and create_s256_code_challenge(verifier) == found["code_challenge"]
    if not proved or form.get("redirect_uri") != found["redirect_uri"]:
        await grants.end(world, found["grant"])
        raise InvalidGrantError("code_verifier or redirect_uri is not that of the request")
    grant, account = await _standing(world, client, found["grant"])
    scopes = within(grant.scopes, client.scopes)
    answer = await _answer(world, client, account, grant, scopes)
    if "openid" in scopes.others:
        answer["id_token"] = await token_response.id_token(
            world, client, account, scopes,
            nonce=found["nonce"], authenticated=found["authenticated"], access=answer["access_token"],
        )  # fmt: skip
    return answer


async def from_refresh_token(world: World, client: Client, form: Form) -> dict[str, Any]:
    """A refresh token is good for one use and gives the next; a second use ends the whole family."""
    store = world.store.authorization
    token = form.get("refresh_token", "")
    if not token:
        raise InvalidRequestError("refresh_token is missing")
    found = await store.refresh_tokens.get(token)
    if found is None or found["client"] != client.id:
        raise InvalidGrantError("the refresh token is not known")
    if "used" in found:
        await grants.end(world, found["grant"])
        raise InvalidGrantError("the refresh token was used")
    held = await store.grants.get(found["grant"])
    if held is None:
        raise InvalidGrantError("the grant was revoked")
    scopes = _narrowed(form, within(held.scopes, client.scopes))
    if await store.refresh_tokens.use(token, world.now()) is None:
        await grants.end(world, found["grant"])
        raise InvalidGrantError("the refresh token is over or was used")
    grant, account = await _standing(world, client, found["grant"])
    return await _answer(world, client, account, grant, scopes)


def _narrowed(form: Form, granted: Scopes) -> Scopes:
    """The scopes that are asked for, none more than was granted; all of them where none is named."""
    if "scope" not in form:
        return granted
    words = list(dict.fromkeys(form["scope"].split()))
    kept = within(parse(words), granted)
    if not words or len(kept.resources) + len(kept.others) != len(words):
        raise InvalidScopeError("a refresh narrows the scopes and never widens them")
    return kept


async def _standing(world: World, client: Client, grant_id: str) -> tuple[Grant, Account]:
    """The grant and its person, both still good; the use is noted."""
    store = world.store.authorization.grants
    held = await store.get(grant_id)
    if held is None:
        raise InvalidGrantError("the grant was revoked")
    account = await accounts.account(world, held.account)
    if account is None or account.disabled:
        raise InvalidGrantError("the account is closed")
    if held.session and not held.offline and not await sessions.alive(world, held.session):
        raise InvalidGrantError("the session is over")
    grant = await store.used(grant_id, world.now(), token_response.lasts_until(world, client, held))
    if grant is None:
        raise InvalidGrantError("the grant was revoked")
    return grant, account


async def _answer(world: World, client: Client, account: Account, grant: Grant, scopes: Scopes) -> dict[str, Any]:
    try:
        return await token_response.of_grant(world, client, account, grant, scopes)
    except NoContextError:
        # The person's resource went away since they agreed.
        raise InvalidGrantError("the grant no longer fits the account") from None


async def from_credentials(world: World, client: Client, form: Form) -> dict[str, Any]:
    """A backend on its own behalf: five minutes, no refresh token."""
    if client.kind is not Kind.ASYMMETRIC:
        raise UnauthorizedClientError("client_credentials is for clients with keys")
    limit = replace(
        client.scopes,
        resources=tuple(one for one in client.scopes.resources if one.context == "system"),
        others=client.scopes.others & {"launch"},
    )
    scopes = within(parse(form.get("scope", "")), limit)
    if not scopes.resources:
        raise InvalidScopeError("none of the scopes can be granted to this client")
    return token_response.bearer(await tokens.issue(world, client=client, scopes=scopes))

"""Bearer tokens at the authorization server itself. https://www.rfc-editor.org/rfc/rfc6750"""

from __future__ import annotations

from authlib.oauth2.base import OAuth2Error
from starlette.requests import Request

from fhir_server.access.caller import Caller
from fhir_server.services.authorization import tokens
from fhir_server.services.authorization.invalid_token import InvalidToken
from fhir_server.services.world import World
from fhir_server.smart import requests


def token_of(request: Request) -> str:
    """The token of the Authorization header, or empty."""
    scheme, _, token = requests.authorization(request).partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


async def caller(world: World, request: Request) -> Caller:
    """Who asks.

    :raises OAuth2Error: ``invalid_token``, status 401.
    """
    try:
        return await tokens.caller_of(world, token_of(request))
    except InvalidToken:
        raise OAuth2Error("the access token opens nothing", error="invalid_token", status_code=401) from None

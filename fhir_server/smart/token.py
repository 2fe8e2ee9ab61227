"""``/auth/token``: https://www.rfc-editor.org/rfc/rfc6749#section-3.2."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.services.authorization import authentication
from fhir_server.services.authorization.exchange import exchange
from fhir_server.services.world import World
from fhir_server.smart import requests
from fhir_server.smart.answers import answer, throttled, throttled_by_address

LIMIT_OF_ADDRESS = "600/minute"
LIMIT_OF_CLIENT = "300/minute"
"""Counted after the client proved itself, so that nobody else can use it up."""


async def token(world: World, request: Request) -> Response:
    """The token response."""
    await throttled_by_address(world, "token", request, LIMIT_OF_ADDRESS)
    form = await requests.read_form(request)
    client = await authentication.authenticate(world, requests.authorization(request), form)
    await throttled(world, "token:client", client.id, LIMIT_OF_CLIENT)
    return answer(await exchange(world, client, form))

"""``/auth/revoke``: https://www.rfc-editor.org/rfc/rfc7009."""

from __future__ import annotations

from authlib.oauth2.rfc6749.errors import InvalidRequestError
from starlette.requests import Request
from starlette.responses import Response

from fhir_server.services.authorization import authentication
from fhir_server.services.authorization.revocation import revoke
from fhir_server.services.world import World
from fhir_server.smart import requests
from fhir_server.smart.answers import NO_STORE, throttled_by_address

PATH = "/auth/revoke"
LIMIT = "600/minute"


async def revocation(world: World, request: Request) -> Response:
    """200 whatever the token was."""
    await throttled_by_address(world, "revoke", request, LIMIT)
    form = await requests.read_form(request)
    client = await authentication.authenticate(world, requests.authorization(request), form, path=PATH)
    if "token" not in form:
        raise InvalidRequestError("token is missing")
    await revoke(world, client, form["token"])
    return Response(status_code=200, headers=NO_STORE)

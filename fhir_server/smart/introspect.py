"""``/auth/introspect``: https://www.rfc-editor.org/rfc/rfc7662."""

from __future__ import annotations

from authlib.oauth2.rfc6749.errors import InvalidRequestError
from starlette.requests import Request
from starlette.responses import Response

from fhir_server.access.client import Client
from fhir_server.services.authorization import authentication, clients
from fhir_server.services.authorization.introspection import introspect
from fhir_server.services.world import World
from fhir_server.smart import bearer, requests
from fhir_server.smart.answers import answer, throttled, throttled_by_address

PATH = "/auth/introspect"
LIMIT_OF_ADDRESS = "3000/minute"
LIMIT_OF_CLIENT = "1200/minute"


async def introspection(world: World, request: Request) -> Response:
    """What a token is worth, for a client that proved itself or brings a token of its own."""
    await throttled_by_address(world, "introspect", request, LIMIT_OF_ADDRESS)
    form = await requests.read_form(request)
    asker = await _asker(world, request, form)
    await throttled(world, "introspect:client", asker.id, LIMIT_OF_CLIENT)
    token = form.get("token", "")
    if not token:
        raise InvalidRequestError("token is missing")
    return answer(await introspect(world, asker, token))


async def _asker(world: World, request: Request, form: dict[str, str]) -> Client:
    if bearer.token_of(request):
        caller = await bearer.caller(world, request)
        client = await clients.get(world, caller.client)
        if client is None or (client.introspects and caller.subject):
            # A person's token does not carry the right of the app to look at other people's.
            raise authentication.unproved()
        return client
    header = requests.authorization(request)
    return await authentication.authenticate(world, header, form, path=PATH, public=False)

"""``/auth/launch``: an EMR registers the context in which it starts an app, and gets the ``launch`` text for it."""

from __future__ import annotations

from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.rfc6749.errors import InvalidRequestError
from starlette.requests import Request
from starlette.responses import Response

from fhir_server.services.authorization import launches
from fhir_server.services.authorization.launches import UnfitLaunchError
from fhir_server.services.world import World
from fhir_server.smart import bearer, requests
from fhir_server.smart.answers import answer, throttled

LIMIT = "600/minute"


async def launch(world: World, request: Request) -> Response:
    """201 with ``launch`` and how many seconds it lasts."""
    caller = await bearer.caller(world, request)
    await throttled(world, "launch:client", caller.client, LIMIT)
    if not launches.may_launch(caller):
        raise OAuth2Error("this token starts no apps", error="insufficient_scope", status_code=403)
    try:
        text = await launches.register(world, caller, await requests.read_json(request))
    except UnfitLaunchError as unfit:
        raise InvalidRequestError(str(unfit)) from None
    return answer({"launch": text, "iss": world.settings.bases[0].rstrip("/"), "expires_in": launches.SECONDS}, 201)

"""``/auth/register``: https://www.rfc-editor.org/rfc/rfc7591, where the setting lets apps register themselves."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.services.authorization.clients import UnfitClientError
from fhir_server.services.authorization.registration import register
from fhir_server.services.world import World
from fhir_server.smart import requests
from fhir_server.smart.answers import answer, refusal, throttled_by_address

LIMIT = "20/hour"


async def registration(world: World, request: Request) -> Response:
    """201 with the registration."""
    if not world.settings.registration:
        return refusal("access_denied", "apps are registered by the clinic", 403)
    await throttled_by_address(world, "register", request, LIMIT)
    asked = await requests.read_json(request)
    try:
        return answer(await register(world, asked), 201)
    except UnfitClientError as unfit:
        error = "invalid_redirect_uri" if unfit.member == "redirect_uris" else "invalid_client_metadata"
        return refusal(error, str(unfit))

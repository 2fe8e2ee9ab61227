"""``/auth/authorize``: an app asks for a person's consent; the request is checked and waits for the person.

https://hl7.org/fhir/smart-app-launch/app-launch.html#obtain-authorization-code, by GET and by POST
"""

from __future__ import annotations

from urllib.parse import quote

from authlib.oauth2.rfc6749.errors import InvalidRequestError
from starlette.requests import Request
from starlette.responses import Response

from fhir_server.services.authorization import pending
from fhir_server.services.authorization.pending import Unredirectable
from fhir_server.services.world import World
from fhir_server.smart import requests
from fhir_server.smart.answers import NO_STORE, throttled_by_address

LIMIT = "300/minute"


async def authorize(world: World, request: Request) -> Response:
    """303 to the login page, or back to the app with what is wrong."""
    await throttled_by_address(world, "authorize", request, LIMIT)
    try:
        if request.method == "POST":
            pairs = await requests.read_pairs(request)
        else:
            pairs = requests.pairs_of(request.scope["query_string"].decode("latin-1"))
    except InvalidRequestError:
        raise Unredirectable("This app cannot be opened", "Its request cannot be read.") from None
    waiting = await pending.begin(world, pairs)
    headers = {**NO_STORE, "Location": f"/auth/login?request={quote(waiting.id, safe='')}"}
    return Response(status_code=303, headers=headers)

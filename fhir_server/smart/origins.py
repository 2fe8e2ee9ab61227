"""Which web pages may call the token and revocation endpoints: those of registered origins.

https://hl7.org/fhir/smart-app-launch/app-launch.html#considerations-for-cross-origin-resource-sharing-cors-support
"""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.services.world import World
from fhir_server.smart.answers import NO_STORE, Endpoint

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]{1,260}")


def for_origins(endpoint: Endpoint) -> Endpoint:
    """The endpoint, whose answers a registered origin may read."""

    async def serve(world: World, request: Request) -> Response:
        allowed = await _allowed(world, request)
        request.state.cors = allowed
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={**NO_STORE, **allowed})
        return await endpoint(world, request)

    return serve


async def _allowed(world: World, request: Request) -> dict[str, str]:
    origin = request.headers.get("origin", "")
    if not _ORIGIN.fullmatch(origin) or not await world.store.authorization.clients.has_origin(origin.lower()):
        return {"Vary": "Origin"}
    return {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": "POST, OPTIONS",
        "Access-Control-Allow-Headers": "Authorization, Content-Type",
        "Access-Control-Expose-Headers": "Retry-After, WWW-Authenticate",
        "Access-Control-Max-Age": "600",
    }

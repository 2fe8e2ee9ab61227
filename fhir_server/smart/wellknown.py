"""``/.well-known``: discovery for everybody, from any origin. https://hl7.org/fhir/smart-app-launch/conformance.html

The same documents stand at the root and below the FHIR base, where SMART looks for its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from fhir_server.services.authorization import discovery, keys, style
from fhir_server.services.world import World

DISCOVERY_SECONDS = 300
KEYS_SECONDS = 600
STYLE_SECONDS = 86400
OPEN = {"Access-Control-Allow-Origin": "*", "X-Content-Type-Options": "nosniff"}
PREFLIGHT = {**OPEN, "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS", "Access-Control-Max-Age": "600"}


async def smart_configuration(world: World, request: Request) -> Response:
    return _document(request, discovery.smart_configuration(world), DISCOVERY_SECONDS)


async def openid_configuration(world: World, request: Request) -> Response:
    return _document(request, discovery.openid_configuration(world), DISCOVERY_SECONDS)


async def authorization_server(world: World, request: Request) -> Response:
    return _document(request, discovery.authorization_server(world), DISCOVERY_SECONDS)


async def jwks(world: World, request: Request) -> Response:
    """Public keys; remembered for less time than a new key is published before it signs."""
    return _document(request, await keys.published(world), KEYS_SECONDS)


async def app_style(world: World, request: Request) -> Response:  # noqa: ARG001  the same in every world
    """The style at its own address."""
    return _document(request, orjson.loads(style.STYLE), STYLE_SECONDS)


DOCUMENTS: Mapping[str, Callable[[World, Request], Awaitable[Response]]] = {
    "smart-configuration": smart_configuration,
    "openid-configuration": openid_configuration,
    "oauth-authorization-server": authorization_server,
    "jwks.json": jwks,
}


def _document(request: Request, content: dict[str, Any], seconds: int) -> Response:
    """JSON whatever Accept says, with an ETag."""
    if request.method == "OPTIONS":
        return Response(status_code=204, headers={**PREFLIGHT, "Access-Control-Allow-Headers": "*"})
    body = orjson.dumps(content)
    tag = f'W/"{hashlib.sha256(body).hexdigest()[:16]}"'
    headers = {**OPEN, "ETag": tag, "Cache-Control": f"public, max-age={seconds}"}
    known = [one.strip() for one in request.headers.get("if-none-match", "").split(",")]
    if tag in known or tag.removeprefix("W/") in known:
        return Response(status_code=304, headers=headers)
    return Response(body, 200, headers, "application/json")

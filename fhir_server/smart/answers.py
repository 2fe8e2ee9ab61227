"""What endpoints of the authorization server answer: JSON that nobody keeps, and errors in OAuth's words.

https://www.rfc-editor.org/rfc/rfc6749#section-5
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import orjson
from authlib.oauth2.base import OAuth2Error
from starlette.requests import Request
from starlette.responses import Response

from fhir_server.errors import Problem
from fhir_server.log import get_logger
from fhir_server.remote import throttle
from fhir_server.services.authorization.redirects import Redirected, Unredirectable
from fhir_server.services.world import World
from fhir_server.smart import happening, requests
from fhir_server.smart.happening import Happening
from fhir_server.smart.pages.error import error_page
from fhir_server.store.driver import PyMongoError

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache", "X-Content-Type-Options": "nosniff"}
REALM = "fhir-server"

log = get_logger("smart")

Endpoint = Callable[[World, Request], Awaitable[Response]]


class Entrance(Protocol):
    """What knows the world, which is None while the server starts."""

    world: World | None


class ThrottledError(Exception):
    """Too many requests; ``seconds`` to wait."""

    def __init__(self, seconds: float) -> None:
        super().__init__("too many requests")
        self.seconds = math.ceil(seconds)


def answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON that is not to be stored."""
    return Response(orjson.dumps(content), status, {**NO_STORE, **(headers or {})}, "application/json")


def refusal(error: str, description: str, status: int = 400, headers: Mapping[str, str] | None = None) -> Response:
    """An OAuth error."""
    return answer({"error": error, "error_description": description}, status, headers)


def served(door: Entrance, endpoint: Endpoint, interaction: str = "") -> Callable[[Request], Awaitable[Response]]:
    """An endpoint with the world, whose refusals become answers; ``interaction`` is what it is told as."""

    async def serve(request: Request) -> Response:
        world = door.world
        if world is None:
            return refusal("temporarily_unavailable", "the server is starting", 503, {"Retry-After": "1"})
        world = world.unmoved()
        request.state.happening = Happening(interaction)
        found = await _answered(world, endpoint, request)
        found.headers.update(getattr(request.state, "cors", {}))
        try:
            await happening.tell(world, request, found.status_code)
        except Problem:
            return refusal("temporarily_unavailable", "the access could not be recorded", 503, {"Retry-After": "1"})
        return found

    return serve


async def _answered(world: World, endpoint: Endpoint, request: Request) -> Response:
    """The answer, or that of the refusal."""
    mine = happening.of(request)
    try:
        return await endpoint(world, request)
    except OAuth2Error as refused:
        mine.reason = str(refused.error)
        return _refused(request, refused)
    except Unredirectable as refused:
        mine.reason = "unredirectable"
        return error_page(refused.title, refused.text)
    except Redirected as refused:
        mine.reason = refused.error
        return Response(status_code=303, headers={**NO_STORE, "Location": refused.url})
    except ThrottledError as refused:
        mine.reason = "throttled"
        headers = {"Retry-After": str(refused.seconds)}
        return refusal("temporarily_unavailable", "too many requests", 429, headers)
    except PyMongoError as failed:
        mine.reason = "unavailable"
        log.warning("database did not answer", fault=type(failed).__name__)
        return refusal("temporarily_unavailable", "the database does not answer", 503, {"Retry-After": "1"})


def _refused(request: Request, refused: Any) -> Response:
    body = {"error": refused.error, "error_description": refused.get_error_description() or refused.error}
    headers = {}
    if refused.status_code == 401:
        bearer = request.headers.get("authorization", "").lower().startswith("bearer ")
        headers["WWW-Authenticate"] = f'{"Bearer" if bearer else "Basic"} realm="{REALM}", error="{refused.error}"'
    return answer(body, refused.status_code, headers)


async def throttled(world: World, what: str, who: str, limit: str) -> None:
    """Count a request of somebody.

    :raises ThrottledError: it was one too many.
    """
    seconds = await throttle.allow(world.settings, f"{what}:{who}", limit)
    if seconds:
        raise ThrottledError(seconds)


async def throttled_by_address(world: World, what: str, request: Request, limit: str) -> None:
    """Count a request of a network address.

    :raises ThrottledError: it was one too many.
    """
    await throttled(world, f"{what}:address", requests.address(request), limit)

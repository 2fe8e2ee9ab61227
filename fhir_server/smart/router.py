"""The URL table of the authorization server: ``/auth`` and ``/.well-known``."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from fhir_server.services.authorization import style
from fhir_server.services.world import World
from fhir_server.smart import wellknown
from fhir_server.smart.answers import Endpoint, Entrance, refusal, served
from fhir_server.smart.authorize import authorize
from fhir_server.smart.introspect import introspection
from fhir_server.smart.launch import launch
from fhir_server.smart.origins import for_origins
from fhir_server.smart.register import registration
from fhir_server.smart.revoke import revocation
from fhir_server.smart.token import token

FHIR = "/fhir"


def router(door: Entrance) -> APIRouter:
    """The routes; every other method of an endpoint is refused with 405."""
    api = APIRouter()

    def add(path: str, endpoint: Endpoint, methods: tuple[str, ...]) -> None:
        others = [one for one in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS") if one not in methods]
        api.add_route(path, served(door, endpoint), list(methods), include_in_schema=False)
        api.add_route(path, served(door, _no_method(methods)), others, include_in_schema=False)

    add("/auth/authorize", authorize, ("GET", "POST"))
    add("/auth/token", for_origins(token), ("POST", "OPTIONS"))
    add("/auth/revoke", for_origins(revocation), ("POST", "OPTIONS"))
    add("/auth/introspect", introspection, ("POST",))
    add("/auth/register", registration, ("POST",))
    add("/auth/launch", launch, ("POST",))
    add(style.PATH, wellknown.app_style, ("GET", "HEAD", "OPTIONS"))
    for name, document in wellknown.DOCUMENTS.items():
        for base in ("", FHIR):
            add(f"{base}/.well-known/{name}", document, ("GET", "HEAD", "OPTIONS"))
    return api


def _no_method(methods: tuple[str, ...]) -> Endpoint:
    async def refuse(world: World, request: Request) -> Response:  # noqa: ARG001  the same for every request
        return refusal(
            "invalid_request", f"this endpoint takes {', '.join(methods)}", 405, {"Allow": ", ".join(methods)}
        )

    return refuse

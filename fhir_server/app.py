"""``create_app``: FastAPI for everything around the FHIR base, the plain ASGI door for the base itself."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Response, WebSocket
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse

from fhir_server import log
from fhir_server.bootstrap import build, prepare
from fhir_server.embedded import lifeline
from fhir_server.fhir import models
from fhir_server.remote import throttle
from fhir_server.remote.channels import Channels
from fhir_server.rest import metrics, websocket
from fhir_server.rest.door import PREFIX, Door, is_ours, read_headers
from fhir_server.rest.landing import landing_page
from fhir_server.services.authorization import keys
from fhir_server.services.following.status import status
from fhir_server.settings import Settings
from fhir_server.smart.hooks import router as hooks_router
from fhir_server.smart.links import router as links_router
from fhir_server.smart.outbox import router as outbox_router
from fhir_server.smart.pages.checkin import router as checkin_router
from fhir_server.smart.pages.router import router as people_router
from fhir_server.smart.router import router as authorization_router

SUPERVISOR = "FHIR_SUPERVISOR_PID"
"""Set by ``fhir-server serve``: the process whose workers end with it."""


WELL_KNOWN = f"{PREFIX}/.well-known/"
"""Below the FHIR base, but not of FHIR: discovery of the authorization server."""


HEALTH = "/health/"
"""Asked by whoever runs the server, under whichever name or address."""

FOREIGN = "This server is not known by that Host; FHIR_BASE_URL names it.\n"


class Server(FastAPI):
    """FastAPI, but requests below the FHIR base go straight to the door, and none of another Host goes anywhere."""

    door: Door
    hosts: frozenset[str]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            path = scope["path"]
            below = path.startswith(PREFIX) and path[len(PREFIX) :][:1] in {"", "/"}
            if below and not path.startswith(WELL_KNOWN):
                await self.door(scope, receive, send)
                return
            if not path.startswith(HEALTH) and not is_ours(read_headers(scope["headers"]).get("host", ""), self.hosts):
                await PlainTextResponse(FOREIGN, 400)(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


def create_app(settings: Settings, channels: Channels | None = None) -> Server:
    """The application; databases are opened when it starts.

    :param channels: the ways to people; None = those that the settings turn on.
    """
    door = Door()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        world = build(settings, channels)
        await prepare(world)
        # Keys of tokens are there before the first of them is asked for, in this process or another.
        await keys.published(world)
        # The first validation of a type imports its model, which takes long; do it before the first request.
        await asyncio.to_thread(models.warm)
        world.channels.tell()
        await world.record.start()
        _settle_memory()
        door.world = world
        try:
            yield
        finally:
            door.world = None
            await world.record.stop()
            await world.channels.close()
            await world.store.close()
            await throttle.close()

    app = Server(title="FHIR scheduling server", lifespan=lifespan, openapi_url=None)
    app.door = door
    app.hosts = settings.hosts
    _add_pages(app, door)
    app.include_router(authorization_router(door))
    app.include_router(people_router(door))
    app.include_router(links_router(door))
    app.include_router(hooks_router(door))
    app.include_router(checkin_router(door))
    if settings.outbox_folder:
        app.include_router(outbox_router(door, settings.outbox_folder))
    return app


def _settle_memory() -> None:
    """Take what start-up built (models above all) out of the collector's walks: they cost requests milliseconds."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _add_pages(app: Server, door: Door) -> None:
    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def landing() -> str:
        return landing_page()

    @app.get("/health/live", include_in_schema=False)
    async def live() -> JSONResponse:
        return JSONResponse({"status": "live"})

    @app.get("/health/ready", include_in_schema=False)
    async def ready() -> JSONResponse:
        usable = door.world is not None and await door.world.store.ready()
        return JSONResponse({"status": "ready" if usable else "not ready"}, 200 if usable else 503)

    @app.websocket(websocket.PATH)
    async def notifications(socket: WebSocket) -> None:
        await websocket.notifications(door, socket)

    @app.get("/metrics", include_in_schema=False)
    async def prometheus() -> Response:
        told = metrics.following(await status(door.world)) if door.world else b""
        return Response(metrics.exposition() + told, media_type=metrics.CONTENT_TYPE)


def from_environment() -> Server:
    """The application as the environment configures it, for worker processes."""
    if SUPERVISOR in os.environ:
        lifeline.follow(int(os.environ[SUPERVISOR]))
    settings = Settings()
    log.configure(settings.log_level)
    return create_app(settings)

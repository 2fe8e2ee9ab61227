"""Fixtures of the running server: in this process behind ASGI, and as processes of its own behind real sockets."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
import pytest_asyncio

from fhir_server import log
from fhir_server.app import Server, create_app
from fhir_server.remote.channels import Channels
from fhir_server.remote.http import httpx
from fhir_server.services.world import World
from fhir_server.settings import Settings
from tests.conformance.recorder import recorder
from tests.second_patient import SCOPE, SecondPatient
from tests.tokens import Bearer, Issuer, issuer_for

FHIR_JSON = "application/fhir+json"


@pytest.fixture(scope="session")
def settings(mongo_uri: str, redis_url: str, mongo_database: str, keys: str) -> Settings:
    return Settings(
        keys=keys,
        mongo_uri=mongo_uri, redis_url=redis_url, mongo_database=mongo_database, environment="development",
        log_level="error", base_url="http://fhir.test/fhir",
    )  # fmt: skip


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Server]:
    """A server in this process."""
    made = create_app(settings, Channels.recording())
    async with made.router.lifespan_context(made):
        yield made


@pytest_asyncio.fixture(scope="session")
async def app(settings: Settings) -> AsyncIterator[Server]:
    log.configure(settings.log_level)
    async with opened(settings) as made:
        yield made


@pytest.fixture(scope="session")
def issuer(app: Server) -> Issuer:
    """Makes tokens for the server in this process."""
    return issuer_for(app)


@asynccontextmanager
async def asking(app: Server, issuer: Issuer) -> AsyncIterator[Any]:
    """An HTTP client whose base is the FHIR base of a server in this process.

    It sees everything but a second patient, of whom nothing may ever be sent.
    """
    transport = httpx.ASGITransport(app=app)
    heard, second = recorder(), SecondPatient()
    assert app.door.world is not None
    await second.settle(app.door.world)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://fhir.test/fhir/", timeout=30, auth=Bearer(issuer, SCOPE)
    ) as made:
        made.headers["Content-Type"] = FHIR_JSON
        made.event_hooks = {"response": [second.hear, *([heard.hear] if heard else [])]}
        yield made
    if heard:
        heard.check()


@pytest_asyncio.fixture(scope="session")
async def client(app: Server, issuer: Issuer) -> AsyncIterator[Any]:
    """An HTTP client of the server in this process; see :func:`asking`."""
    async with asking(app, issuer) as made:
        yield made


@pytest.fixture
def world(app: Server) -> World:
    """The world of the server in this process, on the server's own account."""
    assert app.door.world is not None
    return app.door.world.own()


@pytest.fixture
def go(app: Server) -> Iterator[Callable[[str], None]]:
    """Moves the clock of the server in this process to an instant; empty: to now. Tokens keep their own time."""
    before = app.door.world
    assert before is not None

    def moved(text: str) -> None:
        at = int(datetime.fromisoformat(text).timestamp() * 1000) if text else 0
        app.door.world = replace(before, clock=lambda: at, wall=before.wall or before.clock) if text else before

    yield moved
    app.door.world = before


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """What a process of the server or of its command line is started with."""
    return {
        **os.environ, "FHIR_MONGO_URI": settings.mongo_uri, "FHIR_MONGO_DATABASE": settings.mongo_database,
        "FHIR_REDIS_URL": settings.redis_url, "FHIR_KEYS": settings.keys, "FHIR_LOG_LEVEL": "error", **more,
    }  # fmt: skip


@contextmanager
def serving(settings: Settings, **environment_: str) -> Iterator[str]:
    """A server process of its own on a free loopback port; its FHIR base."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    process = subprocess.Popen(
        [
            sys.executable, "-m", "uvicorn", "--factory", "fhir_server.app:from_environment",
            "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning", "--no-access-log",
        ],
        env=environment(settings, FHIR_PORT=str(port), **environment_),
    )  # fmt: skip
    try:
        await_ready(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}/fhir"
    finally:
        process.terminate()
        process.wait(timeout=20)


def await_ready(root: str, process: subprocess.Popen[bytes], seconds: float = 90) -> None:
    """Wait until the server says that it is ready."""
    until = time.monotonic() + seconds
    with httpx.Client(timeout=2, trust_env=False) as http:
        while time.monotonic() < until:
            if process.poll() is not None:
                msg = f"the server ended with {process.returncode}"
                raise RuntimeError(msg)
            with suppress(httpx.TransportError):
                if http.get(f"{root}/health/ready").status_code == 200:
                    return
            time.sleep(0.05)
    msg = "the server did not become ready"
    raise RuntimeError(msg)


@pytest.fixture(scope="session")
def two_servers(settings: Settings) -> Iterator[tuple[str, str]]:
    """FHIR bases of two server processes on one database."""
    with serving(settings) as first, serving(settings) as second:
        yield first, second

"""A real browser without a screen, a server process, and an app that waits for its answer on this machine."""

from __future__ import annotations

import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser as Chromium
from playwright.async_api import async_playwright

from fhir_server.services.world import World
from fhir_server.settings import Settings
from tests.builders.people import People, people
from tests.server import serving

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
             "--disable-sync"]  # fmt: skip


class Catcher:
    """An app's redirect URI; ``heard`` are the paths that browsers came with."""

    def __init__(self, server: ThreadingHTTPServer, heard: list[str]) -> None:
        self.uri = f"http://127.0.0.1:{server.server_port}/callback"
        self.heard = heard


@pytest.fixture(scope="session")
def catcher() -> Iterator[Catcher]:
    heard: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/callback"):
                heard.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>app</title><h1>Back in the app</h1>")

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield Catcher(server, heard)
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def root(settings: Settings) -> Iterator[str]:
    """The root URL of a server process."""
    with serving(settings, FHIR_REQUIRE_SECOND_FACTOR="false") as base:
        yield base.removesuffix("/fhir")


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def chromium() -> AsyncIterator[Chromium]:
    if PROGRAM is None:
        pytest.skip("no Chromium: install the package chromium (Debian, Fedora) or Google Chrome")
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=PROGRAM, args=ARGUMENTS)
        yield started
        await started.close()


@pytest_asyncio.fixture(loop_scope="session")
async def clinic(world: World) -> People:
    return await people(world)

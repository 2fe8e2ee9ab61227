"""The authorization server by HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

from fhir_server.app import Server
from fhir_server.remote.http import httpx
from fhir_server.services.world import World
from tests.builders.people import People, people


@pytest_asyncio.fixture(scope="session")
async def auth(app: Server) -> AsyncIterator[Any]:
    """An HTTP client of the server's root, which follows no redirects."""
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://fhir.test", timeout=30) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def clinic(world: World) -> People:
    return await people(world)

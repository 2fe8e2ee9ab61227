"""Fixtures: HTTP clients of two server processes on one database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from fhir_server.app import Server
from fhir_server.remote.http import httpx
from tests.concurrency.faulty import clinic, faulty_app, faulty_uri, faulty_world
from tests.concurrency.rush import Rush
from tests.server import FHIR_JSON
from tests.tokens import bearer

__all__ = ["clinic", "faulty_app", "faulty_uri", "faulty_world"]


@pytest_asyncio.fixture(scope="session")
async def doors(two_servers: tuple[str, str], app: Server) -> AsyncIterator[tuple[Any, Any]]:
    options: dict[str, Any] = {
        "headers": {"Content-Type": FHIR_JSON},
        "timeout": 120,
        # Shorter than the server's five seconds, or both ends decide about an idle connection at the same moment.
        "limits": httpx.Limits(max_connections=400, max_keepalive_connections=400, keepalive_expiry=2),
        "trust_env": False,
    }
    first, second = (f"{base}/" for base in two_servers)
    async with (
        httpx.AsyncClient(base_url=first, auth=bearer(app, first), **options) as one,
        httpx.AsyncClient(base_url=second, auth=bearer(app, second), **options) as other,
    ):
        yield one, other


@pytest.fixture
def rush(doors: tuple[Any, Any]) -> Rush:
    return Rush(doors)

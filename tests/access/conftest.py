"""A town for each module, and its callers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

from fhir_server.app import Server
from tests.access.callers import Callers, client_of, settled
from tests.builders.town import Town
from tests.tokens import Issuer


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def http(app: Server) -> AsyncIterator[Any]:
    async with client_of(app) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def town(app: Server, issuer: Issuer) -> AsyncIterator[Town]:
    async with client_of(app, await issuer.backend("town", "system/*.cruds")) as made:
        yield await settled(Town(made))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def callers(town: Town, http: Any, issuer: Issuer) -> Callers:
    return Callers(town, http, issuer)

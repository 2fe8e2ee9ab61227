"""A record of its own for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from fhir_server.settings import Settings
from fhir_server.store.database import Store
from tests.audit import records


@pytest_asyncio.fixture(params=["pymongo", "motor"])
async def both(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[Store]:
    """On both drivers."""
    made = await records.fresh(settings, request.param)
    yield made
    await records.close(made)


@pytest_asyncio.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    made = await records.fresh(settings)
    yield made
    await records.close(made)

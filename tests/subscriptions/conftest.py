"""A subscriber with a receiver of its own for each test; no query of these tests may walk a whole collection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from fhir_server.services.following.drain import drain
from fhir_server.services.world import World
from tests.builders.quiet import quiet
from tests.builders.receivers import receiver
from tests.builders.subscriber import Subscriber
from tests.builders.visits import Visits
from tests.scans import no_scans

__all__ = ["no_scans"]


@pytest.fixture
async def clinic(client: Any) -> Visits:
    return await Visits(client).opened()


@pytest_asyncio.fixture
async def emr(client: Any, world: World, clinic: Visits) -> AsyncIterator[Subscriber]:
    """A backend without walls, whose receiver takes everything."""
    await quiet(world)
    async with receiver() as hook:
        made = Subscriber(client, world, hook, clinic.id("emr"))
        yield made
        await made.off()
    await drain(world)

"""A clinic with a waitlist for each test; no query of these tests may walk a whole collection."""

from __future__ import annotations

from typing import Any

import pytest_asyncio

from fhir_server.services.world import World
from tests.builders.quiet import quiet
from tests.builders.waiting import Waiting
from tests.scans import no_scans
from tests.tokens import Issuer

__all__ = ["no_scans"]


@pytest_asyncio.fixture(loop_scope="session")
async def clinic(client: Any, issuer: Issuer, world: World) -> Waiting:
    await quiet(world)
    made = Waiting(client)
    made.issuer, made.world = issuer, world
    await made.opened()
    return made

"""A practice of a test's own, with channels that keep what they are given."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest_asyncio

from fhir_server.app import Server
from tests.builders.messages import Practice


@pytest_asyncio.fixture(loop_scope="session")
async def practice(client: Any, app: Server) -> AsyncIterator[Practice]:
    """Not opened yet; the server has its own clock and channels again afterwards."""
    before = app.door.world
    assert before is not None
    made = Practice(client, app=app)
    app.door.world = replace(before, channels=made.channels)
    yield made
    app.door.world = before

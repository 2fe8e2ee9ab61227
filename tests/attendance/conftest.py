"""A clinic of a test's own, on a clock of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from fhir_server.app import Server
from fhir_server.remote.channels import Channels
from fhir_server.services.world import World
from tests.attendance.house import Callers, Clock, House, client_of, with_clock
from tests.builders.quiet import quiet
from tests.scans import no_scans

__all__ = ["no_scans"]


@pytest.fixture
def clock(app: Server) -> Iterator[Clock]:
    """The clock of the server in this process, until the test is over."""
    before = app.door.world
    assert before is not None
    made = Clock()
    app.door.world = replace(with_clock(before, made), channels=Channels.recording())
    yield made
    app.door.world = before


@pytest_asyncio.fixture
async def calm(world: World) -> None:
    await quiet(world)


@pytest_asyncio.fixture
async def house(app: Server, calm: None, clock: Clock) -> AsyncIterator[House]:
    """Not opened yet: a test may have a policy of its own."""
    callers = Callers(app, clock)
    async with client_of(app, callers) as http:
        yield House(http, callers, clock)


@pytest.fixture
def any_clock() -> Any:
    return Clock()

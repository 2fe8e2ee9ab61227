"""A MongoDB that refuses to walk a whole collection: what a test asks over HTTP must be served by an index.

https://www.mongodb.com/docs/manual/reference/parameters/#mongodb-parameter-param.notablescan
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest_asyncio
from pymongo.errors import ConnectionFailure  # noqa: TID251  what the driver says of a dead connection

from fhir_server.app import Server
from fhir_server.services.world import World


@pytest_asyncio.fixture(autouse=True, scope="module", loop_scope="session")
async def no_scans(app: Server) -> AsyncIterator[None]:
    """Around the tests of a module; a database that was given is left as it is."""
    world = app.door.world
    assert world is not None
    if "FHIR_TEST_MONGO_URI" in os.environ:
        yield
        return
    await _set(world, refused=True)
    try:
        yield
    finally:
        await _set(world, refused=False)


async def _set(world: World, *, refused: bool) -> None:
    """The event loop stood still while other tests ran: the driver may find its connection dead, and cancels once."""
    for left in (1, 0):
        try:
            await world.store.connection.command({"setParameter": 1, "notablescan": refused})
        except ConnectionFailure:
            if not left:
                raise
        else:
            return

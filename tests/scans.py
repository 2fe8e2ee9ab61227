"""A MongoDB that refuses to walk a whole collection: what a test asks over HTTP must be served by an index.

https://www.mongodb.com/docs/manual/reference/parameters/#mongodb-parameter-param.notablescan
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest_asyncio

from fhir_server.app import Server


@pytest_asyncio.fixture(autouse=True, scope="module", loop_scope="session")
async def no_scans(app: Server) -> AsyncIterator[None]:
    """Around the tests of a module; a database that was given is left as it is."""
    world = app.door.world
    assert world is not None
    if "FHIR_TEST_MONGO_URI" in os.environ:
        yield
        return
    await world.store.connection.command({"setParameter": 1, "notablescan": True})
    try:
        yield
    finally:
        await world.store.connection.command({"setParameter": 1, "notablescan": False})

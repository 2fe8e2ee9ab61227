"""A database of its own whose commands can be made to fail, and a server on it.

The faults are MongoDB's own fail points, https://github.com/mongodb/mongo/wiki/The-%22failCommand%22-fail-point
"""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from fhir_server.app import Server, create_app
from fhir_server.embedded import mongo
from fhir_server.embedded.address import LOOPBACK, free_port
from fhir_server.embedded.binary import UnusableError, on_path
from fhir_server.remote.http import httpx
from fhir_server.services.world import World
from fhir_server.settings import Settings
from fhir_server.store import admin
from tests.builders.clinic import Clinic
from tests.server import FHIR_JSON
from tests.tokens import bearer

NOT_PRIMARY = {"errorCode": 10107}
STEPPED_DOWN = {"errorCode": 189}
WRITE_CONFLICT = {"errorCode": 112, "errorLabels": ["TransientTransactionError"]}
NO_ANSWER = {"closeConnection": True}
NOT_CONFIRMED = {"writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}}


@pytest.fixture(scope="module")
def faulty_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A mongod of this module alone whose commands can be made to fail."""
    try:
        program = on_path("mongod").path
    except UnusableError:
        program = mongo._wheel().path
    folder, port = tmp_path_factory.mktemp("faulty"), free_port(None)
    options = [
        "--port", str(port), "--bind_ip", LOOPBACK, "--replSet", admin.REPLICA_SET, "--nounixsocket",
        "--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "64", "--setParameter", "enableTestCommands=1",
        "--logpath", str(folder / "log"),
    ]  # fmt: skip
    with subprocess.Popen([program, "--dbpath", str(folder), *options], stdout=subprocess.DEVNULL) as process:
        try:
            with admin.Node(f"mongodb://{LOOPBACK}:{port}/") as node:
                node.become_primary(f"{LOOPBACK}:{port}", 30)
            yield f"mongodb://{LOOPBACK}:{port}/?replicaSet={admin.REPLICA_SET}"
        finally:
            process.terminate()
            process.wait(20)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def faulty_app(faulty_uri: str, redis_url: str, keys: str) -> AsyncIterator[Server]:
    made = create_app(
        Settings(
            mongo_uri=faulty_uri, redis_url=redis_url, mongo_database="faulty", environment="development", keys=keys
        )
    )
    async with made.router.lifespan_context(made):
        yield made


@pytest.fixture
def faulty_world(faulty_app: Server) -> World:
    assert faulty_app.door.world is not None
    return faulty_app.door.world.own()


@pytest_asyncio.fixture(loop_scope="session")
async def clinic(faulty_app: Server) -> AsyncIterator[Clinic]:
    transport = httpx.ASGITransport(app=faulty_app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://localhost/fhir/", timeout=60, auth=bearer(faulty_app)
    ) as client:
        client.headers["Content-Type"] = FHIR_JSON
        made = Clinic(client)
        await made.schedule("s", [await made.practitioner()], [await made.service()])
        yield made


@asynccontextmanager
async def failing(world: World, commands: list[str], fault: dict[str, Any], times: int = 0) -> AsyncIterator[None]:
    """Commands of the server fail so many times, or always."""
    data = {"failCommands": commands, "appName": "fhir-server", **fault}
    mode: Any = {"times": times} if times else "alwaysOn"
    await world.store.connection.command({"configureFailPoint": "failCommand", "mode": mode, "data": data})
    try:
        yield
    finally:
        await world.store.connection.command({"configureFailPoint": "failCommand", "mode": "off"})

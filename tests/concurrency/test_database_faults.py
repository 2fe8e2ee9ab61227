"""A database that loses its primary, its connection or its answer: the effect is there once or not at all.

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
from tests.builders.bundles import create, of, statuses, update
from tests.builders.clinic import Clinic, parameters, proposals
from tests.concurrency.rush import appointment, book, sound
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


async def _bookings(clinic: Clinic, patient: str) -> int:
    found = await clinic.client.get("Appointment", params={"patient": patient, "status": "booked"})
    assert found.status_code == 200, found.text
    return int(found.json()["total"])


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("commitTransaction", NOT_PRIMARY),
        ("commitTransaction", STEPPED_DOWN),
        ("commitTransaction", NO_ANSWER),
        ("commitTransaction", NOT_CONFIRMED),
        ("commitTransaction", WRITE_CONFLICT),
        ("update", NOT_PRIMARY),
        ("update", WRITE_CONFLICT),
        ("insert", STEPPED_DOWN),
        ("insert", NO_ANSWER),
    ],
)
async def test_a_fault_that_passes_is_not_noticed(
    clinic: Clinic, faulty_world: World, command: str, fault: dict[str, Any], times: int
) -> None:
    first, second = proposals(await clinic.find())[:2]
    patient = await clinic.patient()
    # A day that exists already is updated, one that does not is inserted.
    assert (await clinic.book(second["id"], await clinic.patient("before"))).status_code == 201
    async with failing(faulty_world, [command], fault, times):
        answer = await clinic.book(first["id"], patient)
    assert answer.status_code == 201, answer.text
    assert await _bookings(clinic, patient) == 1
    await sound(faulty_world)


@pytest.mark.parametrize("fault", [NOT_PRIMARY, NO_ANSWER, WRITE_CONFLICT])
async def test_an_answer_that_never_comes_is_503_and_the_key_tells_the_truth(
    clinic: Clinic, faulty_world: World, fault: dict[str, Any]
) -> None:
    first = proposals(await clinic.find())[0]["id"]
    patient = await clinic.patient()
    key = {"Idempotency-Key": clinic.id("key")}
    async with failing(faulty_world, ["commitTransaction"], fault):
        answer = await book(first, patient, key)(clinic.client)
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["Retry-After"]) > 0
    assert await _bookings(clinic, patient) <= 1
    again = await book(first, patient, key)(clinic.client)
    assert again.status_code == 201, again.text
    assert await _bookings(clinic, patient) == 1
    await sound(faulty_world)


async def test_a_database_that_is_away_is_503_for_everybody(clinic: Clinic, faulty_world: World) -> None:
    first = proposals(await clinic.find())[0]
    patient = await clinic.patient()
    made = appointment(first["start"], first["end"], f"Practitioner/{clinic.id('doc')}", patient)
    commands = ["find", "insert", "update", "commitTransaction", "aggregate"]
    async with failing(faulty_world, commands, NOT_PRIMARY):
        answers = [
            await clinic.client.get(patient),
            await clinic.client.get("Patient", params={"name": "x"}),
            await clinic.client.put(patient, json={"resourceType": "Patient", "id": patient.removeprefix("Patient/")}),
            await clinic.client.post("Appointment", json=made),
            await clinic.book(first["id"], patient),
            await clinic.client.post("Appointment/none/$cancel", json=parameters()),
        ]
    assert [one.status_code for one in answers] == [503] * len(answers)
    assert all("Retry-After" in one.headers for one in answers)
    assert await _bookings(clinic, patient) == 0
    await sound(faulty_world)


async def test_a_write_without_a_transaction_happens_once(clinic: Clinic, faulty_world: World) -> None:
    patient = {"resourceType": "Patient", "id": clinic.id("lone"), "name": [{"family": "Lone"}]}
    async with failing(faulty_world, ["insert"], NO_ANSWER, 1):
        created = await clinic.client.put(f"Patient/{patient['id']}", json=patient)
    assert created.status_code == 201
    async with failing(faulty_world, ["update"], NOT_CONFIRMED, 1):
        changed = await clinic.client.put(f"Patient/{patient['id']}", json={**patient, "gender": "other"})
    assert changed.status_code in {200, 503}
    again = await clinic.client.put(f"Patient/{patient['id']}", json={**patient, "gender": "other"})
    assert again.status_code == 200
    assert again.headers["ETag"] == 'W/"2"'


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("commitTransaction", NO_ANSWER), ("commitTransaction", NOT_PRIMARY), ("commitTransaction", WRITE_CONFLICT),
        ("insert", WRITE_CONFLICT), ("update", STEPPED_DOWN), ("find", NOT_PRIMARY),
    ],
)  # fmt: skip
async def test_a_transaction_is_there_whole_or_not_at_all(
    clinic: Clinic, faulty_world: World, command: str, fault: dict[str, Any]
) -> None:
    first = proposals(await clinic.find())[0]
    await clinic.patient()
    people = [f"Practitioner/{clinic.id('doc')}", f"Patient/{clinic.id('new')}"]
    entries = [
        create(appointment(first["start"], first["end"], *people)),
        update({"resourceType": "Patient", "id": clinic.id("new")}),
        update({"resourceType": "Patient", "id": clinic.id("pat"), "active": True}, ifMatch='W/"1"'),
    ]
    key = {"Idempotency-Key": clinic.id("key")}
    body = of("transaction", entries)
    async with failing(faulty_world, [command], fault):
        lost = await clinic.client.post("", json=body, headers=key)
    assert lost.status_code == 503, lost.text
    assert int(lost.headers["Retry-After"]) > 0
    again = await clinic.client.post("", json=body, headers=key)
    assert statuses(again.json()["entry"]) == [201, 201, 200], again.text
    async with failing(faulty_world, [command], fault, 2):
        other = await clinic.client.post("", json=of("transaction", [create({"resourceType": "Patient"})]))
    assert other.status_code == 200, other.text
    assert await _bookings(clinic, f"Patient/{clinic.id('new')}") == 1
    assert (await clinic.client.get(f"Patient/{clinic.id('pat')}")).headers["ETag"] == 'W/"2"'
    await sound(faulty_world)

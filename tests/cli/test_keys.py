"""``fhir-server keys`` as an operator uses it: status, rotate, a kill in the middle, another service that wraps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from fhir_server.remote import kms
from fhir_server.settings import Settings
from fhir_server.store.database import Store, open_store
from fhir_server.store.keys import KEYS
from fhir_server.store.resealing import ROTATION, rotate, use
from fhir_server.store.resources import Stored, document
from tests.builders.search import DEFINITIONS

DOCUMENTS = 6_000


def _patient(number: int) -> Stored:
    body = f'{{"resourceType":"Patient","id":"{number:05}"}}'.encode()
    return Stored("Patient", f"{number:05}", 1, 1000, False, body, {"method": "PUT"})


@pytest.fixture
def alone(settings: Settings, tmp_path: Path) -> Settings:
    name = f"{settings.mongo_database}_{uuid.uuid4().hex[:6]}"
    return settings.model_copy(update={"mongo_database": name, "keys": f"file:{tmp_path / 'key'}"})


@pytest_asyncio.fixture(loop_scope="session")
async def store(alone: Settings) -> AsyncIterator[Store]:
    made = open_store(alone, kms.of(alone.keys), DEFINITIONS)
    await made.prepare()
    await made.connection.collection("Patient").insert_many(
        [made.vault.current("Patient", document(_patient(number), {})) for number in range(DOCUMENTS)]
    )
    yield made
    await made.connection.client.drop_database(alone.mongo_database)
    await made.close()


def _command(settings: Settings, *words: str, keys: str | None = None) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FHIR_")}
    environment |= {
        "FHIR_MONGO_URI": settings.mongo_uri, "FHIR_MONGO_DATABASE": settings.mongo_database,
        "FHIR_KEYS": settings.keys if keys is None else keys, "FHIR_LOG_LEVEL": "error",
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "fhir_server.cli.main", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


def _run(settings: Settings, *words: str, keys: str | None = None) -> tuple[int, str, str]:
    process = _command(settings, *words, keys=keys)
    said, errors = process.communicate(timeout=120)
    return process.returncode, said, errors


async def test_a_rotation_that_is_killed_goes_on(store: Store, alone: Settings) -> None:
    before = store.sealer.primary
    process = _command(alone, "keys", "rotate")
    place = store.connection.collection(KEYS)
    until = time.monotonic() + 60
    while not ((state := await place.find_one({"_id": ROTATION})) and state["after"]):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    used = await use(store)
    assert set(used) == {before, state["target"]}
    assert 0 < used[before] < DOCUMENTS
    status, said, _ = _run(alone, "keys", "status")
    assert status == 0
    assert before in said
    assert state["target"] in said
    assert "rotate goes on with it" in said
    assert (await store.resources.get("Patient", "00000")) == _patient(0)
    await store.keys.reload()
    done = await rotate(store, lambda _: None, settle=0)
    assert done.resumed
    assert done.primary == state["target"]
    assert await use(store) == {done.primary: DOCUMENTS}
    assert len(await store.resources.get_many("Patient", [f"{number:05}" for number in range(DOCUMENTS)])) == DOCUMENTS


async def test_the_keys_are_wrapped_by_something_else(store: Store, alone: Settings, tmp_path: Path) -> None:
    other = f"file:{tmp_path / 'other'}"
    status, said, errors = _run(alone, "keys", "rotate", "--kek", "--to", other)
    assert (status, errors) == (0, "")
    assert said.startswith("2 keys are wrapped")
    status, _, errors = _run(alone, "keys", "status")
    assert status == 2
    assert "is not the one that wrapped" in errors
    assert _run(alone, "keys", "status", keys=other)[0] == 0
    assert await store.resources.get("Patient", "00001") == _patient(1)


async def test_keys_of_tokens_are_made(store: Store, alone: Settings) -> None:
    status, said, errors = _run(alone, "keys", "rotate-signing")
    assert (status, errors) == (0, "")
    assert said == "New keys are in the JWKS; they sign an hour from now.\n"
    made = await store.connection.collection("signing_keys").find().to_list(None)
    assert sorted(one["use"] for one in made) == ["access", "id"]


def test_what_is_missing_is_said_in_one_sentence(alone: Settings) -> None:
    for words in (("keys", "status"), ("rebuild", "index")):
        status, said, errors = _run(alone, *words, keys="")
        assert (status, said) == (2, "")
        assert errors.startswith("FHIR_KEYS is not set")
        assert errors.count("\n") == 1
    status, _, errors = _run(alone, "keys", "rotate", "--kek")
    assert status == 2
    assert "--to" in errors

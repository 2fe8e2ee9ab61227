"""The ring of a database: made once, read by everybody, opened by the right key alone, wrapped anew by another."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from fhir_server.errors import KeysError
from fhir_server.remote.kms import FileKms
from fhir_server.settings import Settings
from fhir_server.store.database import Store, open_store
from fhir_server.store.keys import KEYS, Kms
from fhir_server.store.resources import Stored
from tests.builders.search import DEFINITIONS

BODY = b'{"resourceType":"Patient","id":"1"}'


@pytest.fixture
def alone(settings: Settings) -> Settings:
    """Settings of a database of this test alone."""
    return settings.model_copy(update={"mongo_database": f"{settings.mongo_database}_{uuid.uuid4().hex[:6]}"})


@pytest_asyncio.fixture(loop_scope="session")
async def stores(alone: Settings) -> AsyncIterator[list[Store]]:
    """Stores that a test opens; closed at its end, with their database dropped."""
    opened: list[Store] = []
    yield opened
    if opened:
        await opened[0].connection.client.drop_database(alone.mongo_database)
    for one in opened:
        await one.close()


async def _open(stores: list[Store], settings: Settings, kms: Kms) -> Store:
    made = open_store(settings, kms, DEFINITIONS)
    stores.append(made)
    await made.prepare()
    return made


def _patient(id_: str = "1", version: int = 1) -> Stored:
    return Stored("Patient", id_, version, 1000 * version, False, BODY, {"method": "PUT"})


async def test_the_key_file_is_made_with_the_first_database(
    alone: Settings, stores: list[Store], tmp_path: Path
) -> None:
    path = tmp_path / "folder" / "key"
    store = await _open(stores, alone, FileKms(path))
    assert path.stat().st_mode & 0o777 == 0o600
    await store.resources.insert(_patient(), {})
    again = await _open(stores, alone, FileKms(path))
    assert await again.resources.get("Patient", "1") == _patient()
    found = await again.connection.collection("Patient").find_one({"_id": "1"})
    assert BODY not in found["body"]
    assert found["seal"] == again.sealer.primary


async def test_another_key_file_does_not_start(alone: Settings, stores: list[Store], tmp_path: Path) -> None:
    await _open(stores, alone, FileKms(tmp_path / "key"))
    other = FileKms(tmp_path / "other")
    with pytest.raises(KeysError, match="cannot be read"):
        await _open(stores, alone, other)
    await other.begin()
    with pytest.raises(KeysError, match="is not the one that wrapped"):
        await _open(stores, alone, other)


async def test_sealed_data_without_its_keys_does_not_start(
    alone: Settings, stores: list[Store], tmp_path: Path
) -> None:
    store = await _open(stores, alone, FileKms(tmp_path / "key"))
    await store.connection.collection(KEYS).delete_many({})
    with pytest.raises(KeysError, match="restore it from the backup"):
        await _open(stores, alone, FileKms(tmp_path / "key"))


async def test_a_key_that_lies_under_another_s_id_is_refused(
    alone: Settings, stores: list[Store], tmp_path: Path
) -> None:
    store = await _open(stores, alone, FileKms(tmp_path / "key"))
    second = await store.keys.renew()
    ring = await store.connection.collection(KEYS).find_one({"_id": "ring"})
    first = next(id_ for id_ in ring["keys"] if id_ != second)
    moved = {f"keys.{first}.wrapped": ring["keys"][second]["wrapped"]}
    await store.connection.collection(KEYS).update_one({"_id": "ring"}, {"$set": moved})
    with pytest.raises(KeysError, match="not the one that it says it is"):
        await _open(stores, alone, FileKms(tmp_path / "key"))


async def test_many_processes_make_one_ring(alone: Settings, stores: list[Store], tmp_path: Path) -> None:
    await asyncio.gather(*(_open(stores, alone, FileKms(tmp_path / "key")) for _ in range(6)))
    assert len({one.sealer.primary for one in stores}) == 1
    assert len(await stores[0].keys.state()) == 1
    assert {one.sealer.hashed("a", "b") for one in stores} == {stores[0].sealer.hashed("a", "b")}


async def test_a_key_of_another_process_is_fetched_when_it_is_met(
    alone: Settings, stores: list[Store], tmp_path: Path
) -> None:
    first, second = [await _open(stores, alone, FileKms(tmp_path / "key")) for _ in "ab"]
    await second.keys.renew()
    await second.resources.insert(_patient("new"), {})
    for read in (first.resources.get("Patient", "new"), first.resources.version("Patient", "new", 1)):
        assert await read == _patient("new")
    assert first.sealer.primary == second.sealer.primary


async def test_a_new_primary_is_known_before_the_next_write(
    alone: Settings, stores: list[Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = [await _open(stores, alone, FileKms(tmp_path / "key")) for _ in "ab"]
    await second.keys.renew()
    await first.resources.insert(_patient("before"), {})
    assert first.sealer.primary != second.sealer.primary, "it looked a moment ago"
    monkeypatch.setattr("fhir_server.store.keys.FRESH_SECONDS", 0)
    await first.resources.insert(_patient("after"), {})
    assert first.sealer.primary == second.sealer.primary
    for id_ in ("before", "after"):
        assert await second.resources.get("Patient", id_) == _patient(id_)


async def test_keys_are_wrapped_anew_and_the_data_stays(alone: Settings, stores: list[Store], tmp_path: Path) -> None:
    old, new = FileKms(tmp_path / "old"), FileKms(tmp_path / "new")
    store = await _open(stores, alone, old)
    await store.resources.insert(_patient(), {})
    running = await _open(stores, alone, old)
    assert await store.keys.rewrap(new) == 2
    assert await running.resources.get("Patient", "1") == _patient(), "who runs goes on"
    await running.keys.fresh()
    await running.resources.insert(_patient("2"), {})
    with pytest.raises(KeysError):
        await _open(stores, alone, old)
    again = await _open(stores, alone, new)
    assert await again.resources.get("Patient", "2") == _patient("2")

"""Data of layout 3, which lay open, is sealed when the server starts; a start that was stopped goes on."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from fhir_server.remote import kms
from fhir_server.search.extract import index_values
from fhir_server.settings import Settings
from fhir_server.store import first_sealing, layout
from fhir_server.store.database import Store, open_store
from fhir_server.store.driver import Connection, connect
from fhir_server.store.resources import kept, stored
from fhir_server.store.search import to_filter
from fhir_server.store.vault import PLACED, PLACER
from tests.builders.search import DEFINITIONS, read

DOCUMENTS = 20
MARKED = "Zyxomma"
MRN = "urn:mrn|MRN889"
CLAIM = [{"key": f"#{MRN}", "o": "Appointment/a"}, {"key": "Practitioner/1", "o": "Appointment/a"}]


def _patient(number: int, version: int) -> dict[str, Any]:
    return {
        "resourceType": "Patient", "id": f"{number:02}", "name": [{"family": f"{MARKED}{number:02}"}],
        "birthDate": "1973-11-29", "identifier": [{"system": "urn:mrn", "value": f"MRN889-{number}"}],
        "meta": {"versionId": str(version)},
    }  # fmt: skip


def _document(resource: dict[str, Any], version: int, **extra: Any) -> dict[str, Any]:
    """As layout 3 wrote it."""
    index = index_values(resource, DEFINITIONS.of(resource["resourceType"]))
    return {
        "_id": resource["id"], "v": version, "at": 1000 * version, "deleted": False,
        "body": json.dumps(resource).encode(), "idx": index, "method": "PUT", **extra,
    }  # fmt: skip


async def _fill(connection: Connection) -> None:
    """Patients with an old version each, one deleted; a booking with a placer, a directory entry, answers, secrets."""
    patients = [_document(_patient(number, 2), 2) for number in range(DOCUMENTS)]
    gone = {"_id": "gone", "v": 2, "at": 2000, "deleted": True, "body": b"", "idx": {}, "method": "DELETE"}
    await connection.collection("Patient").insert_many([*patients, gone])
    await connection.collection("Patient").create_index([("idx.family:sort", 1), ("_id", 1)])
    before = [stored("Patient", _document(_patient(number, 1), 1)) for number in range(DOCUMENTS)]
    doctor = {"resourceType": "Practitioner", "id": "doc", "name": [{"family": "Doe"}]}
    await connection.collection("history").insert_many(
        [kept(one, 2000) for one in before] + [kept(stored("Practitioner", _document(doctor, 1)), 2000)]
    )
    await connection.collection("Practitioner").insert_one(_document(doctor, 2))
    booked = {"resourceType": "Appointment", "id": "a", "status": "booked", "reasonCode": [{"text": MARKED}]}
    await connection.collection("Appointment").insert_one(_document(booked, 1, placer=MRN, placed="print", claim=CLAIM))
    held = {"resourceType": "Slot", "id": "s", "status": "busy-tentative"}
    await connection.collection("Slot").insert_one(_document(held, 1, claim=CLAIM))
    keys = ("Practitioner/1", *(f"#urn:mrn|MRN889-{number}" for number in range(DOCUMENTS)))
    await connection.collection("calendar").insert_many([{"_id": f"{key}|2026-12-20", "v": 7, "e": []} for key in keys])
    await connection.collection("idempotency").insert_one(
        {"_id": "key", "fingerprint": "f", "status": 201, "headers": {"ETag": "1"}, "body": MARKED.encode(),
         "until": datetime.now(UTC) + timedelta(hours=1)}
    )  # fmt: skip
    await connection.collection("secrets").insert_one({"_id": "page-tokens", "value": b"s" * 64})
    await connection.collection("guards").insert_one({"_id": "criteria|abc", "n": 1})
    await connection.collection(layout.COLLECTION).insert_one({"_id": "layout", "number": 3})


@pytest_asyncio.fixture(loop_scope="session")
async def former(settings: Settings) -> AsyncIterator[Settings]:
    """Settings of a database of layout 3."""
    name = f"{settings.mongo_database}_{uuid.uuid4().hex[:6]}"
    changed = settings.model_copy(update={"mongo_database": name})
    connection = connect(settings.mongo_uri, name)
    await _fill(connection)
    yield changed
    await connection.client.drop_database(name)
    await connection.close()


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Store]:
    store = open_store(settings, kms.of(settings.keys), DEFINITIONS)
    try:
        yield store
    finally:
        await store.close()


async def _check(store: Store) -> None:
    connection = store.connection
    dump = [
        one
        for name in ("Patient", "Appointment", "history", "idempotency", "secrets", "guards", "Slot", "calendar")
        async for one in connection.collection(name).find({})
    ]
    assert len(dump) == 3 * DOCUMENTS + 7
    for text in (MARKED, MARKED.lower(), "1973-11-29", "MRN889", "ssss", "criteria"):
        assert text not in str(dump), text
    for number in range(DOCUMENTS):
        for version in (1, 2):
            found = await store.resources.version("Patient", f"{number:02}", version)
            assert found
            assert json.loads(found.body) == _patient(number, version)
        for pair in (("family", f"{MARKED}{number:02}"), ("identifier", f"urn:mrn|MRN889-{number}")):
            (hit,) = await store.resources.find("Patient", to_filter(read("Patient", pair).query.clauses))
            assert hit["_id"] == f"{number:02}"
    assert await store.resources.count("Patient", to_filter(read("Patient", ("birthdate", "1973")).query.clauses)) == (
        DOCUMENTS
    )
    doctor = await store.resources.version("Practitioner", "doc", 1)
    assert doctor
    assert b"Doe" in doctor.body
    gone = await store.resources.get("Patient", "gone")
    assert gone
    assert gone.deleted
    booked = await store.resources.get("Appointment", "a")
    assert booked
    hashed = store.sealer.hashed
    assert (booked.extra["placer"], booked.extra["placed"]) == (hashed(PLACER, MRN), hashed(PLACED, "print"))
    key = store.vault.calendar_key
    for holder in (booked, await store.resources.get("Slot", "s")):
        assert holder
        assert holder.extra["claim"] == [{**one, "key": key(str(one["key"]))} for one in CLAIM]
    for name in ("Practitioner/1", *(f"#urn:mrn|MRN889-{number}" for number in range(DOCUMENTS))):
        assert (await connection.collection("calendar").find_one({"_id": f"{key(name)}|2026-12-20"}))["v"] == 7
    answer = await store.idempotency.get("key")
    assert answer
    assert (answer.fingerprint, answer.status, answer.body) == ("f", 201, MARKED.encode())
    assert await store.secrets.get("page-tokens", 64) == b"s" * 64
    assert "idx.family:sort_1__id_1" not in await connection.collection("Patient").index_information()
    assert (await connection.collection(layout.COLLECTION).find_one({"_id": "layout"}))["number"] == layout.LAYOUT


async def test_data_of_layout_3_is_sealed(former: Settings) -> None:
    async with _opened(former) as store:
        assert not await store.prepare(), "search values need not be made anew"
        await _check(store)
        before = await store.connection.collection("Patient").find({}).to_list(None)
        await store.prepare()
        assert await store.connection.collection("Patient").find({}).to_list(None) == before, "done once"


class _Stopped(Exception):  # noqa: N818
    pass


@pytest.mark.parametrize(
    ("step", "done"),
    [("_current", 10), ("_old", 5), ("_sealed_claim", 1), ("_sealed_day", 10), ("_answers", 0), ("_secrets", 0)],
)
async def test_a_start_that_was_stopped_goes_on(
    former: Settings, monkeypatch: pytest.MonkeyPatch, step: str, done: int
) -> None:
    monkeypatch.setattr(first_sealing, "BATCH", 3)
    real, called = getattr(first_sealing, step), 0

    def stopping(*arguments: Any) -> Any:
        nonlocal called
        called += 1
        if called > done:
            raise _Stopped
        return real(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(first_sealing, step, stopping)
        async with _opened(former) as store:
            with pytest.raises(_Stopped):
                await store.prepare()
    async with _opened(former) as store:
        assert (await store.connection.collection(layout.COLLECTION).find_one({"_id": "layout"}))["number"] == 3
        await store.prepare()
        await _check(store)

"""What lies in MongoDB is sealed, and a document that was moved or changed there does not come up."""

from __future__ import annotations

import uuid

import pytest

from fhir_server.store.database import Store
from fhir_server.store.idempotency import IDEMPOTENCY, Remembered
from fhir_server.store.resources import HISTORY, Stored
from fhir_server.store.sealing import SealError
from fhir_server.store.unit import GUARDS, Unit

MARKED = "Zyxomma"
BODY = f'{{"resourceType":"Patient","name":[{{"family":"{MARKED}"}}]}}'.encode()


def _patient(id_: str, version: int = 1, type_: str = "Patient") -> Stored:
    return Stored(type_, id_, version, 1_000 * version, False, BODY, {"method": "PUT"})


async def test_current_and_old_versions_are_sealed(store: Store) -> None:
    id_ = uuid.uuid4().hex
    await store.resources.insert(_patient(id_), {"family": [MARKED.lower()], "family:exact": [MARKED]})
    await store.resources.replace(_patient(id_), _patient(id_, 2), {"family": [MARKED.lower()]})
    raw = [
        await store.connection.collection("Patient").find_one({"_id": id_}),
        await store.connection.collection(HISTORY).find_one({"id": id_}),
    ]
    assert MARKED.lower() not in str(raw).lower()
    found = await store.resources.version("Patient", id_, 1)
    assert found
    assert found.body == BODY
    (listed,) = await store.resources.find("Patient", {"_id": id_}, fields={"body": 1})
    assert listed["body"] == BODY
    assert [one.body for one in await store.resources.get_many("Patient", [id_])] == [BODY]
    assert [one["body"] async for one in store.resources.every("Patient") if one["_id"] == id_] == [BODY]


async def test_the_directory_stays_readable(store: Store) -> None:
    id_ = uuid.uuid4().hex
    await store.resources.insert(_patient(id_, type_="Practitioner"), {})
    assert (await store.connection.collection("Practitioner").find_one({"_id": id_}))["body"] == BODY
    assert await store.resources.get("Practitioner", id_) == _patient(id_, type_="Practitioner")


async def test_bodies_of_two_documents_cannot_change_places(store: Store) -> None:
    one, two = uuid.uuid4().hex, uuid.uuid4().hex
    patients = store.connection.collection("Patient")
    for id_ in (one, two):
        await store.resources.insert(_patient(id_), {})
    taken = await patients.find_one({"_id": one})
    await patients.update_one({"_id": two}, {"$set": {"body": taken["body"]}})
    with pytest.raises(SealError, match=f"Patient/{two} does not open"):
        await store.resources.get("Patient", two)
    with pytest.raises(SealError):
        await store.resources.find("Patient", {"_id": two}, fields={"body": 1})
    await patients.delete_one({"_id": two})


async def test_a_former_version_cannot_pass_for_the_current_one(store: Store) -> None:
    id_ = uuid.uuid4().hex
    patients = store.connection.collection("Patient")
    await store.resources.insert(_patient(id_), {})
    before = await patients.find_one({"_id": id_})
    await store.resources.replace(_patient(id_), _patient(id_, 2), {})
    await patients.update_one({"_id": id_}, {"$set": {"body": before["body"]}})
    with pytest.raises(SealError):
        await store.resources.get("Patient", id_)
    await patients.delete_one({"_id": id_})


async def test_a_body_that_was_put_there_in_clear_is_refused(store: Store) -> None:
    id_ = uuid.uuid4().hex
    await store.resources.insert(_patient(id_), {})
    await store.connection.collection("Patient").update_one({"_id": id_}, {"$set": {"body": BODY}})
    with pytest.raises(SealError, match="not sealed"):
        await store.resources.get("Patient", id_)
    await store.connection.collection("Patient").delete_one({"_id": id_})


async def test_answers_that_are_remembered_are_sealed(store: Store) -> None:
    key = uuid.uuid4().hex
    answer = Remembered(key, "print", 201, {"Location": f"x/{MARKED}"}, BODY + b"\n\n")

    async def work(unit: Unit) -> None:
        await store.idempotency.put(unit, answer)
        await unit.guard(f"criteria|{MARKED}")

    await store.units.run(work, now=0)
    raw = await store.connection.collection(IDEMPOTENCY).find_one({"_id": key})
    assert set(raw) == {"_id", "sealed", "until"}
    assert MARKED not in str(raw) + str(await store.connection.collection(GUARDS).find({}).to_list(None))
    assert await store.idempotency.get(key) == answer


async def test_secrets_are_sealed(store: Store) -> None:
    name = uuid.uuid4().hex
    value = await store.secrets.get(name, 32)
    raw = await store.connection.collection("secrets").find_one({"_id": name})
    assert value not in raw["sealed"]
    assert set(raw) == {"_id", "sealed"}

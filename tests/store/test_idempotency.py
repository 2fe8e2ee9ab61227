"""Remembered answers: one for a key, written with its effect, gone with it when it fails."""

from __future__ import annotations

import uuid

import pytest

from fhir_server.store.database import Store
from fhir_server.store.driver import DuplicateKeyError
from fhir_server.store.idempotency import IDEMPOTENCY, Remembered
from fhir_server.store.unit import Unit


def _answer(key: str, body: bytes = b"{}") -> Remembered:
    return Remembered(key, "print", 201, {"ETag": 'W/"1"'}, body)


async def test_an_answer_comes_back_to_the_byte(store: Store) -> None:
    key = uuid.uuid4().hex
    assert await store.idempotency.get(key) is None
    await store.units.run(lambda unit: store.idempotency.put(unit, _answer(key, b'{"a":1.50}')), now=0)
    assert await store.idempotency.get(key) == _answer(key, b'{"a":1.50}')


async def test_an_answer_is_not_remembered_without_its_effect(store: Store) -> None:
    key = uuid.uuid4().hex

    async def work(unit: Unit) -> None:
        await store.idempotency.put(unit, _answer(key))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.units.run(work, now=0)
    assert await store.idempotency.get(key) is None


async def test_the_first_answer_stays(store: Store) -> None:
    key = uuid.uuid4().hex
    await store.units.run(lambda unit: store.idempotency.put(unit, _answer(key, b"first")), now=0)

    async def second(unit: Unit) -> None:
        try:
            await store.idempotency.put(unit, _answer(key, b"second"))
        except DuplicateKeyError:
            raise ZeroDivisionError from None

    with pytest.raises(ZeroDivisionError):
        await store.units.run(second, now=0)
    assert await store.idempotency.get(key) == _answer(key, b"first")


async def test_answers_leave_by_themselves(store: Store) -> None:
    found = await store.connection.collection(IDEMPOTENCY).index_information()
    assert found["until_1"]["expireAfterSeconds"] == 0

"""A task that loses a cancellation, as PyMongo's may, ends all the same."""

from __future__ import annotations

import asyncio

import pytest

from fhir_server import tasks


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "AGAIN_SECONDS", 0.01)


async def _loses(count: int) -> None:
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            count -= 1
            if count < 0:
                raise


async def test_a_lost_cancellation_is_said_again() -> None:
    deaf = [asyncio.create_task(_loses(count)) for count in (0, 1, 3)]
    await asyncio.sleep(0)
    assert await asyncio.wait_for(tasks.end(*deaf), 5) == (None, None, None)
    assert all(one.cancelled() for one in deaf)


async def test_how_each_ended() -> None:
    async def fails() -> None:
        raise ValueError

    async def returns() -> int:
        return 1

    ended = [asyncio.create_task(fails()), asyncio.create_task(returns()), asyncio.create_task(_loses(0))]
    await asyncio.sleep(0)
    fault, *others = await tasks.end(*ended)
    assert isinstance(fault, ValueError)
    assert others == [None, None]
    assert await tasks.end() == ()

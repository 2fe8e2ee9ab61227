"""Rate limits: shared in Redis, counted alone while it is away (V28)."""

from __future__ import annotations

import secrets
from typing import Any

from fhir_server.app import Server
from fhir_server.remote import throttle
from fhir_server.remote.http import httpx
from fhir_server.remote.throttle import Throttle
from fhir_server.services.world import World
from fhir_server.settings import Settings


async def test_what_is_too_much_waits(settings: Settings) -> None:
    key = secrets.token_hex(8)
    assert [await throttle.allow(settings, key, "3/minute") for _ in range(3)] == [0, 0, 0]
    assert 0 < await throttle.allow(settings, key, "3/minute") <= 120
    assert await throttle.allow(settings, key + "x", "3/minute") == 0


async def test_processes_share_the_count(redis_url: str) -> None:
    key, first, second = secrets.token_hex(8), Throttle(redis_url), Throttle(redis_url)
    assert [await one.allow(key, "2/minute") for one in (first, second)] == [0, 0]
    assert await first.allow(key, "2/minute") > 0
    await first.close()
    await second.close()


async def test_without_redis_each_process_counts(settings: Settings) -> None:
    key, alone = secrets.token_hex(8), Throttle("redis://127.0.0.1:1/0")
    assert [await alone.allow(key, "2/minute") for _ in range(2)] == [0, 0]
    assert await alone.allow(key, "2/minute") > 0
    await alone.close()


async def test_a_thousand_guesses_are_too_many(app: Server, world: World) -> None:
    transport = httpx.ASGITransport(app=app, client=("198.51.100.7", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://fhir.test") as guesser:
        statuses = [(await _guess(guesser)).status_code for _ in range(700)]
        assert statuses[0] == 401
        assert statuses[-1] == 429
        last = await _guess(guesser)
        assert int(last.headers["retry-after"]) > 0
        assert last.headers["cache-control"] == "no-store"


async def _guess(guesser: Any) -> Any:
    return await guesser.post("/auth/token", data={"client_id": "nobody", "grant_type": "refresh_token"})

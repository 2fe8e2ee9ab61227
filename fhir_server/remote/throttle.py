"""Rate limits that all processes share, counted in Redis; while Redis is away each process counts for itself.

``allow(settings, "login:alice", "10/5 minutes")`` counts one use and says how long to wait: 0 is allowed. Keys are
stored as digests, so that no user name or address stands in Redis.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError

from fhir_server.log import get_logger
from fhir_server.settings import Settings

AWAY_SECONDS = 5.0
"""So long nobody asks a Redis that did not answer."""

log = get_logger("throttle")
_limit = lru_cache(maxsize=256)(parse)


class Throttle:
    """Counters of one Redis, used by one event loop."""

    def __init__(self, redis_url: str) -> None:
        self._redis = RedisStorage(
            f"async+{redis_url}",
            implementation="redispy",
            key_prefix="throttle",
            socket_timeout=0.5,
            socket_connect_timeout=0.5,
        )
        faults = self._redis.base_exceptions
        self._faults: tuple[type[Exception], ...] = (
            *(faults if isinstance(faults, tuple) else (faults,)),
            StorageError,
            OSError,
            TimeoutError,
        )
        self._shared = SlidingWindowCounterRateLimiter(self._redis)
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._away_until = 0.0

    async def allow(self, key: str, limit: str, *, count: bool = True) -> float:
        """Seconds to wait; 0: allowed, and counted if it is to be."""
        item = _limit(limit)
        name = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
        if time.monotonic() >= self._away_until:
            try:
                return await _wait(self._shared, item, name, count=count)
            except self._faults as failed:
                self._away_until = time.monotonic() + AWAY_SECONDS
                log.warning("redis did not answer; limits are counted in this process", fault=type(failed).__name__)
        return await _wait(self._own, item, name, count=count)

    async def close(self) -> None:
        bridge: Any = self._redis.bridge
        await bridge.get_connection().aclose()


async def _wait(limiter: SlidingWindowCounterRateLimiter, item: RateLimitItem, name: str, *, count: bool) -> float:
    if await (limiter.hit(item, name) if count else limiter.test(item, name)):
        return 0.0
    window = await limiter.get_window_stats(item, name)
    return max(1.0, window.reset_time - time.time())


_open: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Throttle]] = WeakKeyDictionary()


async def allow(settings: Settings, key: str, limit: str, *, count: bool = True) -> float:
    """Count one use of ``key``; seconds to wait, 0 when it is allowed.

    :param limit: such as ``10/minute`` or ``5/15 minutes``.
    :param count: without it one only looks whether another use is allowed.
    """
    mine = _open.setdefault(asyncio.get_running_loop(), {})
    throttle = mine.get(settings.redis_address)
    if throttle is None:
        throttle = mine.setdefault(settings.redis_address, Throttle(settings.redis_address))
    return await throttle.allow(key, limit, count=count)


async def close() -> None:
    """Close the connections of this event loop."""
    for throttle in _open.pop(asyncio.get_running_loop(), {}).values():
        await throttle.close()

"""Waiting for a condition, and trying as the relay's loop does: what a dead process or a fault left in the way is gone
some time later.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fhir_server.errors import Problem
from fhir_server.store.driver import PyMongoError

T = TypeVar("T")
PATIENCE = 60.0
PAUSE = 0.1
LONGEST = 150.0


async def persistently(act: Callable[[], Awaitable[T]]) -> T:
    """What the act gives once it succeeds; its last refusal when patience is over."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return await act()
        except (Problem, PyMongoError):
            if time.monotonic() > end:
                raise
            await asyncio.sleep(PAUSE)


async def until(true: Callable[[], Awaitable[bool]], what: str = "the condition", within: float = LONGEST) -> None:
    """Wait until it is true."""
    end = time.monotonic() + within
    while not await true():
        assert time.monotonic() < end, f"waited too long: {what}"
        await asyncio.sleep(0.05)

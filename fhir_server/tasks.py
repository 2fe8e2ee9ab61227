"""The end of background tasks.

One ``cancel()`` is not sure to end a task that speaks with MongoDB: PyMongo writes through ``asyncio.wait_for``, which
until Python 3.12 loses a cancellation that comes as what it waits for is done.
https://github.com/python/cpython/issues/86296
"""

from __future__ import annotations

import asyncio
from typing import Any

AGAIN_SECONDS = 2.0


async def end(*tasks: asyncio.Task[Any]) -> tuple[BaseException | None, ...]:
    """Cancel the tasks until they have ended; the fault of each, None for one that returned or was cancelled."""
    pending = {one for one in tasks if not one.done()}
    while pending:
        for one in pending:
            one.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN_SECONDS)
    return tuple(None if one.cancelled() else one.exception() for one in tasks)

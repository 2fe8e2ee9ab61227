"""A crew of callers in a process of its own: it takes orders as JSON lines and answers each with one.

{"do": "open", "callers": 16, "n": 0, …}  →  {"opened": 16}         connections are made, nothing is timed
{"do": "run", "seconds": 1.5}             →  {"n": 812, "seconds": 1.52, "micros": […]}   calls one after another
{"do": "close"}                           →  {"closed": true}
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import uvloop

Order = Mapping[str, Any]
Work = Callable[[int, int], Awaitable[None]]
"""One call: which caller, and the number that decides what it does."""


class Crew:
    """``opening`` makes the work of an order and what ends it; ``others`` are orders of the process's own."""

    def __init__(
        self,
        opening: Callable[[Order], Awaitable[tuple[Work, Callable[[], Awaitable[None]]]]],
        others: Mapping[str, Callable[[Order], Awaitable[dict[str, Any]]]] | None = None,
    ) -> None:
        self._opening = opening
        self._others = others or {}
        self._work: Work | None = None
        self._closing: Callable[[], Awaitable[None]] | None = None
        self._callers = 0
        self._n = 0

    async def obey(self, order: Order) -> dict[str, Any]:
        if order["do"] == "open":
            self._work, self._closing = await self._opening(order)
            self._callers, self._n = order["callers"], order["n"]
            return {"opened": self._callers}
        if order["do"] == "run":
            return await self._run(order["seconds"])
        if order["do"] == "close":
            if self._closing:
                await self._closing()
            self._closing = self._work = None
            return {"closed": True}
        return await self._others[order["do"]](order)

    async def _run(self, seconds: float) -> dict[str, Any]:
        micros: list[int] = []
        started = time.perf_counter()
        until = started + seconds
        await asyncio.gather(*(self._calls(caller, until, micros) for caller in range(self._callers)))
        return {"n": self._n, "seconds": time.perf_counter() - started, "micros": micros}

    async def _calls(self, caller: int, until: float, micros: list[int]) -> None:
        assert self._work is not None
        clock, work = time.perf_counter, self._work
        while (started := clock()) < until:
            n, self._n = self._n, self._n + 1
            await work(caller, n)
            micros.append(int((clock() - started) * 1e6))


def serve(make: Callable[[], Crew]) -> None:
    """Obey until standard input ends."""

    async def obey() -> None:
        crew, loop = make(), asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            try:
                answer = await crew.obey(json.loads(line))
            except Exception as fault:  # noqa: BLE001  the one who gave the order tells the user
                answer = {"failed": f"{type(fault).__name__}: {fault}"}
            print(json.dumps(answer), flush=True)

    uvloop.run(obey())

"""The load generator: callers over HTTP, in its own process so that its CPU is nobody's; ``python -m bench.load``."""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable
from datetime import date
from typing import Any

from bench.calls import CASES, Caller
from bench.clinic import Clinic
from bench.crew import Crew, Order, Work, serve
from bench.http import Http


class Load:
    """Calls of a case against the server, or recorded requests against the bare one."""

    def __init__(self) -> None:
        self._etags: dict[int, dict[str, str]] = {}

    async def open(self, order: Order) -> tuple[Work, Callable[[], Awaitable[None]]]:
        lines = [await Http.open("127.0.0.1", order["port"], order.get("token", "")) for _ in range(order["callers"])]

        async def close() -> None:
            for line in lines:
                line.close()

        if "replay" in order:
            requests = [b64decode(one) for one in order["replay"]]

            async def replay(caller: int, _: int) -> None:
                for request in requests:
                    await lines[caller].send(request)

            return replay, close
        clinic = Clinic(date.fromisoformat(order["first"]))
        etags = self._etags.setdefault(order["port"], {})
        callers = [Caller(line, clinic, etags) for line in lines]
        call = CASES[order["case"]].call

        async def work(caller: int, n: int) -> None:
            await call(callers[caller], n)

        return work, close

    async def record(self, order: Order) -> dict[str, Any]:
        """Make one call and give back its exchanges."""
        http = await Http.open("127.0.0.1", order["port"], order["token"])
        caller = Caller(http, Clinic(date.fromisoformat(order["first"])), self._etags.setdefault(order["port"], {}))
        call = CASES[order["case"]].call
        http.recorded = []
        await call(caller, order["n"])
        http.close()
        await asyncio.sleep(0)
        return {
            "exchanges": [
                {
                    "request": b64encode(one.request).decode(),
                    "status": one.reply.status,
                    "head": one.reply.head.decode("latin-1"),
                    "body": b64encode(one.reply.body).decode(),
                }
                for one in http.recorded
            ]
        }


def _make() -> Crew:
    load = Load()
    return Crew(load.open, {"record": load.record})


if __name__ == "__main__":
    serve(_make)

"""A small EMR that keeps a copy of Appointments: all it knows are notifications, and ``$events`` for what is missing.

It applies events in the order of their numbers, each once. A number that it knows means nothing new; one that comes too
early means that something was lost, and that is asked for first. A deletion takes the copy away, and so does an event
whose resource is gone since: its deletion has a number of its own, which comes later.

Its receiver is a bad one on purpose: it answers 500, breaks the connection before or after it read the message, is too
late, and sometimes says 200 to a message that it throws away.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

Fault = Literal["", "500", "break", "lost-answer", "late", "forget"]
FAULTS: tuple[Fault, ...] = ("500", "break", "lost-answer", "late", "forget")
LATE_SECONDS = 1.5
Events = Callable[[int, int], Awaitable[dict[str, Any]]]
"""Asks ``$events`` from one number to another, both included."""


@dataclass
class Emr:
    """``copy`` holds Appointments by id; ``known`` is the number up to which it knows everything."""

    ask: Events
    dice: random.Random
    bad: float = 0.3
    copy: dict[str, dict[str, Any]] = field(default_factory=dict)
    known: int = 0
    port: int = 0
    faults: dict[Fault, int] = field(default_factory=dict)
    asked: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    # -- what it understands -----------------------------------------------------------------------------------------

    async def take(self, bundle: dict[str, Any]) -> None:
        """One notification."""
        async with self.lock:
            numbers = _numbers(bundle)
            if numbers and min(numbers) > self.known + 1:
                await self._catch_up(min(numbers) - 1)
            self._apply(bundle)

    async def settle(self, count: int) -> None:
        """Fetch what is missing up to a number that ``$status`` told."""
        async with self.lock:
            if count > self.known:
                await self._catch_up(count)

    async def _catch_up(self, last: int) -> None:
        while self.known < last:
            self.asked += 1
            before = self.known
            self._apply(await self.ask(self.known + 1, last))
            assert self.known > before, "the events that are missing are not there"

    def _apply(self, bundle: dict[str, Any]) -> None:
        entries = iter(bundle["entry"][1:])
        for number in _numbers(bundle):
            entry = next(entries)
            if number != self.known + 1:
                assert number <= self.known, f"{number} after {self.known}"
                continue
            self.known = number
            id_ = entry["fullUrl"].rpartition("/")[2]
            if entry["request"]["method"] == "DELETE" or entry["response"]["status"] == "410":
                self.copy.pop(id_, None)
            else:
                self.copy[id_] = entry["resource"]

    # -- how it is told ----------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/emr"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = int(head.partition("content-length:")[2].partition("\r\n")[0])
            bundle = json.loads(await reader.readexactly(length))
            await self._answer(bundle, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def _answer(self, bundle: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        fault: Fault = ""
        if _numbers(bundle) and self.dice.random() < self.bad:
            fault = self.dice.choice(FAULTS)
            self.faults[fault] = self.faults.get(fault, 0) + 1
        if fault == "break":
            return
        if fault not in {"forget", "500"}:
            await self.take(bundle)
        if fault == "late":
            await asyncio.sleep(LATE_SECONDS)
        if fault == "lost-answer":
            return
        status = "500 No" if fault == "500" else "200 OK"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()


def _numbers(bundle: dict[str, Any]) -> list[int]:
    return [
        int(part["valueString"])
        for one in bundle["entry"][0]["resource"]["parameter"]
        if one["name"] == "notification-event"
        for part in one["part"]
        if part["name"] == "event-number"
    ]


@asynccontextmanager
async def running(emr: Emr) -> AsyncIterator[Emr]:
    """The EMR with its receiver open."""
    tasks: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(emr.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    emr.port = server.sockets[0].getsockname()[1]
    try:
        yield emr
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

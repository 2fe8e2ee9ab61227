"""A websocket client that speaks ASGI with the server in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.builders.subscriber import Note

WAIT_SECONDS = 20


@dataclass
class Socket:
    """``sent`` is what the server sends, in the words of ASGI."""

    sent: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    said: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)

    async def next(self) -> dict[str, Any]:
        return await asyncio.wait_for(self.sent.get(), WAIT_SECONDS)

    async def note(self) -> Note:
        """The next notification."""
        found = await self.next()
        assert found["type"] == "websocket.send", found
        return Note(json.loads(found["text"]), raw=found["text"].encode())

    async def closed(self) -> int:
        """The code with which the server closes."""
        found = await self.next()
        assert found["type"] == "websocket.close", found
        return int(found["code"])

    async def say(self, text: str) -> None:
        await self.said.put({"type": "websocket.receive", "text": text})


@asynccontextmanager
async def socket(app: Any, path: str, host: str = "fhir.test") -> AsyncIterator[Socket]:
    """An open websocket of the application."""
    made = Socket()
    scope = {
        "type": "websocket", "asgi": {"version": "3.0"}, "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": [(b"host", host.encode())], "client": ("192.0.2.7", 4711), "server": ("fhir.test", 80),
        "scheme": "ws", "subprotocols": [], "root_path": "", "http_version": "1.1", "state": {},
    }  # fmt: skip
    await made.said.put({"type": "websocket.connect"})

    async def send(message: dict[str, Any]) -> None:
        if message["type"] != "websocket.accept":
            await made.sent.put(message)

    task = asyncio.create_task(app(scope, made.said.get, send))
    try:
        yield made
    finally:
        await made.said.put({"type": "websocket.disconnect", "code": 1000})
        await asyncio.wait_for(task, WAIT_SECONDS)

"""A loopback twin of Apple's push service: HTTP/2 with prior knowledge."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded

FAULTS: dict[str, tuple[int, str]] = {
    "throttled": (429, "TooManyRequests"),
    "credentials": (403, "ExpiredProviderToken"),
    "unavailable": (503, "ServiceUnavailable"),
    "rejected": (413, "PayloadTooLarge"),
    "invalid-address": (410, "Unregistered"),
}


@dataclass(slots=True)
class Apple:
    """``seen`` has the headers and the JSON of each message that was taken."""

    url: str = ""
    seen: list[tuple[dict[str, str], Any]] = field(default_factory=list)
    faults: list[tuple[int, str]] = field(default_factory=list)
    connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        connection.initiate_connection()
        asked: dict[int, tuple[dict[str, str], bytearray]] = {}
        try:
            writer.write(connection.data_to_send())
            while data := await reader.read(65536):
                for event in connection.receive_data(data):
                    if isinstance(event, RequestReceived):
                        asked[event.stream_id] = (dict(event.headers), bytearray())
                    elif isinstance(event, DataReceived):
                        asked[event.stream_id][1].extend(event.data)
                        connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    elif isinstance(event, StreamEnded):
                        self._answer(connection, event.stream_id, *asked.pop(event.stream_id))
                writer.write(connection.data_to_send())
                await writer.drain()
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    def _answer(self, connection: H2Connection, stream: int, headers: dict[str, str], body: bytearray) -> None:
        status, reason = self.faults.pop(0) if self.faults else (200, "")
        if not reason:
            self.seen.append((headers, json.loads(body)))
        more = [("retry-after", "7")] if status == 429 else []
        connection.send_headers(stream, [(":status", str(status)), ("apns-id", headers["apns-id"]), *more])
        connection.send_data(stream, json.dumps({"reason": reason}).encode() if reason else b"", end_stream=True)


@asynccontextmanager
async def apple() -> AsyncIterator[Apple]:
    made = Apple()
    tasks: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(made.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

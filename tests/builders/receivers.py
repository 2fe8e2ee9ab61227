"""A receiver of webhooks on loopback that answers byte for byte what the test says, as slowly as it says."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Request:
    """``headers`` in their order and case as they came."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> list[str]:
        return [value for given, value in self.headers if given.lower() == name.lower()]


@dataclass(slots=True)
class Receiver:
    """``parts`` are sent one after the other with ``pause`` seconds between, then the connection is closed."""

    port: int = 0
    parts: list[bytes] = field(default_factory=lambda: [OK])
    pause: float = 0.0
    silent: bool = False
    seen: list[Request] = field(default_factory=list)
    connections: int = 0
    sent: int = 0
    server_name: str | None = None

    def url(self, host: str = "127.0.0.1", path: str = "/hook", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            self.seen.append(await _request(reader))
            if self.silent:
                await reader.read()
            for part in self.parts:
                writer.write(part)
                await writer.drain()
                self.sent += len(part)
                await asyncio.sleep(self.pause)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()


async def _request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = [(name, value.strip()) for name, _, value in (one.partition(":") for one in head[1:] if one)]
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
    return Request(head[0], headers, await reader.readexactly(length))


@asynccontextmanager
async def receiver(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    made = Receiver()
    tasks: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(made.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    if tls:
        tls.sni_callback = _remember(made)
    server = await asyncio.start_server(begin, "127.0.0.1", 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _remember(made: Receiver) -> Callable[[ssl.SSLObject, str | None, ssl.SSLContext], None]:
    def seen(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
        made.server_name = name

    return seen

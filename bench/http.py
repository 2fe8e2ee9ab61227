"""A lean HTTP/1.1 client: one kept connection a caller, answers with Content-Length."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import cast

END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; ``head`` is the status line and the headers as they came."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: bytes) -> bytes:
        """The value of a header, or empty; ``name`` in lower case."""
        for line in self.head.split(b"\r\n")[1:]:
            found, _, value = line.partition(b":")
            if found.lower() == name:
                return value.strip()
        return b""


@dataclass(slots=True)
class Exchange:
    """A request as it was sent, and its answer."""

    request: bytes
    reply: Reply


class Broken(Exception):  # noqa: N818  a state of the connection
    """The server closed the connection or answered what this client does not read."""


class _Protocol(asyncio.Protocol):
    def __init__(self) -> None:
        self._buffer = b""
        self._waiting: asyncio.Future[Reply] | None = None
        self._head = b""
        self._needed = -1
        self.transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.WriteTransport", transport)  # uvloop's own class, which no test of type knows

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._needed < 0:
            end = self._buffer.find(END)
            if end < 0:
                return
            self._head, self._buffer = self._buffer[:end], self._buffer[end + len(END) :]
            self._needed = _length(self._head)
        if len(self._buffer) >= self._needed and self._waiting and not self._waiting.done():
            body, self._buffer = self._buffer[: self._needed], self._buffer[self._needed :]
            self._needed = -1
            self._waiting.set_result(Reply(int(self._head[9:12]), self._head, body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting and not self._waiting.done():
            self._waiting.set_exception(Broken(str(exc)))

    async def exchange(self, request: bytes) -> Reply:
        assert self.transport is not None
        self._waiting = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._waiting


def _length(head: bytes) -> int:
    low = head.lower()
    place = low.find(b"\r\ncontent-length:")
    if place < 0:
        return 0
    return int(low[place + 17 :].split(b"\r\n", 1)[0])


@dataclass(slots=True)
class Http:
    """One caller's connection. ``recorded`` keeps the exchanges where it is a list."""

    host: str
    port: int
    _protocol: _Protocol
    token: str
    recorded: list[Exchange] | None = field(default=None)

    @classmethod
    async def open(cls, host: str, port: int, token: str = "") -> Http:
        _, protocol = await asyncio.get_running_loop().create_connection(_Protocol, host, port)
        return cls(host, port, protocol, token)

    def close(self) -> None:
        if self._protocol.transport:
            self._protocol.transport.close()

    async def ask(self, method: str, target: str, body: bytes = b"", *, headers: str = "") -> Reply:
        """Send a request below the FHIR base; ``headers`` are whole lines, each with its line end."""
        content = f"Content-Type: application/fhir+json\r\nContent-Length: {len(body)}\r\n" if body else ""
        text = (
            f"{method} /fhir/{target} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
            f"Accept: application/fhir+json\r\nAuthorization: Bearer {self.token}\r\n{headers}{content}\r\n"
        )
        return await self.send(text.encode() + body)

    async def send(self, request: bytes) -> Reply:
        reply = await self._protocol.exchange(request)
        if self.recorded is not None:
            self.recorded.append(Exchange(request, reply))
        return reply

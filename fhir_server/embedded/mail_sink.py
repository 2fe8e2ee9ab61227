"""The mail server of development: takes every e-mail by SMTP on a loopback port and tells what it says."""

from __future__ import annotations

import asyncio
import email
import importlib.util
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.message import EmailMessage
from email.policy import default
from typing import Any


def parts_of(raw: bytes, to: str) -> dict[str, Any]:
    """What an e-mail says: ``id, to, subject, text, html, calendar``."""
    message: EmailMessage = email.message_from_bytes(raw, policy=default)

    def part(kind: str) -> str:
        for one in message.walk():
            if one.get_content_type() == kind and one.get_content_disposition() != "attachment":
                return str(one.get_content())
        return ""

    id_ = str(message["Message-ID"] or "").strip(" <>").partition("@")[0] or "none"
    return {
        "id": id_, "to": to, "from": str(message["From"]), "subject": str(message["Subject"]),
        "text": part("text/plain"), "html": part("text/html"), "calendar": part("text/calendar"),
    }  # fmt: skip


@asynccontextmanager
async def mail_sink(listener: socket.socket, taken: Callable[[dict[str, Any]], None]) -> AsyncIterator[None]:
    """Answer SMTP on a socket; ``taken`` is called with what each e-mail says.

    :raises ImportError: the package that speaks SMTP (``aiosmtpd``, extra *embedded*) is not installed.
    """
    from aiosmtpd.smtp import SMTP  # noqa: PLC0415  an optional extra

    class Sink:
        async def handle_DATA(self, _: Any, __: Any, envelope: Any) -> str:  # noqa: N802  aiosmtpd's name
            for to in envelope.rcpt_tos:
                taken(parts_of(envelope.content, to))
            return "250 OK"

    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Sink(), hostname="localhost", loop=loop), sock=listener)
    try:
        yield
    finally:
        server.close()


def is_there() -> bool:
    """Whether the package is installed."""
    return importlib.util.find_spec("aiosmtpd") is not None

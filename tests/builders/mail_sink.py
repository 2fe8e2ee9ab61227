"""An SMTP server on loopback that keeps what it takes, and says no as the test wants."""

from __future__ import annotations

import asyncio
import email
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from typing import Any, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

USER, PASSWORD = "clinic", "p@ss:word/1"


@dataclass(slots=True)
class MailSink:
    """``on_recipient``, ``on_data`` and ``on_sender`` are replies that are given once instead of taking it."""

    port: int = 0
    taken: list[tuple[list[str], EmailMessage]] = field(default_factory=list)
    on_sender: str = ""
    on_recipient: str = ""
    on_data: str = ""
    users: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)

    async def handle_MAIL(self, _: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:  # noqa: N802
        said, self.on_sender = self.on_sender, ""
        if not said:
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return said or "250 OK"

    async def handle_RCPT(self, _: SMTP, session: Session, envelope: Envelope, address: str, __: list[str]) -> str:  # noqa: N802
        said, self.on_recipient = self.on_recipient, ""
        if not said:
            envelope.rcpt_tos.append(address)
        return said or "250 OK"

    async def handle_DATA(self, _: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        said, self.on_data = self.on_data, ""
        if not said:
            raw = cast("bytes", envelope.original_content)
            message = cast("EmailMessage", email.message_from_bytes(raw, policy=default))
            self.taken.append((list(envelope.rcpt_tos), message))
            self.encrypted.append(session.ssl is not None)
        return said or "250 OK"

    def know(self, _: Any, __: Any, ___: Any, ____: str, data: Any) -> AuthResult:
        self.users.append(data.login.decode())
        return AuthResult(success=(data.login, data.password) == (USER.encode(), PASSWORD.encode()), handled=False)


@asynccontextmanager
async def mail_sink(
    tls: ssl.SSLContext | None = None, *, login: bool = False, implicit: bool = False
) -> AsyncIterator[MailSink]:
    """With TLS by STARTTLS or, ``implicit``, from the first byte."""
    sink, starttls = MailSink(), None if implicit else tls

    def session() -> SMTP:
        return SMTP(
            sink,
            hostname="sink.example",
            tls_context=starttls,
            require_starttls=starttls is not None,
            authenticator=sink.know,
            auth_required=login,
            auth_require_tls=starttls is not None,
            enable_SMTPUTF8=True,
        )

    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", 0, ssl=tls if implicit else None)
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield sink
    finally:
        server.close()
        await server.wait_closed()

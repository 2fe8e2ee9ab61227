"""E-mail: by SMTP to any server (RFC 5321), or by SendGrid's REST (https://www.twilio.com/docs/sendgrid/api-reference/mail-send).

FHIR_SMTP_URL                                     how
------------------------------------------------  ------------------------------------------------------------------
smtps://user:password@mail.example                TLS from the first byte, port 465
smtp://user:password@mail.example:587             STARTTLS, or nothing is sent (``?starttls`` says the same)
smtp://mail.example?plain                         without TLS; no password then. Loopback needs no ``?plain``
…?ca=/etc/ssl/mail.pem                            certificates of this CA
"""

from __future__ import annotations

import base64
import re
import ssl
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import localtime, parseaddr
from typing import Any, Literal, Self
from urllib.parse import parse_qs, unquote, urlsplit

import aiosmtplib

from fhir_server.remote.sending import TIMEOUT_SECONDS, NotSent, Sent, ask, words_of

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*")
"""ASCII, as every server takes it. https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address"""
_ID = re.compile(r"[A-Za-z0-9._\-]{1,200}")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
SENDGRID = "https://api.sendgrid.com"


@dataclass(frozen=True, slots=True)
class Email:
    """``id`` is ours; ``calendar`` is an iCalendar of ``method``.

    ``unsubscribe`` is an https URL that takes a POST. https://www.rfc-editor.org/rfc/rfc8058
    """

    id: str
    to: str
    subject: str
    text: str
    html: str = ""
    calendar: bytes = b""
    method: Literal["REQUEST", "CANCEL"] = "REQUEST"
    unsubscribe: str = ""


def sender_of(text: str) -> tuple[str, str]:
    """Name and address of ``Clinic <mail@clinic.example>``.

    :raises ValueError: no address.
    """
    name, address = parseaddr(text)
    if not _ADDRESS.fullmatch(address):
        msg = "FHIR_MAIL_FROM is no address such as 'Clinic <mail@clinic.example>'."
        raise ValueError(msg)
    return name, address


def check_recipient(message: Email) -> None:
    """:raises NotSent: the address or our id is none."""
    if not _ADDRESS.fullmatch(message.to) or len(message.to) > 254:
        raise NotSent("invalid-address", permanent=True)
    if not _ID.fullmatch(message.id):
        raise NotSent("rejected", permanent=True)


def _headers(message: Email, domain: str) -> dict[str, str]:
    headers = {"Message-ID": f"<{message.id}@{domain}>", "Auto-Submitted": "auto-generated"}
    if message.unsubscribe:
        headers["List-Unsubscribe"] = f"<{message.unsubscribe}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    return headers


def mime(message: Email, sender: tuple[str, str]) -> EmailMessage:
    """The message as it is sent: text, HTML and calendar as alternatives, the calendar as ``appointment.ics`` besides.

    :raises NotSent: something in it cannot be in a header.
    """
    made = EmailMessage(SMTP_POLICY)
    name, address = sender
    try:
        made["From"] = Address(name, addr_spec=address)
        made["To"] = Address(addr_spec=message.to)
        made["Subject"] = message.subject
        made["Date"] = localtime()
        for header, value in _headers(message, address.rpartition("@")[2]).items():
            made[header] = value
    except (ValueError, IndexError) as failed:
        raise NotSent("rejected", permanent=True) from failed
    made.set_content(message.text)
    if message.html:
        made.add_alternative(message.html, subtype="html")
    if message.calendar:
        made.add_alternative(
            message.calendar.decode(), subtype="calendar", cte="base64", params={"method": message.method}
        )
        made.add_attachment(message.calendar, maintype="application", subtype="ics", filename="appointment.ics")
    return made


@dataclass(frozen=True, slots=True)
class Smtp:
    """An SMTP server; a connection for each message."""

    host: str
    port: int
    sender: tuple[str, str]
    tls: Literal["tls", "starttls", "plain"]
    user: str = ""
    password: str = ""
    authorities: str = ""
    name: str = "smtp"

    def __repr__(self) -> str:
        return f"Smtp({self.host}:{self.port})"

    @classmethod
    def of(cls, url: str, sender: str) -> Self:
        """What FHIR_SMTP_URL names.

        :raises ValueError: it names no server, or would send a password in clear.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        query = parse_qs(parts.query, keep_blank_values=True)
        known = parts.scheme in {"smtp", "smtps"} and query.keys() <= {"starttls", "plain", "ca"}
        if not known or not parts.hostname:
            msg = "FHIR_SMTP_URL is no URL such as smtp://user:password@mail.example:587?starttls."
            raise ValueError(msg)
        loopback = parts.hostname in _LOOPBACK
        plain = "plain" in query or (loopback and "starttls" not in query)
        tls: Literal["tls", "starttls", "plain"] = (
            "tls" if parts.scheme == "smtps" else "plain" if plain else "starttls"
        )
        if parts.password and tls == "plain" and not loopback:
            msg = "FHIR_SMTP_URL would send a password without TLS."
            raise ValueError(msg)
        return cls(
            parts.hostname,
            port or {"tls": 465, "starttls": 587, "plain": 25}[tls],
            sender_of(sender),
            tls,
            unquote(parts.username or ""),
            unquote(parts.password or ""),
            query.get("ca", [""])[0],
        )

    async def send(self, message: Email) -> Sent:
        check_recipient(message)
        made = mime(message, self.sender)
        client = aiosmtplib.SMTP(
            hostname=self.host,
            port=self.port,
            username=self.user or None,
            password=self.password or None,
            use_tls=self.tls == "tls",
            start_tls=self.tls == "starttls",
            tls_context=None if self.tls == "plain" else _context(self.authorities),
            timeout=TIMEOUT_SECONDS,
        )
        try:
            async with client:
                await client.send_message(made, sender=self.sender[1], recipients=[message.to])
        except aiosmtplib.SMTPException as failed:
            raise _not_sent(failed) from failed
        except OSError as failed:
            raise NotSent("unavailable", permanent=False) from failed
        return Sent(self.name, message.id)

    async def close(self) -> None:
        """Nothing is kept open."""


def _context(authorities: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authorities or None)


def _not_sent(failed: aiosmtplib.SMTPException) -> NotSent:
    """Replies of RFC 5321: 5yz is for ever, 4yz for now; what is about us is never the person's fault."""
    if isinstance(failed, aiosmtplib.SMTPAuthenticationError):
        return NotSent("credentials", permanent=False)
    if isinstance(failed, aiosmtplib.SMTPRecipientsRefused):
        refused = failed.recipients[0]
        if refused.code < 500:
            return NotSent("unavailable", permanent=False)
        # A policy says nothing about whether the mailbox is there. https://www.rfc-editor.org/rfc/rfc3463#section-3.8
        policy = refused.message.lstrip().startswith("5.7.")
        return NotSent("rejected" if policy else "invalid-address", permanent=True)
    if isinstance(failed, aiosmtplib.SMTPSenderRefused):
        return NotSent("credentials" if failed.code >= 500 else "unavailable", permanent=False)
    if isinstance(failed, aiosmtplib.SMTPDataError) and failed.code >= 500:
        return NotSent("rejected", permanent=True)
    return NotSent("unavailable", permanent=False)


@dataclass(frozen=True, slots=True)
class SendGrid:
    """SendGrid's v3 API; its events say our id back as ``id``."""

    key: str
    sender: tuple[str, str]
    base: str = SENDGRID
    name: str = "sendgrid"

    def __repr__(self) -> str:
        return "SendGrid()"

    async def send(self, message: Email) -> Sent:
        check_recipient(message)
        answer = await ask(
            "POST",
            f"{self.base}/v3/mail/send",
            json=self._body(message),
            headers={"Authorization": f"Bearer {self.key}"},
        )
        if answer.status_code >= 400:
            address = any("to" in word.split(".") for word in words_of(answer))
            raise NotSent("invalid-address" if address else "rejected", permanent=True)
        return Sent(self.name, answer.headers.get("x-message-id", message.id))

    def _body(self, message: Email) -> dict[str, Any]:
        name, address = self.sender
        content = [{"type": "text/plain", "value": message.text}]
        if message.html:
            content.append({"type": "text/html", "value": message.html})
        if message.calendar:
            content.append({"type": f"text/calendar; method={message.method}", "value": message.calendar.decode()})
        body: dict[str, Any] = {
            "personalizations": [{"to": [{"email": message.to}], "custom_args": {"id": message.id}}],
            "from": {"email": address, **({"name": name} if name else {})},
            "subject": message.subject,
            "content": content,
            "headers": _headers(message, address.rpartition("@")[2]),
        }
        if message.calendar:
            ics = {"type": "application/ics", "filename": "appointment.ics", "disposition": "attachment"}
            body["attachments"] = [{**ics, "content": base64.b64encode(message.calendar).decode()}]
        return body

    async def close(self) -> None:
        """Nothing is kept open."""

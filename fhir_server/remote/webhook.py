"""Sends one message to an address that a client gave: what may be in its headers, the POST itself, and its signature.

``post`` never raises for what the other side does; ``Outcome`` says what happened, in one word where it was no answer:

error            what happened                                                      will another try help
---------------  -----------------------------------------------------------------  ---------------------
dns              the name is not known                                              perhaps
refused-address  the URL or what its name leads to may not be asked (``egress``)    no
tls              no certificate that we believe, or no common TLS                   perhaps
connect          nobody there, or the connection broke                              yes
timeout          no answer for four fifths of the time                              yes
too-slow         something came, but no whole answer in the time                    yes
redirect         a 3xx; redirects are not followed                                  no
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from fhir_server.errors import Category, Issue, Problem
from fhir_server.remote import egress
from fhir_server.remote.egress import Networks, RefusedAddressError
from fhir_server.remote.http import httpx

LARGEST_ANSWER = 64 * 1024
TIMEOUT_SECONDS = 30.0
HEADERS, LONGEST_HEADER = 20, 8 * 1024
SIGNATURE = "Signature-256"
TOLERANCE_SECONDS = 300

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t -~]*")
_SECONDS = re.compile(r"[0-9]{1,9}")
_OURS = frozenset(
    {
        "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect", "host",
        "http2-settings", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection",
        SIGNATURE.lower(), "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
"""Headers of the connection and of the body; they are for us to say. https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1"""
_ADDRESSES = 3
"""How many addresses of a host are tried when nobody is there."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """``status`` of the answer, ``retry_after`` in seconds from now, ``error`` as in the table above, each if any."""

    status: int | None = None
    retry_after: int | None = None
    error: str | None = None

    @property
    def accepted(self) -> bool:
        """Whether the other side took it."""
        return self.status is not None and 200 <= self.status < 300


def check_headers(headers: Sequence[str], *, place: str = "Subscription.channel.header") -> None:
    """Whether such ``Name: value`` lines may be sent.

    :raises Problem: 400 that names every line that may not, without its value.
    """
    if len(headers) > HEADERS:
        raise Problem(Category.INVALID, (Issue(f"At most {HEADERS} headers are sent.", place),))
    faults = ((f"{place}[{at}]", _fault(line)) for at, line in enumerate(headers))
    issues = tuple(Issue(fault, where) for where, fault in faults if fault)
    if issues:
        raise Problem(Category.INVALID, issues)


def headers_of(headers: Sequence[str]) -> list[tuple[str, str]]:
    """Checked lines as names and values; a value keeps its colons."""
    return [(name.strip(), value.strip(" \t")) for name, _, value in (line.partition(":") for line in headers)]


def _fault(line: str) -> str:
    """What is wrong with a line; empty if nothing is."""
    name, colon, value = line.partition(":")
    if not colon or not _NAME.fullmatch(name):
        return "A header is written as 'Name: value'."
    if not _VALUE.fullmatch(value):
        return f"The value of {name[:40]} has characters that no header has, such as a line break."
    if len(line) > LONGEST_HEADER:
        return f"The header {name[:40]} is longer than {LONGEST_HEADER} characters."
    if name.lower() in _OURS:
        return f"{name} is said by this server, not by a subscription."
    return ""


async def post(
    url: str,
    body: bytes,
    headers: Sequence[tuple[str, str]],
    *,
    allowed: Networks,
    timeout: float = TIMEOUT_SECONDS,  # noqa: ASYNC109  it is the whole time of the act, part of what is said to the caller
) -> Outcome:
    """Send a body once. The answer's body is read up to 64 kB, within the time, and thrown away.

    :param headers: those of a subscription and our own, ``Content-Type`` among them; sent as they are.
    :param timeout: seconds for name, connection, request and answer together.
    """
    latest = asyncio.get_running_loop().time() + timeout
    try:
        async with asyncio.timeout_at(latest):
            target = egress.target(url, allowed)
            known = (await egress.addresses(target, allowed))[:_ADDRESSES]
            for address in known[:-1]:
                with suppress(httpx.ConnectError):
                    return await _ask(url, address, body, headers, allowed, latest)
            return await _ask(url, known[-1], body, headers, allowed, latest)
    except RefusedAddressError:
        return Outcome(error="refused-address")
    except socket.gaierror:
        return Outcome(error="dns")
    except TimeoutError:
        return Outcome(error="too-slow")
    except httpx.TimeoutException:
        return Outcome(error="timeout")
    except (httpx.HTTPError, OSError) as failed:
        return Outcome(error="tls" if _is_tls(failed) else "connect")


async def _ask(
    url: str, address: str, body: bytes, headers: Sequence[tuple[str, str]], allowed: Networks, latest: float
) -> Outcome:
    left = latest - asyncio.get_running_loop().time()
    async with egress.stream(
        "POST",
        url,
        address,
        headers=[("User-Agent", "fhir-server"), *headers],
        content=body,
        timeout=left * 0.8,
        authorities=allowed.authorities,
    ) as answer:
        outcome = _outcome(answer)
        # What comes after the status changes nothing: a receiver that has answered is not asked again.
        with suppress(TimeoutError, httpx.HTTPError):
            async with asyncio.timeout_at(latest - 0.1 * left):
                await _drain(answer)
        return outcome


def _outcome(answer: Any) -> Outcome:
    status = int(answer.status_code)
    wait = retry_after(answer.headers.get("retry-after", ""), datetime.now(UTC))
    return Outcome(status, wait, "redirect" if 300 <= status < 400 else None)


async def _drain(answer: Any) -> None:
    read = 0
    async for part in answer.aiter_raw():
        read += len(part)
        if read >= LARGEST_ANSWER:
            return


def _is_tls(failed: BaseException | None) -> bool:
    while failed is not None:
        if isinstance(failed, ssl.SSLError):
            return True
        failed = failed.__cause__ or failed.__context__
    return False


def retry_after(value: str, now: datetime) -> int | None:
    """Seconds from ``now`` of a Retry-After header in either form. https://www.rfc-editor.org/rfc/rfc9110#field.retry-after"""
    value = value.strip()
    if _SECONDS.fullmatch(value):
        return int(value)
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return max(0, round((at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds()))


def sign(secrets: Sequence[str], timestamp: int, body: bytes) -> str:
    """The value of the header ``Signature-256``: ``t=<unix seconds>,v1=<hex>``, one ``v1`` for each secret.

    :param secrets: the present one, and while receivers change over the former one behind it.
    """
    return ",".join([f"t={timestamp}", *(f"v1={_mac(secret, timestamp, body)}" for secret in secrets)])


def verify(
    header: str, secrets: Sequence[str], body: bytes, now: float, *, tolerance: float = TOLERANCE_SECONDS
) -> bool:
    """Whether one of the secrets signed this body, and not longer ago than ``tolerance`` seconds."""
    parts = [part.strip().partition("=") for part in header.split(",")]
    times = [value for name, _, value in parts if name == "t"]
    if len(times) != 1 or not re.fullmatch(r"[0-9]{1,12}", times[0]) or abs(now - int(times[0])) > tolerance:
        return False
    given = [value.encode() for name, _, value in parts if name == "v1"]
    wanted = [_mac(secret, int(times[0]), body).encode() for secret in secrets]
    return any(hmac.compare_digest(one, other) for one in given for other in wanted)


def _mac(secret: str, timestamp: int, body: bytes) -> str:
    return hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()

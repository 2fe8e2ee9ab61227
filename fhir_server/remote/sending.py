"""What every channel to a person has in common: one act, ``send``, that gives ``Sent`` or raises ``NotSent``.

reason           permanent  when
---------------  ---------  ---------------------------------------------------------------------------
invalid-address  yes        there is no such mailbox, number or device, or it cannot take this kind
unsubscribed     yes        the provider knows that the person wants nothing from us
rejected         yes        the provider does not take the message itself
credentials      no         the provider does not know us: the operator must look
throttled        no         too many at once; ``retry_after`` says when
unavailable      no         the provider is down, slow or not reached

A message carries an id of ours. It is the same at every try, and it is said back by the provider where that can be, so
that a try whose answer was lost is found again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeVar

from fhir_server.remote.egress import tls_context
from fhir_server.remote.http import httpx
from fhir_server.remote.webhook import retry_after

TIMEOUT_SECONDS = 20.0
KEPT = 1000

_Given = TypeVar("_Given")
_Taken_contra = TypeVar("_Taken_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Sent:
    """Who took it, and the provider's id of it, by which reports name it."""

    provider: str
    message_id: str


@dataclass(eq=False)
class NotSent(Exception):  # noqa: N818  it is an outcome, as Sent is
    """Why not, by the table above; ``retry_after`` in seconds where the provider says it. No patient data."""

    reason: str
    permanent: bool
    retry_after: int | None = None

    def __str__(self) -> str:
        return self.reason


class Channel(Protocol[_Taken_contra]):
    """One way to a person."""

    @property
    def name(self) -> str:
        """The provider's name."""
        ...

    async def send(self, message: _Taken_contra) -> Sent:
        """Hand a message over.

        :raises NotSent: it was not taken.
        """
        ...

    async def close(self) -> None:
        """Let connections go."""
        ...


@dataclass(slots=True)
class Recording(Generic[_Given]):
    """The twin of every channel: keeps the last messages it was given; ``faults`` are raised first, one a message."""

    name: str = "recording"
    given: deque[_Given] = field(default_factory=lambda: deque(maxlen=KEPT))
    faults: deque[NotSent] = field(default_factory=deque)
    _number: int = 0

    async def send(self, message: _Given) -> Sent:
        if self.faults:
            raise self.faults.popleft()
        self.given.append(message)
        self._number += 1
        return Sent(self.name, f"{self.name}-{self._number}")

    async def close(self) -> None:
        """There is nothing to close."""


async def ask(method: str, url: str, **request: Any) -> Any:
    """The answer of a provider that has a status below 500 and is not about us.

    :raises NotSent: throttled, credentials or unavailable.
    """
    try:
        # Proxies of the environment are no place for patients' addresses.
        async with httpx.AsyncClient(verify=tls_context(), timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            answer = await client.request(method, url, **request)
    except (httpx.HTTPError, OSError) as failed:
        raise NotSent("unavailable", permanent=False) from failed
    check_status(answer.status_code, answer.headers)
    return answer


def check_status(status: int, headers: Any) -> None:
    """Let pass what is about the message.

    :raises NotSent: throttled, credentials or unavailable.
    """
    wait = retry_after(headers.get("retry-after", ""), datetime.now(UTC))
    if status == 429:
        raise NotSent("throttled", permanent=False, retry_after=wait)
    if status in {401, 403}:
        raise NotSent("credentials", permanent=False)
    if status >= 500 or 300 <= status < 400:
        raise NotSent("unavailable", permanent=False, retry_after=wait)


def field_of(answer: Any, *path: str | int) -> str:
    """A text inside of a provider's JSON; empty where it is not there."""
    try:
        found = answer.json()
        for name in path:
            found = found[name]
    except (ValueError, LookupError, TypeError):
        return ""
    return str(found) if isinstance(found, str | int) else ""


def words_of(answer: Any) -> Iterable[str]:
    """Every text of a provider's JSON, at most a few thousand."""
    try:
        waiting = [answer.json()]
    except ValueError:
        return
    for _ in range(5000):
        if not waiting:
            return
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        waiting += list(one.values()) if isinstance(one, dict) else one if isinstance(one, list) else []

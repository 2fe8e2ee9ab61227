"""Key sets of others by their address, fetched so that nobody can send us where we should not go.

Only https is followed (on a developer's machine also http to loopback), to addresses that ``egress`` lets pass; at
most 64 kB, three seconds for all of it. A set is remembered no longer than its Cache-Control says.
https://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html#registering-a-client-communicating-public-keys
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
import time
from dataclasses import dataclass
from typing import Any

from fhir_server.remote import egress
from fhir_server.remote.egress import Networks, RefusedAddressError, Target
from fhir_server.remote.http import httpx

LARGEST = 64 * 1024
SECONDS = 3.0
DEFAULT_AGE = 300
OLDEST_AGE = 3600
UNKNOWN_KEY_SECONDS = 30.0
"""An unknown key makes us ask again, but not more often than this."""
FAILED_SECONDS = 5.0
"""An address that did not answer is not asked again for so long."""
SETS = 1000

_AGE = re.compile(r"max-age\s*=\s*\"?(\d{1,9})")


class KeysNotReachedError(Exception):
    """The address may not be asked, or did not answer with a key set; one sentence without the answer."""


@dataclass(slots=True)
class _Held:
    keys: dict[str, Any]
    until: float
    asked: float


class KeySets:
    """The key sets that this process knows.

    :param loopback: whether loopback addresses are followed, also with http.
    """

    def __init__(self, *, loopback: bool) -> None:
        self._loopback = loopback
        self._held: dict[str, _Held] = {}
        self._failed: dict[str, float] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def get(self, url: str, kid: str) -> dict[str, Any]:
        """The key set at an address, asked again when what we know is over or does not name ``kid``.

        :raises KeysNotReachedError: it cannot be had now.
        """
        async with self._locks.setdefault(url, asyncio.Lock()):
            held, now = self._held.get(url), time.monotonic()
            if held is not None and held.until > now:
                named = any(isinstance(one, dict) and one.get("kid") == kid for one in held.keys.get("keys", ()))
                if named or held.asked + UNKNOWN_KEY_SECONDS > now:
                    return held.keys
            if self._failed.get(url, 0.0) > now:
                raise KeysNotReachedError("the address of the keys did not answer a moment ago")
            try:
                keys, age = await fetch(url, loopback=self._loopback)
            except KeysNotReachedError:
                _bounded(self._failed)[url] = time.monotonic() + FAILED_SECONDS
                raise
            _bounded(self._held)[url] = _Held(keys, now + age, now)
            if len(self._locks) > SETS:
                self._locks = {name: lock for name, lock in self._locks.items() if lock.locked()}
            return keys


def _bounded(known: dict[str, Any]) -> dict[str, Any]:
    """The same with room for one more; the oldest goes."""
    while len(known) >= SETS:
        del known[next(iter(known))]
    return known


def check_url(url: str, *, loopback: bool) -> None:
    """Whether such an address may be registered at all.

    :raises KeysNotReachedError: with the reason.
    """
    _target(url, Networks(loopback=loopback))


def _target(url: str, allowed: Networks) -> Target:
    try:
        found = egress.target(url, allowed)
    except RefusedAddressError as refused:
        raise KeysNotReachedError(str(refused)) from None
    if not found.tls and not _is_loopback(found.host):
        raise KeysNotReachedError("keys are fetched by https only")
    return found


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def fetch(url: str, *, loopback: bool) -> tuple[dict[str, Any], int]:
    """A key set and for how many seconds it may be remembered.

    :raises KeysNotReachedError: for every fault, also after three seconds.
    """
    allowed = Networks(loopback=loopback)
    found = _target(url, allowed)
    try:
        async with asyncio.timeout(SECONDS):
            body, headers = await _get(url, (await egress.addresses(found, allowed))[0])
    except RefusedAddressError:
        raise KeysNotReachedError("the address of the keys is not public") from None
    except (TimeoutError, OSError, httpx.HTTPError, httpx.InvalidURL):
        raise KeysNotReachedError("the address of the keys does not answer") from None
    try:
        keys = json.loads(body)
    except (ValueError, RecursionError):
        raise KeysNotReachedError("the keys are no JSON") from None
    if not isinstance(keys, dict) or not isinstance(keys.get("keys"), list):
        raise KeysNotReachedError("the keys are no JWKS")
    return keys, _age(headers.get("cache-control", ""))


async def _get(url: str, address: str) -> tuple[bytes, Any]:
    accept = [("Accept", "application/json")]
    async with egress.stream("GET", url, address, headers=accept, timeout=SECONDS) as answer:
        if answer.status_code != httpx.codes.OK:
            raise KeysNotReachedError("the address of the keys does not answer with keys")
        body = b""
        async for part in answer.aiter_raw():
            body += part
            if len(body) > LARGEST:
                raise KeysNotReachedError("the keys are too large")
        return body, answer.headers


def _age(cache_control: str) -> int:
    """How long a set may be remembered; five minutes where the answer says nothing."""
    words = cache_control.lower()
    if "no-store" in words or "no-cache" in words:
        return 0
    found = _AGE.search(words)
    return min(int(found[1]), OLDEST_AGE) if found else DEFAULT_AGE

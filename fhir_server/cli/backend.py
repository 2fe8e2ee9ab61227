"""The demo clinic's EHR as a client: it proves itself by the key in the data folder of ``fhir-server dev``.

https://hl7.org/fhir/smart-app-launch/backend-services.html
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from typing import TYPE_CHECKING, Any

from fhir_server.cli.dev_settings import data_folder
from fhir_server.cli.running import Granted, browser, find, grant, is_loopback
from fhir_server.embedded.refused import Refused
from fhir_server.remote.http import httpx
from fhir_server.services.authorization.demo import EHR, KEY_FILE, KID

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from pathlib import Path

SCOPES = "system/*.cruds"
ASSERTION_SECONDS = 120
MARGIN_SECONDS = 60
"""A token is renewed so long before it is over: no request may find it over on its way."""

_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


async def ask(http: Any, root: str, folder: Path, scopes: str = SCOPES) -> Granted:
    """A token of the demo EHR from the server at ``root``.

    :raises Refused: no server, no key, or one that the server does not know.
    """
    key = folder / KEY_FILE
    if not key.is_file():
        raise Refused(f"There is no key of the demo EHR in {folder}.", "say the folder of fhir-server dev: --data DIR")
    server = await find(http, root)
    form = {
        "grant_type": "client_credentials",
        "scope": scopes,
        "client_assertion_type": _BEARER,
        "client_assertion": _assertion(key.read_bytes(), server.audience, int(time.time())),
    }
    return await grant(http, server, form)


def bearer(base: str, folder: Path | None) -> Any:
    """What gives requests to a FHIR base their token: FHIR_TOKEN, else on this machine the demo EHR of a data folder.

    :raises Refused: there is neither.
    """
    if token := os.environ.get("FHIR_TOKEN", ""):
        return Fixed(token)
    place, root = folder or data_folder(), base.removesuffix("/fhir")
    if not is_loopback(base) or not (place / KEY_FILE).is_file():
        raise Refused(
            "A token is needed: set FHIR_TOKEN, or say the data folder of a running fhir-server dev by --data."
        )

    async def ours() -> Granted:
        async with browser() as http:
            return await ask(http, root, place)

    return Renewed(ours)


def _assertion(pem: bytes, audience: str, now: int) -> str:
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey

    header = {"alg": "ES384", "typ": "JWT", "kid": KID}
    claims = {"iss": EHR, "sub": EHR, "aud": audience, "jti": secrets.token_urlsafe(16)}
    try:
        key = ECKey.import_key(pem)
        return jwt.encode(header, {**claims, "iat": now, "exp": now + ASSERTION_SECONDS}, key, algorithms=["ES384"])
    except (JoseError, ValueError):
        raise Refused(f"The file {KEY_FILE} holds no key.", "start fhir-server dev with --reset") from None


class Fixed(httpx.Auth):
    """The same token in every request."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


class Renewed(httpx.Auth):
    """A token that is asked for when the first request needs it, and again before it is over."""

    def __init__(self, ask: Callable[[], Awaitable[Granted]], clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._lock = asyncio.Lock()
        self._token = ""
        self._until = 0.0

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        async with self._lock:
            if self._clock() >= self._until:
                granted = await self._ask()
                self._token, self._until = granted.token, self._clock() + granted.seconds - MARGIN_SECONDS
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request

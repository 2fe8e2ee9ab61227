"""Apple's push service over HTTP/2, with provider tokens.

https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
"""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from joserfc import jwt
from joserfc.jwk import ECKey

from fhir_server.remote.http import httpx
from fhir_server.remote.push import Push
from fhir_server.remote.sending import TIMEOUT_SECONDS, NotSent, Sent, check_status, field_of

APNS, SANDBOX = "https://api.push.apple.com", "https://api.sandbox.push.apple.com"
TOKEN_SECONDS = 40 * 60
"""Apple wants a token to be used for at least 20 and at most 60 minutes."""

_DEVICE = re.compile(r"[0-9a-fA-F]{8,200}")
_NO_DEVICE = frozenset({"BadDeviceToken", "DeviceTokenNotForTopic", "Unregistered", "ExpiredToken"})


@dataclass(slots=True)
class Apns:
    """One app (``topic``) of a team; the connection is kept, as Apple asks."""

    key: ECKey = field(repr=False)
    key_id: str
    team: str
    topic: str
    base: str = APNS
    name: str = "apns"
    _token: str = field(default="", repr=False)
    _made: float = 0.0
    _client: Any = field(default=None, repr=False)

    @classmethod
    def of(cls, path: str, key_id: str, team: str, topic: str, *, sandbox: bool) -> Self:
        """:raises ValueError: FHIR_APNS_KEY is no P-256 key, or what belongs to it is not set."""
        if not key_id or not team or not topic:
            msg = "FHIR_APNS_KEY needs FHIR_APNS_KEY_ID, FHIR_APNS_TEAM and FHIR_APNS_TOPIC."
            raise ValueError(msg)
        return cls(ec_key(path, "FHIR_APNS_KEY"), key_id, team, topic, SANDBOX if sandbox else APNS)

    async def send(self, message: Push) -> Sent:
        """:raises NotSent: Apple does not take it."""
        if not _DEVICE.fullmatch(message.device):
            raise NotSent("invalid-address", permanent=True)
        body = {"aps": {"alert": {"title": message.title, "body": message.body}, "sound": "default"}, "id": message.id}
        if message.link:
            body["link"] = message.link
        now = time.time()
        headers = {
            "authorization": f"bearer {self._provider_token(now)}",
            "apns-topic": self.topic,
            "apns-push-type": "alert",
            "apns-expiration": str(int(now) + message.seconds),
            # The same at every try: Apple's id of it, and what a second copy takes the place of on the device.
            "apns-id": str(uuid.uuid5(uuid.NAMESPACE_URL, message.id)),
            "apns-collapse-id": uuid.uuid5(uuid.NAMESPACE_URL, message.id).hex,
        }
        try:
            if self._client is None:
                # A context of its own: HTTP/2 is agreed on in it.
                self._client = httpx.AsyncClient(http1=False, http2=True, trust_env=False, timeout=TIMEOUT_SECONDS)
            answer = await self._client.post(f"{self.base}/3/device/{message.device}", json=body, headers=headers)
        except (httpx.HTTPError, OSError) as failed:
            raise NotSent("unavailable", permanent=False) from failed
        if answer.status_code == 200:
            return Sent(self.name, answer.headers.get("apns-id", headers["apns-id"]))
        if answer.status_code == 403:
            self._made = 0.0
        check_status(answer.status_code, answer.headers)
        gone = answer.status_code == 410 or field_of(answer, "reason") in _NO_DEVICE
        raise NotSent("invalid-address" if gone else "rejected", permanent=True)

    def _provider_token(self, now: float) -> str:
        if now - self._made > TOKEN_SECONDS:
            header = {"alg": "ES256", "kid": self.key_id}
            self._token = jwt.encode(header, {"iss": self.team, "iat": int(now)}, self.key)
            self._made = now
        return self._token

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None


def ec_key(path: str, setting: str) -> ECKey:
    """A private P-256 key in a PEM file.

    :raises ValueError: it cannot be read or is none.
    """
    msg = f"{setting} names no PEM file of a private P-256 key."
    try:
        key = ECKey.import_key(Path(path).read_bytes())
    except (OSError, ValueError, TypeError) as failed:
        raise ValueError(msg) from failed
    if not key.is_private or key.curve_name != "P-256":
        raise ValueError(msg)
    return key

"""Web push to a browser: RFC 8030 with the encryption of RFC 8291 and our own key by RFC 8292 (VAPID).

The address of the push service comes from the browser, so the message goes where ``egress`` lets it. The encryption is
pywebpush's (the extra ``push``).
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Self
from urllib.parse import urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey

from fhir_server.remote import webhook
from fhir_server.remote.egress import Networks
from fhir_server.remote.push import Push
from fhir_server.remote.push_apns import ec_key
from fhir_server.remote.sending import TIMEOUT_SECONDS, NotSent, Sent

VAPID_SECONDS = 12 * 3600


@dataclass(slots=True)
class WebPush:
    """``subject`` is whom push services may ask: a ``mailto:`` or https URL."""

    key: ECKey = field(repr=False)
    subject: str
    allowed: Networks
    name: str = "web"
    _library: Any = field(default=None, repr=False)

    @classmethod
    def of(cls, path: str, subject: str, allowed: Networks) -> Self:
        """:raises ValueError: FHIR_VAPID_KEY is no P-256 key or has no subject, or pywebpush is not installed."""
        if not subject.startswith(("mailto:", "https://")):
            msg = "FHIR_VAPID_KEY needs FHIR_VAPID_SUBJECT, a mailto: or https: URL."
            raise ValueError(msg)
        key = ec_key(path, "FHIR_VAPID_KEY")
        try:
            library = import_module("pywebpush")
        except ImportError as failed:
            msg = "FHIR_VAPID_KEY needs pywebpush: install fhir-server[push]."
            raise ValueError(msg) from failed
        return cls(key, subject, allowed, _library=library)

    @property
    def public_key(self) -> str:
        """What a page gives to ``pushManager.subscribe`` as ``applicationServerKey``."""
        numbers = self.key.as_dict(private=False)
        return _text(b"\x04" + _bytes(str(numbers["x"])) + _bytes(str(numbers["y"])))

    async def send(self, message: Push) -> Sent:
        """:raises NotSent: the push service does not take it."""
        try:
            subscription = json.loads(message.device)
            endpoint = str(subscription["endpoint"])
            pusher = self._library.WebPusher({"endpoint": endpoint, "keys": dict(subscription["keys"])})
            words = {"id": message.id, "title": message.title, "body": message.body, "link": message.link}
            body = pusher.encode(json.dumps(words).encode(), "aes128gcm")["body"]
        except (ValueError, LookupError, TypeError, self._library.WebPushException) as failed:
            raise NotSent("invalid-address", permanent=True) from failed
        headers = [
            ("Content-Type", "application/octet-stream"),
            ("Content-Encoding", "aes128gcm"),
            ("TTL", str(message.seconds)),
            ("Urgency", "high"),
            # A second copy takes the place of one that was not fetched yet.
            ("Topic", _text(hashlib.sha256(message.id.encode()).digest())[:32]),
            ("Authorization", f"vapid t={self._claim(endpoint)}, k={self.public_key}"),
        ]
        outcome = await webhook.post(endpoint, body, headers, allowed=self.allowed, timeout=TIMEOUT_SECONDS)
        if outcome.accepted:
            return Sent(self.name, message.id)
        if outcome.error == "refused-address" or outcome.status in {404, 410}:
            raise NotSent("invalid-address", permanent=True)
        if outcome.status == 429:
            raise NotSent("throttled", permanent=False, retry_after=outcome.retry_after)
        if outcome.status in {401, 403}:
            raise NotSent("credentials", permanent=False)
        if outcome.status and 400 <= outcome.status < 500:
            raise NotSent("rejected", permanent=True)
        raise NotSent("unavailable", permanent=False, retry_after=outcome.retry_after)

    def _claim(self, endpoint: str) -> str:
        parts = urlsplit(endpoint)
        claims = {
            "aud": f"{parts.scheme}://{parts.netloc}", "exp": int(time.time()) + VAPID_SECONDS, "sub": self.subject,
        }  # fmt: skip
        return jwt.encode({"typ": "JWT", "alg": "ES256"}, claims, self.key)

    async def close(self) -> None:
        """Nothing is kept open."""


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "==")

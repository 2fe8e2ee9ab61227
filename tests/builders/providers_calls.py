"""Calls as Twilio and SendGrid make them, signed."""

from __future__ import annotations

import base64
import hmac
import json
import time
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

TOKEN = "twilio-token"
KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = base64.b64encode(
    KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
).decode()
ROOT = "http://fhir.test"


async def twilio(http: Any, path: str, form: dict[str, str], *, token: str = TOKEN) -> Any:
    """A signed POST of a form; the HTTP answer."""
    said = f"{ROOT}{path}" + "".join(f"{name}{form[name]}" for name in sorted(form))
    signature = base64.b64encode(hmac.digest(token.encode(), said.encode(), "sha1")).decode()
    headers = {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"}
    return await http.post(f"{ROOT}{path}", content=urlencode(form).encode(), headers=headers)


async def sendgrid(http: Any, events: list[dict[str, Any]], *, at: float | None = None, key: Any = KEY) -> Any:
    """A signed batch of events; the HTTP answer."""
    body, stamp = json.dumps(events).encode(), str(int(at if at is not None else time.time()))
    signature = base64.b64encode(key.sign(stamp.encode() + body, ec.ECDSA(SHA256()))).decode()
    headers = {
        "X-Twilio-Email-Event-Webhook-Signature": signature, "X-Twilio-Email-Event-Webhook-Timestamp": stamp,
        "Content-Type": "application/json",
    }  # fmt: skip
    return await http.post(f"{ROOT}/hooks/sendgrid", content=body, headers=headers)

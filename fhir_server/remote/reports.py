"""What providers tell us afterwards: whether a message came from them, and what it says.

provider  proof                                                     time in it
--------  --------------------------------------------------------  ----------------------------------------
Twilio    HMAC-SHA1 of URL and form, ``X-Twilio-Signature``         none: a copy says what is known already
SendGrid  ECDSA P-256 of time and body, two ``X-Twilio-Email-…``    at most ten minutes old

https://www.twilio.com/docs/usage/security#validating-requests
https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
"""

from __future__ import annotations

import base64
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from fhir_server.errors import Category, problem
from fhir_server.remote import causes

TWILIO_SIGNATURE = "X-Twilio-Signature"
SENDGRID_SIGNATURE = "X-Twilio-Email-Event-Webhook-Signature"
SENDGRID_TIMESTAMP = "X-Twilio-Email-Event-Webhook-Timestamp"
TOLERANCE_SECONDS = 600

Status = Literal["sent", "delivered", "failed", "bounced", "opened", "clicked", "unsubscribed"]


@dataclass(frozen=True, slots=True)
class Report:
    """``message_id`` is the provider's, as in ``Sent``; ``id`` is ours, where it is said back.

    ``reason`` is the provider's code, ``cause`` our word for why it did not arrive (:mod:`.causes`).
    """

    message_id: str
    status: Status
    at: datetime
    reason: str = ""
    id: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True)
class InboundText:
    """A text message from a person; ``message_id`` is Twilio's and the same when it comes twice."""

    from_: str
    to: str
    text: str
    message_id: str


@dataclass(frozen=True, slots=True)
class Keypress:
    """What was pressed in a call; ``digits`` is empty when nothing was."""

    message_id: str
    digits: str


def twilio_signature_ok(token: str, url: str, params: Mapping[str, str], signature: str) -> bool:
    """Whether Twilio sent this form to this URL, as Twilio knows it: with its query, with or without the usual port."""
    form = "".join(f"{name}{params[name]}" for name in sorted(params))
    given = signature.encode()
    found = False
    for known in _with_and_without_port(url):
        right = base64.b64encode(hmac.digest(token.encode(), f"{known}{form}".encode(), "sha1"))
        found |= hmac.compare_digest(right, given)
    return bool(token) and found


def _with_and_without_port(url: str) -> set[str]:
    parts = urlsplit(url)
    usual = {"https": ":443", "http": ":80"}.get(parts.scheme, "")
    host = parts.netloc.removesuffix(usual) if usual else parts.netloc
    bare = url.replace(f"//{parts.netloc}", f"//{host}", 1)
    return {url, bare, bare.replace(f"//{host}", f"//{host}{usual}", 1)} if parts.port in {None, 80, 443} else {url}


def sendgrid_signature_ok(
    public_key: str,
    signature: str,
    timestamp: str,
    payload: bytes,
    now: float,
    *,
    tolerance: float = TOLERANCE_SECONDS,
) -> bool:
    """Whether SendGrid signed this body not longer ago than ``tolerance`` seconds.

    :param public_key: base64 as SendGrid shows it, FHIR_SENDGRID_WEBHOOK_KEY.
    """
    if not re.fullmatch(r"[0-9]{1,12}", timestamp) or abs(now - int(timestamp)) > tolerance:
        return False
    try:
        key = load_der_public_key(base64.b64decode(public_key, validate=True))
        if not isinstance(key, ec.EllipticCurvePublicKey):
            return False
        key.verify(base64.b64decode(signature, validate=True), timestamp.encode() + payload, ec.ECDSA(SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


_MESSAGE: dict[str, Status] = {
    "sent": "sent", "delivered": "delivered", "read": "opened", "undelivered": "failed", "failed": "failed",
}  # fmt: skip
_CALL: dict[str, Status] = {
    "in-progress": "sent", "completed": "delivered", "busy": "failed", "no-answer": "failed", "canceled": "failed",
    "failed": "failed",
}  # fmt: skip
_EVENT: dict[str, Status] = {
    "processed": "sent", "delivered": "delivered", "bounce": "bounced", "dropped": "failed", "open": "opened",
    "click": "clicked", "unsubscribe": "unsubscribed", "group_unsubscribe": "unsubscribed",
    "spamreport": "unsubscribed",
}  # fmt: skip


def twilio_report(params: Mapping[str, str], now: datetime) -> Report | None:
    """What a status callback of a message or call says; None for a state on the way there.

    https://www.twilio.com/docs/messaging/guides/track-outbound-message-status

    :param now: the time of it, where Twilio says none.
    :raises Problem: 400 where it names no message.
    """
    sid = params.get("MessageSid") or params.get("CallSid")
    if not sid:
        raise problem(Category.INVALID, "A status callback names a MessageSid or a CallSid.")
    status = _MESSAGE.get(params.get("MessageStatus", "")) or _CALL.get(params.get("CallStatus", ""))
    if status is None:
        return None
    code = params.get("ErrorCode", "")
    if code == "21610":
        return Report(sid, "unsubscribed", now, code, cause="unsubscribed")
    failed = status == "failed"
    ended = params.get("CallStatus", "") if failed else ""
    at = _twilio_time(params.get("Timestamp", ""), now)
    return Report(sid, status, at, code or ended, cause=causes.of_twilio(code, ended) if failed else "")


def _twilio_time(text: str, now: datetime) -> datetime:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return now
    return found.replace(tzinfo=found.tzinfo or UTC)


def twilio_text(params: Mapping[str, str]) -> InboundText:
    """A text message that a person sent. https://www.twilio.com/docs/messaging/guides/webhook-request

    :raises Problem: 400 with what is missing.
    """
    sender, to, sid = (_given(params, name) for name in ("From", "To", "MessageSid"))
    return InboundText(sender, to, params.get("Body", ""), sid)


def twilio_keypress(params: Mapping[str, str]) -> Keypress:
    """What was pressed in a call. https://www.twilio.com/docs/voice/twiml/gather#action

    :raises Problem: 400 with what is missing.
    """
    return Keypress(_given(params, "CallSid"), params.get("Digits", ""))


def _given(params: Mapping[str, str], name: str) -> str:
    if not params.get(name):
        raise problem(Category.REQUIRED, f"{name} is missing.", name)
    return params[name]


def sendgrid_reports(payload: bytes) -> list[Report]:
    """What a batch of events says; those on the way (``deferred``) and unknown ones are left out.

    https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event

    :raises Problem: 400 where it is no list of events.
    """
    try:
        events = json.loads(payload)
    except (ValueError, RecursionError):
        raise problem(Category.STRUCTURE, "The events are no JSON.") from None
    if not isinstance(events, list) or not all(isinstance(one, dict) for one in events):
        raise problem(Category.STRUCTURE, "The events are no list of objects.")
    return [report for report in map(_sendgrid_report, events) if report]


def _sendgrid_report(event: dict[str, Any]) -> Report | None:
    status = _EVENT.get(str(event.get("event")))
    message, stamp = event.get("sg_message_id"), event.get("timestamp")
    if status is None or not isinstance(message, str) or not isinstance(stamp, int):
        return None
    try:
        at = datetime.fromtimestamp(stamp, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    failed = status in {"bounced", "failed"}
    # The status alone: the words of a mail server may hold an address.
    reason = str(event.get("status") or event.get("type") or "")[:40] if failed else ""
    ours = event.get("id")
    cause = causes.of_sendgrid(event) if failed else "unsubscribed" if status == "unsubscribed" else ""
    return Report(message.partition(".")[0], status, at, reason, ours if isinstance(ours, str) else "", cause)

"""Why a message that a provider took did not arrive, in one word.

cause            when
---------------  -----------------------------------------------------------------------------
invalid-address  there is no such number or mailbox, or it cannot take this kind of message
unreachable      the telephone is off or out of reach
busy, no-answer  of calls
unsubscribed     the person wants nothing from us
rejected         a carrier does not let the message itself through
throttled, credentials   as in :mod:`.sending`
not-delivered    anything else: the address may be right

https://www.twilio.com/docs/api/errors
https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event#delivery-events
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_server.remote.twilio import NO_ADDRESS

NOT_DELIVERED = "not-delivered"
_TWILIO = {
    "30001": "throttled", "30002": "credentials", "30003": "unreachable", "30004": "rejected",
    "30005": "invalid-address", "30006": "invalid-address", "30007": "rejected",
}  # fmt: skip
_CALL = {"busy": "busy", "no-answer": "no-answer"}
_DROPPED = {
    "bounced address": "invalid-address", "invalid": "invalid-address", "unsubscribed address": "unsubscribed",
    "spam reporting address": "unsubscribed",
}  # fmt: skip


def of_twilio(code: str, call: str = "") -> str:
    """Why a text or a call failed.

    :param code: ``ErrorCode``, empty where there is none.
    :param call: ``CallStatus`` of a call.
    """
    return "invalid-address" if code in NO_ADDRESS else _TWILIO.get(code) or _CALL.get(call, NOT_DELIVERED)


def of_sendgrid(event: Mapping[str, Any]) -> str:
    """Why an e-mail bounced or was dropped. A mailbox that is full, or a server that blocks us, is no wrong address."""
    if event.get("event") == "dropped":
        return _DROPPED.get(str(event.get("reason", "")).lower(), NOT_DELIVERED)
    soft = event.get("type") == "blocked" or str(event.get("status", "")).startswith("4")
    return NOT_DELIVERED if soft else "invalid-address"

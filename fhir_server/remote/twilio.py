"""Twilio's REST, https://www.twilio.com/docs/usage/api: what text messages and calls have in common.

Twilio has no idempotency key. The callback URL that we give carries our id, so a message whose answer was lost is known
again by its first report.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fhir_server.remote.sending import NotSent, Sent, ask, field_of

BASE = "https://api.twilio.com"
NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
"""E.164."""

_UNSUBSCRIBED = frozenset({"21610"})
NO_ADDRESS = frozenset({"21211", "21214", "21217", "21401", "21407", "21421", "21614", "21635", "13223", "13224"})
_THROTTLED = frozenset({"20429", "14107", "30001"})
"""https://www.twilio.com/docs/api/errors"""


@dataclass(frozen=True, slots=True)
class Twilio:
    """An account; ``sender`` is a number in E.164 or, for text messages, a messaging service (``MG…``)."""

    account: str
    token: str
    sender: str
    base: str = BASE

    def __repr__(self) -> str:
        return f"Twilio({self.account})"

    async def post(self, resource: str, to: str, form: dict[str, str]) -> Sent:
        """Make a ``Messages`` or ``Calls`` resource.

        :raises NotSent: Twilio does not take it.
        """
        if not NUMBER.fullmatch(to):
            raise NotSent("invalid-address", permanent=True)
        answer = await ask(
            "POST",
            f"{self.base}/2010-04-01/Accounts/{self.account}/{resource}.json",
            data={"To": to, **form},
            auth=(self.account, self.token),
        )
        code = field_of(answer, "code")
        if code in _THROTTLED:
            raise NotSent("throttled", permanent=False)
        if answer.status_code >= 400:
            reason = "invalid-address" if code in NO_ADDRESS else "rejected"
            raise NotSent("unsubscribed" if code in _UNSUBSCRIBED else reason, permanent=True)
        return Sent("twilio", field_of(answer, "sid"))

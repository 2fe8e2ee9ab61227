"""Text messages by Twilio. https://www.twilio.com/docs/messaging/api/message-resource"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.remote.sending import Sent
from fhir_server.remote.twilio import Twilio


@dataclass(frozen=True, slots=True)
class Text:
    """``to`` in E.164; ``callback`` is our URL for reports, with our id in it."""

    id: str
    to: str
    body: str
    callback: str = ""


@dataclass(frozen=True, slots=True)
class TwilioSms:
    twilio: Twilio
    name: str = "twilio"

    async def send(self, message: Text) -> Sent:
        """:raises NotSent: Twilio does not take it."""
        sender = self.twilio.sender
        form = {"MessagingServiceSid" if sender.startswith("MG") else "From": sender, "Body": message.body}
        if message.callback:
            form["StatusCallback"] = message.callback
        return await self.twilio.post("Messages", message.to, form)

    async def close(self) -> None:
        """Nothing is kept open."""

"""Calls by Twilio that say a text and take one key. https://www.twilio.com/docs/voice/api/call-resource"""

from __future__ import annotations

from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from fhir_server.remote.sending import NotSent, Sent
from fhir_server.remote.twilio import Twilio

LONGEST = 4000
VOICES = {"en": "en-US", "es": "es-ES", "de": "de-DE"}
"""Languages that are spoken by a name with a region; others go as they are. https://www.twilio.com/docs/voice/twiml/say"""
KEY_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Call:
    """``text`` is spoken twice in ``language`` (BCP 47); ``answer`` is our URL for the key that is pressed."""

    id: str
    to: str
    text: str
    language: str = "en"
    answer: str = ""
    callback: str = ""


def twiml(call: Call) -> str:
    """What Twilio does in the call. https://www.twilio.com/docs/voice/twiml/gather"""
    language = VOICES.get(call.language.lower(), call.language)
    say = f"<Say language={quoteattr(language)}>{escape(call.text)}</Say>"
    if not call.answer:
        return f'<Response>{say}<Pause length="1"/>{say}</Response>'
    gather = f'<Gather numDigits="1" timeout="{KEY_SECONDS}" action={quoteattr(call.answer)}>'
    return f"<Response>{gather}{say}</Gather>{gather}{say}</Gather></Response>"


@dataclass(frozen=True, slots=True)
class TwilioVoice:
    twilio: Twilio
    name: str = "twilio"

    async def send(self, message: Call) -> Sent:
        """:raises NotSent: Twilio does not take it."""
        said = twiml(message)
        if len(said) > LONGEST:
            raise NotSent("rejected", permanent=True)
        form = {"From": self.twilio.sender, "Twiml": said}
        if message.callback:
            form["StatusCallback"] = message.callback
        return await self.twilio.post("Calls", message.to, form)

    async def close(self) -> None:
        """Nothing is kept open."""

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


def say(text: str, language: str) -> str:
    """TwiML that speaks a text in a language (BCP 47)."""
    return f"<Say language={quoteattr(VOICES.get(language.lower(), language))}>{escape(text)}</Say>"


def gather(text: str, language: str, answer: str) -> str:
    """TwiML that speaks a text and waits for one key, which is posted to a URL. What follows it is for none.

    https://www.twilio.com/docs/voice/twiml/gather
    """
    asked = f'<Gather numDigits="1" timeout="{KEY_SECONDS}" action={quoteattr(answer)}>'
    return f"{asked}{say(text, language)}</Gather>"


def twiml(call: Call) -> str:
    """What Twilio does in the call."""
    if not call.answer:
        said = say(call.text, call.language)
        return f'<Response>{said}<Pause length="1"/>{said}</Response>'
    return f"<Response>{gather(call.text, call.language, call.answer) * 2}</Response>"


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

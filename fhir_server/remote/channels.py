"""The channels that the settings turn on. What has no credentials is off, and that is said once, when a process starts.

channel   on by                                   adapter
--------  --------------------------------------  -----------------------------------------
email     FHIR_SENDGRID_KEY, else FHIR_SMTP_URL   ``SendGrid``, ``Smtp``; with FHIR_MAIL_FROM
sms       FHIR_TWILIO_ACCOUNT, _TOKEN, _FROM      ``TwilioSms``
voice     the same, where _FROM is a number       ``TwilioVoice``
fcm       FHIR_FCM_CREDENTIALS                    ``Fcm``
apns      FHIR_APNS_KEY, _KEY_ID, _TEAM, _TOPIC   ``Apns``
web       FHIR_VAPID_KEY, FHIR_VAPID_SUBJECT      ``WebPush``
any other FHIR_OUTBOX_FOLDER, in development      ``Kept``: a file in a folder
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from fhir_server.clock import clock_of
from fhir_server.log import get_logger
from fhir_server.remote.egress import Networks, networks_of
from fhir_server.remote.email import Email, SendGrid, Smtp, sender_of
from fhir_server.remote.kept import Kept
from fhir_server.remote.push import Fcm, Kind, Push
from fhir_server.remote.push_apns import Apns
from fhir_server.remote.push_web import WebPush
from fhir_server.remote.sending import Channel, Recording
from fhir_server.remote.sms import Text, TwilioSms
from fhir_server.remote.twilio import NUMBER, Twilio
from fhir_server.remote.voice import Call, TwilioVoice
from fhir_server.settings import Settings

log = get_logger("channels")


@dataclass(frozen=True, slots=True)
class Channels:
    """Each way to a person, or none. ``push`` is by the kind of device."""

    email: Channel[Email] | None = None
    sms: Channel[Text] | None = None
    voice: Channel[Call] | None = None
    push: Mapping[Kind, Channel[Push]] = field(default_factory=dict)

    @classmethod
    def recording(cls) -> Self:
        """Twins of all, for development and tests: they keep what would have been sent."""
        push: dict[Kind, Channel[Push]] = {"fcm": Recording(), "apns": Recording(), "web": Recording()}
        return cls(Recording(), Recording(), Recording(), push)

    def filled(self, folder: Path, clock: Callable[[], int]) -> Self:
        """With files in a folder where there is no provider."""
        push: dict[Kind, Channel[Push]] = {kind: Kept(folder, f"push-{kind}", clock) for kind in ("fcm", "apns", "web")}
        return type(self)(
            self.email or Kept(folder, "email", clock),
            self.sms or Kept(folder, "sms", clock),
            self.voice or Kept(folder, "voice", clock),
            push | dict(self.push),
        )

    def tell(self) -> None:
        """One line of the log says what is on and what is off, when a process that serves or sends begins."""
        known: dict[str, Channel[Any] | None] = {"email": self.email, "sms": self.sms, "voice": self.voice}
        known |= {f"push-{kind}": self.push.get(kind) for kind in ("fcm", "apns", "web")}
        log.info(
            "channels",
            on=[f"{name} by {channel.name}" for name, channel in known.items() if channel],
            off=[name for name, channel in known.items() if not channel],
        )

    async def close(self) -> None:
        """Let connections go."""
        for channel in (self.email, self.sms, self.voice, *self.push.values()):
            if channel is not None:
                await channel.close()


def allowed_of(settings: Settings, *, loopback: bool) -> Networks:
    """Where addresses that others gave us may lead.

    :raises ValueError: FHIR_EGRESS_ALLOW names something else than networks and hosts.
    """
    return networks_of(settings.egress_allow, loopback=loopback, authorities=settings.egress_ca)


def channels_of(settings: Settings, *, loopback: bool = False) -> Channels:
    """What the settings turn on.

    :raises ValueError: a setting is there and wrong: one sentence for the operator, without secrets.
    """
    twilio = _twilio(settings)
    made = Channels(
        _email(settings),
        TwilioSms(twilio) if twilio else None,
        TwilioVoice(twilio) if twilio and NUMBER.fullmatch(twilio.sender) else None,
        _push(settings, loopback=loopback),
    )
    if settings.outbox_folder:
        made = made.filled(Path(settings.outbox_folder), clock_of(settings.clock))
    return made


def _email(settings: Settings) -> Channel[Email] | None:
    key, url = settings.sendgrid_key.get_secret_value(), settings.smtp_url.get_secret_value()
    if not key and not url:
        return None
    if not settings.mail_from:
        msg = "E-mail needs FHIR_MAIL_FROM, such as 'Clinic <mail@clinic.example>'."
        raise ValueError(msg)
    return SendGrid(key, sender_of(settings.mail_from)) if key else Smtp.of(url, settings.mail_from)


def _twilio(settings: Settings) -> Twilio | None:
    account, token, sender = settings.twilio_account, settings.twilio_token.get_secret_value(), settings.twilio_from
    if not account and not token:
        return None
    if not account or not token or not (NUMBER.fullmatch(sender) or sender.startswith("MG")):
        msg = "Twilio needs FHIR_TWILIO_ACCOUNT, FHIR_TWILIO_TOKEN and FHIR_TWILIO_FROM (+15550100 or MG…)."
        raise ValueError(msg)
    return Twilio(account, token, sender)


def _push(settings: Settings, *, loopback: bool) -> dict[Kind, Channel[Push]]:
    made: dict[Kind, Channel[Push]] = {}
    if settings.fcm_credentials:
        made["fcm"] = Fcm.of(settings.fcm_credentials)
    if settings.apns_key:
        made["apns"] = Apns.of(
            settings.apns_key,
            settings.apns_key_id,
            settings.apns_team,
            settings.apns_topic,
            sandbox=settings.apns_sandbox,
        )
    if settings.vapid_key:
        allowed = allowed_of(settings, loopback=loopback)
        made["web"] = WebPush.of(settings.vapid_key, settings.vapid_subject, allowed)
    return made

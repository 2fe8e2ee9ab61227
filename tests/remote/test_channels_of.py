"""Settings turn channels on; what has no credentials is off, and wrong ones are said without secrets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from fhir_server.remote import channels
from fhir_server.remote.channels import Channels, allowed_of, channels_of
from fhir_server.remote.sending import Recording
from fhir_server.settings import Settings
from tests.builders.logs import Log
from tests.remote.test_channels import account_file, ec_file

SECRETS = {
    "smtp_url": "smtp://clinic:hunter2@mail.example", "sendgrid_key": "SG.hunter2", "twilio_token": "hunter2-token",
}  # fmt: skip
TWILIO = {"twilio_account": "AC1", "twilio_token": "hunter2-token", "twilio_from": "+15550100"}


def _settings(**given: Any) -> Settings:
    return Settings.model_validate(given)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    kept = Log()
    monkeypatch.setattr(channels, "log", kept)
    return kept


def test_nothing_set_nothing_on(log: Log) -> None:
    made = channels_of(_settings())
    made.tell()
    assert (made.email, made.sms, made.voice, dict(made.push)) == (None, None, None, {})
    [line] = log.events
    assert line["off"] == ["email", "sms", "voice", "push-fcm", "push-apns", "push-web"]


async def test_what_is_set_is_on_and_no_secret_shows(tmp_path: Path, log: Log) -> None:
    account, key = str(account_file(tmp_path, "http://127.0.0.1:1")), str(ec_file(tmp_path)[0])
    settings = _settings(
        **SECRETS, mail_from="Clinic <mail@clinic.example>", twilio_account="AC1", twilio_from="+15550100",
        fcm_credentials=account, apns_key=key, apns_key_id="K", apns_team="T", apns_topic="app", vapid_key=key,
        vapid_subject="mailto:it@clinic.example",
    )  # fmt: skip
    made = channels_of(settings)
    made.tell()
    [line] = log.events
    assert line["off"] == []
    assert line["on"][0] == "email by sendgrid"
    shown = f"{settings!r} {settings} {made!r} {log.events}"
    assert "hunter2" not in shown
    assert "PRIVATE KEY" not in shown
    await made.close()
    plain = channels_of(_settings(smtp_url=SECRETS["smtp_url"], mail_from="mail@clinic.example"))
    assert plain.email is not None
    assert plain.email.name == "smtp"
    service = channels_of(_settings(**TWILIO | {"twilio_from": "MG1"}))
    assert (service.sms is None, service.voice is None) == (False, True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"smtp_url": SECRETS["smtp_url"]}, "FHIR_MAIL_FROM"),
        ({"smtp_url": "hunter2", "mail_from": "mail@clinic.example"}, "FHIR_SMTP_URL"),
        ({"sendgrid_key": "SG.hunter2", "mail_from": "clinic"}, "FHIR_MAIL_FROM"),
        (TWILIO | {"twilio_from": ""}, "FHIR_TWILIO_FROM"),
        (TWILIO | {"twilio_token": ""}, "FHIR_TWILIO_TOKEN"),
        ({"fcm_credentials": "/nowhere"}, "FHIR_FCM_CREDENTIALS"),
        ({"apns_key": "/nowhere"}, "FHIR_APNS_KEY_ID"),
        ({"apns_key": "/nowhere", "apns_key_id": "K", "apns_team": "T", "apns_topic": "a"}, "FHIR_APNS_KEY names"),
        ({"vapid_key": "/nowhere"}, "FHIR_VAPID_SUBJECT"),
        ({"vapid_key": "/nowhere", "vapid_subject": "https://x"}, "FHIR_VAPID_KEY names"),
    ],
)
def test_what_is_wrong_is_said(given: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        channels_of(_settings(**given))
    assert "hunter2" not in str(refused.value)


def test_web_push_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pywebpush", None)
    with pytest.raises(ValueError, match=r"fhir-server\[push\]"):
        channels_of(_settings(vapid_key=str(ec_file(tmp_path)[0]), vapid_subject="https://x"))


def test_the_allow_list_of_the_settings(tmp_path: Path) -> None:
    allowed = allowed_of(_settings(egress_allow="10.1.0.0/16,emr.example", egress_ca="/ca.pem"), loopback=True)
    assert (len(allowed.networks), allowed.names, allowed.loopback) == (1, {"emr.example"}, True)
    assert allowed.authorities == "/ca.pem"


async def test_twins_of_all_channels() -> None:
    made = Channels.recording()
    assert all(isinstance(one, Recording) for one in (made.email, made.sms, made.voice, *made.push.values()))
    assert set(made.push) == {"fcm", "apns", "web"}
    await made.close()

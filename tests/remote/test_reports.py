"""What providers say afterwards: proven to be theirs, and read."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fhir_server.errors import Problem
from fhir_server.remote.reports import (
    InboundText,
    Keypress,
    Report,
    sendgrid_reports,
    sendgrid_signature_ok,
    twilio_keypress,
    twilio_report,
    twilio_signature_ok,
    twilio_text,
)

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


def test_twilios_own_example_is_theirs() -> None:
    """The example of https://www.twilio.com/docs/usage/security#validating-requests."""
    url, token = "https://mycompany.com/myapp.php?foo=1&bar=2", "12345"
    params = {
        "CallSid": "CA1234567890ABCDE", "Caller": "+14158675309", "Digits": "1234", "From": "+14158675309",
        "To": "+18005551212",
    }  # fmt: skip
    good = "RSOYDt4T1cUTdK1PDd93/VVr8B8="
    assert twilio_signature_ok(token, url, params, good)
    assert twilio_signature_ok(token, url.replace(".com/", ".com:443/"), params, good)
    assert not twilio_signature_ok("", url, params, good)
    assert not twilio_signature_ok("12346", url, params, good)
    assert not twilio_signature_ok(token, url.replace("https", "http"), params, good)
    assert not twilio_signature_ok(token, url + "3", params, good)
    assert not twilio_signature_ok(token, url, {**params, "Digits": "1235"}, good)
    assert not twilio_signature_ok(token, url, params, "")
    assert not twilio_signature_ok(token, url, params, "é")


@pytest.fixture(scope="module")
def sendgrid() -> tuple[str, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    raw = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(raw).decode(), key


def test_sendgrids_events_are_theirs_and_new(sendgrid: tuple[str, ec.EllipticCurvePrivateKey]) -> None:
    public, key = sendgrid
    stamp, body = "1764172800", b'[{"event":"open"}]\r\n'
    signature = base64.b64encode(key.sign(stamp.encode() + body, ec.ECDSA(SHA256()))).decode()
    assert sendgrid_signature_ok(public, signature, stamp, body, 1_764_172_800)
    assert sendgrid_signature_ok(public, signature, stamp, body, 1_764_173_400)
    assert not sendgrid_signature_ok(public, signature, stamp, body, 1_764_173_401)
    assert not sendgrid_signature_ok(public, signature, "1764172801", body, 1_764_172_800)
    assert not sendgrid_signature_ok(public, signature, stamp, body.strip(), 1_764_172_800)
    other = ec.generate_private_key(ec.SECP256R1()).sign(stamp.encode() + body, ec.ECDSA(SHA256()))
    for given in ("", "é", "AAAA", base64.b64encode(other).decode()):
        assert not sendgrid_signature_ok(public, given, stamp, body, 1_764_172_800)
    for wrong in ("", "AAAA", "é"):
        assert not sendgrid_signature_ok(wrong, signature, stamp, body, 1_764_172_800)
    for time in ("", "x", "-1", "9" * 5000):
        assert not sendgrid_signature_ok(public, signature, time, body, 1_764_172_800)


@pytest.mark.parametrize(
    ("params", "report"),
    [
        ({"MessageSid": "SM1", "MessageStatus": "queued"}, None),
        ({"MessageSid": "SM1", "MessageStatus": "sent"}, Report("SM1", "sent", NOW)),
        ({"MessageSid": "SM1", "MessageStatus": "delivered"}, Report("SM1", "delivered", NOW)),
        ({"MessageSid": "SM1", "MessageStatus": "read"}, Report("SM1", "opened", NOW)),
        (
            {"MessageSid": "SM1", "MessageStatus": "undelivered", "ErrorCode": "30003"},
            Report("SM1", "failed", NOW, "30003", cause="unreachable"),
        ),
        (
            {"MessageSid": "SM1", "MessageStatus": "failed", "ErrorCode": "21610"},
            Report("SM1", "unsubscribed", NOW, "21610", cause="unsubscribed"),
        ),
        ({"CallSid": "CA1", "CallStatus": "ringing"}, None),
        (
            {"CallSid": "CA1", "CallStatus": "completed", "Timestamp": "Thu, 26 Nov 2026 11:00:00 +0000"},
            Report("CA1", "delivered", NOW.replace(hour=11)),
        ),
        (
            {"CallSid": "CA1", "CallStatus": "no-answer"},
            Report("CA1", "failed", NOW, "no-answer", cause="no-answer"),
        ),
        (
            {"CallSid": "CA1", "CallStatus": "busy", "Timestamp": "?"},
            Report("CA1", "failed", NOW, "busy", cause="busy"),
        ),
    ],
)
def test_what_twilio_says_of_a_message(params: dict[str, str], report: Report | None) -> None:
    assert twilio_report(params, NOW) == report


@pytest.mark.parametrize(
    ("params", "cause"),
    [
        ({"ErrorCode": "30005"}, "invalid-address"), ({"ErrorCode": "30006"}, "invalid-address"),
        ({"ErrorCode": "21211"}, "invalid-address"), ({"ErrorCode": "30007"}, "rejected"),
        ({"ErrorCode": "30008"}, "not-delivered"), ({}, "not-delivered"),
    ],
)  # fmt: skip
def test_why_a_text_did_not_arrive(params: dict[str, str], cause: str) -> None:
    found = twilio_report({"MessageSid": "SM1", "MessageStatus": "undelivered", **params}, NOW)
    assert found is not None
    assert found.cause == cause


@pytest.mark.parametrize(
    ("event", "cause"),
    [
        ({"event": "bounce", "type": "bounce", "status": "5.1.1"}, "invalid-address"),
        ({"event": "bounce", "type": "blocked", "status": "5.7.1"}, "not-delivered"),
        ({"event": "bounce", "type": "bounce", "status": "4.2.2"}, "not-delivered"),
        ({"event": "dropped", "reason": "Bounced Address"}, "invalid-address"),
        ({"event": "dropped", "reason": "Unsubscribed Address"}, "unsubscribed"),
        ({"event": "dropped", "reason": "Recipient List over Package Quota"}, "not-delivered"),
    ],
)  # fmt: skip
def test_why_an_email_did_not_arrive(event: dict[str, str], cause: str) -> None:
    (found,) = sendgrid_reports(json.dumps([_event(**event)]).encode())
    assert found.cause == cause


def test_what_a_person_answers() -> None:
    text = {"From": "+49151", "To": "+15550100", "Body": " Yes ", "MessageSid": "SM9"}
    assert twilio_text(text) == InboundText("+49151", "+15550100", " Yes ", "SM9")
    assert twilio_keypress({"CallSid": "CA9", "Digits": "1"}) == Keypress("CA9", "1")
    assert twilio_keypress({"CallSid": "CA9"}) == Keypress("CA9", "")
    for missing in ("From", "To", "MessageSid"):
        with pytest.raises(Problem, match=missing):
            twilio_text({**text, missing: ""})
    with pytest.raises(Problem):
        twilio_keypress({})
    with pytest.raises(Problem):
        twilio_report({"MessageStatus": "sent"}, NOW)


def _event(event: str, **more: Any) -> dict[str, Any]:
    return {"event": event, "sg_message_id": "abc.filter01-2", "timestamp": 1_795_694_400, "id": "r-7", **more}


def test_what_sendgrid_says_of_messages() -> None:
    events = [
        _event("processed"), _event("deferred"), _event("delivered"),
        _event("bounce", status="5.1.1", reason="550 pat@mail.example?"), _event("dropped", reason="Bounced"),
        _event("open"), _event("click", url="https://x"), _event("unsubscribe"), _event("spamreport"),
        _event("novelty"),
        _event("open", sg_message_id=None), _event("open", timestamp="soon"), _event("open", timestamp=10**30),
    ]  # fmt: skip
    found = sendgrid_reports(json.dumps(events).encode())
    assert [one.status for one in found] == [
        "sent", "delivered", "bounced", "failed", "opened", "clicked", "unsubscribed", "unsubscribed",
    ]  # fmt: skip
    assert {(one.message_id, one.id, one.at) for one in found} == {("abc", "r-7", NOW)}
    assert [one.reason for one in found[:4]] == ["", "", "5.1.1", ""]
    for broken in (b"", b"{}", b"[1]", b"[" * 100_000):
        with pytest.raises(Problem):
            sendgrid_reports(broken)

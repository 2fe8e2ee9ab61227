"""What providers report: noted once, believed when signed, and where it failed the next channel has its turn."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from fhir_server.services.reminders.communications import events
from tests.builders.clinic import part
from tests.builders.messages import Practice, rule
from tests.builders.providers_calls import sendgrid, twilio


async def _one_text(practice: Practice) -> tuple[dict[str, Any], dict[str, Any]]:
    """An appointment, and the try by which its reminder went out as a text."""
    await practice.opened(rule("reminder", 1, "d", "sms", "email"), part("notices", "Boolean", False))
    await practice.person()
    booked = await practice.booked("14:00", day=10)
    await practice.until(practice.at("14:01", 9))
    (sent,) = await practice.communications(booked["id"])
    return booked, sent


async def test_delivered_is_noted_once(practice: Practice, http: Any) -> None:
    booked, sent = await _one_text(practice)
    path = practice.sent("sms")[0].callback.removeprefix("http://fhir.test")
    assert path == f"/hooks/twilio/status?id={sent['id']}"
    form = {"MessageSid": "SM1", "MessageStatus": "delivered"}
    for _ in range(2):
        assert (await twilio(http, path, form)).status_code == 204
    (after,) = await practice.communications(booked["id"])
    assert [name for name, _ in events(after)] == ["sent", "delivered"]
    assert after["received"]
    assert int(after["meta"]["versionId"]) == int(sent["meta"]["versionId"]) + 1


async def test_by_the_providers_own_id(practice: Practice, http: Any) -> None:
    booked, sent = await _one_text(practice)
    sid = sent["identifier"][-1]["value"]
    answer = await twilio(http, "/hooks/twilio/status", {"MessageSid": sid, "MessageStatus": "delivered"})
    assert answer.status_code == 204
    (after,) = await practice.communications(booked["id"])
    assert [name for name, _ in events(after)][-1] == "delivered"


async def test_failed_goes_by_the_next_channel(practice: Practice, http: Any) -> None:
    booked, sent = await _one_text(practice)
    form = {"MessageSid": "SM1", "MessageStatus": "undelivered", "ErrorCode": "30003"}
    for _ in range(2):
        assert (await twilio(http, f"/hooks/twilio/status?id={sent['id']}", form)).status_code == 204
        await practice.drained()
    assert len(practice.sent("email")) == 1
    found = {
        one["medium"][0]["coding"][0]["code"]: one["status"] for one in await practice.communications(booked["id"])
    }
    assert found == {"sms": "not-done", "email": "completed"}
    (request,) = await practice.requests(booked["id"])
    assert request["status"] == "completed"


@pytest.mark.parametrize(
    ("code", "text", "word"),
    [
        ("30003", "unreachable", "recipient-unavailable"), ("30005", "invalid-address", "invalid-phone-number"),
        ("30008", "not-delivered", "unknown"),
    ],
)  # fmt: skip
async def test_why_it_failed_is_kept_apart(practice: Practice, http: Any, code: str, text: str, word: str) -> None:
    booked, sent = await _one_text(practice)
    form = {"MessageSid": "SM1", "MessageStatus": "undelivered", "ErrorCode": code}
    assert (await twilio(http, f"/hooks/twilio/status?id={sent['id']}", form)).status_code == 204
    (after,) = [one for one in await practice.communications(booked["id"]) if one["id"] == sent["id"]]
    assert (after["statusReason"]["text"], after["statusReason"]["coding"][0]["code"]) == (text, word)


async def test_a_failure_after_it_was_delivered_sends_nothing_again(practice: Practice, http: Any) -> None:
    booked, sent = await _one_text(practice)
    path = f"/hooks/twilio/status?id={sent['id']}"
    for state in ("delivered", "failed", "failed"):
        assert (await twilio(http, path, {"MessageSid": "SM1", "MessageStatus": state})).status_code == 204
        await practice.drained()
    assert practice.sent("email") == []
    (after,) = await practice.communications(booked["id"])
    assert (after["status"], [name for name, _ in events(after)]) == ("completed", ["sent", "delivered", "failed"])


async def test_a_bounced_mail_and_a_complaint(practice: Practice, http: Any) -> None:
    await practice.opened(rule("reminder", 1, "d", "email", "sms"), part("notices", "Boolean", False))
    await practice.person()
    booked = await practice.booked("14:00", day=10)
    await practice.until(practice.at("14:01", 9))
    (mail,) = practice.sent("email")
    event = {"event": "bounce", "sg_message_id": "x.y", "timestamp": 1, "id": mail.id, "type": "bounce"}
    assert (await sendgrid(http, [event, event])).status_code == 204
    await practice.drained()
    assert len(practice.texts()) == 1
    spam = {**event, "event": "spamreport"}
    assert (await sendgrid(http, [spam])).status_code == 204
    await practice.drained()
    found = (await practice.client.get("Consent", params={"patient": f"Patient/{practice.id('pat')}"})).json()
    (consent,) = [one["resource"] for one in found["entry"]]
    assert consent["provision"]["type"] == "deny"
    assert booked["status"] == "booked"
    await practice.booked("14:00", day=12)
    await practice.until(practice.at("14:01", 11))
    assert (len(practice.sent("email")), len(practice.texts())) == (1, 2)


async def test_a_failure_that_is_faster_than_the_answer(practice: Practice, http: Any, monkeypatch: Any) -> None:
    """The report comes while the send is still waiting for the provider's answer."""
    await practice.opened(rule("reminder", 1, "d", "sms", "email"), part("notices", "Boolean", False))
    await practice.person()
    booked = await practice.booked("14:00", day=10)
    await practice.drained()
    channel: Any = practice.channels.sms
    kept = type(channel).send

    async def send(self: Any, message: Any) -> Any:
        sent = await kept(self, message)
        if self is channel:
            form = {"MessageSid": "SM1", "MessageStatus": "failed"}
            assert (await twilio(http, message.callback.removeprefix("http://fhir.test"), form)).status_code == 204
        return sent

    monkeypatch.setattr(type(channel), "send", send)
    await practice.until(practice.at("14:01", 9))
    assert (len(practice.texts()), len(practice.sent("email"))) == (1, 1)
    (request,) = await practice.requests(booked["id"])
    assert request["status"] == "completed"


async def test_what_is_not_signed_is_refused_and_what_is_unknown_has_no_effect(practice: Practice, http: Any) -> None:
    booked, sent = await _one_text(practice)
    form = {"MessageSid": "SM1", "MessageStatus": "failed"}
    path = f"/hooks/twilio/status?id={sent['id']}"
    assert (await twilio(http, path, form, token="guessed")).status_code == 403
    plain = await http.post(path, data=form)
    assert plain.status_code == 403
    events_ = [{"event": "bounce", "sg_message_id": "x", "timestamp": 1, "id": sent["id"]}]
    assert (await sendgrid(http, events_, at=1)).status_code == 403
    assert (await sendgrid(http, events_, key=ec.generate_private_key(ec.SECP256R1()))).status_code == 403
    assert await practice.communications(booked["id"]) == [sent]
    assert (await twilio(http, "/hooks/twilio/status?id=nothing", form)).status_code == 204
    assert (await twilio(http, "/hooks/twilio/status", {**form, "MessageSid": "SM-unknown"})).status_code == 204
    assert (await sendgrid(http, [{**events_[0], "id": "nothing"}])).status_code == 204
    assert (await twilio(http, path, {"MessageStatus": "failed"})).status_code == 400
    assert (await http.get("/hooks/twilio/status")).status_code == 405
    assert await practice.communications(booked["id"]) == [sent]

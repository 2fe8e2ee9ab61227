"""Keys that are pressed in a call: understood, asked for once more, refused when the call is about an old time."""

from __future__ import annotations

import re
from typing import Any
from xml.sax.saxutils import unescape

import pytest

from tests.builders.clinic import OWN, part
from tests.builders.messages import Practice, rule
from tests.builders.providers_calls import twilio
from tests.reminders.test_told_offers import _held, _offered

VOICE = {"url": f"{OWN}communication-preference", "extension": [part("channel", "Code", "voice")]}


async def _called(practice: Practice, **person: Any) -> tuple[dict[str, Any], str]:
    """An appointment whose patient is asked by a call whether they come, and where Twilio posts the key."""
    await practice.opened(rule("confirmation-request", 3, "d", "voice"), part("notices", "Boolean", False))
    await practice.person(**person)
    booked = await practice.booked("14:00", day=10)
    await practice.until(practice.at("14:01", 7))
    return booked, _answer(practice)


def _answer(practice: Practice) -> str:
    (call,) = practice.sent("voice")
    return str(call.answer.removeprefix("http://fhir.test"))


async def _state(practice: Practice, booked: dict[str, Any]) -> tuple[str, str]:
    """Status of the appointment, and how the patient takes part."""
    found = (await practice.client.get(f"Appointment/{booked['id']}")).json()
    mine = next(one for one in found["participant"] if one["actor"]["reference"].startswith("Patient/"))
    return found["status"], mine["status"]


async def _press(http: Any, path: str, digits: str | None) -> str:
    """The TwiML after a key; None is how Twilio follows a Redirect."""
    form = {"CallSid": "CA1"} if digits is None else {"CallSid": "CA1", "Digits": digits}
    answer = await twilio(http, path, form)
    assert answer.status_code == 200, answer.text
    return str(answer.text)


def _next(twiml: str) -> str:
    """Where the next key goes, and also no key."""
    action = re.search(r'<Gather [^>]*action="([^"]+)"', twiml)
    redirect = re.search(r"</Gather><Redirect>([^<]+)</Redirect></Response>$", twiml)
    assert action, twiml
    assert redirect, twiml
    assert action[1] == redirect[1]
    return unescape(action[1]).removeprefix("http://fhir.test")


@pytest.mark.parametrize(
    ("digits", "says", "state"),
    [
        ("1", "confirmed", ("booked", "accepted")), ("2", "text message", ("booked", "needs-action")),
        ("3", "cancelled", ("cancelled", "declined")),
    ],
)  # fmt: skip
async def test_keys_of_the_telephone(
    practice: Practice, http: Any, digits: str, says: str, state: tuple[str, str]
) -> None:
    booked, path = await _called(practice)
    for _ in range(2):
        said = await _press(http, path, digits)
        assert says in said
        assert said.startswith('<Response><Say language="en-US">')
        assert said.endswith("<Hangup/></Response>")
    assert await _state(practice, booked) == state
    form = {"CallSid": "CA1", "Digits": digits}
    assert (await twilio(http, path, form, token="wrong")).status_code == 403
    gone = await twilio(http, "/hooks/twilio/voice?id=nothing", form)
    assert gone.text == "<Response><Hangup/></Response>"


@pytest.mark.parametrize("digits", ["9", "#", "", None])
async def test_what_is_no_key_is_asked_for_once_more(practice: Practice, http: Any, digits: str | None) -> None:
    booked, path = await _called(practice)
    asked = [await _press(http, path, digits) for _ in range(2)]
    assert asked[0] == asked[1], "a copy asks no third time"
    assert "press 1" in asked[0]
    assert "<Hangup/>" not in asked[0]
    second = _next(asked[0])
    ends = await _press(http, second, digits)
    assert "<Gather" not in ends
    assert ends.endswith("Goodbye.</Say><Hangup/></Response>")
    assert await _state(practice, booked) == ("booked", "needs-action")
    assert "confirmed" in await _press(http, second, "1")
    assert await _state(practice, booked) == ("booked", "accepted")


async def test_whether_it_was_asked_is_signed(practice: Practice, http: Any) -> None:
    _, path = await _called(practice)
    second = _next(await _press(http, path, "9"))
    form = {"CallSid": "CA1", "Digits": "9"}
    assert (await twilio(http, second, form, token="wrong")).status_code == 403


@pytest.mark.parametrize("digits", ["1", "2", "3", "9"])
async def test_a_call_about_an_old_time_does_nothing(practice: Practice, http: Any, digits: str) -> None:
    booked, path = await _called(practice)
    await practice.act(booked["id"], "$reschedule", start=("DateTime", practice.at("15:00", 10)))
    said = await _press(http, path, digits)
    assert "has changed since" in said
    assert said.endswith("<Hangup/></Response>")
    assert await _state(practice, booked) == ("booked", "needs-action")
    assert practice.texts() == []


async def test_of_an_offer_its_own_keys_are_asked_for(practice: Practice, http: Any) -> None:
    entry = await _offered(practice, extension=[VOICE])
    asked = await _press(http, _answer(practice), "3")
    assert "To take it, press 1. To decline, press 2." in asked
    assert "You have an appointment" in await _press(http, _next(asked), "1")
    assert (await practice.client.get(f"Appointment/{entry['id']}")).json()["status"] == "booked"


@pytest.mark.parametrize("digits", ["1", "2", "9"])
async def test_an_offer_that_is_over_is_said_to_be(practice: Practice, http: Any, digits: str) -> None:
    entry = await _offered(practice, extension=[VOICE])
    path = _answer(practice)
    await practice.until(_held(entry))
    said = await _press(http, path, digits)
    assert "that offer is over" in said
    assert said.endswith("<Hangup/></Response>")
    assert (await practice.client.get(f"Appointment/{entry['id']}")).json()["status"] == "waitlist"


@pytest.mark.parametrize(("code", "says"), [("es", "No le hemos entendido"), ("de", "nicht verstanden")])
async def test_in_the_patients_language(practice: Practice, http: Any, code: str, says: str) -> None:
    _, path = await _called(practice, communication=[{"language": {"coding": [{"code": code}]}}])
    asked = await _press(http, path, "9")
    assert says in asked
    assert says in await _press(http, _next(asked), None)

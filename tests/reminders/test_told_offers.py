"""A time that is offered from the waitlist: told by the patient's channels, taken or declined by an answer."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.builders.clinic import OWN, parameters, part
from tests.builders.messages import Practice
from tests.builders.providers_calls import twilio
from tests.reminders.test_text_answers import Phone

NO_NIGHT = {
    "url": "waitlist",
    "extension": [part("quietStart", "Time", "00:00:00"), part("quietEnd", "Time", "00:00:00")],
}


async def _joined(practice: Practice, **more: Any) -> str:
    """The id of the entry with which *pat* waits."""
    body = parameters(
        patient=("Reference", {"reference": f"Patient/{practice.id('pat')}"}),
        service=("Reference", {"reference": f"HealthcareService/{practice.id('visit')}"}),
        **more,
    )
    joined = await practice.client.post("Appointment/$join-waitlist", json=body)
    assert joined.status_code == 201, joined.text
    return str(joined.json()["id"])


async def _offered(practice: Practice, **person: Any) -> dict[str, Any]:
    """Somebody who waits, and is offered what somebody else gave up."""
    await practice.opened(part("notices", "Boolean", False), NO_NIGHT)
    await practice.person(**person)
    other = await practice.person("other", telecom=[])
    await practice.drained()  # new hours are offered, too: before anybody waits
    joined = await _joined(practice)
    booked = await practice.booked("14:00", other, day=5)
    await practice.drained()
    await practice.act(booked["id"], "$cancel")
    await practice.drained()
    found: dict[str, Any] = (await practice.client.get(f"Appointment/{joined}")).json()
    assert (found["status"], found["start"]) == ("pending", booked["start"])
    return found


def _held(entry: dict[str, Any]) -> str:
    """When an offer ends."""
    found = next(one["valueInstant"] for one in entry["extension"] if one["url"].endswith("/held-until"))
    return f"{found[:-1].split('.')[0]}+00:00"


async def _participation(practice: Practice, booked: dict[str, Any]) -> str:
    """How the patient takes part."""
    found = (await practice.client.get(f"Appointment/{booked['id']}")).json()
    return next(str(one["status"]) for one in found["participant"] if one["actor"]["reference"].startswith("Patient/"))


async def _status(practice: Practice, entry: dict[str, Any]) -> str:
    return str((await practice.client.get(f"Appointment/{entry['id']}")).json()["status"])


@pytest.fixture
def phone(practice: Practice, http: Any) -> Phone:
    return Phone(practice, http)


async def test_taken_by_text(practice: Practice, phone: Phone) -> None:
    entry = await _offered(practice)
    (text,) = practice.texts()
    assert "Reply YES to take it, NO to decline" in text
    assert "you have an appointment" in await phone.say("YES")
    assert await _status(practice, entry) == "booked"


async def test_declined_by_text(practice: Practice, phone: Phone) -> None:
    entry = await _offered(practice)
    assert "stay on the waiting list" in await phone.say("NO")
    assert await _status(practice, entry) == "waitlist"
    assert "offer is over" in await phone.say("YES")
    assert await _status(practice, entry) == "waitlist"


@pytest.mark.parametrize(
    ("act", "says", "status"), [("accept", "is booked", "booked"), ("decline", "somebody else", "waitlist")]
)
async def test_answered_by_a_link(practice: Practice, http: Any, act: str, says: str, status: str) -> None:
    entry = await _offered(practice, telecom=[{"system": "email", "value": "wait@example.org"}])
    (mail,) = practice.sent("email")
    label = "Take it" if act == "accept" else "No, thank you"
    found = re.search(rf"{label}: http://fhir\.test(/a/[\w-]{{24}})", mail.text)
    assert found, mail.text
    assert (await http.get(found[1])).status_code == 200
    assert await _status(practice, entry) == "pending"
    other = "decline" if act == "accept" else "accept"
    for form in ({"act": other}, {"act": "cancel"}, {}):
        again = await http.post(found[1], data=form)
        assert (again.status_code, "<button" in again.text) == (200, True), form
    assert await _status(practice, entry) == "pending"
    pressed = [await http.post(found[1], data={"act": act}) for _ in range(2)]
    for answer in (*pressed, await http.get(found[1])):
        assert (answer.status_code, says in answer.text) == (200, True), answer.text
    assert await _status(practice, entry) == status


async def test_a_link_that_took_an_offer_says_so_while_the_visit_stands(practice: Practice, http: Any) -> None:
    entry = await _offered(practice, telecom=[{"system": "email", "value": "wait@example.org"}])
    (mail,) = practice.sent("email")
    found = re.search(r"Take it: http://fhir\.test(/a/[\w-]{24})", mail.text)
    assert found, mail.text
    assert "is booked" in (await http.post(found[1], data={"act": "accept"})).text
    assert "is booked" in (await http.get(found[1])).text
    await practice.act(entry["id"], "$cancel")
    page = await http.get(found[1])
    assert (page.status_code, "is booked" in page.text) == (410, False)


async def test_what_is_over_cannot_be_taken(practice: Practice, http: Any, phone: Phone) -> None:
    entry = await _offered(practice)
    link = re.search(r"http://fhir\.test(/a/[\w-]{24})", practice.texts()[0])
    assert link
    await practice.until(_held(entry))
    await practice.drained()
    assert await _status(practice, entry) == "waitlist"
    assert "no longer held" in practice.texts()[-1]
    assert (await http.post(link[1], data={"act": "accept"})).status_code == 410
    assert "offer is over" in await phone.say("YES")
    assert "offer is over" in await phone.say("NO")
    assert await _status(practice, entry) == "waitlist"


@pytest.mark.parametrize(("code", "word", "says"), [("es", "SÍ", "ha terminado"), ("de", "Ja", "ist vorbei")])
async def test_what_is_over_is_said_in_their_language(
    practice: Practice, phone: Phone, code: str, word: str, says: str
) -> None:
    entry = await _offered(practice, communication=[{"language": {"coding": [{"code": code}]}}])
    await practice.until(_held(entry))
    assert says in await phone.say(word)


async def _moving_up(practice: Practice) -> tuple[dict[str, Any], dict[str, Any]]:
    """What somebody has, and their entry that is offered an earlier time; both were told by text."""
    await practice.opened(part("notices", "Boolean", True), part("reminders", "Boolean", False), NO_NIGHT)
    mobile = [{"system": "phone", "use": "mobile", "value": practice.number}]
    who = await practice.person(telecom=mobile)
    other = await practice.person("other", telecom=[])
    await practice.drained()
    kept = await practice.booked("14:00", who, day=6)
    joined = await _joined(practice, keep_appointment=("Reference", {"reference": f"Appointment/{kept['id']}"}))
    given_up = await practice.booked("14:00", other, day=3)
    await practice.drained()
    await practice.act(given_up["id"], "$cancel")
    await practice.drained()
    entry: dict[str, Any] = (await practice.client.get(f"Appointment/{joined}")).json()
    assert (entry["status"], len(practice.texts())) == ("pending", 2), practice.texts()
    return kept, entry


async def test_no_declines_the_offer_beside_an_appointment_that_is_near(practice: Practice, phone: Phone) -> None:
    kept, entry = await _moving_up(practice)
    assert "stay on the waiting list" in await phone.say("NO")
    assert await _status(practice, entry) == "waitlist"
    assert await _status(practice, kept) == "booked"
    assert "did not understand" in await phone.say("NO"), "there is no offer any more"
    assert await _status(practice, kept) == "booked"


async def test_an_offer_says_what_is_given_up_for_it(practice: Practice, phone: Phone) -> None:
    await _moving_up(practice)
    for text in (practice.texts()[-1], await phone.say("maybe")):
        assert "instead of" in text
        assert "Reply YES to take it, NO to decline" in text
    assert await phone.say("or not") == "", "asked back once"


async def test_yes_asks_which_beside_an_appointment_that_is_near(practice: Practice, phone: Phone) -> None:
    kept, entry = await _moving_up(practice)
    question = await phone.say("YES")
    assert "1: " in question
    assert "2: " in question
    assert (await _status(practice, entry), await _status(practice, kept)) == ("pending", "booked")
    assert "you have an appointment" in await phone.say("1")
    assert await _status(practice, entry) == "booked"


async def test_yes_takes_the_offer_beside_an_appointment_that_is_confirmed(practice: Practice, phone: Phone) -> None:
    kept, entry = await _moving_up(practice)
    await practice.act(kept["id"], "$confirm")
    assert "you have an appointment" in await phone.say("YES")
    assert (await _status(practice, entry), await _status(practice, kept)) == ("booked", "cancelled")


async def test_a_late_yes_does_not_confirm_what_is_near(practice: Practice, phone: Phone) -> None:
    kept, entry = await _moving_up(practice)
    await practice.until(_held(entry))
    assert await _status(practice, entry) == "waitlist"
    assert "offer is over" in await phone.say("YES")
    assert await _participation(practice, kept) == "needs-action"
    assert "thank you" in await phone.say("C"), "said once; then it is about what they have"
    assert await _participation(practice, kept) == "accepted"


async def test_no_asks_which_of_two_offers(practice: Practice, phone: Phone) -> None:
    first = await _offered(practice)
    sibling = await practice.person("ben")
    body = parameters(
        patient=("Reference", {"reference": sibling}),
        service=("Reference", {"reference": f"HealthcareService/{practice.id('visit')}"}),
    )
    joined = (await practice.client.post("Appointment/$join-waitlist", json=body)).json()
    booked = await practice.booked("14:00", f"Patient/{practice.id('other')}", day=20)
    await practice.drained()
    await practice.act(booked["id"], "$cancel")
    await practice.drained()
    assert (await _status(practice, first), await _status(practice, joined)) == ("pending", "pending")
    question = await phone.say("NO")
    assert re.search("1: .*Pat.*2: .*Ben", question, re.DOTALL), question
    assert "stay on the waiting list" in await phone.say("2")
    assert (await _status(practice, first), await _status(practice, joined)) == ("pending", "waitlist")


@pytest.mark.parametrize(
    ("digits", "says", "status"), [("1", "You have an appointment", "booked"), ("2", "waiting list", "waitlist")]
)
async def test_answered_by_a_key(practice: Practice, http: Any, digits: str, says: str, status: str) -> None:
    voice = {"url": f"{OWN}communication-preference", "extension": [part("channel", "Code", "voice")]}
    entry = await _offered(practice, extension=[voice])
    (call,) = practice.sent("voice")
    path = call.answer.removeprefix("http://fhir.test")
    answer = await twilio(http, path, {"CallSid": "CA1", "Digits": digits})
    assert says in answer.text
    assert await _status(practice, entry) == status


async def test_an_offer_that_reaches_nobody_is_noted(practice: Practice) -> None:
    entry = await _offered(practice, telecom=[])
    (request,) = await practice.requests(entry["id"])
    assert (request["status"], request["statusReason"]["text"]) == ("revoked", "no channel reaches the patient")

"""Answers by text message, in three languages."""

from __future__ import annotations

import re
import secrets
from typing import Any

import pytest

from tests.builders.clinic import duration, part
from tests.builders.messages import Practice, rule
from tests.builders.providers_calls import twilio

ASK = rule("confirmation-request", 3, "d", "sms")


class Phone:
    """A telephone that writes to the clinic."""

    def __init__(self, practice: Practice, http: Any) -> None:
        self.practice, self.http = practice, http

    async def say(self, text: str, sid: str = "") -> str:
        """What comes back; empty for nothing."""
        form = {
            "From": self.practice.number,
            "To": "+15550001111",
            "Body": text,
            "MessageSid": sid or secrets.token_hex(8),
        }
        answer = await twilio(self.http, "/hooks/twilio/sms", form)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("text/xml")
        found = re.fullmatch(r"<Response>(?:<Message>(.*)</Message>)?</Response>", answer.text, re.DOTALL)
        assert found, answer.text
        return found[1] or ""


@pytest.fixture
def phone(practice: Practice, http: Any) -> Phone:
    return Phone(practice, http)


async def _asked(practice: Practice, *policy: dict[str, Any], **person: Any) -> dict[str, Any]:
    """An appointment whose patient was asked by text whether they come."""
    await practice.opened(ASK, part("notices", "Boolean", False), *policy)
    await practice.person(**person)
    booked = await practice.booked("14:00", day=10)
    await practice.until(practice.at("14:01", 7))
    assert len(practice.texts()) == 1
    return booked


async def _now(practice: Practice, booked: dict[str, Any]) -> tuple[str, str]:
    """Status of the appointment, and how the patient takes part."""
    found = (await practice.client.get(f"Appointment/{booked['id']}")).json()
    mine = next(one for one in found["participant"] if one["actor"]["reference"].startswith("Patient/"))
    return found["status"], mine["status"]


@pytest.mark.parametrize(
    ("language", "word", "thanks"),
    [("en", "C", "thank you"), ("en", "yes", "thank you"), ("es", "Sí", "gracias"), ("de", "Ja", "danke")],
)
async def test_confirm(practice: Practice, phone: Phone, language: str, word: str, thanks: str) -> None:
    spoken = [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": language}]}}]
    booked = await _asked(practice, communication=spoken)
    assert thanks in (await phone.say(word)).lower()
    assert await _now(practice, booked) == ("booked", "accepted")
    record = (await practice.client.get(f"Appointment/{booked['id']}/_history")).json()
    assert len(record["entry"]) == 2


async def test_twice_is_once(practice: Practice, phone: Phone) -> None:
    booked = await _asked(practice)
    first = await phone.say("C", "SM-one")
    version = (await practice.client.get(f"Appointment/{booked['id']}")).json()["meta"]["versionId"]
    assert await phone.say("C", "SM-one") == first
    assert "thank you" in await phone.say("C")
    assert (await practice.client.get(f"Appointment/{booked['id']}")).json()["meta"]["versionId"] == version


@pytest.mark.parametrize(("language", "word"), [("en", "CANCEL"), ("es", "cancelar"), ("de", "Absagen")])
async def test_cancel(practice: Practice, phone: Phone, language: str, word: str) -> None:
    spoken = [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": language}]}}]
    booked = await _asked(practice, communication=spoken)
    assert await phone.say(word)
    assert await _now(practice, booked) == ("cancelled", "declined")
    found = (await practice.client.get(f"Appointment/{booked['id']}")).json()
    assert found["cancelationReason"]["coding"][0]["code"] == "patient-request"
    assert (await practice.client.get(booked["slot"][0]["reference"])).json()["status"] == "free"


async def test_the_cut_off_is_obeyed_and_said(practice: Practice, phone: Phone) -> None:
    booked = await _asked(practice, part("cancelCutoff", "Duration", duration(5 * 1440)))
    assert "too late" in await phone.say("CANCEL")
    assert await _now(practice, booked) == ("booked", "needs-action")


async def test_another_time_by_a_link(practice: Practice, phone: Phone, http: Any) -> None:
    booked = await _asked(practice)
    said = await phone.say("R")
    link = re.search(r"http://fhir\.test/a/[\w-]{24}", said)
    assert link, said
    page = await http.get(link[0])
    assert page.status_code == 200
    assert "Choose another time" in page.text
    assert await _now(practice, booked) == ("booked", "needs-action")


async def test_stop_and_start(practice: Practice, phone: Phone) -> None:
    booked = await _asked(practice, rule("reminder", 1, "d", "sms", "email"))
    assert "START" in await phone.say("STOP")
    await practice.drained()
    assert [one[2] for one in await practice.planned(booked["id"])] == [("email",)]
    query = {"patient": f"Patient/{practice.id('pat')}", "status": "active"}
    (entry,) = (await practice.client.get("Consent", params=query)).json()["entry"]
    assert entry["resource"]["provision"]["type"] == "deny"
    assert "STOP" in await phone.say("start")
    await practice.drained()
    assert [one[2] for one in await practice.planned(booked["id"])] == [("sms", "email")]
    (entry,) = (await practice.client.get("Consent", params=query)).json()["entry"]
    assert entry["resource"]["provision"]["type"] == "permit"


async def test_after_stop_nothing_is_texted(practice: Practice, phone: Phone) -> None:
    booked = await _asked(practice)
    assert "START" in await phone.say("STOP", "SM-stop")
    assert "START" in await phone.say("STOP", "SM-stop"), "the same message again"
    assert await phone.say("C") == ""
    assert await _now(practice, booked) == ("booked", "accepted"), "it is done all the same"
    for word in ("STOP", "hello?", "R", "NO", "CANCEL"):
        assert await phone.say(word) == "", word
    assert await _now(practice, booked) == ("cancelled", "declined")
    assert "STOP" in await phone.say("HELP")
    assert "STOP" in await phone.say("START")
    assert "no appointment" in await phone.say("C")


async def test_a_keyword_is_answered_in_its_own_language(practice: Practice, phone: Phone) -> None:
    await _asked(practice, communication=[{"language": {"coding": [{"code": "es"}]}}])
    await practice.person("other", communication=[{"language": {"coding": [{"code": "de"}]}}])
    for word, says in (
        ("ABMELDEN", "Sie erhalten"), ("ANMELDEN", "Sie erhalten"), ("HILFE", "Antworten Sie"), ("BAJA", "recibir"),
        ("ALTA", "recibir"), ("AYUDA", "responda"),
    ):  # fmt: skip
        said = await phone.say(word)
        assert says in said, (word, said)


async def test_what_is_not_understood_is_asked_back_once(practice: Practice, phone: Phone) -> None:
    booked = await _asked(practice)
    assert "Reply C to confirm" in await phone.say("do I have to bring my card?")
    assert await phone.say("hello?") == ""
    assert await phone.say("yes cancel") == ""
    assert await _now(practice, booked) == ("booked", "needs-action")
    assert "thank you" in await phone.say("C")


async def test_two_appointments_near_in_time(practice: Practice, phone: Phone) -> None:
    await practice.opened(ASK, part("notices", "Boolean", False))
    await practice.person()
    first, second = await practice.booked("14:00", day=10), await practice.booked("15:00", day=11)
    await practice.until(practice.at("15:01", 8))
    question = await phone.say("cancel")
    assert "1: " in question
    assert "2: " in question
    assert "Pat" not in question, "one person: nobody has to be named"
    assert await phone.say("7") == question, "asked again: there is no seventh"
    assert "cancelled" in await phone.say("2")
    assert (await _now(practice, first))[0] == "booked"
    assert (await _now(practice, second))[0] == "cancelled"
    assert "thank you" in await phone.say("C"), "one is left"
    assert (await _now(practice, first))[1] == "accepted"


async def test_a_parent_with_two_children_at_one_number(practice: Practice, phone: Phone) -> None:
    await practice.opened(ASK, part("notices", "Boolean", False))
    children = [await practice.person("Ada"), await practice.person("Ben")]
    visits = [
        await practice.booked(clock, child, day=10) for clock, child in zip(("14:00", "14:30"), children, strict=True)
    ]
    await practice.until(practice.at("14:31", 7))
    question = await phone.say("yes")
    assert "Ada" in question
    assert "Ben" in question
    assert "thank you" in await phone.say("2")
    assert [(await _now(practice, one))[1] for one in visits] == ["needs-action", "accepted"]
    assert "thank you" in await phone.say("C 1")
    assert [(await _now(practice, one))[1] for one in visits] == ["accepted", "accepted"]


async def test_appointments_far_apart_are_not_taken_for_each_other(practice: Practice, phone: Phone) -> None:
    await practice.opened(ASK, part("notices", "Boolean", True))
    await practice.person(telecom=[{"system": "phone", "use": "mobile", "value": practice.number}])
    near, far = await practice.booked("14:00", day=10), await practice.booked("14:00", day=40)
    await practice.until(practice.at("14:01", 7))
    assert "thank you" in await phone.say("C")
    assert (await _now(practice, near))[1] == "accepted"
    assert (await _now(practice, far))[1] == "needs-action"


async def test_a_number_that_we_never_wrote_to(practice: Practice, phone: Phone) -> None:
    """It is found by what the patient's record says, as machines write it."""
    await practice.opened(part("reminders", "Boolean", False), part("notices", "Boolean", False))
    await practice.person()
    booked = await practice.booked("14:00", day=10)
    assert "thank you" in await phone.say("confirm")
    assert (await _now(practice, booked))[1] == "accepted"
    practice.number = "+15550000001"
    assert await phone.say("C") == ""
    assert await phone.say("STOP") == ""


async def test_after_the_appointment_there_is_nothing_to_answer(practice: Practice, phone: Phone) -> None:
    booked = await _asked(practice)
    await practice.act(booked["id"], "$cancel")
    assert "no appointment" in await phone.say("C")


async def test_who_did_what_is_in_the_record(practice: Practice, phone: Phone) -> None:
    booked = await _asked(practice)
    await phone.say("C")
    last = (await practice.world.store.resources.get("Appointment", booked["id"])) or pytest.fail("gone")
    by = last.extra["by"]
    assert (by["client"], by["role"], by["fhir_user"]) == ("text-message", "patient", f"Patient/{practice.id('pat')}")

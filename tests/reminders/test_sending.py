"""Sending: once, by the first channel that works, in the patient's words; nothing is lost between send and record."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.remote.sending import NotSent
from fhir_server.services.following.performing import perform
from fhir_server.services.reminders import send
from fhir_server.services.world import World
from tests.builders.clinic import OWN, part
from tests.builders.messages import Practice, confirmation, rule


def _ics(email: Any) -> dict[str, str]:
    lines = email.calendar.decode().replace("\r\n ", "").split("\r\n")
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith(("BEGIN", "END")))


async def test_a_week_of_reminders(practice: Practice) -> None:
    await practice.opened()
    await practice.person()
    booked = await practice.booked("14:00", day=10)
    await practice.until(practice.at("15:00", 10))
    assert len(practice.subjects("pat")) == 3  # booked, 7 days, 2 days
    assert len(practice.texts()) == 3  # will you come, 1 day, 2 hours
    assert "Reply C to confirm" in practice.texts()[0]
    found = await practice.communications(booked["id"])
    assert [one["status"] for one in found] == ["completed"] * 6
    assert {one["status"] for one in await practice.requests(booked["id"])} == {"completed"}
    for one in found:
        assert one["identifier"][-1]["value"].startswith(("twilio-", "sendgrid-"))
        assert "http" not in one["payload"][0]["contentString"], "links are keys; they are not kept"
        assert "Sample" not in one["payload"][0]["contentString"]


async def test_the_booking_comes_as_an_invitation_that_moves_and_ends(practice: Practice) -> None:
    await practice.opened()
    await practice.person()
    booked = await practice.booked("14:00", day=10)
    await practice.drained()
    await practice.act(booked["id"], "$reschedule", start=("DateTime", practice.at("15:00", 11)))
    await practice.drained()
    await practice.act(booked["id"], "$cancel")
    await practice.drained()
    first, moved, ended = practice.sent("email")
    said = [_ics(one) for one in (first, moved, ended)]
    assert [one.method for one in (first, moved, ended)] == ["REQUEST", "REQUEST", "CANCEL"]
    assert [one["SEQUENCE"] for one in said] == ["0", "1", "2"]
    assert {one["UID"] for one in said} == {f"{booked['id']}@fhir.test"}
    start = practice.at("14:00", 10)[:19].replace("-", "").replace(":", "")
    assert said[0]["DTSTART;TZID=America/New_York"] == start
    assert said[1]["DTSTART;TZID=America/New_York"] == practice.at("15:00", 11)[:19].replace("-", "").replace(":", "")
    assert "calendar.google.com" in first.text
    assert "calendar.google.com" not in ended.text
    assert "/a/" not in ended.text.split("No more e-mail")[0]


@pytest.mark.parametrize(
    ("code", "words"),
    [("es", "Su cita"), ("de-CH", "Ihr Termin"), ("fr", "Your appointment"), ("", "Your appointment")],
)
async def test_in_the_patients_language(practice: Practice, code: str, words: str) -> None:
    await practice.opened()
    spoken = [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": code}]}, "preferred": True}]
    await practice.person(**({"communication": spoken} if code else {}))
    await practice.booked(day=10)
    await practice.drained()
    assert practice.sent("email")[0].subject.startswith(words)


async def test_in_the_clinics_words_and_with_as_little_as_can_be(practice: Practice) -> None:
    template = {
        "url": f"{OWN}message-template",
        "extension": [part("message", "Code", "booked"), part("language", "Code", "en"),
                      part("part", "Code", "subject"), part("text", "String", "See you {{ day }}{{ practitioner }}")],
    }  # fmt: skip
    await practice.opened(extension=[template])
    await practice.person()
    await practice.booked(day=10)
    await practice.drained()
    (email,) = practice.sent("email")
    assert email.subject.startswith("See you")
    assert "Doc" not in email.subject + email.text
    assert "Main Street Practice" in email.text
    await practice.opened(part("messageDetail", "Boolean", True), extension=[template])
    await practice.booked(day=11)
    await practice.drained()
    assert "Dr. Doc" in practice.sent("email")[1].subject


async def test_a_channel_that_fails_gives_way_to_the_next(practice: Practice) -> None:
    await practice.opened(rule("reminder", 1, "d", "sms", "email"), part("notices", "Boolean", False))
    await practice.person()
    booked = await practice.booked("14:00", day=10)
    practice.channels.sms.faults.append(NotSent("invalid-address", permanent=True))
    await practice.until(practice.at("15:00", 10))
    assert (practice.texts(), len(practice.sent("email"))) == ([], 1)
    found = {one["medium"][0]["coding"][0]["code"]: one for one in await practice.communications(booked["id"])}
    assert {name: one["status"] for name, one in found.items()} == {"sms": "not-done", "email": "completed"}
    assert found["sms"]["statusReason"]["coding"][0]["code"] == "invalid-phone-number"


async def test_a_channel_that_is_away_is_tried_again_before_the_next(practice: Practice) -> None:
    await practice.opened(rule("reminder", 1, "d", "sms", "email"), part("notices", "Boolean", False))
    await practice.person()
    await practice.booked("14:00", day=10)
    away = [NotSent("unavailable", permanent=False)] * 2
    practice.channels.sms.faults.extend(away)
    await practice.until(practice.at("15:00", 10))
    assert (len(practice.texts()), practice.sent("email")) == (1, [])
    await practice.booked("14:00", day=12)
    practice.channels.sms.faults.extend(away * 2)
    await practice.until(practice.at("15:00", 12))
    assert (len(practice.texts()), len(practice.sent("email"))) == (1, 1)


async def test_where_no_channel_is_left_it_is_said(practice: Practice) -> None:
    await practice.opened(rule("reminder", 1, "d", "sms"), part("notices", "Boolean", False))
    await practice.person()
    booked = await practice.booked("14:00", day=10)
    practice.channels.sms.faults.append(NotSent("rejected", permanent=True))
    await practice.until(practice.at("15:00", 10))
    (request,) = await practice.requests(booked["id"])
    assert (request["status"], request["statusReason"]["text"]) == ("revoked", "no channel took it")


async def test_declined_after_planning_is_not_sent(practice: Practice) -> None:
    """The record is read once more when the time comes: no relay needs to have run in between."""
    await practice.opened(rule("reminder", 1, "d", "sms", "email"), part("notices", "Boolean", False))
    await practice.person()
    booked = await practice.booked("14:00", day=10)
    await practice.drained()
    (request,) = await practice.requests(booked["id"], "active")
    await practice.client.put(f"Patient/{practice.id('pat')}", json={
        "resourceType": "Patient", "id": practice.id("pat"), "name": [{"family": "Sample"}],
        "telecom": [{"system": "email", "value": "new@example.org"}],
    })  # fmt: skip
    practice.go(practice.at("14:00", 9))
    assert await perform(practice.world, "reminder", request["id"]) == "done"
    assert ([one.to for one in practice.sent("email")], practice.texts()) == (["new@example.org"], [])


async def test_moved_after_planning_is_not_sent(practice: Practice) -> None:
    await practice.opened(rule("reminder", 1, "d", "sms"), part("notices", "Boolean", False))
    await practice.person()
    booked = await practice.booked("14:00", day=10)
    await practice.drained()
    (request,) = await practice.requests(booked["id"], "active")
    await practice.act(booked["id"], "$reschedule", start=("DateTime", practice.at("16:00", 10)))
    practice.go(practice.at("14:00", 9))
    assert await perform(practice.world, "reminder", request["id"]) == "done"
    assert practice.texts() == []


class Crash(BaseException):
    """What ends a process."""


@pytest.mark.parametrize("seam", ["before the send", "after the send"])
async def test_a_crash_around_the_send(practice: Practice, monkeypatch: pytest.MonkeyPatch, seam: str) -> None:
    """At least once outside, under one id; exactly once in what we hold."""
    await practice.opened(rule("reminder", 1, "d", "sms", "email"), part("notices", "Boolean", False))
    await practice.person()
    booked = await practice.booked("14:00", day=10)
    await practice.drained()
    (request,) = await practice.requests(booked["id"], "active")
    practice.go(practice.at("14:00", 9))
    name = "_intend" if seam == "before the send" else "_done"
    kept = getattr(send, name)

    async def crashes(*arguments: Any) -> Any:
        if seam == "before the send":
            await kept(*arguments)
        raise Crash

    monkeypatch.setattr(send, name, crashes)
    with pytest.raises(Crash):
        await perform(practice.world, "reminder", request["id"])
    (tried,) = await practice.communications(booked["id"])
    assert tried["status"] == "preparation"
    monkeypatch.setattr(send, name, kept)
    await _lease_ends(practice.world, request["id"])
    assert await perform(practice.world, "reminder", request["id"]) == "done"
    given = practice.sent("sms")
    assert len(given) == (1 if seam == "before the send" else 2)
    assert len({one.id for one in given}) == 1
    assert len({one.body for one in given}) == 1
    (sent,) = await practice.communications(booked["id"])
    assert (sent["status"], sent["id"]) == ("completed", given[0].id)
    assert practice.sent("email") == []


async def _lease_ends(world: World, key: str) -> None:
    """The worker died: its lease is over."""
    await world.store.connection.collection("work").update_one(
        {"_id": f"reminder/{key}"}, [{"$set": {"lease": {"$subtract": ["$$NOW", 1000]}}}]
    )


async def test_a_worker_that_slept_sends_only_the_last_that_is_due(practice: Practice) -> None:
    await practice.opened(
        rule("reminder", 2, "d", "email"), rule("reminder", 1, "d", "sms"), part("notices", "Boolean", False)
    )
    await practice.person()
    booked = await practice.booked("14:00", day=10)
    await practice.drained()
    practice.go(practice.at("16:00", 9))
    await practice.drained()
    assert (len(practice.texts()), practice.sent("email")) == (1, [])
    assert sorted(one["status"] for one in await practice.requests(booked["id"])) == ["completed", "revoked"]


async def test_a_worker_that_wakes_at_night_waits_for_the_morning(practice: Practice) -> None:
    await practice.opened(rule("reminder", 1, "d", "sms"), part("notices", "Boolean", False))
    await practice.person()
    await practice.booked("14:00", day=10)
    await practice.drained()
    practice.go(practice.at("23:00", 9))
    await practice.drained()
    assert practice.texts() == []
    await practice.until(practice.at("08:01", 10))
    assert len(practice.texts()) == 1


async def test_unconfirmed_is_asked_again_then_released_and_told(practice: Practice) -> None:
    await practice.opened(
        rule("confirmation-request", 3, "d", "sms"), confirmation(follow_up=1440, cutoff=1440, release=True)
    )
    await practice.person()
    booked = await practice.booked("14:00", day=10)
    confirmed = await practice.booked("15:00", day=10)
    await practice.put(
        {**confirmed, "participant": [{**one, "status": "accepted"} for one in confirmed["participant"]]}
    )
    await practice.until(practice.at("13:00", 9))
    assert [one.startswith(f"Clinic {practice.name}: will you come") for one in practice.texts()] == [True, True]
    await practice.until(practice.at("15:00", 9))
    after = (await practice.client.get(f"Appointment/{booked['id']}")).json()
    assert after["status"] == "cancelled"
    assert after["cancelationReason"]["coding"][0]["code"] == "not-confirmed"
    assert "not-confirmed" not in str((await practice.client.get(f"Appointment/{confirmed['id']}")).json())
    last = practice.sent("email")[-1]
    assert last.method == "CANCEL"
    assert practice.subjects()[-1] != practice.subjects()[0]
    slot = (await practice.client.get(booked["slot"][0]["reference"])).json()
    assert slot["status"] == "free"


async def test_the_question_names_the_moment_of_the_release(practice: Practice) -> None:
    """An hour after the question, where the cut-off would come sooner."""
    await practice.opened(rule("confirmation-request", 3, "h", "sms"), confirmation(cutoff=170, release=True))
    await practice.person()
    booked = await practice.booked("14:00", day=10)
    await practice.until(practice.at("11:01", 10))
    (asked,) = practice.texts()
    assert "12:00" in asked
    await practice.until(practice.at("11:59", 10))
    assert (await practice.client.get(f"Appointment/{booked['id']}")).json()["status"] == "booked"
    await practice.until(practice.at("12:01", 10))
    assert (await practice.client.get(f"Appointment/{booked['id']}")).json()["status"] == "cancelled"


async def test_who_confirmed_the_old_time_is_asked_about_the_new(practice: Practice) -> None:
    await practice.opened(rule("confirmation-request", 3, "d", "sms"), confirmation(cutoff=1440, release=True))
    who = {"reference": await practice.person()}
    booked = await practice.booked("14:00", day=10)
    await practice.act(booked["id"], "$confirm")
    await practice.act(booked["id"], "$reschedule", start=("DateTime", practice.at("15:00", 12)))
    moved = (await practice.client.get(f"Appointment/{booked['id']}")).json()
    assert [one["status"] for one in moved["participant"] if one["actor"] == who] == ["needs-action"]
    assert [one["status"] for one in moved["participant"] if "Practitioner/" in str(one)] == ["accepted"]
    await practice.until(practice.at("15:30", 9))
    assert "will you come" in practice.texts()[-1]
    await practice.until(practice.at("15:30", 11))
    assert (await practice.client.get(f"Appointment/{booked['id']}")).json()["status"] == "cancelled"


async def test_nobody_who_was_not_asked_is_released(practice: Practice) -> None:
    await practice.opened(rule("confirmation-request", 3, "d", "sms"), confirmation(cutoff=1440, release=True))
    await practice.person()
    booked = await practice.booked("14:00", day=10)
    practice.channels.sms.faults.append(NotSent("rejected", permanent=True))
    await practice.until(practice.at("13:59", 10))
    assert (await practice.client.get(f"Appointment/{booked['id']}")).json()["status"] == "booked"


async def test_what_an_interface_books_is_told_by_others(practice: Practice) -> None:
    await practice.opened(rule("reminder", 1, "d", "sms"))
    await practice.person()
    start, end = practice.at("14:00", 10), practice.at("14:30", 10)
    doc = {"reference": f"Practitioner/{practice.id('doc')}"}
    await practice.put({
        "resourceType": "Appointment", "id": practice.id("emr"), "status": "booked", "start": start, "end": end,
        "participant": [{"actor": {"reference": f"Patient/{practice.id('pat')}"}, "status": "needs-action"},
                        {"actor": doc, "status": "accepted"}],
    })  # fmt: skip
    await practice.drained()
    assert practice.sent("email") == []
    assert len(await practice.planned(practice.id("emr"))) == 1

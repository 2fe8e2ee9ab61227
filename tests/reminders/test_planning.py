"""What is planned for an appointment, moved with it and withdrawn with it; nothing goes out for what is over."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from fhir_server.services.reminders.visits import visit_of
from tests.builders.clinic import OWN, TIMEZONE, part
from tests.builders.messages import Practice, rule


def _day(practice: Practice, day: int) -> str:
    return practice.at("00:00", day)[8:10]


async def test_booked_by_default(practice: Practice) -> None:
    await practice.opened()
    await practice.person()
    booked = await practice.booked("14:00", day=10)
    await practice.drained()
    days = [_day(practice, 10 - before) for before in (7, 3, 2, 1, 0)]
    assert await practice.planned(booked["id"]) == [
        ("reminder", f"{days[0]} 14:00", ("email",)),
        ("confirmation-request", f"{days[1]} 14:00", ("sms", "email")),
        ("reminder", f"{days[2]} 14:00", ("email", "sms")),
        ("reminder", f"{days[3]} 14:00", ("sms", "email")),
        ("reminder", f"{days[4]} 12:00", ("sms", "email")),
    ]
    found = await practice.requests(booked["id"], "active")
    assert {one["sender"]["reference"] for one in found} == {f"Organization/{practice.id('org')}"}
    assert {one["about"][0]["reference"] for one in found} == {f"Appointment/{booked['id']}"}
    assert {one["recipient"][0]["reference"] for one in found} == {f"Patient/{practice.id('pat')}"}
    assert all("payload" not in one for one in found)


async def test_a_restricted_appointment_is_spoken_of_as_restricted(practice: Practice) -> None:
    await practice.opened(rule("reminder", 1, "d", "sms"))
    await practice.person()
    booked = await practice.booked(day=10)
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
    answer = await practice.client.put(
        f"Appointment/{booked['id']}", json={**booked, "meta": {"security": [label]}, "comment": "restricted"}
    )
    assert answer.status_code == 200, answer.text
    await practice.drained()
    (planned,) = await practice.requests(booked["id"], "active")
    assert planned["meta"]["security"] == [label]
    practice.go(practice.at("14:00", 9))
    await practice.drained()
    based = [{"reference": f"CommunicationRequest/{planned['id']}"}]
    (sent,) = [one for one in await practice.communications(booked["id"]) if one["basedOn"] == based]
    assert sent["status"] == "completed"
    assert sent["meta"]["security"] == [label]


async def test_labels_follow_the_appointment_and_nothing_else_of_meta_is_touched(practice: Practice) -> None:
    await practice.opened(rule("reminder", 1, "d", "sms"))
    await practice.person()
    booked = await practice.booked(day=10)
    await practice.drained()
    (planned,) = [one for one in await practice.requests(booked["id"], "active") if "security" not in one["meta"]]
    tag = {"system": "urn:clinic", "code": "seen"}
    await practice.put({**planned, "meta": {"tag": [tag]}})
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
    for labels in ([label], []):
        meta = {**booked["meta"], **({"security": labels} if labels else {})}
        await practice.put({**booked, "meta": meta, "comment": f"{len(labels)} labels"})
        await practice.drained()
        (planned,) = await practice.requests(booked["id"], "active")
        assert (planned["meta"].get("security", []), planned["meta"]["tag"]) == (labels, [tag])


async def test_what_was_booked_elsewhere_and_loaded_is_reminded_of_but_is_no_news(practice: Practice) -> None:
    await practice.opened(rule("reminder", 1, "d", "sms"))
    await practice.person()
    booked = await practice.booked(day=10)
    await practice.drained()
    assert practice.channels.email.given or practice.channels.sms.given  # booked here, and told
    loaded = {name: value for name, value in booked.items() if name not in {"id", "meta", "slot", "identifier"}}
    id_ = practice.id("loaded")
    shifted = {"id": id_, "start": practice.at("16:00", 11), "end": practice.at("16:30", 11)}
    sent = (len(practice.channels.email.given), len(practice.channels.sms.given))
    answer = await practice.client.put(f"Appointment/{id_}", json={**loaded, **shifted})
    assert answer.status_code == 201, answer.text
    await practice.drained()
    assert sent == (len(practice.channels.email.given), len(practice.channels.sms.given))
    assert [kind for kind, _, _ in await practice.planned(id_)] == ["reminder"]


async def test_telling_twice_plans_once(practice: Practice) -> None:
    await practice.opened()
    await practice.person()
    booked = await practice.booked(day=10)
    await practice.drained()
    before = await practice.requests(booked["id"])
    answer = await practice.client.patch(
        f"Appointment/{booked['id']}", json=[{"op": "add", "path": "/comment", "value": "brings a friend"}],
        headers={"Content-Type": "application/json-patch+json"},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    await practice.drained()
    assert await practice.requests(booked["id"]) == before


async def test_moved_with_the_appointment(practice: Practice) -> None:
    await practice.opened(rule("reminder", 1, "d", "sms"), rule("reminder", 3, "h", "email"))
    await practice.person()
    booked = await practice.booked("14:00", day=8)
    await practice.drained()
    first = await practice.requests(booked["id"], "active")
    await practice.act(booked["id"], "$reschedule", start=("DateTime", practice.at("15:30", 9)))
    await practice.drained()
    assert await practice.planned(booked["id"]) == [
        ("reminder", f"{_day(practice, 8)} 15:30", ("sms",)), ("reminder", f"{_day(practice, 9)} 12:30", ("email",)),
    ]  # fmt: skip
    names = {one["identifier"][0]["value"] for one in first}
    active = await practice.requests(booked["id"], "active")
    revoked = await practice.requests(booked["id"], "revoked")
    assert names == {one["identifier"][0]["value"] for one in active}, "the name stays"
    assert {one["id"] for one in first} == {one["id"] for one in revoked}
    assert all(one["statusReason"]["text"] for one in revoked)
    # And back again: the same messages as at first.
    await practice.act(booked["id"], "$reschedule", start=("DateTime", practice.at("14:00", 8)))
    await practice.drained()
    again = await practice.requests(booked["id"], "active")
    assert [one["id"] for one in again] == [one["id"] for one in first]
    assert [one["occurrenceDateTime"] for one in again] == [one["occurrenceDateTime"] for one in first]


@pytest.mark.parametrize("end", ["$cancel", "noshow", "entered-in-error", "fulfilled", "delete"])
async def test_withdrawn_with_the_appointment(practice: Practice, end: str) -> None:
    await practice.opened()
    await practice.person()
    booked = await practice.booked(day=10)
    await practice.drained()
    assert await practice.planned(booked["id"])
    if end == "$cancel":
        await practice.act(booked["id"], "$cancel")
    elif end == "delete":
        assert (await practice.client.delete(f"Appointment/{booked['id']}")).status_code == 204
    else:
        current = (await practice.client.get(f"Appointment/{booked['id']}")).json()
        if end != "entered-in-error":
            practice.go(practice.at("14:20", 10))
        await practice.put({**current, "status": end})
    await practice.drained()
    assert await practice.planned(booked["id"]) == []
    sent = len(practice.texts())
    await practice.until(practice.at("23:00", 11))
    assert len(practice.texts()) == sent


async def test_nothing_is_planned_for_a_time_already_past(practice: Practice) -> None:
    await practice.opened()
    await practice.person()
    practice.go(practice.at("12:00", 0))
    booked = await practice.booked("14:00", day=1)
    await practice.drained()
    assert await practice.planned(booked["id"]) == [
        ("reminder", f"{_day(practice, 0)} 14:00", ("sms", "email")),
        ("reminder", f"{_day(practice, 1)} 12:00", ("sms", "email")),
    ]


async def test_quiet_hours_are_those_of_the_patient(practice: Practice) -> None:
    """A visit at nine in New York is at six in Los Angeles: two hours before is night, so it is told in the evening."""
    await practice.opened(rule("reminder", 2, "h", "sms"))
    await practice.person("east")
    zone = {"url": "http://hl7.org/fhir/StructureDefinition/timezone", "valueCode": "America/Los_Angeles"}
    await practice.person("west", address=[{"city": "Los Angeles", "extension": [zone]}])
    for name, clock in (("east", "23 20:59"), ("west", "23 23:59")):
        booked = await practice.booked("09:00" if name == "east" else "09:30", f"Patient/{practice.id(name)}", day=10)
        await practice.drained()
        told = (await practice.planned(booked["id"]))[0][1]
        assert told == f"{_day(practice, 9)} {clock[3:]}"


async def test_clocks_that_change_between(practice: Practice) -> None:
    """A day before is the same time of day, a night of 25 hours away."""
    await practice.opened(rule("reminder", 1, "d", "sms"))
    await practice.person()
    await practice.drained()
    year = practice.first.year + 1
    november = next(
        day
        for day in range(1, 8)
        if datetime(year, 11, day).weekday() == 6  # noqa: DTZ001  a date alone
    )
    practice.go(f"{year}-10-20T12:00:00-04:00")
    start = f"{year}-11-{november:02d}T10:00:00-05:00"
    found = await practice.find(
        start=start, end=start[:11] + "11:00:00-05:00", schedule=f"Schedule/{practice.id('cal')}"
    )
    (first, *_) = [one["resource"] for one in found["entry"]]
    booked = (await practice.book(first["id"], f"Patient/{practice.id('pat')}")).json()
    await practice.drained()
    (request,) = await practice.requests(booked["id"], "active")
    assert datetime.fromisoformat(request["occurrenceDateTime"]) == datetime.fromisoformat(start) - timedelta(hours=25)


async def test_what_the_patient_wants_counts_and_changes_replan(practice: Practice) -> None:
    await practice.opened(rule("reminder", 1, "d", "sms", "email"), rule("confirmation-request", 3, "d", "sms"))
    await practice.person()
    booked = await practice.booked(day=10)
    await practice.drained()
    assert [one[2] for one in await practice.planned(booked["id"])] == [("sms",), ("sms", "email")]
    mail = {"url": f"{OWN}communication-preference", "extension": [part("channel", "Code", "email")]}
    none = {
        "url": f"{OWN}communication-preference",
        "extension": [part("kind", "Code", "confirmation-request"), part("off", "Boolean", True)],
    }
    await practice.person(extension=[mail, none])
    await practice.drained()
    assert [(one[0], one[2]) for one in await practice.planned(booked["id"])] == [("reminder", ("email",))]
    await practice.person(extension=[mail])
    await practice.drained()
    assert [one[0] for one in await practice.planned(booked["id"])] == ["confirmation-request", "reminder"]
    await practice.person(active=False)
    await practice.drained()
    assert await practice.planned(booked["id"]) == []


def _consent(practice: Practice, medium: str, kind: str, **more: Any) -> dict[str, Any]:
    code = {"system": "https://fhir-scheduling.example/fhir/CodeSystem/reminder-channel", "code": medium}
    return {
        "resourceType": "Consent", "id": practice.id(f"{medium}-consent"), "status": "active",
        "scope": {"text": "privacy"}, "category": [{"text": "messages"}], "policyRule": {"text": kind},
        "patient": {"reference": f"Patient/{practice.id('pat')}"},
        "provision": {"type": kind, "code": [{"coding": [code]}]}, **more,
    }  # fmt: skip


async def test_consents_close_and_open_channels(practice: Practice) -> None:
    await practice.opened(
        rule("reminder", 1, "d", "sms", "email"), rule("reminder", 2, "d", "voice"),
        part("consentRequired", "Code", "voice"),
    )  # fmt: skip
    await practice.person()
    booked = await practice.booked(day=10)
    await practice.drained()
    assert [one[2] for one in await practice.planned(booked["id"])] == [("sms", "email")]
    await practice.put(_consent(practice, "sms", "deny"))
    await practice.put(_consent(practice, "voice", "permit"))
    await practice.drained()
    assert [one[2] for one in await practice.planned(booked["id"])] == [("voice",), ("email",)]
    other = {"organization": [{"reference": "Organization/elsewhere"}]}
    await practice.put(_consent(practice, "sms", "deny", **other))
    await practice.put(_consent(practice, "voice", "permit", status="inactive"))
    await practice.drained()
    assert [one[2] for one in await practice.planned(booked["id"])] == [("sms", "email")]


async def test_a_clinic_that_does_not_remind(practice: Practice) -> None:
    await practice.opened(part("reminders", "Boolean", False), part("notices", "Boolean", False))
    await practice.person()
    booked = await practice.booked(day=10)
    await practice.drained()
    assert await practice.requests(booked["id"]) == []


async def test_telehealth_is_told_on_the_device(practice: Practice) -> None:
    await practice.opened()
    device = {
        "url": f"{OWN}push-device",
        "extension": [part("kind", "Code", "fcm"), part("device", "String", "token-1")],
    }
    await practice.person(extension=[device])
    booked = await practice.booked("14:00", day=2)
    video = part(f"{OWN}modality", "Code", "video")
    booked = await practice.put({**booked, "extension": [*booked["extension"], video]})
    await practice.drained()
    last = (await practice.planned(booked["id"]))[-1]
    assert last == ("reminder", f"{_day(practice, 2)} 12:00", ("push", "sms", "email"))
    await practice.until(practice.at("12:30", 2))
    (push,) = [one for one in practice.channels.push["fcm"].given if one.device == "token-1"][-1:]
    assert practice.name in push.body or practice.name in push.title


async def test_two_patients_of_one_visit_are_reminded_each(practice: Practice) -> None:
    await practice.opened(rule("reminder", 1, "d", "sms"))
    await practice.person("one")
    await practice.person("two")
    booked = await practice.booked("14:00", f"Patient/{practice.id('one')}", day=8)
    both = [*booked["participant"], {"actor": {"reference": f"Patient/{practice.id('two')}"}, "status": "accepted"}]
    await practice.put({**booked, "participant": both})
    await practice.drained()
    receivers = {one["recipient"][0]["reference"] for one in await practice.requests(booked["id"], "active")}
    assert receivers == {f"Patient/{practice.id('one')}", f"Patient/{practice.id('two')}"}


@pytest.mark.parametrize(
    ("parts", "place"),
    [
        ([{"url": "reminder", "extension": [part("kind", "Code", "offer")]}], "extension[1].extension[0].extension[0]"),
        ([rule("reminder", 1, "d")], "extension[1].extension[0]"),
        ([{"url": "quietHours", "extension": [part("start", "Time", "25:00:00")]}], "extension[1].extension[0]"),
        ([part("consentRequired", "Code", "fax")], "extension[1].extension[0].valueCode"),
    ],
)
async def test_a_policy_that_is_wrong_is_named(practice: Practice, parts: Any, place: str) -> None:
    answer = await practice.client.post(
        "Organization",
        json={
            "resourceType": "Organization", "name": "x",
            "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/timezone", "valueCode": "Europe/Berlin"},
                          {"url": f"{OWN}booking-policy", "extension": parts}],
        },
    )  # fmt: skip
    assert answer.status_code in {400, 422}, answer.text
    assert place in " ".join(one for issue in answer.json()["issue"] for one in issue.get("expression", ()))


@pytest.mark.parametrize(
    ("text", "part_", "words"),
    [("{{ secret }}", "sms", "no secret"), ("{% for x in y %}", "sms", "Line 1"), ("hello", "fax", "part fax")],
)
async def test_a_clinics_text_is_checked_when_it_is_written(
    practice: Practice, text: str, part_: str, words: str
) -> None:
    template = {
        "url": f"{OWN}message-template",
        "extension": [part("message", "Code", "reminder"), part("language", "Code", "en"), part("part", "Code", part_),
                      part("text", "String", text)],
    }  # fmt: skip
    answer = await practice.client.post(
        "Organization", json={"resourceType": "Organization", "name": "x", "extension": [template]}
    )
    assert answer.status_code in {400, 422}, answer.text
    (issue,) = answer.json()["issue"]
    assert words in issue["details"]["text"]
    assert issue["expression"] == ["Organization.extension[0]"]


async def test_what_was_sent_is_not_sent_again(practice: Practice) -> None:
    """A patient who moves to the west after the reminder: it would be due once more by their clock there."""
    await practice.opened(rule("reminder", 2, "h", "sms"), part("notices", "Boolean", False))
    await practice.person()
    booked = await practice.booked("09:00", day=10)
    await practice.until(practice.at("21:30", 9))
    assert len(practice.texts()) == 1
    zone = {"url": "http://hl7.org/fhir/StructureDefinition/timezone", "valueCode": "America/Los_Angeles"}
    await practice.person(address=[{"city": "Los Angeles", "extension": [zone]}])
    await practice.until(practice.at("08:59", 10))
    assert len(practice.texts()) == 1
    assert [one["status"] for one in await practice.requests(booked["id"])] == ["completed"]


async def test_a_visit_without_a_schedule_is_in_the_zone_of_its_clinic(practice: Practice) -> None:
    await practice.opened()
    zone = [{"url": TIMEZONE, "valueCode": "Pacific/Auckland"}]
    clinic = await practice.put(
        {"resourceType": "Organization", "id": practice.id("far"), "name": "Far", "extension": zone}
    )
    patient = {"actor": {"reference": await practice.person()}, "status": "accepted"}
    visit = await practice.put({
        "resourceType": "Appointment", "id": practice.id("visit"), "status": "booked", "participant": [patient],
        "start": practice.at("14:00", 10), "end": practice.at("14:30", 10),
    })  # fmt: skip
    stored = await practice.world.store.resources.get("Appointment", visit["id"])
    assert stored is not None
    for clinics, expected in (((f"Organization/{clinic['id']}",), "Pacific/Auckland"), ((), practice.world.zone.key)):
        found = await visit_of(practice.world, replace(stored, extra={**stored.extra, "clinics": clinics}))
        assert found is not None
        assert found.zone.key == expected

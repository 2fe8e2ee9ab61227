"""``$join-waitlist``, leaving, and what a client cannot say of an entry."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fhir_server.access.caller import Role
from tests.builders.answers import expressions, refused
from tests.builders.clinic import OWN, duration, part
from tests.builders.waiting import OFFER, PREFERENCE, Waiting, preference, reference


async def test_an_entry_says_what_it_waits_for(clinic: Waiting) -> None:
    answer = await clinic.join(
        practitioner=reference(f"Practitioner/{clinic.id('doc')}"), day=("Code", "mon"),
        part_of_day=("Code", "morning"), earliest_time=("Time", "08:30:00"), latest_time=("Time", "12:00:00"),
        duration=("String", "30"), modality=("Code", "in-person"), notice=("String", "2h"),
        start=("Date", "2027-01-04"), end=("Date", "2027-01-08"), comment=("String", "any day"),
        reason=("String", "a cough"),
    )  # fmt: skip
    assert answer.status_code == 201, answer.text
    entry = answer.json()
    assert answer.headers["ETag"] == 'W/"1"'
    assert entry["status"] == "waitlist"
    assert not {"start", "end", "slot"} & entry.keys()
    assert entry["requestedPeriod"] == [{"start": "2027-01-04T00:00:00-05:00", "end": "2027-01-09T00:00:00-05:00"}]
    assert entry["serviceType"][0]["coding"][0]["code"] == clinic.id("visit")
    assert preference(entry) == {
        "service": [{"reference": clinic.visit}], "actor": [{"reference": f"Practitioner/{clinic.id('doc')}"}],
        "daysOfWeek": ["mon"], "partOfDay": ["morning"], "earliestTime": ["08:30:00"], "latestTime": ["12:00:00"],
        "duration": [{"value": 1800, "unit": "s", "system": "http://unitsofmeasure.org", "code": "s"}],
        "modality": ["in-person"],
        "notice": [{"value": 7200, "unit": "s", "system": "http://unitsofmeasure.org", "code": "s"}],
    }  # fmt: skip
    assert [one["actor"]["reference"] for one in entry["participant"]] == [
        f"Patient/{clinic.id('pat')}", f"Practitioner/{clinic.id('doc')}",
    ]  # fmt: skip
    assert (entry["comment"], entry["reasonCode"]) == ("any day", [{"text": "a cough"}])
    assert (await clinic.client.get(f"Appointment/{entry['id']}")).json() == entry


async def test_several_services_and_codes_do(clinic: Waiting) -> None:
    second = await clinic.service("second", 60)
    answer = await clinic.client.post(
        "Appointment/$join-waitlist",
        json={"resourceType": "Parameters", "parameter": [
            {"name": "patient", "valueReference": clinic.who()},
            {"name": "service", "valueReference": {"reference": clinic.visit}},
            {"name": "service", "valueReference": {"reference": second}},
        ]},
    )  # fmt: skip
    assert [one["reference"] for one in preference(answer.json())["service"]] == [clinic.visit, second]
    coded = await clinic.joined(
        "other", service=None, service_type=("Code", clinic.id("visit")), end=("Date", "2027-01-08")
    )
    assert "service" not in preference(coded)
    assert coded["serviceType"] == [{"coding": [{"code": clinic.id("visit")}]}]
    assert coded["id"] in await clinic.order()


async def test_an_entry_may_be_sent_as_an_appointment(clinic: Waiting) -> None:
    sent = {
        "resourceType": "Appointment", "status": "waitlist",
        "extension": [{"url": PREFERENCE, "extension": [part("service", "Reference", {"reference": clinic.visit})]}],
        "participant": [{"actor": clinic.who(), "status": "accepted"}],
        "requestedPeriod": [{"start": "2027-01-04", "end": "2027-01-08"}],
    }  # fmt: skip
    answer = await clinic.client.post("Appointment/$join-waitlist", json=sent)
    assert answer.status_code == 201, answer.text
    again = await clinic.client.post("Appointment", json=sent)
    assert again.status_code == 201, "plain REST creates what it is told to create"
    for change, status, code in (
        ({"status": "proposed"}, 422, "illegal-transition"),
        ({"start": clinic.at("09:00"), "end": clinic.at("09:30")}, 422, "param-invalid"),
        ({"extension": [part(f"{OWN}modality", "Code", "video")]}, 400, "param-missing"),
        ({"participant": [{"actor": {"display": "somebody"}, "status": "accepted"}]}, 400, "patient-required"),
    ):
        refused(await clinic.client.post("Appointment/$join-waitlist", json={**sent, **change}), status, code)


@pytest.mark.parametrize(
    ("arguments", "status", "place"),
    [
        ({"day": ("Code", "someday")}, 400, "Appointment.extension[1].extension[1].valueCode"),
        ({"part_of_day": ("Code", "noon")}, 400, "Appointment.extension[1].extension[1].valueCode"),
        ({"earliest_time": ("Time", "25:00:00")}, 400, "Parameters.parameter[2]"),
        ({"urgency": ("UnsignedInt", 11)}, 400, "Appointment.extension[1].extension[1].valueUnsignedInt"),
        ({"service": None}, 400, "service"),
        ({"service": ("Reference", {"reference": "HealthcareService/nothing"})}, 422, "service"),
        ({"patient": ("Reference", {"reference": "Patient/nobody"})}, 422, "patient"),
        ({"patient": None}, 400, "patient"),
        ({"practitioner": ("Reference", {"reference": "Location/1"})}, 400, "Parameters.parameter[2]"),
        ({"start": ("Date", "2027-01-08"), "end": ("Date", "2027-01-04")}, 400, "end"),
        ({"end": ("Date", "2020-01-04")}, 400, "end"),
        ({"start": ("Date", "9999-12-31")}, 400, "start"),
        ({"end": ("Date", "9999-12-31")}, 400, "end"),
        ({"end": ("DateTime", "9999-12-31T23:59:59Z")}, 400, "end"),
        ({"start": ("Date", "0001-01-01")}, 400, "start"),
        ({"earliest_time": ("Time", "17:00:00"), "latest_time": ("Time", "08:00:00")}, 400, "latest-time"),
        ({"keep_appointment": ("Reference", {"reference": "Appointment/nothing"})}, 422, "keep-appointment"),
        ({"whatever": ("String", "x")}, 400, "whatever"),
    ],
)
async def test_what_is_no_entry_is_refused_with_its_place(
    clinic: Waiting, arguments: dict[str, Any], status: int, place: str
) -> None:
    assert place in expressions(refused(await clinic.join(**arguments), status))


async def test_only_an_appointment_of_the_patient_is_kept(clinic: Waiting) -> None:
    booked = await clinic.booked("14:00")
    entry = await clinic.joined(keep_appointment=reference(f"Appointment/{booked['id']}"))
    assert preference(entry)["keepAppointment"] == [{"reference": f"Appointment/{booked['id']}"}]
    answer = await clinic.join("other", keep_appointment=reference(f"Appointment/{booked['id']}"))
    refused(answer, 422, "not-eligible")


async def test_the_same_wish_twice_is_one_entry(clinic: Waiting) -> None:
    period = {"start": ("Date", "2027-01-04"), "end": ("Date", "2027-01-08")}
    answers = await asyncio.gather(*(clinic.join(**period) for _ in range(8)))
    assert sorted(one.status_code for one in answers) == [200] * 7 + [201]
    assert len({one.json()["id"] for one in answers}) == 1
    assert (await clinic.join(**period | {"end": ("Date", "2027-01-09")})).status_code == 201
    assert (await clinic.join("other", **period)).status_code == 201
    plain = [await clinic.join() for _ in range(2)]
    assert [one.status_code for one in plain] == [201, 200], "what is not said is the same too"


async def test_an_idempotency_key_gives_the_first_answer_again(clinic: Waiting) -> None:
    period = {"start": ("Date", "2027-01-04"), "end": ("Date", "2027-01-08")}
    key = {"Idempotency-Key": clinic.id("key")}
    first, again = [await clinic.join(headers=key, **period) for _ in range(2)]
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert again.status_code == 201
    refused(await clinic.join("other", headers=key, **period), 422, "idempotency-mismatch")


@pytest.mark.parametrize("way", ["$cancel", "PUT", "DELETE"])
async def test_leaving(clinic: Waiting, way: str) -> None:
    entry = await clinic.joined()
    assert await clinic.order() == [entry["id"]]
    url = f"Appointment/{entry['id']}"
    if way == "$cancel":
        assert (await clinic.act(entry["id"], "$cancel", reason=("String", "feels better"))).status_code == 200
    elif way == "PUT":
        assert (await clinic.client.put(url, json={**entry, "status": "cancelled"})).status_code == 200
    else:
        assert (await clinic.client.delete(url)).status_code in {200, 204}
    assert await clinic.order() == []
    assert (await clinic.join()).status_code == 201


async def test_patients_join_for_themselves_and_staff_for_theirs(clinic: Waiting) -> None:
    patient = await clinic.token(Role.PATIENT, f"Patient/{clinic.id('pat')}")
    answer = await clinic.join(headers=patient, patient=None)
    assert answer.status_code == 201, answer.text
    assert answer.json()["participant"][0]["actor"]["reference"] == f"Patient/{clinic.id('pat')}"
    refused(await clinic.join("other", headers=patient), 403, "withheld")
    desk = await clinic.token(Role.FRONT_DESK, f"Practitioner/{clinic.id('desk')}")
    refused(await clinic.join("other", headers=desk), 403, "withheld")


async def test_urgency_is_the_clinicians_to_say(clinic: Waiting) -> None:
    patient = await clinic.token(Role.PATIENT, f"Patient/{clinic.id('pat')}")
    refused(await clinic.join(headers=patient, urgency=("UnsignedInt", 9)), 403, "withheld")
    entry = await clinic.joined(headers=patient)
    url = f"Appointment/{entry['id']}"
    refused(await clinic.client.put(url, json={**entry, "priority": 1}, headers=patient), 403, "withheld")
    urgent = _with_urgency(entry, 9)
    refused(await clinic.client.put(url, json=urgent, headers=patient), 403, "withheld")
    answer = await clinic.client.put(url, json=urgent)
    assert answer.status_code == 200, answer.text
    changed = {**answer.json(), "comment": "in the morning if possible"}
    assert (await clinic.client.put(url, json=changed, headers=patient)).status_code == 200
    lowered = _with_urgency(changed, 10)
    refused(await clinic.client.put(url, json=lowered, headers=patient), 403, "withheld")


def _with_urgency(entry: dict[str, Any], urgency: int) -> dict[str, Any]:
    extensions = [
        {**one, "extension": [
            *(each for each in one["extension"] if each["url"] != "urgency"),
            {"url": "urgency", "valueUnsignedInt": urgency},
        ]}
        if one["url"] == PREFERENCE else one
        for one in entry["extension"]
    ]  # fmt: skip
    return {**entry, "extension": extensions}


async def test_patients_do_not_say_since_when_they_wait_or_what_they_were_offered(clinic: Waiting) -> None:
    patient = await clinic.token(Role.PATIENT, f"Patient/{clinic.id('pat')}")
    offer = {"url": OFFER, "extension": [
        part("start", "Instant", "2027-01-04T14:00:00Z"), part("end", "Instant", "2027-01-04T14:30:00Z"),
        part("schedule", "Reference", {"reference": f"Schedule/{clinic.id('s')}"}),
        part("made", "Instant", "2027-01-01T14:00:00Z"), part("until", "Instant", "2027-01-01T14:30:00Z"),
        part("by", "Code", "rank"), part("outcome", "Code", "open"),
    ]}  # fmt: skip
    sent = {
        "resourceType": "Appointment", "status": "waitlist", "created": "2020-01-01T00:00:00Z",
        "extension": [
            {"url": PREFERENCE, "extension": [part("service", "Reference", {"reference": clinic.visit})]}, offer,
        ],
        "participant": [{"actor": clinic.who(), "status": "accepted"}],
        "requestedPeriod": [{"start": "2027-01-04", "end": "2027-01-08"}],
    }  # fmt: skip
    for url in ("Appointment", "Appointment/$join-waitlist"):
        answer = await clinic.client.post(url, json=sent, headers=patient)
        assert answer.status_code in {200, 201}, answer.text
        entry = answer.json()
        assert entry["created"] > "2026"
        assert not any(one["url"] == OFFER for one in entry["extension"])
    changed = {**entry, "created": "2020-01-01T00:00:00Z", "extension": [*entry["extension"], offer]}
    answer = await clinic.client.put(f"Appointment/{entry['id']}", json=changed, headers=patient)
    assert answer.status_code == 200, answer.text
    assert answer.json()["created"] == entry["created"]
    assert not any(one["url"] == OFFER for one in answer.json()["extension"])


async def test_extensions_of_the_waitlist_are_checked(clinic: Waiting) -> None:
    entry = await clinic.joined()
    wrong = {"url": PREFERENCE, "extension": [part("service", "Reference", {"reference": "Patient/1"})]}
    answer = await clinic.client.put(f"Appointment/{entry['id']}", json={**entry, "extension": [wrong]})
    assert expressions(refused(answer, 400)) == ["Appointment.extension[0].extension[0].valueReference"]
    unknown = {"url": f"{OWN}waitlist-preference", "extension": [part("mood", "Code", "good")]}
    answer = await clinic.client.put(f"Appointment/{entry['id']}", json={**entry, "extension": [unknown]})
    assert expressions(refused(answer, 400)) == ["Appointment.extension[0].extension[0].url"]


async def test_a_patient_waits_for_so_many_things_at_once(clinic: Waiting) -> None:
    def period(number: int) -> dict[str, Any]:
        return {"start": ("Date", "2030-01-01"), "end": ("Date", f"2030-02-{number + 1:02}")}

    entries = [await clinic.joined("pat", **period(number)) for number in range(20)]
    refused(await clinic.join("pat", **period(20)), 422, "waitlist-limit")
    assert (await clinic.join("pat", **period(3))).status_code == 200, "who waits already is told so"
    plain = {name: value for name, value in entries[0].items() if name not in {"id", "meta", "extension"}}
    refused(await clinic.client.post("Appointment", json=plain), 422, "waitlist-limit")
    await clinic.joined("other")
    assert (await clinic.act(entries[0]["id"], "$cancel")).status_code == 200
    await clinic.joined("pat", **period(20))


async def test_nobody_waits_for_a_visit_of_days(clinic: Waiting) -> None:
    await clinic.joined("pat", duration=("Duration", duration(24 * 60)))
    answer = await clinic.join("other", duration=("Duration", duration(24 * 60 + 1)))
    assert answer.status_code in {400, 422}, answer.text
    assert "at most 24 hours" in answer.text

"""Corners where something hidden could show: Slots by ``_has``, XML, answers to visits, kept answers (V4, V7)."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.access.caller import Role
from tests.access.callers import SEES, Asker, Callers
from tests.builders.town import DOCTORS, PATIENTS, Town
from tests.tokens import account

PERSONS = ("app", "user", "parent", "delegate")


@pytest.mark.parametrize("name", PERSONS)
async def test_taken_times_are_not_counted_by_a_detour(name: str, callers: Callers, town: Town) -> None:
    caller = await callers(name)
    day = town.first.isoformat()
    for doctor in set(DOCTORS.values()):
        schedule = f"Schedule?_id={town.id(f'{doctor}-days')}"
        for question in (
            f"{schedule}&_has:Slot:schedule:status=busy-unavailable",
            f"{schedule}&_has:Slot:schedule:status=busy-tentative",
            f"{schedule}&_has:Slot:schedule:_id={town.id(f'{doctor}-busy-unavailable')}",
            f"Slot?schedule={town.id(f'{doctor}-days')}&start={day}&status:not=free,busy",
            f"Slot?_id={town.id(f'{doctor}-busy-unavailable')}",
            f"Slot?schedule.actor=Practitioner/{town.id(doctor)}&start={day}&status=busy-unavailable",
        ):  # fmt: skip
            answer = await caller.get(f"{question}&_summary=count")
            assert answer.status_code in {200, 400, 403}, (question, answer.text)
            if answer.status_code == 200:
                assert answer.json()["total"] == 0, question
    for person in sorted(set(PATIENTS) - SEES[name]):
        doctor = DOCTORS[person]
        for question in (
            f"Schedule?_id={town.id(f'{doctor}-days')}&_has:Slot:schedule:_has:Appointment:slot:patient={town.own(person)}",
            f"Slot?schedule={town.id(f'{doctor}-days')}&start={day}&_has:Appointment:slot:identifier={town.word(person)}",
        ):  # fmt: skip
            answer = await caller.get(f"{question}&_summary=count")
            assert answer.status_code in {400, 403} or answer.json()["total"] == 0, (question, answer.text)
        url = f"Slot?schedule={town.id(f'{doctor}-days')}&start={day}&_revinclude=Appointment:slot&_count=200"
        assert (await caller.get(url)).status_code == 200


@pytest.mark.parametrize("name", [*PERSONS, "desk", "administrator", "walled", "practitioner"])
async def test_the_same_in_xml_and_in_parts(name: str, callers: Callers, town: Town) -> None:
    caller = await callers(name)
    for url in (
        f"Appointment/{town.id('together')}", f"Appointment/{town.id('together')}/_history",
        f"Appointment?_id={town.id('together')}", "Appointment?_count=500", "Patient?_count=500",
        "Encounter?_count=500",
        f"Schedule/{town.id('adams-days')}", f"Slot/{town.id('adams-free')}", f"Group/{town.id('family')}",
        f"{town.own('ann')}/$everything", "ServiceRequest?_count=500",
    ):  # fmt: skip
        mark = "&" if "?" in url else "?"
        for more in ("_format=xml", "_summary=data", "_summary=true", "_summary=text", "_elements=participant,comment",
                     "_elements=reasonCode,member,extension", "_pretty=true"):  # fmt: skip
            answer = await caller.get(f"{url}{mark}{more}")
            assert answer.status_code in {200, 400, 404}, (url, more, answer.text)
        await caller.get(url, headers={"Accept": "application/fhir+xml"})


async def test_an_answer_to_a_hidden_visit_is_one_to_none(callers: Callers, town: Town) -> None:
    ann = await callers("app")
    told = []
    for visit in (town.own("ben", "Appointment"), f"Appointment/{town.id('nothing')}"):
        answer = {"resourceType": "AppointmentResponse", "participantStatus": "declined",
                  "actor": {"reference": town.own("ann")}, "appointment": {"reference": visit}}  # fmt: skip
        told.append((await ann.post("AppointmentResponse", answer)).status_code)
    assert told[0] == told[1]
    assert "declined" not in (await town.client.get(town.own("ben", "Appointment"))).text


@pytest.mark.parametrize("kind", ["create", "transaction", "conditional"])
async def test_a_kept_answer_is_not_told_to_who_lost_access(kind: str, callers: Callers, town: Town) -> None:
    """An Idempotency-Key brings an answer back, and not past the end of the relation that gave it."""
    relative = await town.related(f"uncle-{kind}", "ben", active=True)
    uncle = callers.asker("parent", await callers.acting_as(relative))
    body = {"resourceType": "AppointmentResponse", "participantStatus": "accepted", "comment": town.word("ben"),
            "actor": {"reference": town.own("ben")},
            "appointment": {"reference": town.own("ben", "Appointment")}}  # fmt: skip
    headers = {"Idempotency-Key": town.id(kind), "Prefer": "return=representation"}
    url: str = "AppointmentResponse"
    asked: Any = body
    if kind == "transaction":
        url = ""
        asked = {"resourceType": "Bundle", "type": "transaction", "entry": [
            {"resource": body, "request": {"method": "POST", "url": "AppointmentResponse"}}]}  # fmt: skip
    if kind == "conditional":
        headers["If-None-Exist"] = f"actor={town.own('ben')}&_lastUpdated=lt2000"
    assert (await uncle.post(url, asked, headers=headers)).status_code in {200, 201}
    again = await uncle.post(url, asked, headers=headers)
    assert again.headers.get("idempotent-replayed") == "true", again.text
    await town.related(f"uncle-{kind}", "ben", active=False)
    later = await uncle.post(url, asked, headers=headers)
    assert later.status_code == 403, later.text


async def test_clinicians_change_their_own_calendar(callers: Callers, town: Town) -> None:
    adams = await callers("practitioner")
    for doctor, status in (("adams", 200), ("clark", 403), ("baker", 404)):
        for reference in (f"Slot/{town.id(f'{doctor}-free')}", f"Schedule/{town.id(f'{doctor}-days')}"):
            whole = (await town.client.get(reference)).json()
            answer = await adams.ask("PUT", reference, json={**whole, "language": "de"})
            assert answer.status_code == status, (reference, answer.text)
        slot = {"resourceType": "Slot", "status": "busy-unavailable", "start": town.at("16:00"),
                "end": town.at("16:30"), "schedule": town.ref("Schedule", f"{doctor}-days")}  # fmt: skip
        made = await adams.post("Slot", slot)
        assert made.status_code == (201 if status == 200 else 403), (doctor, made.text)


@pytest.mark.parametrize("name", ["desk", "administrator"])
async def test_new_patients_belong_to_who_registers_them(name: str, callers: Callers, town: Town) -> None:
    desk = await callers(name)
    new = {"resourceType": "Patient", "name": [{"family": "New"}]}
    for where, status in (({}, 201), ({"managingOrganization": town.ref("Organization", "north")}, 201),
                          ({"managingOrganization": town.ref("Organization", "south")}, 403)):  # fmt: skip
        answer = await desk.post("Patient", {**new, **where})
        assert answer.status_code == status, (where, answer.text)
        if status == 201:
            assert (await desk.get(f"Patient/{answer.json()['id']}")).status_code == 200
            assert (await (await callers("practitioner")).get(f"Patient/{answer.json()['id']}")).status_code == 404
    chosen = await desk.put({**new, "id": town.id(f"chosen-{name}")})
    assert chosen.status_code == 404, chosen.text


async def test_a_patient_sees_who_looked_at_them_and_at_nobody_else(callers: Callers, town: Town) -> None:
    """C5: the access record and its report."""
    desk = await callers("desk")
    for person in ("ann", "ben"):
        assert (await desk.get(town.own(person))).status_code == 200
    for name, own in (("app", "ann"), ("user", "ann"), ("parent", "ben"), ("delegate", "cia")):
        caller = _reader(callers, await callers(name))
        for url in ("AuditEvent?_count=100", f"AuditEvent?patient={town.own(own)}&_count=100",
                    f"{town.own(own)}/$access-report"):  # fmt: skip
            answer = await caller.get(url)
            assert answer.status_code == 200, (name, url, answer.text)
            assert _subjects(answer.json()) == {town.own(own)}, (name, url)
        for other in sorted(set(PATIENTS) - {own}):
            # That somebody else tried is their own business too; what is about somebody else is not.
            told = await caller.get(f"AuditEvent?patient={town.own(other)}")
            assert _subjects(told.json()) <= {town.own(own)}, (name, told.text)
            assert (await caller.get(f"{town.own(other)}/$access-report")).status_code == 404


def _subjects(bundle: dict[str, Any]) -> set[str]:
    """The patients whom the events of a searchset are about."""
    events = [one["resource"] for one in bundle.get("entry", ())]
    about = {one.get("what", {}).get("reference", "") for event in events for one in event["entity"]}
    return {one.partition("/_history")[0] for one in about if one.startswith("Patient/")}


def _reader(callers: Callers, who: Asker) -> Asker:
    """Somebody who reads the record: it names who looked, and that may be another patient who tried."""
    found = callers.asker(who.name, who.token)
    found.hidden -= {callers.town.mark(f"id {one}") for one in PATIENTS}
    return found


async def test_the_access_record_ends_with_the_relation(callers: Callers, town: Town) -> None:
    relative = await town.related("godmother", "ben", active=True)
    who = account(Role.PATIENT, relative)
    token = await callers.issuer.person(who, "patient/*.rs launch/patient", town.own("ben"))
    godmother = _reader(callers, callers.asker("parent", token))
    assert (await godmother.get("AuditEvent?_count=5")).status_code == 200
    await town.related("godmother", "ben", active=False)
    for url in ("AuditEvent?_count=5", f"{town.own('ben')}/$access-report", town.own("ben")):
        assert (await godmother.get(url)).status_code in {403, 404}, url


async def test_who_is_walled_in_reads_no_record_of_the_others(callers: Callers, town: Town) -> None:
    for name in ("walled", "practitioner", "desk", "administrator"):
        caller = await callers(name)
        for url in ("AuditEvent?_count=100", f"AuditEvent?patient={town.own('cia')}",
                    f"{town.own('cia')}/$access-report", f"{town.own('ann')}/$access-report"):  # fmt: skip
            assert (await caller.get(url)).status_code == 403, (name, url)

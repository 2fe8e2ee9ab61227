"""Searches: what is hidden is in no match, no include, no count, no order and no answer to a question (V2-V5, V9)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from tests.access.callers import CLOSED, SEES, Callers
from tests.builders.town import DOCTORS, OF_PATIENTS, PATIENTS, Town

NAMES = tuple(SEES)
READERS = tuple(one for one in NAMES if one != "auditor")


@pytest.mark.parametrize("name", NAMES)
async def test_a_search_finds_what_a_read_would_show(name: str, callers: Callers, town: Town) -> None:
    caller = await callers(name)
    for type_ in OF_PATIENTS:
        ids = ",".join(town.own_id(one, type_) for one in PATIENTS)
        answer = await caller.get(f"{type_}?_id={ids}")
        if type_ in CLOSED.get(name, ()):
            assert answer.status_code == 403, (type_, answer.text)
            continue
        wanted = {town.own(one, type_) for one in SEES[name]}
        assert await caller.ids(f"{type_}?_id={ids}") == wanted
        assert answer.json()["total"] == len(wanted), type_
        for more in ("_summary=count", "_count=0&_total=accurate"):
            assert (await caller.found(f"{type_}?_id={ids}&{more}"))["total"] == len(wanted), (type_, more)
        posted = await caller.ask(
            "POST", f"{type_}/_search", content=urlencode({"_id": ids}),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )  # fmt: skip
        assert posted.json()["total"] == len(wanted), type_


@pytest.mark.parametrize("name", READERS)
async def test_several_types_and_histories(name: str, callers: Callers, town: Town) -> None:
    caller = await callers(name)
    for url in (
        f"?_type=Patient,Appointment,Coverage&_lastUpdated=gt2020&_count=1000&_tag:not=none{town.name}",
        "Patient/_history?_count=500", "Appointment/_history?_count=500", "_history?_count=500",
        "Patient?_count=500", "Appointment?_count=500", "Coverage?_count=500", "Encounter?_count=500",
        "RelatedPerson?_count=500", "Consent?_count=500", "ServiceRequest?_count=500", "AppointmentResponse?_count=500",
        "Group?_count=500", "Device?_count=500", "Schedule?_count=500",
    ):  # fmt: skip
        answer = await caller.get(url)
        assert answer.status_code == 200, (url, answer.text)


def _questions(town: Town, person: str) -> list[str]:
    """Questions about somebody, each of which would tell by its count whether the somebody is there."""
    me, word, doctor = town.own(person), town.word(person), town.id(DOCTORS[person])
    return [
        f"Patient?family={word}", f"Patient?identifier=urn:mrn|{word}", f"Patient?email={word}@example.org",
        f"Patient?family:exact={word}", f"Patient?address-city={word}", f"Patient?_id={me[8:]}&birthdate=1980-05-12",
        f"Patient?_id={me[8:]}&address:missing=false", f"Patient?_id={me[8:]}&gender:not=male",
        f"Patient?_has:Appointment:patient:status=booked&_id={me[8:]}",
        f"Patient?_has:Flag:patient:_id={town.own_id(person, 'Flag')}",
        f"Appointment?patient={me}&status=booked", f"Appointment?actor={me}",
        f"Appointment?patient.family={word}", f"Appointment?patient:Patient.identifier=urn:mrn|{word}",
        f"Appointment?identifier=urn:visits|{word}",
        f"Appointment?_id={town.own_id(person, 'Appointment')}&status:not=cancelled",
        f"Coverage?beneficiary={me}", f"Coverage?payor={me}", f"Coverage?patient.email={word}@example.org",
        f"ServiceRequest?subject={me}", f"Encounter?patient={me}", f"Encounter?identifier={word}",
        f"RelatedPerson?name={word}", f"RelatedPerson?patient={me}", f"Consent?patient={me}",
        f"AppointmentResponse?actor={me}", f"AppointmentResponse?appointment.identifier={word}",
        f"Encounter?appointment.patient={me}", f"Group?member={me}", f"Schedule?actor={me}",
        f"Slot?schedule={town.own(person, 'Schedule')}&start=ge2020-01-01&status=free",
        f"Practitioner?_id={doctor}&_has:Appointment:actor:patient={me}",
        f"Practitioner?_id={doctor}&_has:Appointment:actor:identifier={word}",
        f"Practitioner?_id={doctor}&_has:ServiceRequest:performer:subject={me}",
        f"Practitioner?_id={doctor}&_has:Appointment:actor:_has:Encounter:appointment:identifier={word}",
        f"Location?_id={town.id(PATIENTS[person])}-room&_has:Appointment:location:patient.family={word}",
        f"Organization?_has:Patient:organization:family={word}",
    ]  # fmt: skip


@pytest.mark.parametrize("name", READERS)
async def test_no_question_tells_that_somebody_is_there(name: str, callers: Callers, town: Town) -> None:
    caller = await callers(name)
    for person in set(PATIENTS) - SEES[name]:
        for question in _questions(town, person):
            if (name, person) == ("practitioner", "ben") and town.own("ben") in question:
                continue  # Ben is known by his id from the visit that he shares with Ann
            for more in ("", "_summary=count"):
                url = f"{question}&{more}" if more else question
                answer = await caller.get(url)
                if answer.status_code == 200:
                    assert answer.json()["total"] == 0, (name, url, answer.text)
                else:
                    assert answer.status_code == 403, (name, url, answer.text)


async def test_the_questions_are_answered_for_who_may_know(callers: Callers, town: Town) -> None:
    """None of them is empty because it is wrong."""
    caller = await callers("unlimited")
    for person in PATIENTS:
        for question in _questions(town, person):
            assert (await caller.found(question))["total"], question


@pytest.mark.parametrize("name", READERS)
async def test_negations_and_missing_stay_inside(name: str, callers: Callers, town: Town) -> None:
    """Each asks for everybody but somebody; what comes is what the caller sees anyway (the ears look)."""
    caller = await callers(name)
    for question in (
        "Patient?address:missing=false&_count=500", "Patient?gender:not=male&_count=500",
        "Patient?active:missing=false",
        "Appointment?status:not=cancelled&_count=500", "Appointment?patient:missing=false&_count=500",
        f"Appointment?patient:not={town.own('ann')}", "Coverage?payor:missing=false&_count=500",
        "Encounter?status:not=planned&_count=500", "Patient?_sort=birthdate&_count=500",
        "Appointment?_sort=-date,_id&_count=500", "Patient?_sort=_lastUpdated&_count=500",
    ):  # fmt: skip
        answer = await caller.get(question)
        assert answer.status_code in {200, 400}, (question, answer.text)
        if answer.status_code == 200:
            total = answer.json().get("total")
            shown = [one for one in answer.json().get("entry", ()) if one["search"]["mode"] == "match"]
            assert total is None or total == len(shown) or len(shown) >= 500, question


INCLUDES = (
    "Appointment?_include=Appointment:actor", "Appointment?_include=Appointment:patient&_include:iterate=Patient:link",
    "Appointment?_include=*", "Appointment?_revinclude=*", "Appointment?_include=*&_revinclude=*",
    "Appointment?_include:iterate=Appointment:actor&_revinclude:iterate=Appointment:actor",
    "Appointment?_revinclude=Encounter:appointment&_include:iterate=Encounter:subject",
    "Practitioner?_id={adams},{clark},{baker}&_revinclude=Appointment:actor",
    "Practitioner?_id={adams},{clark},{baker}&_revinclude=Appointment:actor&_include:iterate=Appointment:patient",
    "Practitioner?_id={adams},{clark},{baker}&_revinclude:iterate=*", "Location?_id={north-room}&_revinclude=*",
    "Practitioner?_id={adams},{clark},{baker}&_revinclude=ServiceRequest:performer&_revinclude=Schedule:actor",
    "Organization?_id={north},{south}&_revinclude=*&_include=*",
    "Organization?_id={north},{south}&_revinclude=Patient:organization&_revinclude:iterate=Coverage:beneficiary",
    "Organization?_id={north},{south}&_revinclude=Encounter:service-provider",
    "Schedule?_id={adams-days},{clark-days},{baker-days}&_include=Schedule:actor&_revinclude=Slot:schedule",
    "Schedule?_id={clark-days}&_revinclude=Slot:schedule&_revinclude:iterate=Appointment:slot",
    "Group?_id={family}&_include=Group:member", "Group?_id={family}&_include=*",
    "Patient?_revinclude=*&_count=500", "Patient?_revinclude:iterate=*&_include:iterate=*&_count=500",
)  # fmt: skip


def _filled(url: str, town: Town) -> str:
    for name in ("adams", "clark", "baker", "north", "south", "north-room", "adams-days", "clark-days", "baker-days",
                 "family"):  # fmt: skip
        url = url.replace(f"{{{name}}}", town.id(name))
    return url


@pytest.mark.parametrize("url", INCLUDES)
async def test_nobody_is_included_whom_the_caller_does_not_see(url: str, callers: Callers, town: Town) -> None:
    for name in READERS:
        caller = await callers(name)
        answer = await caller.get(_filled(url, town))
        assert answer.status_code in {200, 403}, (name, url, answer.text)


async def test_includes_bring_what_may_be_seen(callers: Callers, town: Town) -> None:
    """The searches above are not empty for everybody."""
    own = {
        "app": {town.own("ann", "Appointment"), town.id("together")}, "unlimited": {town.own("cia", "Appointment")},
        "walled": {town.own("ben", "Appointment")},
    }  # fmt: skip
    url = _filled("Practitioner?_id={adams},{clark},{baker}&_revinclude=Appointment:actor", town)
    for name, wanted in own.items():
        found = await (await callers(name)).ids(url)
        assert {one if "/" in one else f"Appointment/{one}" for one in wanted} <= found


@pytest.mark.parametrize("name", READERS)
async def test_compartments(name: str, callers: Callers, town: Town) -> None:
    caller = await callers(name)
    for person in PATIENTS:
        for inside in ("Appointment", "Coverage", "*", "Encounter?_include=*", "Appointment?_revinclude=*"):
            url, _, query = inside.partition("?")
            asked: Any = f"{town.own(person)}/{url}{'?' if query else ''}{query}"
            answer = await caller.get(asked)
            assert answer.status_code == (200 if person in SEES[name] else 404), (asked, answer.text)

"""What a role does not see of what it sees: reasons at the desk, the clinic's own words for patients (C1, C3, C5)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.access.callers import NO_REASONS, Callers
from tests.builders.town import Town

REASONS = ("reasonCode", "comment", "description")


@pytest.mark.parametrize("name", sorted(NO_REASONS))
async def test_the_desk_moves_and_keeps_what_it_does_not_see(name: str, callers: Callers, town: Town) -> None:
    desk = await callers(name)
    url = town.own("ben", "Appointment")
    before = (await town.client.get(url)).json()
    seen = (await desk.get(url)).json()
    assert set(REASONS).isdisjoint(seen)
    answer = await desk.put({**seen, "language": "de" if name == "desk" else "fr"})
    assert answer.status_code == 200, answer.text
    patch = [{"op": "add", "path": "/priority", "value": 3 if name == "desk" else 4}]
    answer = await desk.ask("PATCH", url, json=patch, headers={"Content-Type": "application/json-patch+json"})
    assert answer.status_code == 200, answer.text
    entry = {"resource": {**answer.json(), "language": "it"}, "request": {"method": "PUT", "url": url}}
    answer = await desk.post("", {"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
    assert answer.status_code == 200, answer.text
    after = (await town.client.get(url)).json()
    assert {one: after[one] for one in REASONS} == {one: before[one] for one in REASONS}
    assert "security" not in after["meta"]
    # What it writes itself in a withheld place cannot replace what it never saw.
    answer = await desk.put({**(await desk.get(url)).json(), "comment": "mine"})
    assert (await town.client.get(url)).json()["comment"] == before["comment"], answer.text


@pytest.mark.parametrize("name", sorted(NO_REASONS))
async def test_the_desk_does_not_ask_by_reasons(name: str, callers: Callers, town: Town) -> None:
    desk = await callers(name)
    for url in (
        "Appointment?reason-code:text=x", "Appointment?reason-code=x", "Appointment?reason-reference=Condition/1",
        "Appointment?_include=Appointment:reason-reference", "Appointment?reason-code:missing=true",
        "Appointment?supporting-info=Patient/1", "Encounter?reason-code=x", "Encounter?diagnosis=Condition/1",
        "Appointment?_sort=reason-code", "Patient?_has:Appointment:patient:reason-code=x",
        "AppointmentResponse?appointment.reason-code=x", "Appointment?_elements=reasonCode",
        "Appointment?_text=x", "Appointment?_content=x", "Appointment?_filter=reason-code eq x",
    ):  # fmt: skip
        answer = await desk.get(url)
        assert answer.status_code in {200, 400, 403}, (url, answer.text)
        if answer.status_code == 200:  # a parameter that is not known is left out with a warning
            assert "_elements" in url or "outcome" in answer.text, (url, answer.text)
    for elements in ("reasonCode,comment", "reasonCode"):
        answer = await desk.get(f"{town.own('ann', 'Appointment')}?_elements={elements}")
        assert answer.status_code == 200


@pytest.mark.parametrize("name", ["app", "user", "parent", "delegate"])
async def test_a_patient_sees_free_slots_without_the_clinics_words(name: str, callers: Callers, town: Town) -> None:
    caller = await callers(name)
    for doctor in ("adams", "clark", "baker"):
        free = await caller.get(f"Slot/{town.id(f'{doctor}-free')}")
        assert free.status_code == 200
        assert "comment" not in free.json()
        assert (await caller.get(f"Slot/{town.id(f'{doctor}-busy-unavailable')}")).status_code == 404
        schedule = await caller.get(f"Schedule/{town.id(f'{doctor}-days')}")
        assert schedule.status_code == 200
        urls = {one["url"].rpartition("/")[2] for one in schedule.json().get("extension", ())}
        assert urls <= {"timezone", "offers"}
        for route in ("_history", "_history/1"):
            assert (await caller.get(f"Slot/{town.id(f'{doctor}-busy-unavailable')}/{route}")).status_code == 404
            await caller.get(f"Schedule/{town.id(f'{doctor}-days')}/{route}")
        day = town.first.isoformat()
        found = await caller.found(f"Slot?schedule={town.id(f'{doctor}-days')}&start={day}&_count=100")
        states = {one["resource"]["status"] for one in found["entry"] if one["search"]["mode"] == "match"}
        own = {"app": "adams", "user": "adams", "parent": "clark", "delegate": "baker"}[name] == doctor
        assert states <= ({"free", "busy"} if own or doctor == "clark" else {"free"}), (doctor, states)
        for status in ("busy-unavailable", "busy-tentative", "entered-in-error"):
            url = f"Slot?schedule={town.id(f'{doctor}-days')}&start={day}&status={status}&_summary=count"
            assert (await caller.found(url))["total"] == 0
    assert (await caller.get("Slot/_history")).status_code in {200, 403}


async def test_one_sees_ones_own_taken_slot_and_nobody_elses(callers: Callers, town: Town) -> None:
    """A booking's Slot is of its patient."""
    slots: dict[str, Any] = {}
    for person in ("ann", "ben", "cia"):
        appointment = (await town.client.get(town.own(person, "Appointment"))).json()
        doctor = {"ann": "adams", "ben": "clark", "cia": "baker"}[person]
        found = await town.client.get(
            f"Slot?schedule={town.id(f'{doctor}-days')}&start={appointment['start'][:19]}-05:00&status=busy"
        )
        slots[person] = [f"Slot/{one['resource']['id']}" for one in found.json().get("entry", ())]
    for name, own in {"app": "ann", "parent": "ben", "delegate": "cia"}.items():
        caller = await callers(name)
        for person, references in slots.items():
            for one in references:
                answer = await caller.get(one)
                assert answer.status_code == (200 if person == own else 404), (name, person, answer.text)


@pytest.mark.parametrize("name", ["app", "user", "parent", "delegate"])
async def test_the_clinics_words_are_not_asked_for(name: str, callers: Callers) -> None:
    caller = await callers(name)
    for url in ("Slot?comment=x", "Schedule?comment=x", "Practitioner?birthdate=1980", "Slot?_text=x",
                "Practitioner?_sort=birthdate"):  # fmt: skip
        answer = await caller.get(url)
        assert answer.status_code in {200, 400, 403}, (url, answer.text)
        if answer.status_code == 200:
            assert "outcome" in answer.text, (url, answer.text)


async def test_an_ended_relation_ends_what_it_gave(callers: Callers, town: Town) -> None:
    """RelatedPerson and Consent: active, their period, and the next request after they end."""
    url = town.own("cia")
    for kind in ("related", "consent"):
        who = await town.related(f"friend-{kind}", "ben" if kind == "consent" else "cia", active=kind == "related")
        if kind == "consent":
            await town.consent("let", "cia", who)
        caller = callers.asker("delegate", await callers.acting_as(who))
        assert (await caller.get(url)).status_code == 200, kind
        for more in (
            {"period": {"end": "2020-01-01"}}, {"period": {"start": "2999-01-01"}},
            {"active": False} if kind == "related" else {"status": "inactive"},
        ):  # fmt: skip
            if kind == "related":
                await town.related("friend-related", "cia", **{"active": True, **more})
            else:
                provision = {"provision": {"period": more["period"]}} if "period" in more else more
                await town.consent("let", "cia", who, **provision)
            assert (await caller.get(url)).status_code == 404, (kind, more)
        if kind == "consent":
            await town.consent("let", "cia", who, provision={"type": "deny"})
            assert (await caller.get(url)).status_code == 404


async def test_nobody_grants_themselves_somebody(callers: Callers, town: Town) -> None:
    """A patient writes no RelatedPerson and no Consent; a desk none about somebody beyond its walls."""
    for name in ("app", "user", "parent", "desk"):
        caller = await callers(name)
        me = f"RelatedPerson/{town.id('mother')}"
        related = {"resourceType": "RelatedPerson", "patient": {"reference": town.own("cia")}}
        assert (await caller.post("RelatedPerson", related)).status_code == 403, name
        consent = {
            "resourceType": "Consent", "status": "active", "scope": {"text": "x"}, "category": [{"text": "x"}],
            "policyRule": {"text": "x"}, "patient": {"reference": town.own("cia")}, "provision": {
                "type": "permit", "actor": [{"role": {"text": "x"}, "reference": {"reference": me}}]},
        }  # fmt: skip
        assert (await caller.post("Consent", consent)).status_code == 403, name


async def test_a_linked_patient_is_not_followed(callers: Callers, town: Town) -> None:
    """V12, C4: ``Patient.link`` shows no one, whichever way it points."""
    for number, kind in enumerate(("replaced-by", "replaces", "refer", "seealso")):
        id_ = town.id(f"linked-{number}")
        await town.put({
            "resourceType": "Patient", "id": id_, "link": [{"other": {"reference": town.own("ben")}, "type": kind}],
            "name": [{"family": "Linked"}],
        })  # fmt: skip
        caller = callers.asker("app", await callers.acting_as(f"Patient/{id_}"))
        caller.hidden |= town.about("ann")
        assert (await caller.get(town.own("ben"))).status_code == 404
        assert (await caller.get(town.own("ben", "Appointment"))).status_code == 404
        caller.hidden.discard(town.mark("id ben"))  # their own record names the other
        for url in (f"Patient/{id_}", f"Patient?_id={id_}&_include=Patient:link", f"Patient/{id_}/$everything",
                    f"Patient/{id_}/*", "Patient?_include=*&_revinclude=*"):  # fmt: skip
            assert (await caller.get(url)).status_code == 200, url
    mother = await callers("parent")
    found = await mother.ids(f"{town.own('ben')}/Patient?_count=50")
    assert found <= {town.own("ben")}


async def test_an_administrator_changes_the_practitioners_of_the_own_clinics(callers: Callers, town: Town) -> None:
    boss = await callers("administrator")
    for name, status in (("clark", 200), ("baker", 403)):
        url = f"Practitioner/{town.id(name)}"
        body = (await boss.get(url)).json()
        assert (await boss.put({**body, "gender": "other"})).status_code == status, name
        if status == 403:
            assert (await boss.ask("DELETE", url)).status_code == 403
            assert (await boss.get(url)).status_code == 200

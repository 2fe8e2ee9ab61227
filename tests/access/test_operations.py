"""Operations: for oneself and those one acts for, never for or on somebody else (V1, V4, V27)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.access.callers import SEES, Asker, Callers
from tests.builders.clinic import proposals
from tests.builders.town import DOCTORS, PATIENTS, Town

READERS = tuple(one for one in SEES if one != "auditor")
PERSONS = ("app", "user", "parent", "delegate")


async def _proposal(town: Town, side: str = "north", **more: str) -> str:
    found = await town.find(service=f"HealthcareService/{town.id(f'{side}-visit')}", _count="1000", **more)
    free: str = proposals(found)[-1]["id"]
    return free


def _booking(town: Town, id_: str, person: str) -> dict[str, tuple[str, Any]]:
    return {"appointment": ("Uri", f"Appointment/{id_}"), "patient": ("Reference", {"reference": town.own(person)})}


@pytest.mark.parametrize("name", READERS)
async def test_everything(name: str, callers: Callers, town: Town) -> None:
    caller = await callers(name)
    for person in PATIENTS:
        answer = await caller.get(f"{town.own(person)}/$everything?_count=200")
        assert answer.status_code == (200 if person in SEES[name] else 404), (person, answer.text)
    if name in PERSONS:
        # Own data, whatever goes with it; the family visit brings nobody along.
        kinds = {one["resource"]["resourceType"] for one in answer.json().get("entry", ())}
        assert "RelatedPerson" in kinds or answer.status_code == 404


@pytest.mark.parametrize("name", [*READERS, "auditor"])
async def test_match(name: str, callers: Callers, town: Town) -> None:
    caller = await callers(name)
    for person in PATIENTS:
        asked = {"resourceType": "Patient", "name": [{"family": town.word(person), "given": ["Pat"]}],
                 "birthDate": "1980-05-12",
                 "identifier": [{"system": "urn:mrn", "value": town.word(person)}]}  # fmt: skip
        answer = await caller.call("Patient/$match", resource=("resource", asked))
        if answer.status_code != 200:
            assert answer.status_code == 403, answer.text
            continue
        found = [one for one in answer.json().get("entry", ()) if one["search"]["mode"] == "match"]
        assert [one["resource"]["id"] for one in found] == [town.own_id(person, "Patient")] * (person in SEES[name])


@pytest.mark.parametrize("name", READERS)
async def test_times_are_found_and_booked_for_those_whom_one_may_see(name: str, callers: Callers, town: Town) -> None:
    caller = await callers(name)
    for person, side in PATIENTS.items():
        service = f"HealthcareService/{town.id(f'{side}-visit')}"
        first = town.first.isoformat()
        found = await caller.get(
            f"Appointment/$find?start={first}&end={first}&service={service}&patient={town.own(person)}"
        )
        free = await _proposal(town, side)
        for operation in ("$hold", "$book"):
            answer = await caller.call(f"Appointment/{operation}", **_booking(town, free, person))
            if person not in SEES[name]:
                assert answer.status_code in {403, 404}, (person, operation, answer.text)
                assert found.status_code in {403, 404}, (person, found.text)
                continue
            assert answer.status_code == 201, (person, operation, answer.text)
            id_ = answer.json()["id"]
            end = "$release" if operation == "$hold" else "$cancel"
            ended = await caller.call(f"Appointment/{id_}/{end}")
            assert ended.status_code == 200, ended.text


@pytest.mark.parametrize("name", READERS)
async def test_what_others_hold_and_booked_is_absent(name: str, callers: Callers, town: Town) -> None:
    caller = await callers(name)
    for person, side in PATIENTS.items():
        if person in SEES[name]:
            continue
        held = (
            await town.client.post("Appointment/$hold", json=_body(_booking(town, await _proposal(town, side), person)))
        ).json()
        booked = town.own_id(person, "Appointment")
        other = await _proposal(town)
        before = [(await town.client.get(f"Appointment/{one}")).content for one in (held["id"], booked)]
        for id_ in (held["id"], booked):
            told = [
                await caller.call(f"Appointment/{id_}/$cancel"),
                await caller.call(f"Appointment/{id_}/$release"),
                await caller.call(f"Appointment/{id_}/$extend-hold"),
                await caller.call(f"Appointment/{id_}/$reschedule", appointment=("Uri", f"Appointment/{other}")),
                await caller.call("Appointment/$book", appointment=("Uri", f"Appointment/{id_}")),
                await caller.call(
                    "Appointment/$book", **_booking(town, other, min(SEES[name])),
                    replaces=("Reference", {"reference": f"Appointment/{id_}"}),
                ),
            ]  # fmt: skip
            for one in told:
                assert one.status_code in {400, 403, 404}, (person, one.request.url, one.text)
            assert {one.status_code for one in told[:3]} <= {403, 404}, [one.text for one in told[:3]]
        after = [(await town.client.get(f"Appointment/{one}")).content for one in (held["id"], booked)]
        assert after == before
        await town.client.post(f"Appointment/{held['id']}/$release", json=_body({}))


def _body(arguments: dict[str, tuple[str, Any]]) -> dict[str, Any]:
    entries = [{"name": name, f"value{kind}": value} for name, (kind, value) in arguments.items()]
    return {"resourceType": "Parameters", "parameter": entries}


@pytest.mark.parametrize("name", ["app", "practitioner", "desk", "walled"])
async def test_the_other_clinic_has_no_times_for_who_is_inside_walls(name: str, callers: Callers, town: Town) -> None:
    caller = await callers(name)
    first = town.first.isoformat()
    south = f"Appointment/$find?start={first}&end={first}&service=HealthcareService/{town.id('south-visit')}"
    found = await caller.get(south)
    open_ = name == "app"  # patients go where they like
    assert (found.status_code == 200 and bool(found.json()["total"])) is open_, found.text
    free = await _proposal(town, "south")
    answer = await caller.call("Appointment/$hold", **_booking(town, free, "ann"))
    assert answer.status_code == (201 if open_ else 404), answer.text
    if open_:
        await caller.call(f"Appointment/{answer.json()['id']}/$release")


async def test_a_referral_of_somebody_else_is_none(callers: Callers, town: Town) -> None:
    """What is named beside the time tells nothing either."""
    ann = await callers("app")
    told = []
    for referral in (town.own("cia", "ServiceRequest"), f"ServiceRequest/{town.id('nothing')}"):
        answer = await ann.call(
            "Appointment/$book", **_booking(town, await _proposal(town), "ann"),
            based_on=("Reference", {"reference": referral}),
        )  # fmt: skip
        told.append(answer.status_code)
        if answer.status_code == 201:
            await town.client.post(f"Appointment/{answer.json()['id']}/$cancel", json=_body({}))
    assert told[0] == told[1], told


async def test_rules_are_set_aside_by_staff_alone(callers: Callers, town: Town) -> None:
    for name, status in (("app", 403), ("desk", 201)):
        caller = await callers(name)
        answer = await caller.call(
            "Appointment/$book", **_booking(town, await _proposal(town), "ann"), override=("Boolean", True),
            override_reason=("String", "because"),
        )  # fmt: skip
        assert answer.status_code == status, answer.text
    patient = await callers("app")
    seen = await patient.get(f"Appointment/{answer.json()['id']}")
    assert seen.status_code == 200
    assert "because" not in seen.text
    # Their own visit is theirs to move and to cancel all the same.
    moved = await patient.call(
        f"Appointment/{answer.json()['id']}/$reschedule", appointment=("Uri", f"Appointment/{await _proposal(town)}")
    )
    assert moved.status_code in {200, 201}, moved.text
    assert "because" not in moved.text
    ended = await patient.call(f"Appointment/{moved.json()['id']}/$cancel")
    assert ended.status_code == 200, ended.text


async def test_a_family_visit_shows_each_their_own_part(callers: Callers, town: Town) -> None:
    """C2: no trace of Ben in what Ann gets, and she cannot end what he takes part in."""
    url = f"Appointment/{town.id('together')}"
    ann, mother, desk = await callers("app"), await callers("parent"), await callers("desk")
    seen = (await ann.get(url)).json()
    actors = [one["actor"]["reference"] for one in seen["participant"]]
    assert actors == [town.own("ann"), f"Practitioner/{town.id('clark')}", f"Location/{town.id('north-room')}"]
    assert {"reasonCode", "comment", "description"}.isdisjoint(seen)
    theirs = [one["actor"]["reference"] for one in (await mother.get(url)).json()["participant"]]
    assert town.own("ben") in theirs
    assert town.own("ann") not in theirs
    assert {town.own("ann"), town.own("ben")} <= {
        one["actor"]["reference"] for one in (await desk.get(url)).json()["participant"]
    }
    before = (await town.client.get(url)).content
    other = await _proposal(town)
    for caller in (ann, mother):
        told = [
            await caller.call(f"{url}/$cancel"),
            await caller.call(f"{url}/$reschedule", appointment=("Uri", f"Appointment/{other}")),
            await caller.ask("PUT", url, json={**seen, "status": "cancelled"}),
            await caller.ask("PATCH", url, json=[{"op": "replace", "path": "/status", "value": "cancelled"}],
                             headers={"Content-Type": "application/json-patch+json"}),
            await caller.ask("DELETE", url),
            await caller.call(
                "Appointment/$book", **_booking(town, other, "ann" if caller is ann else "ben"),
                replaces=("Reference", {"reference": url}),
            ),
        ]  # fmt: skip
        assert {one.status_code for one in told} == {403}, [one.text for one in told]
    assert (await town.client.get(url)).content == before
    for question in ("part-status=tentative", f"actor={town.own('ben')}", f"patient={town.own('ben', 'Patient')}",
                     f"actor={town.own('ben', 'RelatedPerson')}", f"actor:not={town.own('ann')}"):  # fmt: skip
        told = await ann.get(f"Appointment?_id={town.id('together')}&{question}")
        assert told.status_code != 200 or told.json()["total"] == 0, (question, told.text)
    for more in ("/_history", "/_history/1"):
        assert (await ann.get(f"{url}{more}")).status_code == 200
    assert (await ann.get(f"Group/{town.id('family')}")).status_code == 200


async def test_ones_own_part_of_a_family_visit_can_be_answered(callers: Callers, town: Town) -> None:
    ann: Asker = await callers("app")
    answer = {"resourceType": "AppointmentResponse", "participantStatus": "declined",
              "actor": {"reference": town.own("ann")},
              "appointment": {"reference": f"Appointment/{town.id('together')}"}}  # fmt: skip
    assert (await ann.post("AppointmentResponse", answer)).status_code == 201
    foreign = {**answer, "actor": {"reference": town.own("ben")}}
    assert (await ann.post("AppointmentResponse", foreign)).status_code == 403
    whole = (await town.client.get(f"Appointment/{town.id('together')}")).json()
    assert len(whole["participant"]) == 5
    assert DOCTORS["ben"] in str(whole)

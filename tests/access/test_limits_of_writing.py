"""What patients may bring about, what break-glass does not open, and what a write tells of what is withheld."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.access.caller import Role
from tests.access.callers import ALL_USER, Asker, Callers
from tests.builders.clinic import proposals
from tests.builders.town import Town
from tests.tokens import account

PERSONS = ("app", "user", "parent")
OWNERS = {"app": "ann", "user": "ann", "parent": "ben"}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}


async def _patch(caller: Asker, url: str, *operations: dict[str, Any]) -> Any:
    return await caller.ask("PATCH", url, json=list(operations), headers=JSON_PATCH)


async def _without_calendars(town: Town) -> list[dict[str, str]]:
    """Equipment, a clinician and a room who have no Schedule."""
    await town.put({"resourceType": "Device", "id": town.id("scan"), "owner": town.ref("Organization", "north")})
    await town.put({"resourceType": "Practitioner", "id": town.id("idle"), "name": [{"family": "Idle"}]})
    kind = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/location-physical-type", "code": "ro"}]}
    await town.put({
        "resourceType": "Location", "id": town.id("oloc"), "status": "active", "physicalType": kind,
        "managingOrganization": town.ref("Organization", "south"),
    })  # fmt: skip
    # A Schedule that states no hours and has no Slots offers none.
    await town.put({"resourceType": "Device", "id": town.id("lamp"), "owner": town.ref("Organization", "north")})
    await town.put({"resourceType": "Schedule", "id": town.id("lamp-days"), "actor": [town.ref("Device", "lamp")]})
    return [town.ref(*one) for one in (("Device", "scan"), ("Practitioner", "idle"), ("Location", "oloc"),
                                       ("Device", "lamp"))]  # fmt: skip


def _visit(town: Town, person: str, *others: dict[str, str], **more: Any) -> dict[str, Any]:
    people = [{"reference": town.own(person)}, *others]
    return {
        "resourceType": "Appointment", "status": "booked", "start": town.at("09:00", 1), "end": town.at("09:30", 5),
        "participant": [{"actor": one, "status": "accepted"} for one in people], **more,
    }  # fmt: skip


def _in_bundle(resource: dict[str, Any]) -> dict[str, Any]:
    entry = {"resource": resource, "request": {"method": "POST", "url": resource["resourceType"]}}
    return {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}


@pytest.mark.parametrize("name", PERSONS)
async def test_patients_block_nobody_without_a_calendar(name: str, callers: Callers, town: Town) -> None:
    caller, person = await callers(name), OWNERS[name]
    for actor in await _without_calendars(town):
        for status in ("booked", "pending"):
            visit = _visit(town, person, actor, status=status)
            for answer in (await caller.post("Appointment", visit), await caller.post("", _in_bundle(visit))):
                assert answer.status_code == 422, (actor, answer.text)
                assert "offer" in answer.text
        for operation in ("$book", "$hold"):
            answer = await caller.call(f"Appointment/{operation}", resource=("resource", _visit(town, person, actor)))
            assert answer.status_code == 422, (operation, actor, answer.text)
        # Beside somebody who has a Schedule, at a time that is free.
        clock = {"start": town.at("11:00", 1), "end": town.at("11:30", 1)}
        visit = _visit(town, person, town.ref("Practitioner", "adams"), actor, **clock)
        answer = await caller.post("Appointment", visit)
        assert answer.status_code == 422, answer.text
        assert actor["reference"] in answer.text or "lamp-days" in answer.text
        # A request without a claim on anybody's time is no harm; making a booking of it is.
        asked = await caller.post("Appointment", _visit(town, person, actor, status="proposed"))
        assert asked.status_code == 201, asked.text
        url = f"Appointment/{asked.json()['id']}"
        answer = await _patch(caller, url, {"op": "replace", "path": "/status", "value": "booked"})
        assert answer.status_code == 422, answer.text
        assert (await caller.put({**asked.json(), "status": "booked"})).status_code == 422
    alone = await caller.post("Appointment", _visit(town, person))
    assert alone.status_code == 422, alone.text


async def test_patients_add_nobody_to_what_they_booked(callers: Callers, town: Town) -> None:
    caller = await callers("app")
    clock = {"start": town.at("11:00", 2), "end": town.at("11:30", 2)}
    made = await caller.post("Appointment", _visit(town, "ann", town.ref("Practitioner", "adams"), **clock))
    assert made.status_code == 201, made.text
    url = f"Appointment/{made.json()['id']}"
    for actor in await _without_calendars(town):
        more = {"op": "add", "path": "/participant/-", "value": {"actor": actor, "status": "accepted"}}
        assert (await _patch(caller, url, more)).status_code == 403, actor
    # What the clinic added stays when the patient moves the visit.
    device = {"actor": town.ref("Device", "scan"), "status": "accepted"}
    whole = (await town.client.get(url)).json()
    await town.put({**whole, "participant": [*whole["participant"], device]})
    later = {"start": ("DateTime", town.at("14:00", 2))}
    moved = await caller.call(f"{url}/$reschedule", **later)
    assert moved.status_code == 200, moved.text
    assert town.id("scan") in moved.text
    assert (await caller.call(f"{url}/$cancel")).status_code == 200


async def test_what_became_of_a_visit_is_the_clinics_to_say(callers: Callers, town: Town) -> None:
    caller = await callers("app")
    for status in ("fulfilled", "noshow", "arrived", "checked-in", "entered-in-error"):
        for clock in ({"start": town.at("11:00", 3), "end": town.at("11:30", 3)},
                      {"start": "2020-01-06T11:00:00Z", "end": "2020-01-06T11:30:00Z"}):  # fmt: skip
            visit = _visit(town, "ann", town.ref("Practitioner", "adams"), status=status, **clock)
            assert (await caller.post("Appointment", visit)).status_code == 403, status
            assert (await caller.post("", _in_bundle(visit))).status_code == 403, status
        answer = await _patch(
            caller, town.own("ann", "Appointment"), {"op": "replace", "path": "/status", "value": status}
        )
        assert answer.status_code == 403, (status, answer.text)
    seen = (await caller.get(town.own("ann", "Appointment"))).json()
    assert (await caller.put({**seen, "status": "fulfilled"})).status_code == 403
    assert (await town.client.get(town.own("ann", "Appointment"))).json()["status"] == "booked"
    waiting = await caller.post("Appointment", {
        "resourceType": "Appointment", "status": "waitlist", "participant": [
            {"actor": {"reference": town.own("ann")}, "status": "accepted"}]})  # fmt: skip
    assert waiting.status_code == 201, waiting.text


async def test_nothing_hidden_is_referred_to(callers: Callers, town: Town) -> None:
    """An order, a visit of somebody else: the same refusal as of one that is not there."""
    caller, adams = await callers("app"), await callers("practitioner")
    for visit, status in ((town.own("cia", "Appointment"), 403), (f"Appointment/{town.id('none')}", 403),
                          (town.own("ann", "Appointment"), 201)):  # fmt: skip
        answer = {"resourceType": "AppointmentResponse", "participantStatus": "accepted",
                  "actor": {"reference": town.own("ann")}, "appointment": {"reference": visit}}  # fmt: skip
        for one in (caller, adams):
            assert (await one.post("AppointmentResponse", answer)).status_code == status, visit
    for order, status in ((town.own("cia", "ServiceRequest"), 403), (f"ServiceRequest/{town.id('none')}", 403),
                          (town.own("ann", "ServiceRequest"), 201)):  # fmt: skip
        asked = _visit(town, "ann", status="proposed", basedOn=[{"reference": order}])
        for one in (caller, adams):
            assert (await one.post("Appointment", asked)).status_code == status, order


async def test_what_break_glass_opens_is_not_written(callers: Callers, town: Town) -> None:
    who = account(
        Role.PRACTITIONER, f"Practitioner/{town.id('adams')}", clinics=frozenset({f"Organization/{town.id('north')}"})
    )
    adams = callers.asker("practitioner", await callers.issuer.person(who, ALL_USER))
    adams.hidden -= town.about("ben")
    assert (await adams.get(town.own("ben"))).status_code == 404
    opened = await adams.call(f"{town.own('ben')}/$break-glass", reason=("String", "found unconscious in the hall"))
    assert opened.status_code == 200, opened.text
    for type_ in ("Patient", "Appointment", "Consent", "Encounter"):
        assert (await adams.get(town.own("ben", type_))).status_code == 200, type_
    doctor = {"op": "add", "path": "/generalPractitioner", "value": [town.ref("Practitioner", "adams")]}
    assert (await _patch(adams, town.own("ben"), doctor)).status_code == 403
    clock = {"start": town.at("16:00", 3), "end": town.at("16:30", 3)}
    visit = _visit(town, "ben", town.ref("Practitioner", "adams"), **clock)
    told = [
        await adams.post("Appointment", visit),
        await adams.post("", _in_bundle(visit)),
        await adams.call("Appointment/$book", resource=("resource", visit)),
        await adams.call("Appointment/$hold", resource=("resource", visit)),
        await adams.post("Appointment", {**visit, "status": "fulfilled"}),
    ]
    for type_ in ("Consent", "Encounter", "ServiceRequest", "Flag"):
        whole = (await adams.get(town.own("ben", type_))).json()
        told.append(await adams.post(type_, {name: one for name, one in whole.items() if name not in {"id", "meta"}}))
        told.append(await _patch(adams, town.own("ben", type_), {"op": "add", "path": "/language", "value": "de"}))
    assert {one.status_code for one in told} == {403}, [(one.request.url, one.status_code, one.text) for one in told]


@pytest.mark.parametrize("name", ["desk", "administrator"])
async def test_a_write_does_not_tell_what_is_withheld(name: str, callers: Callers, town: Town) -> None:
    """Stored wins on a change, whether there is something or nothing; what is new may say what its writer was told."""
    desk = await callers(name)
    free = proposals(await town.find(service=f"HealthcareService/{town.id('north-visit')}", _count="1000"))[-1]
    visit = _visit(town, "ann", town.ref("Practitioner", "adams"), start=free["start"], end=free["end"],
                   comment=town.id("told"))  # fmt: skip
    made = await desk.post("Appointment", visit)
    assert made.status_code == 201, made.text
    url = f"Appointment/{made.json()['id']}"
    assert (await town.client.get(url)).json()["comment"] == town.id("told")
    for element in ("comment", "patientInstruction", "description"):
        answer = await _patch(desk, url, {"op": "add", "path": f"/{element}", "value": "guess"})
        assert answer.status_code == 200, answer.text
        assert answer.json()["meta"]["versionId"] == "1", element
    whole = (await town.client.get(url)).json()
    assert (whole["comment"], whole["meta"]["versionId"]) == (town.id("told"), "1")
    assert "patientInstruction" not in whole
    assert (await desk.call(f"{url}/$cancel")).status_code == 200


async def test_hidden_participants_keep_their_places(callers: Callers, town: Town) -> None:
    url = f"Appointment/{town.id('together')}"
    before = (await town.client.get(url)).json()
    for name in ("app", "parent"):
        answer = await _patch(await callers(name), url, {"op": "add", "path": "/comment", "value": "guess"})
        assert answer.status_code == 200, answer.text
    assert (await town.client.get(url)).json() == before

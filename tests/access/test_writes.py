"""Writes: what was there and what is to be there are both the caller's (V1, V8, V21, V22, S15)."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.access.callers import SEES, Asker, Callers
from tests.builders.town import OF_PATIENTS, PATIENTS, Town

WRITERS = tuple(one for one in SEES if one not in {"auditor", "unlimited"})
PERSONS = ("app", "user", "parent", "delegate")
JSON_PATCH = {"Content-Type": "application/json-patch+json"}


async def _stored(town: Town, reference: str) -> bytes:
    answer = await town.client.get(reference)
    assert answer.status_code == 200, answer.text
    content: bytes = answer.content
    return content


async def _whole(town: Town, person: str, type_: str) -> dict[str, Any]:
    found: dict[str, Any] = (await town.client.get(town.own(person, type_))).json()
    return found


@pytest.mark.parametrize("name", WRITERS)
async def test_nothing_hidden_is_changed(name: str, callers: Callers, town: Town) -> None:
    caller = await callers(name)
    for person in sorted(set(PATIENTS) - SEES[name]):
        for type_ in OF_PATIENTS:
            url = town.own(person, type_)
            before = await _stored(town, url)
            body = {**(await _whole(town, person, type_)), "language": "fr"}
            asked = [
                await caller.ask("PUT", url, json=body),
                await caller.ask("PUT", url, json=body, headers={"If-Match": 'W/"1"'}),
                await caller.ask("PUT", f"{type_}?_id={url.partition('/')[2]}", json=body),
                await caller.ask("PATCH", url, json=[{"op": "add", "path": "/language", "value": "fr"}],
                                 headers=JSON_PATCH),
                await caller.ask("DELETE", url),
                await caller.post(f"{url}/$meta-add", _meta("urn:x", "x")),
                await caller.post(f"{url}/$meta-delete", _meta("urn:x", "x")),
                await caller.get(f"{url}/$meta"),
                await caller.get(f"{url}/$validate"),
            ]  # fmt: skip
            told = [one.status_code for one in asked]
            assert set(told) <= {204, 400, 403, 404, 409, 412}, (type_, person, told, [one.text for one in asked])
            assert 204 not in told[:4] + told[5:], (type_, person, told)
            assert await _stored(town, url) == before, (type_, person)


def _meta(system: str, code: str) -> dict[str, Any]:
    tag = {"tag": [{"system": system, "code": code}]}
    return {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": tag}]}


@pytest.mark.parametrize("name", WRITERS)
async def test_nobody_writes_about_somebody_they_do_not_see(name: str, callers: Callers, town: Town) -> None:
    """New content about others, whether they are there or not."""
    caller = await callers(name)
    for person in sorted(set(PATIENTS) - SEES[name]):
        told = set()
        for who in (town.own(person), f"Patient/{town.id('nobody')}"):
            for type_ in ("Appointment", "AppointmentResponse", "Coverage", "Encounter", "Consent", "ServiceRequest",
                          "RelatedPerson", "Flag"):  # fmt: skip
                body = _about(town, type_, who)
                answer = await caller.post(type_, body)
                assert answer.status_code in {403, 404}, (type_, who, answer.text)
                told.add((type_, answer.status_code))
        assert len({type_ for type_, _ in told}) == len(told), told


def _about(town: Town, type_: str, who: str) -> dict[str, Any]:
    text = orjson.dumps(town.stolen(type_, {})).decode()
    found: dict[str, Any] = orjson.loads(text.replace(town.own("ann"), who))
    del found["id"]
    found.pop("extension", None)
    if type_ == "Appointment":
        found |= {"status": "proposed"}
        found["participant"] = found["participant"][:1]
    return found


@pytest.mark.parametrize("name", ["app", "user", "practitioner", "desk", "walled"])
async def test_nothing_is_moved_to_somebody_else(name: str, callers: Callers, town: Town) -> None:
    """A of an Appointment, Coverage or answer becomes B: refused; and the other way round nothing is taken."""
    caller = await callers(name)
    ids = {type_: town.id(f"mine-{name}-{type_.lower()}") for type_ in ("Appointment", "AppointmentResponse")}
    for type_, id_ in ids.items():
        await town.put({**_about(town, type_, town.own("ann")), "id": id_})
        body = {**_about(town, type_, town.own("cia")), "id": id_}
        answer = await caller.put(body)
        assert answer.status_code == 403, (type_, answer.text)
        place = "/participant/0/actor/reference" if type_ == "Appointment" else "/actor/reference"
        patch = [{"op": "replace", "path": place, "value": town.own("cia")}]
        answer = await caller.ask("PATCH", f"{type_}/{id_}", json=patch, headers=JSON_PATCH)
        assert answer.status_code == 403, (type_, answer.text)
        assert town.mark("id cia").encode() not in await _stored(town, f"{type_}/{id_}")


@pytest.mark.parametrize("name", PERSONS)
async def test_persons_change_only_what_is_theirs_to_say(name: str, callers: Callers, town: Town) -> None:
    caller = await callers(name)
    person = next(iter(SEES[name]))
    for patch, status in (
        ({"path": "/identifier/0/value", "value": "x"}, 403), ({"path": "/managingOrganization/reference",
          "value": f"Organization/{town.id('south')}x"}, 403),
        ({"path": "/generalPractitioner", "value": [town.ref("Practitioner", "adams")]}, 403),
        ({"path": "/birthDate", "value": "1999-01-01"}, 403), ({"path": "/active", "value": False}, 403),
        ({"path": "/link", "value": [{"other": {"reference": town.own("cia")}, "type": "seealso"}]}, 403),
        ({"path": "/gender", "value": "other"}, 200), ({"path": "/language", "value": "de"}, 200),
    ):  # fmt: skip
        answer = await caller.ask("PATCH", town.own(person), json=[{"op": "add", **patch}], headers=JSON_PATCH)
        assert answer.status_code == status, (patch, answer.text)
    for type_ in ("Coverage", "Consent", "RelatedPerson", "ServiceRequest", "Encounter", "Flag"):
        body = {**(await _whole(town, person, type_)), "language": "de"}
        assert (await caller.put(body)).status_code == 403, type_
    for type_, id_ in (("Slot", "adams-free"), ("Schedule", "adams-days"), ("Organization", "north"),
                       ("Practitioner", "adams"), ("Location", "north-room")):  # fmt: skip
        body = {**(await town.client.get(f"{type_}/{town.id(id_)}")).json(), "language": "de"}
        assert (await caller.put(body)).status_code == 403, type_
    new = {"resourceType": "Patient", "name": [{"family": "New"}]}
    assert (await caller.post("Patient", new)).status_code == 403


async def test_labels_and_facts_of_the_server_are_not_the_clients_to_set(callers: Callers, town: Town) -> None:
    """meta, and members that only the store has."""
    caller = await callers("app")
    body = await _whole(town, "ann", "Patient")
    asked = {
        **body,
        "language": "it",
        "meta": {**body["meta"], "versionId": "99", "lastUpdated": "1999-01-01T00:00:00Z"},
    }
    answer = await caller.put(asked)
    assert answer.status_code == 200, answer.text
    assert answer.json()["meta"]["versionId"] != "99"
    for more in ({"patients": [town.own("cia")]}, {"clinics": ["Organization/1"]}, {"_class": "x"}, {"extra": {}},
                 {"idx": {}}, {"by": {}}, {"tenant": "x"}):  # fmt: skip
        answer = await caller.put({**body, "language": "es", **more})
        assert answer.status_code == 400, (more, answer.text)
    await caller.put(body)


@pytest.mark.parametrize("name", ["desk", "administrator", "walled", "practitioner"])
async def test_walls_stand_around_writes(name: str, callers: Callers, town: Town) -> None:
    """Slots, Schedules and set-up of the other clinic; what moves a thing of ours over there."""
    caller = await callers(name)
    for type_, id_ in (("Slot", "baker-free"), ("Schedule", "baker-days"), ("Organization", "south"),
                       ("Location", "south-room"), ("HealthcareService", "south-visit"),
                       ("PractitionerRole", "baker-role")):  # fmt: skip
        before = await _stored(town, f"{type_}/{town.id(id_)}")
        body = {**(await town.client.get(f"{type_}/{town.id(id_)}")).json(), "language": "de"}
        assert (await caller.put(body)).status_code in {403, 404}, type_
        assert (await caller.ask("DELETE", f"{type_}/{town.id(id_)}")).status_code in {204, 403, 404}, type_
        assert await _stored(town, f"{type_}/{town.id(id_)}") == before, type_
    own = (await town.client.get(f"Slot/{town.id('adams-free')}")).json()
    answer = await caller.put({**own, "schedule": town.ref("Schedule", "baker-days")})
    assert answer.status_code in {400, 403, 404, 409, 422}, answer.text
    slot = {"resourceType": "Slot", "status": "busy-unavailable", "schedule": town.ref("Schedule", "baker-days"),
            "start": town.at("14:00"), "end": town.at("14:30")}  # fmt: skip
    assert (await caller.post("Slot", slot)).status_code in {403, 404}
    moved = {**(await _whole(town, "ann", "Patient")), "managingOrganization": town.ref("Organization", "south")}
    answer = await caller.put(moved)
    assert answer.status_code == 403, answer.text


async def test_a_patients_own_changes_are_kept(callers: Callers, town: Town) -> None:
    """Cancelling by PUT what the caller sees: what they do not see stays as it was."""
    caller = await callers("app")
    seen = (await caller.get(town.own("ann", "Appointment"))).json()
    assert town.staff not in str(seen)
    answer = await caller.put({**seen, "status": "cancelled", "cancelationReason": {"text": "better"}})
    assert answer.status_code == 200, answer.text
    whole = await _whole(town, "ann", "Appointment")
    assert whole["status"] == "cancelled"
    assert town.staff in str(whole["extension"])
    assert "security" not in whole["meta"]


@pytest.mark.parametrize("name", ["app", "parent"])
async def test_an_idempotency_key_is_of_its_caller(name: str, callers: Callers, town: Town) -> None:
    key = {"Idempotency-Key": town.id("key")}
    body = {"resourceType": "AppointmentResponse", "participantStatus": "accepted", "comment": town.word("cia"),
            "actor": {"reference": town.own("cia")},
            "appointment": {"reference": town.own("cia", "Appointment")}}  # fmt: skip
    theirs: Asker = await callers("delegate")
    first = await theirs.post("AppointmentResponse", body, headers=key)
    assert first.status_code == 201, first.text
    again = await theirs.post("AppointmentResponse", body, headers=key)
    assert again.headers.get("idempotent-replayed") == "true"
    answer = await (await callers(name)).post("AppointmentResponse", body, headers=key)
    assert answer.status_code == 403, answer.text
    assert "idempotent-replayed" not in answer.headers

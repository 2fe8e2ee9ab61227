"""POST, PUT, PATCH and DELETE of an Appointment obey the booking engine: the same refusals, the same freed time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.builders.answers import codes, refused
from tests.builders.clinic import part, policy, proposals
from tests.builders.visits import Visits

Go = Callable[[str], None]
JSON_PATCH = {"Content-Type": "application/json-patch+json"}


@pytest.fixture
async def clinic(client: Any) -> Visits:
    return await Visits(client).opened()


async def _patch(clinic: Visits, id_: str, *operations: tuple[str, Any]) -> Any:
    body = [{"op": "replace", "path": path, "value": value} for path, value in operations]
    return await clinic.client.patch(f"Appointment/{id_}", json=body, headers=JSON_PATCH)


async def _posted(clinic: Visits, **more: Any) -> dict[str, Any]:
    answer = await clinic.client.post("Appointment", json=clinic.appointment(**more))
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_a_posted_booking_takes_its_time(clinic: Visits) -> None:
    sent = clinic.appointment()
    booked = await _posted(clinic)
    assert {name: booked[name] for name in sent} == sent
    assert "09:00" not in await clinic.free()
    for method, url in (("POST", "Appointment"), ("PUT", f"Appointment/{clinic.id('mine')}")):
        body = clinic.appointment(patient="other", **({"id": clinic.id("mine")} if method == "PUT" else {}))
        outcome = refused(await clinic.client.request(method, url, json=body), 409, "slot-taken")
        assert outcome["contained"][0]["start"] == clinic.at("09:30")


async def test_a_posted_booking_by_slot(clinic: Visits) -> None:
    slot = proposals(await clinic.find(service=clinic.visit))[0]["slot"]
    booked = await _posted(clinic, slot=slot)
    assert booked["slot"] == slot
    assert (await clinic.read(slot[0]["reference"]))["status"] == "busy"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"clock": "20:00", "end": "20:30"}, "closed"),
        ({"clock": "09:00", "end": "09:10"}, "closed-or-length"),
        ({"clock": "16:45", "end": "17:15"}, "closed"),
    ],
)
async def test_the_rules_hold_for_a_post(clinic: Visits, change: dict[str, str], code: str) -> None:
    body = clinic.appointment(**change, serviceType=(await clinic.read(clinic.visit))["type"])
    answer = await clinic.client.post("Appointment", json=body)
    refused(answer, 422)
    assert set(codes(answer)) & ({"closed"} if code == "closed" else {"not-offered"})


async def test_limits_and_referrals_hold_for_a_post(client: Any) -> None:
    clinic = await Visits(client).opened(
        policy(("online", "day", 1)), parts=(part("referralRequired", "Boolean", True),)
    )
    kind = (await clinic.read(clinic.visit))["type"]
    body = clinic.appointment(serviceType=kind)
    refused(await client.post("Appointment", json=body), 422, "referral-required")
    for name in ("pat", "other"):
        await clinic.put({"resourceType": "ServiceRequest", "id": clinic.id(f"r{name}"), "status": "active",
                          "intent": "order", "subject": clinic.who(name)})  # fmt: skip
    await _posted(clinic, serviceType=kind)
    second = clinic.appointment("10:00", "10:30", "other", serviceType=kind)
    refused(await client.post("Appointment", json=second), 422, "booking-limit")


async def test_a_patient_is_not_in_two_places(clinic: Visits) -> None:
    await _posted(clinic)
    second = await clinic.practitioner("second")
    body = clinic.appointment()
    body["participant"][1]["actor"] = {"reference": second}
    refused(await clinic.client.post("Appointment", json=body), 409, "patient-conflict")


async def test_a_practitioner_by_role_or_identifier_is_the_same_human(clinic: Visits) -> None:
    await clinic.put(
        {
            "resourceType": "PractitionerRole",
            "id": clinic.id("role"),
            "practitioner": {"reference": f"Practitioner/{clinic.id('doc')}"},
        }
    )
    doc = await clinic.read(f"Practitioner/{clinic.id('doc')}")
    await clinic.put({**doc, "identifier": [{"system": "urn:npi", "value": clinic.id("npi")}]})
    await _posted(clinic)
    for actor in (
        {"reference": f"PractitionerRole/{clinic.id('role')}"},
        {"type": "Practitioner", "identifier": {"system": "urn:npi", "value": clinic.id("npi")}},
        {"reference": f"Practitioner/{clinic.id('doc')}/_history/1"},
    ):
        body = clinic.appointment(patient="other")
        body["participant"][1]["actor"] = actor
        refused(await clinic.client.post("Appointment", json=body), 409, "slot-taken")


@pytest.mark.parametrize("way", ["patch", "put", "delete", "entered-in-error"])
async def test_every_way_of_ending_a_booking_frees_its_time_at_once(clinic: Visits, way: str) -> None:
    booked = await clinic.booked()
    url = f"Appointment/{booked['id']}"
    if way == "patch":
        answer = await _patch(clinic, booked["id"], ("/status", "cancelled"))
    elif way == "put":
        answer = await clinic.client.put(url, json={**booked, "status": "cancelled"})
    elif way == "delete":
        answer = await clinic.client.delete(url)
    else:
        answer = await _patch(clinic, booked["id"], ("/status", "entered-in-error"))
    assert answer.status_code in {200, 204}, answer.text
    assert (await clinic.read(booked["slot"][0]["reference"]))["status"] == "free"
    again = await clinic.booked(patient="other")
    assert again["start"] == booked["start"]


async def test_the_patient_is_free_again_too(clinic: Visits) -> None:
    booked = await clinic.booked()
    await clinic.schedule("t", [await clinic.practitioner("second")], [clinic.visit])
    other = {"practitioner": f"Practitioner/{clinic.id('second')}", "patient": f"Patient/{clinic.id('pat')}"}
    assert "09:00" not in await clinic.free(**other)
    await _patch(clinic, booked["id"], ("/status", "cancelled"))
    assert "09:00" in await clinic.free(**other)


async def test_a_noshow_keeps_its_time(clinic: Visits, go: Go) -> None:
    booked = await clinic.booked()
    go(clinic.at("09:20"))
    assert (await _patch(clinic, booked["id"], ("/status", "noshow"))).status_code == 200
    go("")
    assert "09:00" not in await clinic.free()


OVER = {"fulfilled", "noshow"}
TRANSITIONS = {
    "proposed": {"pending", "booked", "cancelled"},
    "pending": {"booked", "waitlist", "cancelled"},
    "booked": {"arrived", "checked-in", "fulfilled", "noshow", "cancelled"},
    "arrived": {"checked-in", "fulfilled", "cancelled"},
    "checked-in": {"fulfilled", "cancelled"},
    "waitlist": {"pending", "cancelled"},
    "fulfilled": set(),
    "noshow": set(),
    "cancelled": set(),
    "entered-in-error": set(),
}


@pytest.mark.parametrize("before", sorted(TRANSITIONS))
@pytest.mark.parametrize("way", ["PUT", "PATCH"])
async def test_the_state_table(clinic: Visits, go: Go, before: str, way: str) -> None:
    """Before the visit where it can be; what became of it is said when it is over."""
    for number, after in enumerate(sorted(TRANSITIONS)):
        if after == before:
            continue
        day = {"start": clinic.at("09:00", number), "end": clinic.at("09:30", number)}
        id_ = clinic.id(f"{before}-{after}-{way.lower()}")
        go(clinic.at("09:40" if before in OVER else "08:30", number))
        stored = await clinic.put(clinic.appointment(id=id_, status=before) | day)
        if after in OVER & TRANSITIONS[before]:
            go(clinic.at("09:40", number))
        if way == "PUT":
            answer = await clinic.client.put(f"Appointment/{id_}", json={**stored, "status": after})
        else:
            answer = await _patch(clinic, id_, ("/status", after))
        if after in TRANSITIONS[before] | {"entered-in-error"}:
            assert (answer.status_code, answer.json()["status"]) == (200, after), (before, after, answer.text)
        else:
            refused(answer, 422, "illegal-transition")
            assert (await clinic.read(f"Appointment/{id_}"))["status"] == before
        await clinic.client.delete(f"Appointment/{id_}")  # holds are capped


@pytest.mark.parametrize("way", ["put", "patch"])
async def test_a_moved_time_goes_through_the_engine(clinic: Visits, way: str) -> None:
    booked, other = await clinic.booked(), await clinic.booked("10:00", "other")
    bare = {name: value for name, value in booked.items() if name != "slot"}
    bare = await clinic.put(bare)

    async def move(clock: str, end: str) -> Any:
        changed = {"start": clinic.at(clock), "end": clinic.at(end)}
        if way == "put":
            return await clinic.client.put(f"Appointment/{booked['id']}", json={**bare, **changed})
        return await _patch(clinic, booked["id"], ("/start", changed["start"]), ("/end", changed["end"]))

    refused(await move("10:00", "10:30"), 409, "slot-taken")
    refused(await move("20:00", "20:30"), 422, "closed")
    assert (await clinic.read(f"Appointment/{booked['id']}"))["start"] == clinic.at("09:00")
    assert "09:00" not in await clinic.free()
    assert (await move("11:00", "11:30")).status_code == 200
    free = await clinic.free()
    assert "09:00" in free
    assert {"10:00", "11:00"}.isdisjoint(free)
    assert await clinic.read(f"Appointment/{other['id']}") == other


async def test_a_patched_participant_goes_through_the_engine(clinic: Visits) -> None:
    second = await clinic.practitioner("second")
    await clinic.schedule("t", [second], [clinic.visit])
    mine = await _posted(clinic)
    theirs = clinic.appointment(patient="other")
    theirs["participant"][1]["actor"] = {"reference": second}
    assert (await clinic.client.post("Appointment", json=theirs)).status_code == 201
    refused(await _patch(clinic, mine["id"], ("/participant/1/actor/reference", second)), 409, "slot-taken")
    refused(await _patch(clinic, mine["id"], ("/participant/0/actor", clinic.who("other"))), 409, "patient-conflict")


async def test_a_proposed_one_takes_no_time_until_it_is_booked(clinic: Visits) -> None:
    proposed = await _posted(clinic, status="proposed")
    assert "09:00" in await clinic.free()
    await clinic.booked(patient="other")
    refused(await _patch(clinic, proposed["id"], ("/status", "booked")), 409, "slot-taken")


async def test_a_deleted_booking_comes_back_only_if_its_time_is_free(clinic: Visits) -> None:
    mine = await _posted(clinic)
    await clinic.client.delete(f"Appointment/{mine['id']}")
    other = await clinic.booked(patient="other")
    refused(await clinic.client.put(f"Appointment/{mine['id']}", json=mine), 409, "slot-taken")
    await clinic.client.delete(f"Appointment/{other['id']}")
    answer = await clinic.client.put(f"Appointment/{mine['id']}", json=mine)
    assert (answer.status_code, answer.headers["ETag"]) == (201, 'W/"3"')
    assert "09:00" not in await clinic.free()


async def test_a_harmless_edit_keeps_the_booking(clinic: Visits) -> None:
    booked = await clinic.booked()
    answer = await _patch(clinic, booked["id"], ("/participant/0/status", "accepted"))
    assert answer.status_code == 200, answer.text
    note = await clinic.client.put(f"Appointment/{booked['id']}", json={**answer.json(), "comment": "stairs"})
    assert (note.status_code, note.json()["comment"]) == (200, "stairs")
    assert "09:00" not in await clinic.free()
    assert (await clinic.act(booked["id"], "$cancel")).status_code == 200
    assert "09:00" in await clinic.free()


async def test_conditional_and_keyed_posts_book_once(clinic: Visits) -> None:
    identifier = {"system": "urn:orders", "value": clinic.id("order")}
    body = clinic.appointment(identifier=[identifier])
    criteria = {"If-None-Exist": f"identifier=urn:orders|{clinic.id('order')}"}
    first, again = [await clinic.client.post("Appointment", json=body, headers=criteria) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    key = {"Idempotency-Key": clinic.id("key")}
    later = clinic.appointment("10:00", "10:30")
    first, again = [await clinic.client.post("Appointment", json=later, headers=key) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content


async def test_a_placers_identifier_books_once_by_plain_post(clinic: Visits) -> None:
    identifier = {"type": {"coding": [{"code": "PLAC"}]}, "system": "urn:orders", "value": clinic.id("order")}
    first, again = [
        await clinic.client.post("Appointment", json=clinic.appointment(identifier=[identifier])) for _ in range(2)
    ]
    assert (first.status_code, again.status_code) == (201, 201), again.text
    assert first.json()["id"] == again.json()["id"]

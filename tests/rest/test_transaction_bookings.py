"""Transactions of Appointments and Slots: one engine, any order of entries, all or nothing."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from fhir_server.services.world import World
from tests.builders.answers import codes, expressions, refused
from tests.builders.bundles import create, entry, reference, send, sent, statuses, update, urn
from tests.builders.clinic import availability, proposals
from tests.builders.visits import Visits
from tests.concurrency.rush import sound


@pytest.fixture
async def clinic(client: Any) -> Visits:
    return await Visits(client).opened()


@pytest.fixture
async def published(client: Any) -> Visits:
    """A clinic whose EHR posts Slots: ``slot`` from nine to half past nine."""
    clinic = Visits(client)
    await clinic.practitioner()
    for name in ("pat", "other"):
        await clinic.patient(name)
    await clinic.schedule("s", [f"Practitioner/{clinic.id('doc')}"], [], open_=False)
    await clinic.put(slot(clinic))
    return clinic


def slot(clinic: Visits, name: str = "slot", clock: str = "09:00", end: str = "09:30", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Slot", "id": clinic.id(name), "schedule": {"reference": f"Schedule/{clinic.id('s')}"},
        "status": "free", "start": clinic.at(clock), "end": clinic.at(end), **more,
    }  # fmt: skip


def visit(clinic: Visits, slot_: str, **more: Any) -> dict[str, Any]:
    return clinic.appointment(slot=[{"reference": slot_}], **more)


async def _slot(clinic: Visits, clock: str = "09:00") -> str:
    """The computed Slot at a time."""
    found = proposals(await clinic.find(service=clinic.visit))
    return next(one["slot"][0]["reference"] for one in found if one["start"] == clinic.at(clock))


@pytest.mark.parametrize("turned", [False, True])
async def test_the_booking_of_an_ehr_in_either_order(published: Visits, world: World, *, turned: bool) -> None:
    url = f"Slot/{published.id('slot')}"
    entries = [
        create(visit(published, url)),
        update(slot(published, status="busy"), ifMatch='W/"1"'),
    ]
    answered = await sent(published.client, *(reversed(entries) if turned else entries))
    assert sorted(statuses(answered)) == [200, 201]
    assert (await published.read(url))["status"] == "busy"
    found = (await published.client.get("Appointment", params={"slot": url, "status": "booked"})).json()
    assert found["total"] == 1
    await sound(world)
    again = [create(visit(published, url, patient="other")), update(slot(published, status="busy"), ifMatch='W/"1"')]
    refused(await send(published.client, *again), 412)
    outcome = refused(await send(published.client, again[0]), 409, "slot-taken")
    assert expressions(outcome)[0].startswith("Bundle.entry[0].resource.")


@pytest.mark.parametrize("turned", [False, True])
async def test_a_computed_slot_is_booked_and_put(clinic: Visits, world: World, *, turned: bool) -> None:
    url = await _slot(clinic)
    busy = {**(await clinic.read(url)), "status": "busy"}
    entries = [create(visit(clinic, url)), update(busy)]
    answered = await sent(clinic.client, *(reversed(entries) if turned else entries))
    assert len(answered) == 2
    assert (await clinic.read(url))["status"] == "busy"
    assert "09:00" not in await clinic.free()
    await sound(world)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("way", ["put", "patch", "delete"])
async def test_cancelled_and_freed(published: Visits, world: World, way: str, *, turned: bool) -> None:
    client, url = published.client, f"Slot/{published.id('slot')}"
    booked, _ = await sent(client, create(visit(published, url)), update(slot(published, status="busy")))
    made = reference(booked)
    current = await published.read(made)
    end = {
        "put": update({**current, "status": "cancelled"}, ifMatch='W/"1"'),
        "patch": entry("PATCH", made, _patch("Appointment.status", "cancelled"), ifMatch='W/"1"'),
        "delete": entry("DELETE", made, ifMatch='W/"1"'),
    }[way]
    tag = (await client.get(url)).headers["ETag"]
    entries = [end, update(slot(published), ifMatch=tag), create(visit(published, url, patient="other"))]
    answered = await sent(client, *(reversed(entries) if turned else entries))
    assert sorted(statuses(answered)) == [200, 201, 204] if way == "delete" else [200, 200, 201]
    assert (await published.read(url))["status"] == "busy"
    await sound(world)


def _patch(path: str, code: str) -> dict[str, Any]:
    parts = [
        {"name": "type", "valueCode": "replace"},
        {"name": "path", "valueString": path},
        {"name": "value", "valueCode": code},
    ]
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}


@pytest.mark.parametrize("turned", [False, True])
async def test_a_block_is_lifted_and_booked(clinic: Visits, world: World, *, turned: bool) -> None:
    url = await _slot(clinic)
    blocked = {**(await clinic.read(url)), "status": "busy-unavailable"}
    assert (await clinic.client.put(url, json=blocked)).status_code == 201
    refused(await clinic.client.post("Appointment", json=visit(clinic, url)), 409, "slot-taken")
    entries = [update({**blocked, "status": "free"}), create(visit(clinic, url))]
    await sent(clinic.client, *(reversed(entries) if turned else entries))
    assert (await clinic.read(url))["status"] == "busy"
    await sound(world)


async def test_cancelled_and_blocked(clinic: Visits, world: World) -> None:
    booked = await clinic.booked()
    url = booked["slot"][0]["reference"]
    block = {**(await clinic.read(url)), "status": "busy-unavailable"}
    await sent(clinic.client, update(block), update({**booked, "status": "cancelled"}))
    assert (await clinic.read(url))["status"] == "busy-unavailable"
    assert "09:00" not in await clinic.free()
    await sound(world)


async def test_one_moves_and_another_takes_its_time(clinic: Visits, world: World) -> None:
    booked = await clinic.booked()
    moved = {name: value for name, value in booked.items() if name != "slot"}
    moved |= {"start": clinic.at("10:00"), "end": clinic.at("10:30")}
    entries = [create(clinic.appointment(patient="other")), update(moved)]
    for order in (entries, list(reversed(entries))):
        refused(await send(clinic.client, *order, create(clinic.appointment("10:00", "10:30", "other"))), 409)
        assert (await clinic.read(f"Appointment/{booked['id']}"))["start"] == booked["start"]
    assert statuses(await sent(clinic.client, *entries)) == [201, 200]
    assert {"09:00", "10:00"}.isdisjoint(await clinic.free())
    await sound(world)


def _whole_clinic(clinic: Visits) -> dict[str, Any]:
    """A clinic that does not exist yet, a booking in it and the answer to that."""
    doc, schedule, slot_, who, appointment, site = (urn() for _ in range(6))
    start, end = clinic.at("09:00"), clinic.at("09:30")
    participants = [{"actor": {"reference": one}, "status": "accepted"} for one in (who, doc)]
    return {
        "response": create({"resourceType": "AppointmentResponse", "appointment": {"reference": appointment},
                            "actor": {"reference": who}, "participantStatus": "accepted"}),
        "appointment": create({"resourceType": "Appointment", "status": "booked", "start": start, "end": end,
                               "slot": [{"reference": slot_}], "participant": participants}, appointment),
        "slot": create({"resourceType": "Slot", "schedule": {"reference": schedule}, "status": "busy", "start": start,
                        "end": end}, slot_),
        "schedule": create({"resourceType": "Schedule", "actor": [{"reference": doc}, {"reference": site}]}, schedule),
        "who": create({"resourceType": "Patient"}, who),
        "doc": create({"resourceType": "Practitioner"}, doc),
        "site": create({"resourceType": "Location", "name": "x"}, site),
        "search": entry("GET", f"Slot?start={clinic.first.isoformat()}&status=busy&_count=1000"),
    }  # fmt: skip


@pytest.mark.parametrize("turn", range(0, 40320, 4999))
async def test_a_whole_clinic_in_any_order(client: Any, world: World, turn: int) -> None:
    clinic = Visits(client)
    entries = _whole_clinic(clinic)
    order = next(itertools.islice(itertools.permutations(entries), turn, None))
    found = dict(zip(order, await sent(client, *(entries[name] for name in order)), strict=True))
    assert statuses([found[name] for name in entries]) == [201] * 7 + [200]
    slot_, booked = reference(found["slot"]), found["appointment"]["resource"]
    assert booked["slot"] == [{"reference": slot_}]
    assert (await clinic.read(slot_))["status"] == "busy"
    assert slot_ in {f"Slot/{one['resource']['id']}" for one in found["search"]["resource"]["entry"]}
    assert found["response"]["resource"]["appointment"] == {"reference": reference(found["appointment"])}
    second = clinic.appointment()
    second["participant"] = [one for one in booked["participant"] if "Practitioner/" in one["actor"]["reference"]]
    refused(await client.post("Appointment", json=second), 409, "slot-taken")
    await sound(world)


async def test_a_schedule_of_the_same_transaction_is_known_to_its_bookings(client: Any, world: World) -> None:
    clinic = await Visits(client).opened()
    later = {**(await clinic.read(f"Schedule/{clinic.id('s')}")), "comment": "from ten"}
    later["extension"] = [
        availability("10:00:00") if one["url"].endswith("/availability") else one for one in later["extension"]
    ]
    early, late = clinic.appointment(), clinic.appointment("10:00", "10:30")
    kind = (await clinic.read(clinic.visit))["type"]
    refused(await send(client, create({**early, "serviceType": kind}), update(later)), 422)
    assert "09:00" in await clinic.free()
    assert statuses(await sent(client, create({**late, "serviceType": kind}), update(later))) == [201, 200]
    free = await clinic.free()
    assert {"09:00", "10:00"}.isdisjoint(free)
    assert "10:30" in free
    await sound(world)


async def test_a_refused_booking_leaves_nothing(clinic: Visits, world: World) -> None:
    await clinic.booked()
    new = {"resourceType": "Patient", "id": clinic.id("new")}
    entries = [update(new), create(clinic.appointment("10:00", "10:30")), create(clinic.appointment(patient="other"))]
    outcome = refused(await send(clinic.client, *entries), 409, "slot-taken")
    assert expressions(outcome)[0].startswith("Bundle.entry[2].resource.")
    assert outcome["contained"], "it says what is free instead"
    refused(await clinic.client.get(f"Patient/{clinic.id('new')}"), 404)
    assert "10:00" in await clinic.free()
    twice = [create(clinic.appointment("11:00", "11:30", one)) for one in ("pat", "other")]
    assert codes(await send(clinic.client, *twice)) == ["slot-taken"]
    assert "11:00" in await clinic.free()
    await sound(world)


async def test_a_placers_identifier_is_one_booking_whoever_names_it(clinic: Visits, world: World) -> None:
    placer = {
        "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "PLAC"}]},
        "system": "https://ehr.example/orders", "value": clinic.id("order"),
    }  # fmt: skip
    name = urn()
    wanted = create(clinic.appointment(identifier=[placer]), name)
    answer = create({"resourceType": "AppointmentResponse", "appointment": {"reference": name},
                     "actor": clinic.who(), "participantStatus": "accepted"})  # fmt: skip
    first = await sent(clinic.client, wanted, answer)
    again = await sent(clinic.client, answer, wanted)
    assert (statuses(first), statuses(again)) == ([201, 201], [201, 200])
    assert again[1]["resource"] == first[0]["resource"]
    assert again[0]["resource"]["appointment"] == {"reference": reference(first[0])}
    other = create(clinic.appointment("10:00", "10:30", identifier=[placer]))
    refused(await send(clinic.client, other), 422, "idempotency-mismatch")
    refused(await send(clinic.client, wanted, create(clinic.appointment(identifier=[placer]))), 400)
    await sound(world)


async def test_a_thousand_entries(client: Any, world: World) -> None:
    clinic = await Visits(client).opened()
    times = [(f"{hour:02}:{minute}", day) for day in range(7) for hour in range(9, 17) for minute in ("00", "30")]
    ends = {"00": "30", "30": "00"}
    entries = []
    for clock, day in times:
        hour, minute = clock.split(":")
        end = f"{int(hour) + (minute == '30'):02}:{ends[minute]}"
        body = clinic.appointment()
        entries.append(create({**body, "start": clinic.at(clock, day), "end": clinic.at(end, day)}))
    entries += [create({"resourceType": "Patient"}) for _ in range(1000 - len(entries))]
    assert set(statuses(await sent(client, *entries, Prefer="return=minimal"))) == {201}
    await sound(world)

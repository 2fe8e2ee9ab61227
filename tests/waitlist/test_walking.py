"""Offers stay with the time that became free: none walks to what was free before, however often somebody says no."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest

from fhir_server.access.caller import Role
from tests.builders.answers import refused
from tests.builders.clinic import OWN, duration, parameters, part
from tests.builders.waiting import NO_NIGHT, Waiting, outcomes, reference, waitlist_policy

GRID = part("alignment", "Duration", duration(10))
"""Visits of 20 minutes begin every ten."""


async def _cancelled(clinic: Waiting, start: str, end: str, patient: str = "third") -> None:
    """A visit of the service is booked and cancelled, and what follows from it is done."""
    answer = await clinic.client.post("Appointment", json=clinic.appointment(start, end, patient))
    assert answer.status_code == 201, answer.text
    await clinic.follow()
    assert (await clinic.act(answer.json()["id"], "$cancel")).status_code == 200
    await clinic.follow()


def _clocks(entry: dict[str, Any], clinic: Waiting) -> list[str]:
    """Local times of the offers that an entry had."""
    zone = datetime.fromisoformat(clinic.at("12:00")).tzinfo
    return [datetime.fromisoformat(start).astimezone(zone).strftime("%H:%M") for start, _ in outcomes(entry)]


def _freed(entry: dict[str, Any]) -> list[tuple[datetime, datetime]]:
    """What each offer says of the time that became free."""
    found = []
    for extension in entry["extension"]:
        if extension["url"] == f"{OWN}waitlist-offer":
            period = next(one["valuePeriod"] for one in extension["extension"] if one["url"] == "freed")
            found.append((datetime.fromisoformat(period["start"]), datetime.fromisoformat(period["end"])))
    return found


@pytest.mark.parametrize("way", ["AppointmentResponse", "$release", "expiry"])
async def test_one_freed_time_is_one_offer_to_one_patient(clinic: Waiting, way: str) -> None:
    await clinic.opened(minutes=20, parts=(GRID,))
    await clinic.patient("third")
    patient = await clinic.token(Role.PATIENT, f"Patient/{clinic.id('pat')}")
    entry = await clinic.joined("pat")
    await _cancelled(clinic, "10:20", "10:40")
    assert _clocks(await clinic.entry(entry), clinic) == ["10:20"]
    for turn in range(1, 4):
        if (await clinic.states(entry)) == ["pending"]:
            if way == "AppointmentResponse":
                assert (await clinic.respond(entry, "declined", headers=patient)).status_code == 201
            elif way == "$release":
                answer = await clinic.act(entry["id"], "$release")
                assert answer.status_code == 200, answer.text
        await clinic.follow(31 * turn if way == "expiry" else 0)
    after = await clinic.entry(entry)
    assert after["status"] == "waitlist"
    assert _clocks(after, clinic) == ["10:20"]
    assert (await clinic.told(entry)).count("waitlist-offer") == 1
    assert "10:20" in await clinic.free()


async def test_an_offer_of_staff_ends_without_another(clinic: Waiting) -> None:
    await clinic.opened(minutes=20, parts=(GRID,))
    entry = await clinic.joined("pat")
    said = {"schedule": reference(f"Schedule/{clinic.id('s')}"), "start": ("DateTime", clinic.at("10:20"))}
    assert (await clinic.act(entry["id"], "$offer", **said)).status_code in {200, 201}
    for turn in range(1, 4):
        await clinic.follow(31 * turn)
    after = await clinic.entry(entry)
    assert (after["status"], _clocks(after, clinic)) == ("waitlist", ["10:20"])


async def test_the_same_time_goes_on_to_all_who_wait_and_no_further(clinic: Waiting) -> None:
    await clinic.opened(minutes=20, parts=(GRID,))
    await clinic.patient("third")
    names = ["pat", "other", *(f"p{number}" for number in range(3))]
    for name in names[2:]:
        await clinic.patient(name)
    entries = {name: await clinic.joined(name) for name in names}
    await _cancelled(clinic, "10:20", "10:40")
    for turn, name in enumerate(names):
        states = await clinic.states(*entries.values())
        assert states == ["pending" if place == turn else "waitlist" for place in range(len(names))]
        assert (await clinic.respond(entries[name], "declined", name)).status_code == 201
        await clinic.follow()
    assert await clinic.states(*entries.values()) == ["waitlist"] * len(names)
    for entry in entries.values():
        assert _clocks(await clinic.entry(entry), clinic) == ["10:20"]


async def test_who_can_only_have_what_reaches_beyond_starts_no_chain(clinic: Waiting) -> None:
    await clinic.opened(minutes=20, parts=(GRID,))
    await clinic.patient("third")
    early = await clinic.joined("pat", latest_time=("Time", "10:30:00"))
    late = await clinic.joined("other")
    earlier = await clinic.joined("third", latest_time=("Time", "10:20:00"))
    await _cancelled(clinic, "10:20", "10:40", "other")
    offered = await clinic.entry(early)
    assert (offered["status"], _clocks(offered, clinic)) == ("pending", ["10:10"])
    (freed,) = _freed(offered)
    assert freed == tuple(datetime.fromisoformat(clinic.at(one)) for one in ("10:20", "10:40"))
    # 10:10 is held, and 10:30 uses what is left.
    assert _clocks(await clinic.entry(late), clinic) == ["10:30"]
    assert (await clinic.respond(early, "declined")).status_code == 201
    await clinic.follow()
    assert (await clinic.respond(late, "declined", "other")).status_code == 201
    await clinic.follow()
    # 10:00 touches the offer of 10:10 and not the freed time; 10:20 meets what both declined.
    assert await clinic.states(early, late, earlier) == ["waitlist"] * 3
    assert outcomes(await clinic.entry(earlier)) == []
    assert [len(outcomes(await clinic.entry(one))) for one in (early, late)] == [1, 1]


async def test_a_long_freed_time_goes_to_the_next_piece_by_piece(clinic: Waiting) -> None:
    await clinic.opened(minutes=20, parts=(GRID,))
    first, second = await clinic.joined("pat"), await clinic.joined("other")
    block = await clinic.put({
        "resourceType": "Slot", "id": clinic.id("block"), "schedule": {"reference": f"Schedule/{clinic.id('s')}"},
        "status": "busy-unavailable", "start": clinic.at("10:00"), "end": clinic.at("10:40"),
    })  # fmt: skip
    await clinic.follow()
    assert (await clinic.client.delete(f"Slot/{block['id']}")).status_code in {200, 204}
    await clinic.follow()
    assert [_clocks(await clinic.entry(one), clinic) for one in (first, second)] == [["10:00"], ["10:20"]]
    assert (await clinic.respond(first, "declined")).status_code == 201
    await clinic.follow()
    assert (await clinic.respond(second, "declined", "other")).status_code == 201
    await clinic.follow()
    # Each is asked about the other's time, once.
    assert await clinic.states(first) == ["pending"]
    assert _clocks(await clinic.entry(first), clinic) == ["10:00", "10:20"]
    assert (await clinic.respond(first, "declined", start=clinic.at("10:20"))).status_code == 201
    for _ in range(3):
        await clinic.follow()
        if await clinic.states(second) == ["pending"]:
            held = (await clinic.entry(second))["start"]
            assert (await clinic.respond(second, "declined", "other", start=held)).status_code == 201
    assert await clinic.states(first, second) == ["waitlist", "waitlist"]
    for one in (first, second):
        assert set(_clocks(await clinic.entry(one), clinic)) <= {"10:00", "10:20"}


async def test_two_entries_of_a_patient_are_not_asked_about_the_same_time(clinic: Waiting) -> None:
    second = await clinic.service("second", 20, GRID)
    await clinic.opened(minutes=20, parts=(GRID,))
    await clinic.schedule("s", [f"Practitioner/{clinic.id('doc')}"], [clinic.visit, second],
                          waitlist_policy(**NO_NIGHT))  # fmt: skip
    await clinic.patient("third")
    entries = [await clinic.joined("pat"), await clinic.joined("pat", service=reference(second))]
    await _cancelled(clinic, "10:20", "10:40")
    assert await clinic.states(*entries) == ["pending", "waitlist"]
    assert (await clinic.respond(entries[0], "declined")).status_code == 201
    await clinic.follow()
    assert await clinic.states(*entries) == ["waitlist", "waitlist"]


async def test_who_said_yes_twice_hears_that_it_was_answered(clinic: Waiting) -> None:
    patient = await clinic.token(Role.PATIENT, f"Patient/{clinic.id('pat')}")
    entry = await clinic.joined("pat")
    await clinic.freed("09:00", patient="other")
    url = f"Appointment/{entry['id']}/$book"
    answers = await asyncio.gather(
        *(clinic.client.post(url, json=parameters(), headers=patient) for _ in range(2)),
        *(clinic.respond(entry, "accepted", headers=patient) for _ in range(2)),
    )
    assert any(one.status_code == 201 for one in answers)
    for one in answers:
        if one.status_code == 409:
            assert "accepted" in str(refused(one, 409, "offer-answered"))
        elif one.status_code != 201:  # it came after the other was through
            refused(one, 422, "illegal-transition")


async def test_who_said_no_hears_that_it_was_answered(clinic: Waiting) -> None:
    entry = await clinic.joined("pat")
    await clinic.freed("09:00", patient="other")
    assert (await clinic.respond(entry, "declined")).status_code == 201
    url = f"Appointment/{entry['id']}/$book"
    refused(await clinic.client.post(url, json=parameters()), 409, "offer-answered")


async def test_what_became_free_beside_an_offer_that_reached_beyond_is_not_lost(clinic: Waiting) -> None:
    await clinic.opened(minutes=20, parts=(GRID,))
    await clinic.patient("third")
    blocks = [
        await clinic.put({
            "resourceType": "Slot", "id": clinic.id(name), "schedule": {"reference": f"Schedule/{clinic.id('s')}"},
            "status": "busy-unavailable", "start": clinic.at(start), "end": clinic.at(end),
        })
        for name, start, end in (("morning", "09:00", "10:00"), ("beside", "10:00", "10:10"))
    ]  # fmt: skip
    early = await clinic.joined("pat", earliest_time=("Time", "10:10:00"), latest_time=("Time", "10:30:00"))
    await _cancelled(clinic, "10:20", "10:40")
    assert _clocks(await clinic.entry(early), clinic) == ["10:10"]
    other = await clinic.joined("other", latest_time=("Time", "10:20:00"))
    assert (await clinic.client.delete(f"Slot/{blocks[1]['id']}")).status_code in {200, 204}
    await clinic.follow()
    assert await clinic.states(early, other) == ["pending", "waitlist"], "half of 10:00 is held"
    await clinic.follow(31)
    assert await clinic.states(early) == ["waitlist"]
    await clinic.follow(32)
    assert _clocks(await clinic.entry(other), clinic) == ["10:00"]

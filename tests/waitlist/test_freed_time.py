"""Every way in which time becomes free starts a round: blocks, holds, moves, deletions, published Slots."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fhir_server.scheduling.interval import Interval
from fhir_server.services.following.table import PERFORMERS
from fhir_server.services.waitlist.answer import expire
from fhir_server.services.waitlist.following import HOLD_END
from fhir_server.services.waitlist.rounds import hold_round
from fhir_server.store.work import Task
from tests.builders.clinic import OWN, availability, duration, part
from tests.builders.waiting import NO_NIGHT, Waiting, outcomes, reference, waitlist_policy


def _on_the_first_day(clinic: Waiting) -> dict[str, Any]:
    return {"start": ("Date", clinic.first.isoformat()), "end": ("Date", clinic.first.isoformat())}


def _slot(clinic: Waiting, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Slot", "schedule": {"reference": f"Schedule/{clinic.id('s')}"}, "status": "busy-unavailable",
        "start": clinic.at("09:00"), "end": clinic.at("10:00"), **more,
    }  # fmt: skip


@pytest.mark.parametrize("way", ["PUT", "DELETE"])
async def test_a_block_that_is_lifted(clinic: Waiting, way: str) -> None:
    block = await clinic.put(_slot(clinic, id=clinic.id("block")))
    await clinic.follow()
    first = await clinic.joined("pat", **_on_the_first_day(clinic))
    second = await clinic.joined("other", **_on_the_first_day(clinic))
    if way == "PUT":
        await clinic.put({**block, "status": "free"})
    else:
        assert (await clinic.client.delete(f"Slot/{block['id']}")).status_code in {200, 204}
    await clinic.follow()
    found = [(await clinic.entry(one)).get("start") for one in (first, second)]
    assert found == [clinic.at("09:00"), clinic.at("09:30")]


async def test_a_hold_that_nobody_looks_at_any_more(clinic: Waiting) -> None:
    await clinic.patient("third")
    held = await clinic.held("09:00", "third")
    await clinic.follow()
    entry = await clinic.joined("pat", **_on_the_first_day(clinic))
    assert await clinic.world.store.work.planned(HOLD_END, f"Appointment/{held['id']}")
    await clinic.follow(30)
    assert (await clinic.entry(entry))["start"] == clinic.at("09:00")
    assert await clinic.states(held) == ["cancelled"]


async def test_a_hold_that_is_held_for_longer_keeps_its_time(clinic: Waiting) -> None:
    held = await clinic.held("09:00", "other")
    await clinic.follow()
    entry = await clinic.joined("pat", **_on_the_first_day(clinic))
    assert (await clinic.act(held["id"], "$extend-hold", hold_duration=("Duration", duration(25)))).status_code == 200
    end_hold = PERFORMERS[HOLD_END]
    clock = clinic.world.clock
    later = replace(clinic.world, clock=lambda: clock() + 20 * 60_000)
    assert await end_hold(later, Task(HOLD_END, f"Appointment/{held['id']}", 0, {}, 1, "", 1)) is not None
    assert await clinic.states(entry, held) == ["waitlist", "pending"]
    for key in ("Appointment/nothing", f"Appointment/{entry['id']}"):
        assert await end_hold(later, Task(HOLD_END, key, 0, {}, 1, "", 1)) is None


@pytest.mark.parametrize("way", ["$reschedule", "PUT", "DELETE", "$release"])
async def test_a_visit_that_moves_or_goes(clinic: Waiting, way: str) -> None:
    await clinic.patient("third")
    visit = await clinic.held("09:00", "third") if way == "$release" else await clinic.booked("09:00", "third")
    await clinic.follow()
    entry = await clinic.joined("pat", **_on_the_first_day(clinic))
    if way == "$reschedule":
        answer = await clinic.act(visit["id"], way, start=("DateTime", clinic.at("15:00")))
    elif way == "PUT":
        moved = {name: value for name, value in visit.items() if name != "slot"}
        moved |= {"start": clinic.at("15:00"), "end": clinic.at("15:30")}
        answer = await clinic.client.put(f"Appointment/{visit['id']}", json=moved)
    elif way == "DELETE":
        answer = await clinic.client.delete(f"Appointment/{visit['id']}")
    else:
        answer = await clinic.act(visit["id"], way)
    assert answer.status_code in {200, 204}, answer.text
    await clinic.follow()
    assert (await clinic.entry(entry))["start"] == clinic.at("09:00")


@pytest.mark.parametrize("status", ["fulfilled", "noshow"])
async def test_a_visit_that_was_there_frees_nothing(clinic: Waiting, go: Callable[[str], None], status: str) -> None:
    visit = await clinic.booked("09:00", "other")
    await clinic.follow()
    entry = await clinic.joined("pat", **_on_the_first_day(clinic))
    go(clinic.at("09:20"))
    await clinic.put({**visit, "status": status})
    go("")
    await clinic.follow()  # by a clock by which its time could still be offered
    assert await clinic.states(entry) == ["waitlist"]


async def test_a_published_slot_of_a_schedule_without_rules(clinic: Waiting) -> None:
    await clinic.schedule("s", [f"Practitioner/{clinic.id('doc')}"], [clinic.visit], waitlist_policy(**NO_NIGHT),
                          open_=False)  # fmt: skip
    entry = await clinic.joined("pat", **_on_the_first_day(clinic))
    await clinic.follow()
    slot = await clinic.put(_slot(clinic, id=clinic.id("open"), status="free", end=clinic.at("09:30")))
    await clinic.follow()
    offered = await clinic.entry(entry)
    assert (offered["status"], offered["slot"]) == ("pending", [{"reference": f"Slot/{slot['id']}"}])
    assert (await clinic.read(f"Slot/{slot['id']}"))["status"] == "busy-tentative"
    assert (await clinic.respond(entry, "declined")).status_code == 201
    assert (await clinic.read(f"Slot/{slot['id']}"))["status"] == "free"


async def test_an_override_that_closed_a_day_is_taken_away(clinic: Waiting) -> None:
    day = clinic.first.isoformat()
    closed = {"url": f"{OWN}availability-override", "extension": [
        part("kind", "Code", "closed"), part("period", "Period", {"start": day, "end": day})]}  # fmt: skip
    await clinic.opened(availability(), closed, waitlist_policy(**NO_NIGHT))
    entries = [await clinic.joined(one, **_on_the_first_day(clinic)) for one in ("pat", "other")]
    await clinic.follow()
    assert await clinic.states(*entries) == ["waitlist", "waitlist"]
    await clinic.opened(availability(), waitlist_policy(**NO_NIGHT))
    await clinic.follow()
    assert [(await clinic.entry(one)).get("start") for one in entries] == [clinic.at("09:00"), clinic.at("09:30")]


async def test_a_service_that_is_offered_from_now_on(clinic: Waiting) -> None:
    second = await clinic.service("second", 30)
    entry = await clinic.joined("pat", service=reference(second), **_on_the_first_day(clinic))
    await clinic.follow()
    assert await clinic.states(entry) == ["waitlist"]
    await clinic.schedule("s", [f"Practitioner/{clinic.id('doc')}"], [clinic.visit, second],
                          waitlist_policy(**NO_NIGHT))  # fmt: skip
    await clinic.follow()
    assert (await clinic.entry(entry))["status"] == "pending"


async def test_freed_time_with_what_was_free_beside_it_makes_a_longer_visit(clinic: Waiting) -> None:
    long = await clinic.service("long", 60, part("alignment", "Duration", duration(30)))
    await clinic.schedule("s", [f"Practitioner/{clinic.id('doc')}"], [clinic.visit, long],
                          availability("09:00:00", "10:00:00"), waitlist_policy(**NO_NIGHT))  # fmt: skip
    visit = await clinic.booked("09:30", "other")
    await clinic.follow()
    entry = await clinic.joined("pat", service=reference(long), **_on_the_first_day(clinic))
    assert (await clinic.act(visit["id"], "$cancel")).status_code == 200
    await clinic.follow()
    offered = await clinic.entry(entry)
    assert (offered["start"], offered["end"]) == (clinic.at("09:00"), clinic.at("10:00"))


async def test_time_off_the_grid_is_offered_as_it_was(clinic: Waiting) -> None:
    visit = clinic.appointment() | {"start": clinic.at("09:10"), "end": clinic.at("09:40")}
    answer = await clinic.client.post("Appointment", json=visit)
    assert answer.status_code == 201, answer.text
    for clock, end in (("09:00", "09:10"), ("09:40", "17:00")):
        name = clock.replace(":", "")
        await clinic.put(_slot(clinic, id=clinic.id(name), start=clinic.at(clock), end=clinic.at(end)))
    await clinic.follow()
    entry = await clinic.joined("other", **_on_the_first_day(clinic))
    assert (await clinic.act(answer.json()["id"], "$cancel")).status_code == 200
    await clinic.follow()
    assert (await clinic.entry(entry)).get("start") == clinic.at("09:10")


async def test_who_has_another_appointment_then_is_passed_over(clinic: Waiting) -> None:
    await clinic.schedule("t", [await clinic.practitioner("second")], [clinic.visit])
    await clinic.patient("third")
    busy = clinic.appointment(patient="pat")
    busy["participant"][1]["actor"]["reference"] = f"Practitioner/{clinic.id('second')}"
    assert (await clinic.client.post("Appointment", json=busy)).status_code == 201
    first = await clinic.joined(
        "pat", **_on_the_first_day(clinic), practitioner=reference(f"Practitioner/{clinic.id('doc')}")
    )
    second = await clinic.joined("other", **_on_the_first_day(clinic))
    await clinic.freed("09:00", patient="third")
    assert await clinic.states(first, second) == ["waitlist", "pending"]


async def test_rounds_of_the_same_time_at_once_offer_it_once(clinic: Waiting) -> None:
    names = ["pat", "other", *(f"p{number}" for number in range(4))]
    for name in names[2:]:
        await clinic.patient(name)
    entries = [await clinic.joined(name, **_on_the_first_day(clinic)) for name in names]
    schedule = f"Schedule/{clinic.id('s')}"
    facts = (await clinic.world.catalogue.schedules([schedule]))[schedule]
    day = next(iter(facts.spans_on(clinic.first, None, None)))
    hour = Interval(day.start, day.start + 3600)
    made = await asyncio.gather(*(hold_round(clinic.world, schedule, hour) for _ in range(6)))
    assert sum(made) == 2
    assert await clinic.states(*entries) == ["pending", "pending", *["waitlist"] * 4]
    starts = {(await clinic.entry(one))["start"] for one in entries[:2]}
    assert starts == {clinic.at("09:00"), clinic.at("09:30")}


async def test_an_offer_ends_once_whoever_notices(clinic: Waiting) -> None:
    entry = await clinic.joined("pat", **_on_the_first_day(clinic))
    await clinic.freed("09:00", patient="other")
    found = await clinic.world.store.resources.get("Appointment", entry["id"])
    assert found
    assert (await expire(clinic.world, found)).version == found.version, "it is not over yet"
    clock = clinic.world.clock
    later = replace(clinic.world, clock=lambda: clock() + 31 * 60_000)
    ended = await asyncio.gather(*(expire(later, found) for _ in range(6)))
    assert {one.version for one in ended} == {found.version + 1}
    assert [one for _, one in outcomes(await clinic.entry(entry))] == ["expired"]


async def test_answers_in_a_transaction(clinic: Waiting) -> None:
    entry = await clinic.joined("pat", **_on_the_first_day(clinic))
    await clinic.freed("09:00", patient="other")
    response = {
        "resourceType": "AppointmentResponse", "participantStatus": "accepted", "actor": clinic.who("pat"),
        "appointment": {"reference": f"Appointment/{entry['id']}"},
    }  # fmt: skip
    bad = {"resourceType": "Patient", "link": [{"other": {"reference": "Patient/nobody-at-all"}, "type": "seealso"}],
           "birthDate": "not a date"}  # fmt: skip

    def bundle(*bodies: dict[str, Any]) -> dict[str, Any]:
        entries = [{"resource": one, "request": {"method": "POST", "url": one["resourceType"]}} for one in bodies]
        return {"resourceType": "Bundle", "type": "transaction", "entry": entries}

    assert (await clinic.client.post("", json=bundle(response, bad))).status_code == 400
    assert await clinic.states(entry) == ["pending"]
    answer = await clinic.client.post("", json=bundle(response))
    assert answer.status_code == 200, answer.text
    assert await clinic.states(entry) == ["booked"]


async def test_an_answer_that_is_created_once_is_given_once(clinic: Waiting) -> None:
    entry = await clinic.joined("pat", **_on_the_first_day(clinic))
    await clinic.freed("09:00", patient="other")
    response = {
        "resourceType": "AppointmentResponse", "participantStatus": "accepted", "actor": clinic.who("pat"),
        "appointment": {"reference": f"Appointment/{entry['id']}"},
        "identifier": [{"system": "urn:reply", "value": clinic.id("reply")}],
    }  # fmt: skip
    once = {"If-None-Exist": f"identifier=urn:reply|{clinic.id('reply')}"}
    answers = [await clinic.client.post("AppointmentResponse", json=response, headers=once) for _ in range(2)]
    assert [one.status_code for one in answers] == [201, 200]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    assert await clinic.states(entry) == ["booked"]
    key = {"Idempotency-Key": clinic.id("key")}
    other = await clinic.joined("pat", start=("Date", "2028-01-03"), end=("Date", "2028-01-07"))
    assert (await clinic.respond(other, "accepted", headers=key)).status_code == 201, "nothing was offered: it is kept"


async def test_nobody_waits_for_a_period_that_is_over(clinic: Waiting) -> None:
    first = await clinic.joined("pat", **_on_the_first_day(clinic))
    second = await clinic.joined("other", start=("Date", "2031-01-06"), end=("Date", "2031-01-10"))
    await clinic.follow(60 * 24 * 40)
    assert await clinic.states(first, second) == ["cancelled", "waitlist"]
    assert (await clinic.entry(first))["cancelationReason"] == {"text": "the requested period is over"}

"""Who did not check in is suspected, counted, flagged, and booked as the clinic's policy says."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest

from fhir_server.fhir.json import parse
from fhir_server.scheduling.no_show import TWELVE_MONTHS
from fhir_server.services.following.drain import drain, tell
from fhir_server.services.following.performing import perform
from fhir_server.services.no_show.watching import WATCH
from tests.attendance.house import House, minutes
from tests.builders.answers import codes, reasons, refused
from tests.builders.clinic import OWN, parameters, part, proposals

SUSPECTED, POLICY = f"{OWN}no-show-suspected", f"{OWN}no-show-policy"


def rule(*actions: str, most: int = 1, **lengths: int) -> dict[str, Any]:
    """The part ``noShow`` of a booking policy."""
    parts = [part("most", "PositiveInt", most), *(part("action", "Code", one) for one in actions)]
    parts += [minutes(name, length) for name, length in lengths.items() if name != "amount"]
    if "amount" in lengths:
        parts.append(part("amount", "Money", {"value": lengths["amount"], "currency": "USD"}))
    return {"url": "noShow", "extension": parts}


def extensions(resource: dict[str, Any], url: str) -> list[dict[str, Any]]:
    return [one for one in resource.get("extension", ()) if one["url"] == url]


async def suspected(house: House, id_: str) -> bool:
    return bool(extensions(await house.read(f"Appointment/{id_}"), SUSPECTED))


async def test_who_does_not_check_in_is_suspected_once(house: House) -> None:
    await house.opened()
    visit = await house.booked()
    await house.drained()
    house.clock.to(visit["start"], 14)
    await house.drained()
    assert not await suspected(house, visit["id"])
    house.clock.to(visit["start"], 16)
    for _ in range(3):
        await house.drained()
    found = await house.read(f"Appointment/{visit['id']}")
    assert (found["status"], found["meta"]["versionId"]) == ("booked", "2")
    assert len(extensions(found, SUSPECTED)) == 1
    assert (await house.act("desk", visit["id"], "$noshow")).json()["status"] == "noshow"
    await house.drained()
    assert await house.world.store.work.planned(WATCH, visit["id"]) is None


async def test_the_clinic_says_how_long_it_waits(house: House) -> None:
    await house.opened(policy=(rule("warn", flagAfter=40),))
    visit = await house.booked()
    await house.drained()
    house.clock.to(visit["start"], 39)
    await house.drained()
    assert not await suspected(house, visit["id"])
    house.clock.to(visit["start"], 41)
    await house.drained()
    assert await suspected(house, visit["id"])


@pytest.mark.parametrize("what", ["$cancel", "$checkin", "fulfilled", "delete"])
async def test_what_is_over_or_has_begun_is_not_watched(house: House, what: str) -> None:
    await house.opened()
    visit = await house.booked()
    await house.drained()
    house.clock.to(visit["start"], 5 if what == "fulfilled" else -5)
    if what == "delete":
        await house.ask("system", "DELETE", f"Appointment/{visit['id']}")
    elif what == "fulfilled":
        await house.patch("desk", f"Appointment/{visit['id']}", ("/status", what))
    else:
        assert (await house.act("desk", visit["id"], what)).status_code == 200
    await house.drained()
    assert await house.world.store.work.planned(WATCH, visit["id"]) is None
    house.clock.to(visit["start"], 16)
    await house.drained()
    history = (await house.ask("system", "GET", f"Appointment/{visit['id']}/_history")).text
    assert SUSPECTED not in history


async def test_a_visit_that_moves_is_watched_anew(house: House) -> None:
    await house.opened()
    visit = await house.booked()
    await house.drained()
    moved = await house.act("desk", visit["id"], "$reschedule", start=("DateTime", house.at("12:00")))
    assert moved.status_code == 200, moved.text
    house.clock.to(visit["start"], 60)
    await house.drained()
    assert not await suspected(house, visit["id"])
    house.clock.to(house.at("12:00"), 16)
    await house.drained()
    assert await suspected(house, visit["id"])
    again = await house.act("desk", visit["id"], "$reschedule", start=("DateTime", house.at("14:00")))
    assert not extensions(again.json(), SUSPECTED), again.text
    await house.drained()
    house.clock.to(house.at("14:00"), 16)
    await house.drained()
    assert await suspected(house, visit["id"])


async def test_who_comes_late_is_no_longer_suspected(house: House) -> None:
    await house.opened()
    visit = await house.booked()
    await house.drained()
    house.clock.to(visit["start"], 20)
    await house.drained()
    answer = await house.act("desk", visit["id"], "$checkin")
    assert (answer.status_code, extensions(answer.json(), SUSPECTED)) == (200, []), answer.text
    await house.drained()
    assert not await suspected(house, visit["id"])
    assert (await house.act("desk", visit["id"], "$undo")).json()["status"] == "booked"
    await house.drained()
    assert await suspected(house, visit["id"]), "nobody is there after all"


@pytest.mark.parametrize("caller", ["pat", "desk", "system"])
async def test_the_suspicion_is_the_servers_own_word(house: House, caller: str) -> None:
    await house.opened()
    mark = {"url": SUSPECTED, "valueInstant": "2026-01-01T00:00:00Z"}
    made = await house.ask(caller, "POST", "Appointment", {**house.appointment(), "extension": [mark]})
    assert made.status_code == 201, made.text
    url = f"Appointment/{made.json()['id']}"
    assert not await suspected(house, made.json()["id"])
    await house.drained()
    house.clock.to(house.at("09:00"), 20)
    await house.drained()
    found = await house.read(url, caller)
    assert extensions(found, SUSPECTED)
    found["extension"] = [one for one in found["extension"] if one["url"] != SUSPECTED]
    if not found["extension"]:
        del found["extension"]
    answer = await house.ask(caller, "PUT", url, found)
    assert answer.status_code == 200, answer.text
    assert await suspected(house, made.json()["id"])


async def test_history_is_not_watched(house: House) -> None:
    await house.opened()
    house.clock.to(house.at("09:00"), 60 * 24)
    loaded = {**house.appointment(), "id": house.id("old"),
              "participant": [{"actor": house.ref("pat"), "status": "accepted"}]}  # fmt: skip
    assert (await house.ask("system", "PUT", f"Appointment/{loaded['id']}", loaded)).status_code == 201
    await house.drained()
    assert await house.world.store.work.planned(WATCH, loaded["id"]) is None
    assert not await suspected(house, loaded["id"])


async def test_a_check_in_against_the_watch(house: House) -> None:
    """Whoever is first, who is there is not suspected."""
    await house.opened()
    clocks = ("08:00", "09:00", "10:00", "11:00")
    visits = [await house.booked(clock) for clock in clocks]
    await house.drained()
    for visit in visits:
        house.clock.to(visit["start"], 16)
        await house.callers.token("desk")
        told, _ = await asyncio.gather(
            house.act("desk", visit["id"], "$checkin"), perform(house.world, WATCH, visit["id"])
        )
        assert told.status_code == 200, told.text
        await house.drained()
        found = await house.read(f"Appointment/{visit['id']}")
        assert (found["status"], extensions(found, SUSPECTED)) == ("checked-in", [])


async def test_two_workers_suspect_once(house: House) -> None:
    await house.opened()
    visit = await house.booked()
    await house.drained()
    house.clock.to(visit["start"], 16)
    world = house.world
    await asyncio.gather(*(perform(world, WATCH, visit["id"]) for _ in range(4)), drain(world), tell(world))
    await house.drained()
    assert (await house.read(f"Appointment/{visit['id']}"))["meta"]["versionId"] == "2"


async def test_too_many_are_flagged_and_an_undone_one_is_not_counted(house: House) -> None:
    await house.opened()
    ids = await house.missed(3)
    assert await house.flags() == []
    house.clock.to(house.at("09:30"), 24 * 60)
    last = await house.booked("12:00", day=1)
    house.clock.to(last["start"], 20)
    await house.act("desk", last["id"], "$noshow")
    await house.drained()
    (flag,) = await house.flags()
    assert (flag["status"], flag["code"]["coding"][0]["code"]) == ("active", "no-show")
    assert flag["author"] == {"reference": f"Organization/{house.id('org')}"}
    assert flag["subject"] == house.ref("pat")
    first = datetime.fromisoformat(house.at("08:00")).timestamp()
    assert datetime.fromisoformat(flag["period"]["end"]).timestamp() == first + TWELVE_MONTHS
    assert datetime.fromisoformat(flag["period"]["start"]) == datetime.fromisoformat(last["start"])
    await house.drained()
    assert (await house.flags())[0]["meta"]["versionId"] == "1"
    assert (await house.act("desk", last["id"], "$undo")).status_code == 200
    await house.drained()
    (flag,) = await house.flags()
    assert flag["status"] == "inactive"
    assert len(ids) == 3


async def test_a_flag_ends_by_itself(house: House) -> None:
    await house.opened(policy=(rule("prepayment"),))
    await house.missed(2)
    (flag,) = await house.flags()
    assert flag["status"] == "active"
    house.clock.to(flag["period"]["end"], 1)
    await house.drained()
    # A year ahead nobody logs in: keys that sign tokens would follow the clock, and other tests use them.
    stored = await house.world.store.resources.get("Flag", flag["id"])
    assert stored is not None
    assert (stored.version, parse(stored.body)["status"]) == (2, "inactive")


async def test_what_the_staff_forgive_stays_forgiven_until_the_next(house: House) -> None:
    await house.opened(policy=(rule("prepayment"),))
    ids = await house.missed(2)
    (flag,) = await house.flags()
    assert (await house.patch("doc", f"Flag/{flag['id']}", ("/status", "inactive"))).status_code == 200
    await house.patch("system", f"Appointment/{ids[0]}", ("/minutesDuration", 29))
    await house.drained()
    assert (await house.flags())[0]["status"] == "inactive"
    third = await house.booked("16:00")
    house.clock.to(third["start"], 20)
    await house.act("desk", third["id"], "$noshow")
    await house.drained()
    assert (await house.flags())[0]["status"] == "active"


async def test_a_flag_is_the_clinics_and_the_patients_alone(house: House) -> None:
    await house.opened(policy=(rule("warn"),))
    await house.missed(2)
    assert len(await house.flags(caller="pat")) == 1
    for caller in ("other", "far", "desk"):
        answer = await house.ask(caller, "GET", f"Flag?patient=Patient/{house.id('pat')}")
        assert answer.status_code in {403, 404} or not answer.json().get("total"), (caller, answer.text)
    assert await house.flags("other") == []


async def _tried(house: House, caller: str, clock: str, day: int = 1, patient: str = "pat", **more: Any) -> Any:
    found = await house.find(
        service=house.visit, practitioner=f"Practitioner/{house.id('doc')}", _count="1000",
        start=house.at("00:00", day), end=house.at("00:00", day + 1),
    )  # fmt: skip
    free = next(one["id"] for one in proposals(found) if one["start"] == house.at(clock, day))
    arguments = {"appointment": ("Uri", f"Appointment/{free}"), "patient": ("Reference", house.ref(patient)), **more}
    return await house.ask(caller, "POST", "Appointment/$book", parameters(**arguments))


async def test_payment_first(house: House) -> None:
    await house.opened(policy=(rule("prepayment", amount=40),))
    await house.missed(2)
    for caller in ("pat", "desk"):
        refused(await _tried(house, caller, "09:00"), 422, "prepayment-required")
    posted = {**house.appointment(), "start": house.at("09:00", 1), "end": house.at("09:30", 1)}
    refused(await house.ask("pat", "POST", "Appointment", posted), 422, "prepayment-required")
    told = await house.find(service=house.visit, patient=f"Patient/{house.id('pat')}", start=house.at("00:00", 1),
                            end=house.at("23:00", 1))  # fmt: skip
    assert (told["total"], reasons(told)) == (0, ["prepayment-required"])
    assert (await _tried(house, "other", "09:00", patient="other")).status_code == 201
    paid = await _tried(
        house, "desk", "10:00", override=("Boolean", True), override_reason=("String", "paid, receipt 17"),
        booking_channel=("Code", "phone"),
    )  # fmt: skip
    assert paid.status_code == 201, paid.text
    refused(await _tried(house, "pat", "11:00", override=("Boolean", True), override_reason=("String", "please")), 403)
    moved = await house.act("desk", paid.json()["id"], "$reschedule", start=("DateTime", house.at("12:00", 1)))
    assert moved.status_code == 200, moved.text  # it is paid already
    moved = await house.act("pat", paid.json()["id"], "$reschedule", start=("DateTime", house.at("13:00", 1)))
    assert moved.status_code == 403, moved.text  # what the staff booked by setting a rule aside


async def test_only_the_near_future(house: House) -> None:
    await house.opened(policy=(rule("restrict-advance", advance=24 * 60),))
    await house.missed(2)
    house.clock.to(house.at("12:00"))
    refused(await _tried(house, "pat", "12:30", day=1), 422, "no-show-restricted")
    near = await _tried(house, "pat", "11:30", day=1)
    assert near.status_code == 201, near.text
    asked = {"service": house.visit, "patient": f"Patient/{house.id('pat')}", "_count": "1000"}
    found = await house.find(**asked, start=house.at("00:00", 1), end=house.at("23:00", 1))
    assert max(one["start"] for one in proposals(found)) == house.at("12:00", 1)
    later = await house.find(**asked, start=house.at("00:00", 2), end=house.at("23:00", 2))
    assert (later["total"], "no-show-restricted" in reasons(later)) == (0, True)
    moved = await house.act("pat", near.json()["id"], "$reschedule", start=("DateTime", house.at("09:00", 3)))
    refused(moved, 422, "no-show-restricted")
    assert codes(moved) == ["no-show-restricted"]


@pytest.mark.parametrize("actions", [("warn",), ("fee",), ("warn", "fee")])
async def test_a_warning_and_a_fee_stand_on_the_booking(house: House, actions: tuple[str, ...]) -> None:
    await house.opened(policy=(rule(*actions, amount=25),))
    await house.missed(2)
    mine = await _tried(house, "pat", "09:00")
    assert mine.status_code == 201, mine.text
    (said,) = extensions(mine.json(), POLICY)
    assert [one["valueCode"] for one in said["extension"] if one["url"] == "action"] == list(actions)
    amounts = [one["valueMoney"] for one in said["extension"] if one["url"] == "amount"]
    assert amounts == ([{"value": 25, "currency": "USD"}] if "fee" in actions else [])
    posted = {**house.appointment(), "start": house.at("10:00", 1), "end": house.at("10:30", 1)}
    assert extensions((await house.ask("desk", "POST", "Appointment", posted)).json(), POLICY) == [said]
    others = await _tried(house, "other", "11:00", patient="other")
    assert extensions(others.json(), POLICY) == []

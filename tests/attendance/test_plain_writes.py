"""What became of a visit, said by a plain write: the same windows as for the operations."""

from __future__ import annotations

from typing import Any

import pytest

from tests.attendance.house import JSON_PATCH, House, minutes
from tests.builders.answers import refused
from tests.builders.clinic import OWN

OUTCOMES = ("arrived", "checked-in", "fulfilled", "noshow")


async def _said(house: House, way: str, caller: str, id_: str, status: str, **more: Any) -> Any:
    """The status of an Appointment by one kind of write; the answer, 200 or the refusal."""
    if way == "PATCH":
        return await house.patch(caller, f"Appointment/{id_}", ("/status", status))
    whole = {**await house.read(f"Appointment/{id_}", caller), "status": status, **more}
    if way == "PUT":
        return await house.ask(caller, "PUT", f"Appointment/{id_}", whole)
    if way == "conditional":
        mark = whole["identifier"][0]
        return await house.ask(caller, "PUT", f"Appointment?identifier={mark['system']}|{mark['value']}", whole)
    entry = {"resource": whole, "request": {"method": "PUT", "url": f"Appointment/{id_}"}}
    return await house.ask(caller, "POST", "", {"resourceType": "Bundle", "type": way, "entry": [entry]})


WAYS = ("PATCH", "PUT", "conditional", "transaction")


async def _marked(house: House) -> dict[str, Any]:
    """A booked visit with an identifier of its own."""
    body = house.appointment(identifier=[{"system": "urn:test", "value": house.id("marked")}])
    made = await house.ask("system", "POST", "Appointment", body)
    assert made.status_code == 201, made.text
    found: dict[str, Any] = made.json()
    return found


@pytest.mark.parametrize("caller", ["desk", "doc", "system"])
@pytest.mark.parametrize("way", WAYS)
async def test_nobody_says_what_cannot_have_happened(house: House, way: str, caller: str) -> None:
    await house.opened()
    visit = await _marked(house)
    house.clock.to(visit["start"], -60 * 24)
    for status in OUTCOMES:
        refused(await _said(house, way, caller, visit["id"], status), 422, "outside-window")
    house.clock.to(visit["start"], -1)
    for status in ("fulfilled", "noshow"):
        refused(await _said(house, way, caller, visit["id"], status), 422, "outside-window")
    assert (await house.read(f"Appointment/{visit['id']}"))["meta"]["versionId"] == "1"
    for status in ("arrived", "checked-in"):
        answer = await _said(house, way, caller, visit["id"], status)
        assert answer.status_code == 200, answer.text
    refused(await _said(house, way, caller, visit["id"], "fulfilled"), 422, "outside-window")
    house.clock.to(visit["start"], 5)
    assert (await _said(house, way, caller, visit["id"], "fulfilled")).status_code == 200
    assert (await house.state(visit["id"]))[0] == "fulfilled"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("caller", "patience"), [("desk", 20), ("doc", 20), ("system", 0)])
async def test_who_is_late_may_still_come(house: House, way: str, caller: str, patience: int) -> None:
    await house.opened(policy=({"url": "noShow", "extension": [minutes("flagAfter", 20)]},))
    visit = await _marked(house)
    for at in (-1, patience - 1):
        house.clock.to(visit["start"], at)
        refused(await _said(house, way, caller, visit["id"], "noshow"), 422, "outside-window")
    house.clock.to(visit["start"], patience + 1)
    answer = await _said(house, way, caller, visit["id"], "noshow")
    assert answer.status_code == 200, answer.text
    assert (await house.state(visit["id"]))[0] == "noshow"


@pytest.mark.parametrize("status", ["arrived", "checked-in"])
@pytest.mark.parametrize(("caller", "late"), [("desk", 422), ("system", 200)])
async def test_check_in_has_a_window(house: House, caller: str, late: int, status: str) -> None:
    await house.opened(policy=(minutes("checkInOpens", 60), minutes("checkInCloses", 20)))
    first, second = [await house.booked(clock) for clock in ("09:00", "12:00")]
    house.clock.to(first["start"], -61)
    refused(await _said(house, "PATCH", caller, first["id"], status), 422, "outside-window")
    house.clock.to(first["start"], 21)
    assert (await _said(house, "PATCH", caller, first["id"], status)).status_code == late
    house.clock.to(second["start"], -59)
    assert (await _said(house, "PATCH", caller, second["id"], status)).status_code == 200
    # What is said already can be written again, as late as one likes.
    house.clock.to(second["end"], 600)
    noted = await house.patch(caller, f"Appointment/{second['id']}", ("/minutesDuration", 29))
    assert noted.status_code == 200, noted.text


@pytest.mark.parametrize("caller", ["desk", "system"])
async def test_a_reason_that_the_write_brings_opens_check_in_alone(house: House, caller: str) -> None:
    await house.opened()
    visit = await house.booked()
    why = [*visit.get("extension", ()), {"url": f"{OWN}override-reason", "valueString": "booked beyond the rules"}]
    noted = await house.ask("system", "PUT", f"Appointment/{visit['id']}", {**visit, "extension": why})
    assert noted.status_code == 200, noted.text
    refused(await _said(house, "PUT", caller, visit["id"], "checked-in"), 422, "outside-window")
    why[-1] = {"url": f"{OWN}override-reason", "valueString": "came with a friend"}
    for status in ("fulfilled", "noshow"):
        refused(await _said(house, "PUT", caller, visit["id"], status, extension=why), 422, "outside-window")
    answer = await _said(house, "PUT", caller, visit["id"], "checked-in", extension=why)
    assert answer.status_code == 200, answer.text
    assert why[-1] in answer.json()["extension"]


async def test_the_operation_judges_its_own_window(house: House) -> None:
    """The reason of ``$checkin`` may be the words that stand there already."""
    await house.opened()
    visit = await house.booked()
    why = {"url": f"{OWN}override-reason", "valueString": "came with a friend"}
    noted = {**visit, "extension": [*visit.get("extension", ()), why]}
    assert (await house.ask("system", "PUT", f"Appointment/{visit['id']}", noted)).status_code == 200
    answer = await house.act("desk", visit["id"], "$checkin", override=("Boolean", True),
                             override_reason=("String", why["valueString"]))  # fmt: skip
    assert (answer.status_code, answer.json()["status"]) == (200, "checked-in"), answer.text


async def test_a_time_that_is_changed_with_it_opens_nothing(house: House) -> None:
    await house.opened()
    visit = await house.booked()
    house.clock.to(visit["start"], -60 * 24)
    before = {"start": house.at("08:00", -3), "end": house.at("08:30", -3)}
    for status in ("fulfilled", "noshow"):
        answer = await _said(house, "PUT", "desk", visit["id"], status, **before)
        refused(answer, 422, "outside-window")
    house.clock.to(visit["start"], -30)
    assert (await _said(house, "PATCH", "desk", visit["id"], "checked-in")).status_code == 200
    later = {"start": house.at("09:00", 7), "end": house.at("09:30", 7)}
    bare = {name: one for name, one in (await house.read(f"Appointment/{visit['id']}", "desk")).items()
            if name != "slot"}  # fmt: skip
    refused(await house.ask("desk", "PUT", f"Appointment/{visit['id']}", {**bare, **later}), 422, "outside-window")
    # A system tells that it was at another time than was planned.
    earlier = {"start": house.at("08:25"), "end": house.at("08:29")}
    told = await house.ask("system", "PUT", f"Appointment/{visit['id']}", {**bare, **earlier, "status": "fulfilled"})
    assert told.status_code == 200, told.text


def _alone(house: House, name: str, status: str, clock: str, end: str) -> dict[str, Any]:
    """Of whom nobody's calendar is asked."""
    actors = [house.ref("pat"), {"reference": f"Practitioner/{house.id('doc')}"}]
    return {**house.appointment(), "id": house.id(name), "status": status, "start": clock, "end": end,
            "participant": [{"actor": one, "status": "accepted"} for one in actors]}  # fmt: skip


@pytest.mark.parametrize("status", ["fulfilled", "noshow"])
async def test_history_is_loaded_and_the_future_is_not(house: House, status: str) -> None:
    await house.opened()
    past = _alone(house, "past", status, "2021-03-01T09:00:00Z", "2021-03-01T09:30:00Z")
    ahead = _alone(house, "ahead", status, house.at("09:00"), house.at("09:30"))
    for caller in ("system", "desk"):
        posted = {name: one for name, one in past.items() if name != "id"}
        assert (await house.ask(caller, "POST", "Appointment", posted)).status_code == 201, caller
        refused(await house.ask(caller, "POST", "Appointment", {**posted, **{one: ahead[one] for one in TIME}}), 422,
                "outside-window")  # fmt: skip
    assert (await house.ask("system", "PUT", f"Appointment/{past['id']}", past)).status_code == 201
    refused(await house.ask("system", "PUT", f"Appointment/{ahead['id']}", ahead), 422, "outside-window")
    mark = {"If-None-Exist": f"identifier=urn:test|{house.id('none')}"}
    refused(await house.ask("system", "POST", "Appointment", ahead, **mark), 422, "outside-window")
    for method, url in (("POST", "Appointment"), ("PUT", f"Appointment/{ahead['id']}")):
        entry = {"resource": ahead, "request": {"method": method, "url": url}}
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
        refused(await house.ask("system", "POST", "", bundle), 422, "outside-window")
    assert (await house.ask("system", "GET", f"Appointment/{ahead['id']}")).status_code == 404


TIME = ("start", "end")


@pytest.mark.parametrize("caller", ["desk", "system"])
async def test_a_plain_no_show_counts_like_every_other(house: House, caller: str) -> None:
    await house.opened()
    visits = [await house.booked(clock) for clock in ("08:00", "08:30", "09:00", "09:30")]
    for visit in visits:
        assert await house.flags() == []
        house.clock.to(visit["start"], 16)
        answer = await _said(house, "PATCH", caller, visit["id"], "noshow")
        assert answer.status_code == 200, answer.text
        await house.drained()
    (flag,) = await house.flags()
    assert (flag["status"], flag["author"]) == ("active", {"reference": f"Organization/{house.id('org')}"})
    assert (await house.act("desk", visits[-1]["id"], "$undo")).status_code == 200
    await house.drained()
    (flag,) = await house.flags()
    assert flag["status"] == "inactive"


async def test_no_shows_that_are_loaded_count_too(house: House) -> None:
    await house.opened()
    house.clock.to(house.at("23:00"))
    clocks = ("08:00", "09:00", "10:00", "11:00")
    for number, clock in enumerate(clocks):
        one = _alone(house, f"old{number}", "noshow", house.at(clock), house.at(clock[:3] + "30"))
        assert (await house.ask("system", "PUT", f"Appointment/{one['id']}", one)).status_code == 201
    await house.drained()
    assert [one["status"] for one in await house.flags()] == ["active"]


async def test_a_refused_patch_names_its_place(house: House) -> None:
    await house.opened()
    visit = await house.booked()
    body = [{"op": "replace", "path": "/status", "value": "noshow"}]
    answer = await house.ask("desk", "PATCH", f"Appointment/{visit['id']}", body, **JSON_PATCH)
    outcome = refused(answer, 422, "outside-window")
    assert outcome["issue"][0]["expression"] == ["Appointment.start"]
    assert outcome["issue"][0]["details"]["text"]

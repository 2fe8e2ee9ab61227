"""AppointmentResponse: an answer acts on its Appointment, for whom one speaks for, or nothing is stored."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from fhir_server.services.world import World
from tests.attendance.house import House, minutes
from tests.builders.answers import expressions, refused
from tests.builders.clinic import part, proposals
from tests.concurrency.rush import sound

MANUAL = part("confirmation", "Code", "manual")


async def _answers(house: House, id_: str) -> int:
    found = await house.ask("system", "GET", f"AppointmentResponse?appointment=Appointment/{id_}")
    total: int = found.json()["total"]
    return total


@pytest.mark.parametrize("status", ["accepted", "tentative", "needs-action"])
async def test_an_answer_is_the_participants_status(house: House, status: str) -> None:
    await house.opened()
    id_ = (await house.booked())["id"]
    if status == "needs-action":
        await house.act("pat", id_, "$confirm")
    answer = await house.answer("pat", id_, house.ref("pat"), status)
    assert answer.status_code == 201, answer.text
    assert await house.state(id_) == ("booked", {"pat": status, "doc": "accepted"})
    assert await _answers(house, id_) == 1


async def test_an_answer_that_says_nothing_new_changes_nothing(house: House) -> None:
    await house.opened()
    id_ = (await house.booked())["id"]
    for _ in range(2):
        assert (await house.answer("pat", id_, house.ref("pat"), "accepted")).status_code == 201
    assert (await house.read(f"Appointment/{id_}"))["meta"]["versionId"] == "2"
    assert await _answers(house, id_) == 2


async def test_a_required_patient_who_declines_cancels(house: House) -> None:
    await house.opened()
    visit = await house.booked()
    answer = await house.answer("pat", visit["id"], house.ref("pat"), "declined")
    assert answer.status_code == 201, answer.text
    ended = await house.read(f"Appointment/{visit['id']}")
    assert (ended["status"], ended["cancelationReason"]["coding"][0]["code"]) == ("cancelled", "pat")
    assert (await house.read(visit["slot"][0]["reference"]))["status"] == "free"
    await house.booked(patient="other")


async def test_the_cut_off_binds_an_answer_too(house: House) -> None:
    await house.opened(policy=(minutes("cancelCutoff", 60),))
    visit = await house.booked()
    house.clock.to(visit["start"], -30)
    outcome = refused(await house.answer("pat", visit["id"], house.ref("pat"), "declined"), 422, "cutoff-passed")
    assert expressions(outcome) == ["Appointment.start"]
    assert (await house.state(visit["id"]))[0] == "booked"
    assert await _answers(house, visit["id"]) == 0
    assert (await house.answer("desk", visit["id"], house.ref("pat"), "declined")).status_code == 201
    assert (await house.state(visit["id"]))[0] == "cancelled"


async def test_who_is_needed_is_not_the_patients_to_say(house: House) -> None:
    await house.opened(policy=(minutes("cancelCutoff", 60),))
    visit = await house.booked()
    for index in range(2):
        for said in ("optional", "information-only"):
            changed = await house.read(f"Appointment/{visit['id']}")
            changed["participant"][index]["required"] = said
            outcome = refused(await house.ask("pat", "PUT", f"Appointment/{visit['id']}", changed), 403, "withheld")
            assert expressions(outcome) == [f"Appointment.participant[{index}].required"]
    assert (await house.ask("desk", "PUT", f"Appointment/{visit['id']}", changed)).status_code == 200


async def test_the_only_patient_ends_the_visit_by_declining_though_optional(house: House) -> None:
    await house.opened(policy=(minutes("cancelCutoff", 60),))
    optional = house.appointment()
    optional["participant"][0]["required"] = "optional"
    visit = (await house.ask("pat", "POST", "Appointment", optional)).json()
    early = house.clock()
    house.clock.to(visit["start"], -30)
    refused(await house.answer("pat", visit["id"], house.ref("pat"), "declined"), 422, "cutoff-passed")
    assert (await house.state(visit["id"]))[0] == "booked"
    house.clock.to(visit["start"], -90)
    assert early < house.clock()
    assert (await house.answer("pat", visit["id"], house.ref("pat"), "declined")).status_code == 201
    assert (await house.state(visit["id"]))[0] == "cancelled"
    await house.booked(patient="other")


@pytest.mark.parametrize("status", ["accepted", "needs-action"])
async def test_a_patient_brings_no_second_provider_into_a_visit(house: House, status: str) -> None:
    await house.opened()
    visit = await house.booked()
    more = {"actor": house.ref("colleague", "Practitioner"), "required": "required", "status": status}
    changed = {**visit, "participant": [*visit["participant"], more]}
    outcome = refused(await house.ask("pat", "PUT", f"Appointment/{visit['id']}", changed), 403, "withheld")
    assert expressions(outcome) == [f"Appointment.participant[{len(visit['participant'])}].actor"]
    # The same time in other words is no other time.
    start = datetime.fromisoformat(visit["start"]).astimezone(UTC).isoformat().replace("+00:00", "Z")
    absolute = [{"reference": f"http://fhir.test/fhir/{one['reference']}"} for one in visit["slot"]]
    for said in ({"start": start}, {"slot": absolute}):
        refused(await house.ask("pat", "PUT", f"Appointment/{visit['id']}", {**changed, **said}), 403, "withheld")
    without = {name: value for name, value in changed.items() if name != "slot"}
    refused(await house.ask("pat", "PUT", f"Appointment/{visit['id']}", without), 403, "withheld")
    assert (await house.read(f"Appointment/{visit['id']}"))["meta"]["versionId"] == visit["meta"]["versionId"]
    assert (await house.ask("desk", "PUT", f"Appointment/{visit['id']}", changed)).status_code == 200


async def test_nobody_answers_after_the_start_to_have_missed_nothing(house: House) -> None:
    await house.opened()
    visit = await house.booked()
    house.clock.to(visit["start"], 5)
    for status in ("declined", "accepted"):
        refused(await house.answer("pat", visit["id"], house.ref("pat"), status), 422, "cutoff-passed")
    refused(await house.act("pat", visit["id"], "$cancel"), 422, "cutoff-passed")
    refused(await house.patch("pat", f"Appointment/{visit['id']}", ("/status", "cancelled")), 422, "cutoff-passed")
    assert (await house.state(visit["id"]))[0] == "booked"


@pytest.mark.parametrize("ended", ["cancelled", "fulfilled", "noshow", "entered-in-error"])
async def test_what_is_over_is_not_answered(house: House, ended: str) -> None:
    await house.opened()
    visit = await house.booked()
    if ended in {"fulfilled", "noshow"}:
        house.clock.to(visit["start"], 20)
    done = await house.patch("system", f"Appointment/{visit['id']}", ("/status", ended))
    assert done.status_code == 200, done.text
    for caller in ("pat", "desk"):
        outcome = refused(
            await house.answer(caller, visit["id"], house.ref("pat"), "accepted"), 422, "illegal-transition"
        )
        assert expressions(outcome) == ["AppointmentResponse.appointment"]
    assert await _answers(house, visit["id"]) == 0


@pytest.mark.parametrize(
    ("caller", "actor", "status"),
    [
        ("pat", ("pat", "Patient"), 201), ("pat", ("other", "Patient"), 403), ("pat", ("doc", "Practitioner"), 403),
        ("other", ("other", "Patient"), 403), ("other", ("pat", "Patient"), 403),
        ("doc", ("doc", "Practitioner"), 201), ("doc", ("doc-role", "PractitionerRole"), 403),
        ("doc", ("pat", "Patient"), 201), ("doc", ("colleague", "Practitioner"), 403),
        ("doc", ("colleague-role", "PractitionerRole"), 403), ("desk", ("pat", "Patient"), 201),
        ("desk", ("doc", "Practitioner"), 201), ("desk", ("other", "Patient"), 422),
        ("desk", ("colleague", "Practitioner"), 422), ("far", ("pat", "Patient"), 403),
        ("far", ("doc", "Practitioner"), 403), ("system", ("other", "Patient"), 422),
    ],
)  # fmt: skip
async def test_who_answers_for_whom(house: House, caller: str, actor: tuple[str, str], status: int) -> None:
    await house.opened()
    id_ = (await house.booked())["id"]
    answer = await house.answer(caller, id_, house.ref(*actor), "accepted")
    assert answer.status_code == status, answer.text
    if status == 422:
        assert expressions(refused(answer, 422)) == ["AppointmentResponse.actor"]
    assert await _answers(house, id_) == (status == 201)


async def test_a_participant_by_type(house: House) -> None:
    await house.opened()
    id_ = (await house.booked())["id"]
    kind = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "PPRF"}]}
    found = await house.read(f"Appointment/{id_}")
    at = next(at for at, one in enumerate(found["participant"]) if house.id("doc") in one["actor"]["reference"])
    found["participant"][at]["type"] = [kind]
    await house.put(found)
    body = {"resourceType": "AppointmentResponse", "appointment": {"reference": f"Appointment/{id_}"},
            "participantType": [kind], "participantStatus": "tentative"}  # fmt: skip
    assert (await house.ask("desk", "POST", "AppointmentResponse", body)).status_code == 201
    assert (await house.state(id_))[1] == {"pat": "needs-action", "doc": "tentative"}
    body["participantType"] = [{"text": "nobody"}]
    outcome = refused(await house.ask("desk", "POST", "AppointmentResponse", body), 422, "not-eligible")
    assert expressions(outcome) == ["AppointmentResponse.participantType"]


async def test_a_changed_mind(house: House) -> None:
    """An update that says something else acts; one that says the same does not."""
    await house.opened()
    id_ = (await house.booked())["id"]
    first = (await house.answer("pat", id_, house.ref("pat"), "accepted")).json()
    noted = {**first, "comment": "by bus"}
    assert (await house.ask("pat", "PUT", f"AppointmentResponse/{first['id']}", noted)).status_code == 200
    assert (await house.read(f"Appointment/{id_}"))["meta"]["versionId"] == "2"
    answer = await house.patch("pat", f"AppointmentResponse/{first['id']}", ("/participantStatus", "declined"))
    assert answer.status_code == 200, answer.text
    assert (await house.state(id_))[0] == "cancelled"
    refused(await house.patch("pat", f"AppointmentResponse/{first['id']}", ("/participantStatus", "accepted")), 422)
    assert (await house.read(f"AppointmentResponse/{first['id']}"))["participantStatus"] == "declined"


async def test_the_clinic_confirms_by_its_answer(house: House) -> None:
    await house.opened(MANUAL)
    visit = await house.booked(caller="pat")
    assert visit["status"] == "pending"
    assert (await house.answer("pat", visit["id"], house.ref("pat"), "accepted")).status_code == 201
    assert await house.state(visit["id"]) == ("pending", {"pat": "accepted", "doc": "tentative"})
    assert (await house.answer("doc", visit["id"], house.ref("doc", "Practitioner"), "accepted")).status_code == 201
    assert await house.state(visit["id"]) == ("booked", {"pat": "accepted", "doc": "accepted"})
    assert (await house.read(visit["slot"][0]["reference"]))["status"] == "busy"


async def test_the_clinic_refuses_by_its_answer(house: House) -> None:
    await house.opened(MANUAL)
    visit = await house.booked(caller="pat")
    assert (await house.answer("doc", visit["id"], house.ref("doc", "Practitioner"), "declined")).status_code == 201
    ended = await house.read(f"Appointment/{visit['id']}")
    assert (ended["status"], ended["cancelationReason"]["coding"][0]["code"]) == ("cancelled", "prov")
    assert (await house.read(visit["slot"][0]["reference"]))["status"] == "free"


async def test_who_is_not_needed_gives_back_only_their_own_time(house: House, world: World) -> None:
    await house.opened()
    body = house.appointment()
    body["participant"].append({"actor": house.ref("colleague", "Practitioner"), "required": "optional",
                                "status": "accepted"})  # fmt: skip
    made = await house.ask("desk", "POST", "Appointment", body)
    assert made.status_code == 201, made.text
    id_ = made.json()["id"]
    assert not await _free(house, "colleague")
    assert (await house.answer("colleague", id_, house.ref("colleague", "Practitioner"), "declined")).status_code == 201
    assert await house.state(id_) == ("booked", {"pat": "accepted", "doc": "accepted", "colleague": "declined"})
    assert await _free(house, "colleague")
    assert not await _free(house, "doc")
    again = await house.answer("desk", id_, house.ref("colleague", "Practitioner"), "accepted")
    assert again.status_code == 201, again.text
    assert not await _free(house, "colleague")
    await sound(world)


async def _free(house: House, name: str) -> bool:
    found = await house.find(
        service=house.visit, practitioner=f"Practitioner/{house.id(name)}", _count="1000",
        start=house.at("00:00"), end=house.at("23:00"),
    )  # fmt: skip
    return house.at("09:00") in {one["start"] for one in proposals(found)}


async def test_one_of_two_patients_leaves_the_other(house: House, world: World) -> None:
    await house.opened()
    body = house.appointment()
    body["participant"].append({"actor": house.ref("other"), "status": "accepted"})
    made = await house.ask("desk", "POST", "Appointment", body)
    assert made.status_code == 201, made.text
    id_ = made.json()["id"]
    assert (await house.answer("pat", id_, house.ref("pat"), "declined")).status_code == 201
    assert await house.state(id_) == ("booked", {"pat": "declined", "other": "accepted", "doc": "accepted"})
    second = house.appointment()
    second["participant"][1] = {"actor": house.ref("colleague", "Practitioner"), "status": "accepted"}
    assert (await house.ask("pat", "POST", "Appointment", second)).status_code == 201, "pat is free again"
    await sound(world)
    assert (await house.answer("other", id_, house.ref("other"), "declined")).status_code == 201
    assert (await house.state(id_))[0] == "cancelled"


async def test_an_answer_inside_a_transaction_is_all_or_nothing(house: House) -> None:
    await house.opened()
    first, second = await house.booked(), await house.booked("10:00", "other")
    second = await house.patch("system", f"Appointment/{second['id']}", ("/status", "cancelled"))

    def entry(id_: str, who: str) -> dict[str, Any]:
        return {"request": {"method": "POST", "url": "AppointmentResponse"}, "resource": {
            "resourceType": "AppointmentResponse", "appointment": {"reference": f"Appointment/{id_}"},
            "actor": house.ref(who), "participantStatus": "declined"}}  # fmt: skip

    bundle = {"resourceType": "Bundle", "type": "transaction",
              "entry": [entry(first["id"], "pat"), entry(second.json()["id"], "other")]}  # fmt: skip
    refused(await house.ask("desk", "POST", "", bundle), 422, "illegal-transition")
    assert (await house.state(first["id"]))[0] == "booked"
    del bundle["entry"][1]
    assert (await house.ask("desk", "POST", "", bundle)).status_code == 200
    assert (await house.state(first["id"]))[0] == "cancelled"


async def test_answers_at_the_same_moment_are_all_kept(house: House) -> None:
    await house.opened(MANUAL)
    visit = await house.booked(caller="pat")
    for name in ("pat", "doc"):
        await house.callers.token(name)
    told = await asyncio.gather(
        house.answer("pat", visit["id"], house.ref("pat"), "accepted"),
        house.answer("doc", visit["id"], house.ref("doc", "Practitioner"), "accepted"),
        house.act("pat", visit["id"], "$confirm"),
    )
    assert {one.status_code for one in told} <= {200, 201}, [one.text for one in told]
    assert await house.state(visit["id"]) == ("booked", {"pat": "accepted", "doc": "accepted"})


async def test_an_answer_to_what_is_not_here_is_kept(house: House) -> None:
    await house.opened()
    for appointment in ({"display": "elsewhere"}, {"reference": f"Appointment/{house.id('none')}"}):
        body = {"resourceType": "AppointmentResponse", "appointment": appointment, "actor": house.ref("pat"),
                "participantStatus": "accepted"}  # fmt: skip
        assert (await house.ask("system", "POST", "AppointmentResponse", body)).status_code == 201


async def test_history_that_agrees_is_loaded(house: House) -> None:
    await house.opened()
    visit = await house.booked()
    await house.act("pat", visit["id"], "$confirm")
    house.clock.to(visit["start"], 5)
    done = await house.patch("system", f"Appointment/{visit['id']}", ("/status", "fulfilled"))
    assert done.status_code == 200, done.text
    body = {"resourceType": "AppointmentResponse", "id": house.id("old"), "actor": house.ref("pat"),
            "appointment": {"reference": f"Appointment/{visit['id']}"}, "participantStatus": "accepted"}  # fmt: skip
    assert (await house.ask("system", "PUT", f"AppointmentResponse/{body['id']}", body)).status_code == 201
    body |= {"id": house.id("odd"), "participantStatus": "declined"}
    refused(await house.ask("system", "PUT", f"AppointmentResponse/{body['id']}", body), 422, "illegal-transition")

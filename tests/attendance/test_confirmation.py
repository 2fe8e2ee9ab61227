"""Where the clinic confirms a service itself, nothing that a patient writes books it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.attendance.house import House
from tests.builders.answers import refused
from tests.builders.clinic import OWN, part

MANUAL = part("confirmation", "Code", "manual")


async def test_a_posted_booking_of_a_patient_asks(house: House) -> None:
    await house.opened(MANUAL)
    made = await house.ask("pat", "POST", "Appointment", house.appointment())
    assert made.status_code == 201, made.text
    assert await house.state(made.json()["id"]) == ("pending", {"pat": "accepted", "doc": "tentative"})
    assert not any(one["url"] == f"{OWN}held-until" for one in made.json().get("extension", ()))
    taken = await house.ask("system", "POST", "Appointment", house.appointment())
    refused(taken, 409)


@pytest.mark.parametrize("way", ["patch", "put"])
async def test_a_patient_does_not_confirm_in_the_clinics_place(house: House, way: str) -> None:
    await house.opened(MANUAL)
    asked = await house.booked(caller="pat")
    url = f"Appointment/{asked['id']}"
    if way == "patch":
        answer = await house.patch("pat", url, ("/status", "booked"))
    else:
        answer = await house.ask("pat", "PUT", url, {**asked, "status": "booked"})
    refused(answer, 422, "confirmation-required")
    assert (await house.act("pat", asked["id"], "$confirm")).json()["status"] == "pending"
    moved = {**asked, "status": "booked", "start": house.at("11:00"), "end": house.at("11:30")}
    moved.pop("slot", None)
    refused(await house.ask("pat", "PUT", url, moved), 422, "confirmation-required")
    assert (await house.state(asked["id"]))[0] == "pending"
    assert (await house.patch("desk", url, ("/status", "booked"))).status_code == 200


async def test_a_patient_does_not_answer_for_the_clinic(house: House) -> None:
    await house.opened(MANUAL)
    asked = await house.booked(caller="pat")
    url = f"Appointment/{asked['id']}"
    at = next(at for at, one in enumerate(asked["participant"]) if house.id("doc") in one["actor"]["reference"])
    refused(await house.patch("pat", url, (f"/participant/{at}/status", "accepted")), 403, "withheld")
    mine = 1 - at
    assert (await house.patch("pat", url, (f"/participant/{mine}/status", "accepted"))).status_code == 200
    assert await house.state(asked["id"]) == ("pending", {"pat": "accepted", "doc": "tentative"})


@pytest.mark.parametrize("first", ["proposed", "pending"])
async def test_steps_lead_no_further(house: House, first: str) -> None:
    """A proposal or a request with an agreed doctor in it is a request once its time is taken."""
    await house.opened(MANUAL)
    made = await house.ask("pat", "POST", "Appointment", {**house.appointment(), "status": first})
    assert made.status_code == 201, made.text
    url = f"Appointment/{made.json()['id']}"
    answer = await house.patch("pat", url, ("/status", "booked"))
    if first == "proposed":
        assert (answer.status_code, answer.json()["status"]) == (200, "pending"), answer.text
    else:
        refused(answer, 422, "confirmation-required")
    assert await house.state(made.json()["id"]) == ("pending", {"pat": "accepted", "doc": "tentative"})
    assert (await house.answer("pat", made.json()["id"], house.ref("pat"), "accepted")).status_code == 201
    assert (await house.state(made.json()["id"]))[0] == "pending"


async def test_a_hold_becomes_a_request(house: House) -> None:
    await house.opened(MANUAL)
    body = {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": house.appointment()}]}
    held = await house.ask("pat", "POST", "Appointment/$hold", body)
    assert held.status_code == 201, held.text
    answer = await house.patch("pat", f"Appointment/{held.json()['id']}", ("/status", "booked"))
    assert (answer.status_code, answer.json()["status"]) == (200, "pending"), answer.text
    assert not any(one["url"] == f"{OWN}held-until" for one in answer.json().get("extension", ()))
    house.clock.to(house.at("09:00"), -60)
    assert (await house.state(held.json()["id"]))[0] == "pending", "it does not end by itself"


async def test_another_service_needs_its_own_confirmation(house: House) -> None:
    await house.opened()
    await house.service("careful", 30, MANUAL)
    careful = f"HealthcareService/{house.id('careful')}"
    schedule = await house.read(f"Schedule/{house.id('doc-days')}")
    schedule["extension"].append(part(f"{OWN}offers", "Reference", {"reference": careful}))
    await house.put(schedule)
    booked = await house.booked(caller="pat")
    assert booked["status"] == "booked"
    kind = (await house.read(careful))["type"]
    url = f"Appointment/{booked['id']}"
    change = {**booked, "serviceType": kind}
    refused(await house.ask("pat", "PUT", url, change), 422, "confirmation-required")
    found = await house.find(service=careful, start=house.at("11:00"), end=house.at("12:00"))
    other = found["entry"][0]["resource"]["id"]
    moved = await house.act("pat", booked["id"], "$reschedule", appointment=("Uri", f"Appointment/{other}"))
    refused(moved, 422, "confirmation-required")
    assert (await house.read(url))["serviceType"] == booked["serviceType"]


async def test_what_needs_no_confirmation_is_booked(house: House) -> None:
    await house.opened()
    made = await house.ask("pat", "POST", "Appointment", house.appointment())
    assert (made.status_code, made.json()["status"]) == (201, "booked"), made.text
    moved: Any = {**made.json(), "start": house.at("11:00"), "end": house.at("11:30")}
    assert (await house.ask("pat", "PUT", f"Appointment/{moved['id']}", moved)).status_code == 200


async def test_the_clinic_books_what_it_confirms(house: House) -> None:
    await house.opened(MANUAL)
    made = await house.ask("desk", "POST", "Appointment", house.appointment())
    assert (made.status_code, made.json()["status"]) == (201, "booked"), made.text

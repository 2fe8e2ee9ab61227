"""``$book`` through HTTP: by proposal, slot, resource and hold; replays; refusals with alternatives."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders.answers import actors, codes, expressions, refused
from tests.builders.clinic import OWN, Clinic, parameters, part, policy, proposals
from tests.builders.visits import Visits


@pytest.fixture
async def clinic(client: Any) -> Clinic:
    made = Clinic(client)
    await made.service()
    await made.practitioner()
    await made.patient()
    await made.patient("other")
    await made.schedule("s", [f"Practitioner/{made.id('doc')}"], [f"HealthcareService/{made.id('visit')}"])
    return made


async def test_a_proposal_becomes_a_booking(clinic: Clinic, client: Any) -> None:
    found = await clinic.find(service=f"HealthcareService/{clinic.id('visit')}")
    assert found["total"] == 16
    first = proposals(found)[0]
    answer = await clinic.book(first["id"], f"Patient/{clinic.id('pat')}")
    assert answer.status_code == 201, answer.text
    booked = answer.json()
    assert booked["status"] == "booked"
    assert booked["start"] == clinic.at("09:00")
    assert answer.headers["ETag"] == 'W/"1"'
    assert answer.headers["Location"].endswith(f"/Appointment/{booked['id']}/_history/1")
    slot = (await client.get(booked["slot"][0]["reference"])).json()
    assert slot["status"] == "busy"
    assert (await clinic.find(service=f"HealthcareService/{clinic.id('visit')}"))["total"] == 15


async def test_a_taken_time_is_refused_with_the_next_ones(clinic: Clinic) -> None:
    first = proposals(await clinic.find(service=f"HealthcareService/{clinic.id('visit')}"))[0]
    assert (await clinic.book(first["id"], f"Patient/{clinic.id('pat')}")).status_code == 201
    answer = await clinic.book(first["id"], f"Patient/{clinic.id('other')}")
    assert answer.status_code == 409
    outcome = answer.json()
    assert outcome["issue"][0]["details"]["coding"][0]["code"] == "slot-taken"
    assert [one["start"] for one in outcome["contained"]] == [
        clinic.at("09:30"),
        clinic.at("10:00"),
        clinic.at("10:30"),
    ]


async def test_the_same_key_replays_the_first_answer(clinic: Clinic) -> None:
    times = proposals(await clinic.find(service=f"HealthcareService/{clinic.id('visit')}"))
    key = {"Idempotency-Key": clinic.id("key")}
    patient = f"Patient/{clinic.id('pat')}"
    first = await clinic.book(times[0]["id"], patient, **key)
    again = await clinic.book(times[0]["id"], patient, **key)
    other = await clinic.book(times[1]["id"], patient, **key)
    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 422)
    assert again.content == first.content
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert other.json()["issue"][0]["details"]["coding"][0]["code"] == "idempotency-mismatch"


async def test_hold_then_book(clinic: Clinic, client: Any) -> None:
    first = proposals(await clinic.find(service=f"HealthcareService/{clinic.id('visit')}"))[0]
    body = parameters(
        appointment=("Uri", f"Appointment/{first['id']}"),
        patient=("Reference", {"reference": f"Patient/{clinic.id('pat')}"}),
    )
    held = await client.post("Appointment/$hold", json=body)
    assert held.status_code == 201, held.text
    assert "Expires" in held.headers
    assert "held-until" in held.text
    assert held.json()["status"] == "pending"
    refused = await clinic.book(first["id"], f"Patient/{clinic.id('other')}")
    assert refused.status_code == 409
    booked = await client.post(f"Appointment/{held.json()['id']}/$book", json=parameters())
    assert booked.status_code == 201, booked.text
    assert booked.json()["id"] == held.json()["id"]
    assert booked.json()["status"] == "booked"
    assert "held-until" not in booked.text


async def test_cancel_frees_at_once_and_reschedule_moves_over_itself(clinic: Clinic, client: Any) -> None:
    first = proposals(await clinic.find(service=f"HealthcareService/{clinic.id('visit')}"))[0]
    booked = (await clinic.book(first["id"], f"Patient/{clinic.id('pat')}")).json()
    moved = await client.post(
        f"Appointment/{booked['id']}/$reschedule", json=parameters(start=("DateTime", clinic.at("09:15")))
    )
    assert moved.status_code == 200, moved.text
    assert moved.json()["start"] == clinic.at("09:15")
    assert moved.json()["id"] == booked["id"]
    cancelled = await client.post(f"Appointment/{booked['id']}/$cancel", json=parameters(reason=("Code", "pat")))
    assert cancelled.status_code == 200, cancelled.text
    assert cancelled.json()["status"] == "cancelled"
    assert (await clinic.find(service=f"HealthcareService/{clinic.id('visit')}"))["total"] == 16


async def test_first_available_takes_the_best_of_the_pool(clinic: Clinic, client: Any) -> None:
    body = parameters(
        start=("Date", clinic.first.isoformat()),
        end=("Date", clinic.first.isoformat()),
        service=("Reference", {"reference": f"HealthcareService/{clinic.id('visit')}"}),
        first_available=("Boolean", True),
        patient=("Reference", {"reference": f"Patient/{clinic.id('pat')}"}),
    )
    booked = await client.post("Appointment/$book", json=body)
    assert booked.status_code == 201, booked.text
    assert booked.json()["start"] == clinic.at("09:00")


async def test_group_visit_has_its_seats(client: Any) -> None:
    clinic = Clinic(client)
    service = await clinic.service("group", 60, part("capacity", "PositiveInt", 3))
    await clinic.schedule("s", [await clinic.practitioner()], [service])
    first = proposals(await clinic.find(service=service))[0]
    answers = [await clinic.book(first["id"], await clinic.patient(f"p{one}")) for one in range(4)]
    assert [one.status_code for one in answers] == [201, 201, 201, 409]


PLACER = {
    "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "PLAC"}]},
    "system": "https://portal.example/orders",
}
REPLACES = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Appointment.replaces"


@pytest.fixture
async def visits(client: Any) -> Visits:
    return await Visits(client).opened()


async def test_by_slot_by_resource_as_bare_body_and_at_instance_level(visits: Visits, client: Any) -> None:
    found = {one["start"][11:16]: one for one in proposals(await visits.find(service=visits.visit))}
    patient = parameters(patient=("Reference", visits.who()))
    slot = parameters(slot=("Reference", found["09:00"]["slot"][0]), patient=("Reference", visits.who()))
    named = [*found["10:00"]["participant"], {"actor": visits.who(), "status": "needs-action"}]
    resource = parameters(resource=("resource", {**found["10:00"], "participant": named}))
    bare = {name: value for name, value in visits.appointment("11:00", "11:30").items() if name != "status"}
    answers = [
        await client.post("Appointment/$book", json=slot),
        await client.post("Appointment/$book", json=resource),
        await client.post("Appointment/$book", json={**bare, "status": "proposed"}),
        await client.post(f"Appointment/{found['12:00']['id']}/$book", json=patient),
    ]
    assert [one.status_code for one in answers] == [201] * 4, [one.text for one in answers]
    assert [one.json()["start"] for one in answers] == [visits.at(one) for one in ("09:00", "10:00", "11:00", "12:00")]
    for one in answers:
        booked = one.json()
        assert actors(booked, "Patient") == [f"Patient/{visits.id('pat')}"]
        assert actors(booked) == [f"Practitioner/{visits.id('doc')}"]
        assert (await visits.read(booked["slot"][0]["reference"]))["status"] == "busy"


async def test_what_a_client_sends_back_is_not_trusted(visits: Visits, client: Any) -> None:
    proposal = proposals(await visits.find(service=visits.visit))[0]
    named = [*proposal["participant"], {"actor": visits.who(), "status": "accepted"}]
    forged = {**proposal, "participant": named, "end": visits.at("13:00")}
    outcome = refused(await client.post("Appointment/$book", json=forged), 422, "not-offered")
    assert expressions(outcome)[0].startswith("Appointment.")
    elsewhere = {**proposal, "participant": named, "start": visits.at("20:00"), "end": visits.at("20:30")}
    assert "not-offered" in codes(await client.post("Appointment/$book", json=elsewhere))


async def test_consecutive_slots_are_one_longer_visit(client: Any) -> None:
    visits = await Visits(client).opened(
        parts=(part("duration", "Duration", {"value": 60, "system": "http://unitsofmeasure.org", "code": "min"}),)
    )
    found = {one["start"][11:16]: one for one in proposals(await visits.find(service=visits.visit, duration="30"))}
    body = parameters(patient=("Reference", visits.who()))
    body["parameter"] += [{"name": "slot", "valueReference": found[one]["slot"][0]} for one in ("09:00", "09:30")]
    answer = await client.post("Appointment/$book", json=body)
    assert answer.status_code == 201, answer.text
    assert (answer.json()["start"], answer.json()["end"]) == (visits.at("09:00"), visits.at("10:00"))
    assert {"09:00", "09:30"}.isdisjoint(await visits.free(duration="30"))


async def test_the_lineage_of_a_replaced_booking(visits: Visits, client: Any) -> None:
    old = await visits.booked()
    body = parameters(
        appointment=("Uri", f"Appointment/{(await visits.free())['10:00']}"),
        patient=("Reference", visits.who()),
        replaces=("Reference", {"reference": f"Appointment/{old['id']}"}),
    )
    answer = await client.post("Appointment/$book", json=body)
    assert answer.status_code == 201, answer.text
    lineage = [one["valueReference"] for one in answer.json()["extension"] if one["url"] == REPLACES]
    assert lineage == [{"reference": f"Appointment/{old['id']}"}]
    assert (await visits.read(f"Appointment/{old['id']}"))["status"] == "cancelled"
    assert "09:00" in await visits.free()


async def test_a_refused_booking_leaves_what_it_would_replace(visits: Visits, client: Any) -> None:
    old = await visits.booked()
    proposal = (await visits.free())["10:00"]
    assert (await visits.book(proposal, f"Patient/{visits.id('other')}")).status_code == 201
    body = parameters(
        appointment=("Uri", f"Appointment/{proposal}"),
        patient=("Reference", visits.who()),
        replaces=("Reference", {"reference": f"Appointment/{old['id']}"}),
    )
    refused(await client.post("Appointment/$book", json=body), 409, "slot-taken")
    assert await visits.read(f"Appointment/{old['id']}") == old


async def test_a_replaced_time_may_overlap_the_new_one(visits: Visits, client: Any) -> None:
    old = await visits.booked()
    sent = {**visits.appointment("09:15", "09:45"), "status": "proposed"}
    body = parameters(resource=("resource", sent), replaces=("Reference", {"reference": f"Appointment/{old['id']}"}))
    answer = await client.post("Appointment/$book", json=body)
    assert (answer.status_code, answer.json().get("start")) == (201, visits.at("09:15")), answer.text


async def test_the_placers_identifier_books_once(visits: Visits, client: Any) -> None:
    sent = {
        **visits.appointment(), "status": "proposed", "identifier": [{**PLACER, "value": visits.id("order")}],
    }  # fmt: skip
    first, again = [await client.post("Appointment/$book", json=sent) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 201), again.text
    assert first.json()["id"] == again.json()["id"]
    other = {**sent, "start": visits.at("10:00"), "end": visits.at("10:30")}
    refused(await client.post("Appointment/$book", json=other), 422, "idempotency-mismatch")
    assert "10:00" in await visits.free()


async def test_the_best_of_a_pool_and_then_the_next(client: Any) -> None:
    visits = await Visits(client).opened()
    await visits.schedule("t", [await visits.practitioner("second")], [visits.visit])
    booked = []
    for name in ("p1", "p2", "p3"):
        body = parameters(
            start=("Date", visits.first.isoformat()),
            end=("Date", visits.first.isoformat()),
            service=("Reference", {"reference": visits.visit}),
            first_available=("Boolean", True),
            patient=("Reference", {"reference": await visits.patient(name)}),
            comment=("String", "first visit"),
        )
        answer = await client.post("Appointment/$book", json=body)
        assert answer.status_code == 201, answer.text
        assert answer.json()["comment"] == "first visit"
        booked.append(answer.json()["start"])
    assert booked == [visits.at("09:00"), visits.at("09:00"), visits.at("09:30")]


async def test_a_pool_with_nothing_free_says_why(client: Any) -> None:
    visits = await Visits(client).opened()
    body = parameters(
        start=("DateTime", visits.at("20:00")),
        end=("Date", visits.first.isoformat()),
        service=("Reference", {"reference": visits.visit}),
        first_available=("Boolean", True),
        patient=("Reference", visits.who()),
    )
    refused(await client.post("Appointment/$book", json=body), 409, "closed")


async def test_a_manual_confirmation_keeps_its_seat(client: Any) -> None:
    visits = await Visits(client).opened(parts=(part("confirmation", "Code", "manual"),))
    answer = await visits.book((await visits.free())["09:00"], f"Patient/{visits.id('pat')}")
    assert (answer.status_code, answer.json()["status"]) == (201, "pending")
    assert "09:00" not in await visits.free()
    confirmed = await visits.put({**answer.json(), "status": "booked"})
    assert confirmed["status"] == "booked"
    assert "09:00" not in await visits.free()


async def test_staff_overbook_with_a_reason(client: Any) -> None:
    visits = await Visits(client).opened(policy(overbooking=1))
    proposal = (await visits.free())["09:00"]
    await visits.booked()
    for name, status in (("other", 201), ("third", 409)):
        await visits.patient(name)
        body = parameters(
            appointment=("Uri", f"Appointment/{proposal}"),
            patient=("Reference", visits.who(name)),
            booking_channel=("Code", "staff"),
            override=("Boolean", True),
            override_reason=("String", "emergency"),
        )
        answer = await client.post("Appointment/$book", json=body)
        assert answer.status_code == status, answer.text
    without = parameters(
        appointment=("Uri", f"Appointment/{proposal}"), patient=("Reference", visits.who()), override=("Boolean", True)
    )
    refused(await client.post("Appointment/$book", json=without), 400, "param-missing")


async def test_every_booking_has_a_number_and_says_its_channel(visits: Visits) -> None:
    booked = await visits.booked()
    number = [one["value"] for one in booked["identifier"] if one["system"].endswith("/confirmation-number")]
    assert len(number) == 1
    assert len(number[0]) == 8
    assert [one["valueCode"] for one in booked["extension"] if one["url"] == f"{OWN}booking-channel"] == ["online"]


async def test_a_patient_is_needed_and_must_exist(visits: Visits, client: Any) -> None:
    proposal = (await visits.free())["09:00"]
    nobody = parameters(appointment=("Uri", f"Appointment/{proposal}"))
    refused(await client.post("Appointment/$book", json=nobody), 400, "patient-required")
    refused(await visits.book(proposal, "Patient/nobody"), 422, "not-eligible")
    logical = parameters(
        appointment=("Uri", f"Appointment/{proposal}"),
        patient=("Reference", {"identifier": {"system": "urn:x", "value": "nobody"}}),
    )
    refused(await client.post("Appointment/$book", json=logical), 404)


async def test_a_malformed_resource_is_refused_by_its_place(visits: Visits, client: Any) -> None:
    for operation in ("$hold", "$book"):
        sent = {"resourceType": "Appointment", "start": "soon", "participant": [{"status": "odd"}]}
        bare = refused(await client.post(f"Appointment/{operation}", json=sent), 400)
        assert {"Appointment.start", "Appointment.participant[0].status"} <= set(expressions(bare))
        wrapped = parameters(patient=("Reference", visits.who()), resource=("resource", sent))
        inside = refused(await client.post(f"Appointment/{operation}", json=wrapped), 400)
        assert "Parameters.parameter[1].resource.start" in expressions(inside)


async def test_one_request_several_faults(client: Any) -> None:
    visits = await Visits(client).opened(
        policy(minimumNotice=60 * 24 * 60), parts=(part("referralRequired", "Boolean", True),)
    )
    sent = {**visits.appointment("20:00", "20:45"), "status": "proposed"}
    sent["serviceType"] = (await visits.read(visits.visit))["type"]
    answer = await client.post("Appointment/$book", json=sent)
    refused(answer, 422)
    assert {"referral-required", "closed", "min-notice", "not-offered"} <= set(codes(answer))

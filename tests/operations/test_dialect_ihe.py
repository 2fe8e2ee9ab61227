"""IHE ITI Scheduling, https://profiles.ihe.net/ITI/Scheduling/: ITI-115 to ITI-118."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders.answers import actors, outcome_in, refused
from tests.builders.clinic import SERVICE_SYSTEM, parameters, proposals
from tests.builders.visits import Visits

NPI = "urn:oid:2.16.840.1.113883.4.6"


@pytest.fixture
async def clinic(client: Any) -> Visits:
    made = await Visits(client).opened()
    for type_, name in (("Practitioner", "doc"), ("Patient", "pat")):
        stored = await made.read(f"{type_}/{made.id(name)}")
        await made.put({**stored, "identifier": [{"system": NPI, "value": made.id(name)}]})
    return made


def _logical(clinic: Visits, name: str) -> dict[str, Any]:
    return {"identifier": {"system": NPI, "value": clinic.id(name)}}


async def _found(clinic: Visits, **more: tuple[str, Any]) -> dict[str, Any]:
    body = parameters(
        start=("DateTime", clinic.at("09:00")),
        end=("DateTime", clinic.at("17:00")),
        visit_type=("String", f"{SERVICE_SYSTEM}|{clinic.id('visit')}"),
        **more,
    )
    answer = await clinic.client.post("Appointment/$find", json=body)
    assert answer.status_code == 200, answer.text
    bundle: dict[str, Any] = answer.json()
    return bundle


def _one(answer: Any) -> dict[str, Any]:
    """The Appointment of an accepted request: a searchset of one."""
    assert answer.status_code == 200, answer.text
    bundle = answer.json()
    assert (bundle["type"], bundle["total"], len(bundle["entry"])) == ("searchset", 1, 1)
    assert bundle["entry"][0]["search"] == {"mode": "match"}
    return dict(bundle["entry"][0]["resource"])


def _fatal(answer: Any) -> dict[str, Any]:
    """The one entry of a refusal: an OperationOutcome, severity fatal."""
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["entry"]) == 1
    outcome = outcome_in(answer.json())
    assert outcome is not None
    assert {one["severity"] for one in outcome["issue"]} == {"fatal"}
    return outcome


async def _post(clinic: Visits, operation: str, **arguments: tuple[str, Any]) -> Any:
    return await clinic.client.post(f"Appointment/{operation}", json=parameters(**arguments))


async def test_iti_115_with_logical_references_and_a_timing(clinic: Visits) -> None:
    timing = {"repeat": {"dayOfWeek": ["mon"], "when": ["MORN"]}}
    found = await _found(
        clinic,
        practitioner=("Reference", _logical(clinic, "doc")),
        patient_reference=("Reference", _logical(clinic, "pat")),
        timing=("Timing", timing),
    )
    assert (found["type"], found["total"]) == ("searchset", 6)
    assert {one["status"] for one in proposals(found)} == {"proposed"}
    assert actors(proposals(found)[0], "Patient") == [f"Patient/{clinic.id('pat')}"]


async def test_iti_115_an_identifier_that_names_nobody_finds_nothing(clinic: Visits) -> None:
    nobody = {"identifier": {"system": NPI, "value": "nobody"}}
    assert (await _found(clinic, practitioner=("Reference", nobody)))["total"] == 0


async def test_iti_115_shows_no_held_time(clinic: Visits) -> None:
    await clinic.held("09:00")
    assert proposals(await _found(clinic))[0]["start"] == clinic.at("09:30")


async def test_iti_115_says_which_arguments_have_no_effect(clinic: Visits) -> None:
    found = await _found(
        clinic,
        referral_identifier=("Identifier", {"value": "R-1"}),
        insurance_reference=("Reference", {"reference": "InsurancePlan/1"}),
    )
    outcome = outcome_in(found)
    assert outcome is not None
    named = [place for one in outcome["issue"] for place in one["expression"]]
    assert sorted(named) == ["insurance-reference"]
    assert found["total"] == 16


async def test_iti_116_holds_and_iti_117_books(clinic: Visits) -> None:
    proposal = proposals(await _found(clinic))[0]
    held = await _post(
        clinic, "$hold", appointment_reference=("Reference", {"reference": f"Appointment/{proposal['id']}"})
    )
    assert _one(held)["status"] == "pending"
    assert "Expires" in held.headers
    booked = await _post(
        clinic,
        "$book",
        appointment_reference=("Reference", {"reference": f"Appointment/{_one(held)['id']}"}),
        patient_resource=("resource", await clinic.read(f"Patient/{clinic.id('pat')}")),
        comment=("String", "knee"),
    )
    assert (_one(booked)["id"], _one(booked)["status"]) == (_one(held)["id"], "booked")
    assert actors(_one(booked), "Patient") == [f"Patient/{clinic.id('pat')}"]
    assert _one(booked)["comment"] == "knee"


async def test_iti_116_refuses_with_nothing_but_a_fatal_outcome(clinic: Visits) -> None:
    proposal = proposals(await _found(clinic))[0]
    await clinic.held("09:00", client="another")
    answer = await _post(
        clinic, "$hold", appointment_reference=("Reference", {"reference": f"Appointment/{proposal['id']}"})
    )
    assert _fatal(answer)["issue"][0]["code"] == "not-found"
    unknown = await _post(clinic, "$hold", appointment_reference=("Reference", {"reference": "Appointment/none"}))
    assert _fatal(unknown)["issue"][0]["code"] == "not-found"


async def test_iti_117_registers_a_patient_who_is_new_here(clinic: Visits) -> None:
    proposals_ = proposals(await _found(clinic))
    newcomer = {
        "resourceType": "Patient",
        "identifier": [{"system": NPI, "value": clinic.id("newcomer")}],
        "name": [{"family": "Newcomer"}],
    }
    booked = []
    for proposal in proposals_[:2]:
        reference = {"reference": f"Appointment/{proposal['id']}"}
        answer = await _post(
            clinic, "$book", appointment_reference=("Reference", reference), patient_resource=("resource", newcomer)
        )
        booked += actors(_one(answer), "Patient")
    assert len(booked) == 2
    assert len(set(booked)) == 1
    assert (await clinic.read(booked[0]))["identifier"] == newcomer["identifier"]


def _pending(clinic: Visits, clock: str, end: str) -> dict[str, Any]:
    return clinic.appointment(clock, end, status="pending", requestedPeriod=[{"start": clinic.at(clock)}])


async def test_iti_117_a_new_one_a_changed_one_and_a_cancelled_one(clinic: Visits) -> None:
    booked = _one(await _post(clinic, "$book", appointment_resource=("resource", _pending(clinic, "09:00", "09:30"))))
    assert booked["status"] == "booked"
    later = {name: value for name, value in booked.items() if name != "slot"}
    later |= {"start": clinic.at("10:00"), "end": clinic.at("10:30")}
    moved = _one(await _post(clinic, "$book", appointment_resource=("resource", later)))
    assert (moved["id"], moved["start"]) == (booked["id"], clinic.at("10:00"))
    assert {"09:00", "10:00"} & set(await clinic.free()) == {"09:00"}
    over = _one(await _post(clinic, "$book", appointment_resource=("resource", {**moved, "status": "cancelled"})))
    assert (over["id"], over["status"]) == (booked["id"], "cancelled")
    assert {"09:00", "10:00"} <= set(await clinic.free())


async def test_iti_117_refuses_with_nothing_but_a_fatal_outcome(clinic: Visits) -> None:
    await clinic.booked("09:00", "other")
    answer = await _post(clinic, "$book", appointment_resource=("resource", _pending(clinic, "09:00", "09:30")))
    outcome = _fatal(answer)
    assert outcome["issue"][0]["details"]["coding"][0]["code"] == "slot-taken"
    assert outcome["contained"][0]["start"] == clinic.at("09:30")
    closed = await _post(clinic, "$book", appointment_resource=("resource", _pending(clinic, "20:00", "20:30")))
    assert _fatal(closed)["issue"][0]["code"] == "business-rule"


async def test_iti_117_a_change_onto_taken_time_changes_nothing(clinic: Visits) -> None:
    booked = _one(await _post(clinic, "$book", appointment_resource=("resource", _pending(clinic, "09:00", "09:30"))))
    await clinic.booked("10:00", "other")
    later = {name: value for name, value in booked.items() if name != "slot"}
    later |= {"start": clinic.at("10:00"), "end": clinic.at("10:30")}
    _fatal(await _post(clinic, "$book", appointment_resource=("resource", later)))
    assert await clinic.read(f"Appointment/{booked['id']}") == booked


async def test_what_is_malformed_is_an_http_fault(clinic: Visits) -> None:
    wrong = await _post(clinic, "$hold", appointment_reference=("Reference", {"reference": "Patient/1"}))
    refused(wrong, 400, "param-invalid")
    missing = {**_pending(clinic, "09:00", "09:30"), "status": "odd"}
    refused(await _post(clinic, "$book", appointment_resource=("resource", missing)), 400)


async def test_iti_118_finds_existing_appointments(clinic: Visits) -> None:
    booked = await clinic.booked()
    criteria = {
        "patient": f"Patient/{clinic.id('pat')}", "date": f"ge{clinic.first.isoformat()}",
        "_include": "Appointment:actor",
    }  # fmt: skip
    got = await clinic.client.get("Appointment", params=criteria)
    posted = await clinic.client.post(
        "Appointment/_search", data=criteria, headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    for answer in (got, posted):
        bundle = answer.json()
        assert (bundle["type"], bundle["total"]) == ("searchset", 1)
        assert [one["id"] for one in proposals(bundle)] == [booked["id"]]
        included = {one["resource"]["id"] for one in bundle["entry"] if one["search"]["mode"] == "include"}
        assert {clinic.id("pat"), clinic.id("doc")} <= included
    unknown = await clinic.client.get("Appointment", params={"patient.identifier": "urn:unknown|1"})
    assert unknown.json()["total"] == 0

"""``$find`` and the rules: pools, capacity, referrals, new patients, limits, notice, horizon, holds, clock changes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.builders.answers import actors, clocks, outcome_in, reasons, refused, starts
from tests.builders.clinic import NEW_YORK, OWN, Clinic, availability, parameters, part, policy, proposals

ROOM = "https://clinic.example/room-type"


@pytest.fixture
async def clinic(client: Any) -> Clinic:
    made = Clinic(client)
    await made.practitioner()
    await made.patient()
    await made.patient("other")
    return made


async def _open(clinic: Clinic, service: str, *extensions: dict[str, Any], end: str = "11:00:00") -> str:
    """A Schedule of the clinic's doc from nine."""
    doc = f"Practitioner/{clinic.id('doc')}"
    return await clinic.schedule("s", [doc], [service], availability(end=end), *extensions)


def _patient(clinic: Clinic, name: str = "pat") -> str:
    return f"Patient/{clinic.id(name)}"


async def test_an_empty_answer_says_why_and_when(clinic: Clinic) -> None:
    service = await clinic.service()
    await _open(clinic, service, availability(days=("tue",)), end="09:30:00")
    taken = proposals(await clinic.find(service=service))[0]
    assert (await clinic.book(taken["id"], _patient(clinic))).status_code == 201
    found = await clinic.find(service=service)
    assert (found["total"], reasons(found)) == (0, ["no-free-time", "next-available"])
    outcome = outcome_in(found)
    assert outcome is not None
    assert {one["severity"] for one in outcome["issue"]} == {"information"}
    stated = [one for one in outcome["issue"][0]["extension"] if one["url"] == f"{OWN}next-available"]
    assert [next(v for k, v in one.items() if k.startswith("value")) for one in stated] == [clinic.at("09:00", 1)]


async def test_closed_days_and_unknown_services_have_their_own_reasons(clinic: Clinic) -> None:
    service = await clinic.service()
    doc = f"Practitioner/{clinic.id('doc')}"
    await clinic.schedule("s", [doc], [service], availability(days=("wed",)))
    assert reasons(await clinic.find(service=service)) == ["closed", "next-available"]
    assert reasons(await clinic.find(service=f"HealthcareService/{clinic.id('none')}")) == ["no-schedule"]


async def test_holds_are_invisible(clinic: Clinic) -> None:
    service = await clinic.service()
    await _open(clinic, service)
    first = proposals(await clinic.find(service=service))[0]
    body = parameters(
        appointment=("Uri", f"Appointment/{first['id']}"), patient=("Reference", {"reference": _patient(clinic)})
    )
    assert (await clinic.client.post("Appointment/$hold", json=body)).status_code == 201
    found = await clinic.find(service=service)
    assert clocks(found) == ["09:30", "10:00", "10:30"]
    assert {one["status"] for one in proposals(found)} == {"proposed"}


async def test_a_patients_own_appointments_are_in_the_way(clinic: Clinic) -> None:
    service = await clinic.service()
    await _open(clinic, service)
    await clinic.schedule("t", [await clinic.practitioner("second")], [service], availability(end="11:00:00"))
    first = proposals(await clinic.find(service=service, practitioner=f"Practitioner/{clinic.id('second')}"))[0]
    booked = (await clinic.book(first["id"], _patient(clinic))).json()
    wanted: dict[str, Any] = {"service": service, "practitioner": f"Practitioner/{clinic.id('doc')}"}
    assert clocks(await clinic.find(patient=_patient(clinic), **wanted)) == ["09:30", "10:00", "10:30"]
    assert clocks(await clinic.find(patient=_patient(clinic, "other"), **wanted))[0] == "09:00"
    moving = await clinic.find(patient=_patient(clinic), ignore_appointment=f"Appointment/{booked['id']}", **wanted)
    assert clocks(moving)[0] == "09:00"


async def test_a_room_by_code_is_needed_too(clinic: Clinic) -> None:
    kind = {"coding": [{"system": ROOM, "code": clinic.id("exam")}]}
    for name in ("r1", "r2"):
        await clinic.put(
            {
                "resourceType": "Location",
                "id": clinic.id(name),
                "type": [kind],
                "physicalType": {"coding": [{"code": "ro"}]},
            }
        )
    service = await clinic.service("exam", 60, part("requires", "CodeableConcept", kind))
    for name in ("a", "b", "c"):
        await clinic.schedule(f"s{name}", [await clinic.practitioner(name)], [service], availability(end="10:00:00"))
    rooms = set()
    for name in ("a", "b"):
        found = proposals(await clinic.find(service=service, practitioner=f"Practitioner/{clinic.id(name)}"))
        answer = await clinic.book(found[0]["id"], await clinic.patient(f"p{name}"))
        assert answer.status_code == 201, answer.text
        rooms |= set(actors(answer.json(), "Location"))
    assert rooms == {f"Location/{clinic.id('r1')}", f"Location/{clinic.id('r2')}"}
    assert (await clinic.find(service=service))["total"] == 0


async def test_a_device_that_is_busy_closes_the_time(clinic: Clinic) -> None:
    await clinic.put({"resourceType": "Device", "id": clinic.id("scanner")})
    device = f"Device/{clinic.id('scanner')}"
    service = await clinic.service("scan", 60, part("requires", "Reference", {"reference": device}))
    for name in ("a", "b"):
        await clinic.schedule(f"s{name}", [await clinic.practitioner(name)], [service], availability(end="11:00:00"))
    found = proposals(await clinic.find(service=service, practitioner=f"Practitioner/{clinic.id('a')}"))
    booked = await clinic.book(found[0]["id"], _patient(clinic))
    assert actors(booked.json(), "Device") == [device]
    assert clocks(await clinic.find(service=service)) == ["10:00", "10:00"]


async def test_a_group_visit_is_found_until_it_is_full(clinic: Clinic) -> None:
    service = await clinic.service("group", 60, part("capacity", "PositiveInt", 2))
    await _open(clinic, service, end="10:00:00")
    for name, left in (("pat", 1), ("other", 0)):
        first = proposals(await clinic.find(service=service))[0]
        assert (await clinic.book(first["id"], _patient(clinic, name))).status_code == 201
        assert (await clinic.find(service=service))["total"] == left


async def test_a_referral_is_needed_to_book(clinic: Clinic) -> None:
    service = await clinic.service("mri", 30, part("referralRequired", "Boolean", True))
    await _open(clinic, service)
    first = proposals(await clinic.find(service=service))[0]
    refused(await clinic.book(first["id"], _patient(clinic)), 422, "referral-required")
    await clinic.put(
        {
            "resourceType": "ServiceRequest",
            "id": clinic.id("ref"),
            "status": "active",
            "intent": "order",
            "subject": {"reference": _patient(clinic)},
        }
    )
    booked = await clinic.book(first["id"], _patient(clinic))
    assert booked.status_code == 201, booked.text
    assert booked.json()["basedOn"] == [{"reference": f"ServiceRequest/{clinic.id('ref')}"}]


async def test_new_patients_are_told_from_established_ones(clinic: Clinic) -> None:
    service = await clinic.service("follow", 30, part("newPatients", "Boolean", False))
    await _open(clinic, service)
    past = datetime.now(UTC) - timedelta(days=100)
    people = [("pat", "accepted"), ("doc", "accepted")]
    await clinic.put(
        {
            "resourceType": "Appointment",
            "id": clinic.id("past"),
            "status": "fulfilled",
            "start": past.isoformat(timespec="seconds"),
            "end": (past + timedelta(minutes=30)).isoformat(timespec="seconds"),
            "participant": [
                {
                    "actor": {"reference": f"{'Patient' if name == 'pat' else 'Practitioner'}/{clinic.id(name)}"},
                    "status": status,
                }
                for name, status in people
            ],
        }
    )
    first = proposals(await clinic.find(service=service))[0]
    refused(await clinic.book(first["id"], _patient(clinic, "other")), 422, "not-eligible")
    assert (await clinic.book(first["id"], _patient(clinic))).status_code == 201


async def test_what_is_not_bookable_online_is_found_by_staff(clinic: Clinic) -> None:
    service = await clinic.service("inside", 30, part("onlineBooking", "Boolean", False))
    await _open(clinic, service)
    assert (await clinic.find(service=service))["total"] == 0
    assert (await clinic.find(service=service, booking_channel="staff"))["total"] == 4


async def test_a_day_that_has_reached_its_limit_is_full(clinic: Clinic) -> None:
    service = await clinic.service()
    await _open(clinic, service, policy(("online", "day", 1)))
    first = proposals(await clinic.find(service=service))[0]
    assert (await clinic.book(first["id"], _patient(clinic))).status_code == 201
    found = await clinic.find(service=service)
    assert (found["total"], reasons(found)[0]) == (0, "booking-limit")
    assert (await clinic.find(service=service, booking_channel="staff"))["total"] == 3
    third = f"{first['id']}"
    refused(await clinic.book(third, _patient(clinic, "other")), 422)


async def test_notice_and_horizon_bound_the_answer(clinic: Clinic) -> None:
    service = await clinic.service()
    zone = ZoneInfo(NEW_YORK)
    await clinic.schedule(
        "s", [f"Practitioner/{clinic.id('doc')}"], [service], availability("00:00:00", "00:00:00"),
        policy(minimumNotice=24 * 60, horizon=72 * 60),
    )  # fmt: skip
    today = datetime.now(zone).date()
    found = await clinic.find(
        service=service, start=today.isoformat(), end=(today + timedelta(days=6)).isoformat(), _count="1000"
    )
    now = datetime.now(UTC)
    first, last = (datetime.fromisoformat(starts(found)[place]) for place in (0, -1))
    assert now + timedelta(hours=24) - timedelta(minutes=2) <= first <= now + timedelta(hours=25)
    assert now + timedelta(hours=71) <= last <= now + timedelta(hours=72)
    early = await clinic.find(service=service, start=today.isoformat(), end=today.isoformat())
    assert reasons(early)[0] == "min-notice"
    late = (today + timedelta(days=30)).isoformat()
    assert reasons(await clinic.find(service=service, start=late, end=late))[0] == "out-of-horizon"


def _clock_change(zone: str, month: int, spring: bool) -> date:
    """The next day on which the clocks of a zone change in spring or autumn."""
    day, tz = datetime.now(UTC).date() + timedelta(days=2), ZoneInfo(zone)
    while True:
        midnight = datetime(day.year, day.month, day.day, tzinfo=tz)
        after = datetime.combine(day + timedelta(days=1), datetime.min.time(), tz)
        length = after.astimezone(UTC) - midnight.astimezone(UTC)
        if (length < timedelta(days=1)) if spring else (length > timedelta(days=1)):
            return day
        day += timedelta(days=1)


@pytest.mark.parametrize(
    ("zone", "spring", "hours"),
    [
        ("Europe/Berlin", True, 23),
        ("Europe/Berlin", False, 25),
        ("Australia/Lord_Howe", True, 23.5),
        ("Australia/Lord_Howe", False, 24.5),
    ],
)
async def test_the_days_on_which_clocks_change(client: Any, zone: str, spring: bool, hours: float) -> None:
    clinic = Clinic(client, zone=zone)
    service = await clinic.service()
    await clinic.schedule("s", [await clinic.practitioner()], [service], availability("00:00:00", "00:00:00"))
    day = _clock_change(zone, 3, spring).isoformat()
    found = await clinic.find(service=service, start=day, end=day, _count="100")
    instants = [datetime.fromisoformat(one).astimezone(UTC) for one in starts(found)]
    assert found["total"] == hours * 2
    assert all(after - before == timedelta(minutes=30) for before, after in pairwise(instants))
    assert {one[:10] for one in starts(found)} == {day}
    offsets = {one[-6:] for one in starts(found)}
    assert len(offsets) == 2


async def test_weekly_hours_keep_their_wall_time_over_a_clock_change(client: Any) -> None:
    clinic = Clinic(client, zone="Europe/Berlin")
    service = await clinic.service()
    await clinic.schedule("s", [await clinic.practitioner()], [service], availability(end="09:30:00"))
    change = _clock_change("Europe/Berlin", 3, spring=True)
    found = await clinic.find(
        service=service, start=(change - timedelta(days=1)).isoformat(), end=(change + timedelta(days=1)).isoformat()
    )
    assert clocks(found) == ["09:00"] * 3


async def test_a_window_over_midnight_belongs_to_the_day_it_starts(clinic: Clinic) -> None:
    service = await clinic.service("night", 60)
    doc = f"Practitioner/{clinic.id('doc')}"
    await clinic.schedule("s", [doc], [service], availability("22:00:00", "02:00:00", days=("mon",)))
    found = await clinic.find(service=service, end=(clinic.first + timedelta(days=1)).isoformat())
    assert starts(found) == [clinic.at("22:00"), clinic.at("23:00"), clinic.at("00:00", 1), clinic.at("01:00", 1)]


async def test_a_referral_named_by_identifier(clinic: Clinic, client: Any) -> None:
    service = await clinic.service("mri", 30, part("referralRequired", "Boolean", True))
    await clinic.schedule("m", [await clinic.practitioner("reader")], [service])
    await clinic.put(
        {
            "resourceType": "ServiceRequest",
            "id": clinic.id("order"),
            "identifier": [{"system": "urn:orders", "value": clinic.id("R-1")}],
            "status": "active",
            "intent": "order",
            "subject": {"reference": _patient(clinic)},
        }
    )
    known = await clinic.find(service=service, referral_identifier=f"urn:orders|{clinic.id('R-1')}")
    unknown = await clinic.find(service=service, referral_identifier="urn:orders|nobody")
    assert known["total"] == 16
    assert unknown["total"] == 0
    assert "referral-required" in str(unknown)


async def test_any_one_member_of_a_group_is_enough(clinic: Clinic, client: Any) -> None:
    nurses = [await clinic.practitioner(name) for name in ("nurse-a", "nurse-b")]
    group = {
        "resourceType": "Group",
        "id": clinic.id("nurses"),
        "type": "practitioner",
        "actual": True,
        "member": [{"entity": {"reference": one}} for one in nurses],
    }
    await clinic.put(group)
    needs = part("requires", "Reference", {"reference": f"Group/{clinic.id('nurses')}"})
    service = await clinic.service("infusion", 60, needs)
    for name in ("a", "b", "c"):
        await clinic.schedule(f"chair-{name}", [await clinic.practitioner(f"doc-{name}")], [service])
    nine = [one for one in proposals(await clinic.find(service=service)) if one["start"] == clinic.at("09:00")]
    assert len(nine) == 3
    answers = [await clinic.book(one["id"], await clinic.patient(f"p{place}")) for place, one in enumerate(nine)]
    assert [one.status_code for one in answers] == [201, 201, 409]
    taken = {one["actor"]["reference"] for answer in answers[:2] for one in answer.json()["participant"]}
    assert set(nurses) <= taken

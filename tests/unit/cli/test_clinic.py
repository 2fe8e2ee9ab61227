"""The demo clinic is deterministic, valid and free of conflicts."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from fhir_server.cli.clinic import clinic
from fhir_server.cli.clinic_hours import FIRST_WEEK, holidays, vacation, windows
from fhir_server.cli.clinic_people import _phone
from fhir_server.cli.seed import clinic_date
from fhir_server.fhir.models import issues_of
from fhir_server.scheduling.availability import day_spans
from fhir_server.services import terms

TODAY = date(2026, 11, 21)
# Thanksgiving and the end of daylight saving, Christmas and a new year, its beginning, the longest run.
DAYS = [date(2026, 10, 20), date(2026, 12, 20), date(2027, 3, 1)]
ZONE = ZoneInfo("America/New_York")
Resource = dict[str, Any]


def made(
    today: date = TODAY, *, practitioners: int = 26, patients: int = 300, days: int = 30, seed: int = 7
) -> list[Resource]:
    return list(clinic(practitioners, patients, days, seed, today))


def of_type(resources: Iterable[Resource], type_: str) -> list[Resource]:
    return [one for one in resources if one["resourceType"] == type_]


def actors(appointment: Resource, type_: str) -> list[str]:
    references = [one["actor"]["reference"] for one in appointment["participant"]]
    return [one for one in references if one.startswith(f"{type_}/")]


def service_of(appointment: Resource) -> str:
    code: str = appointment["serviceType"][0]["coding"][0]["code"]
    return code


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def references_in(value: Any) -> Iterable[str]:
    if isinstance(value, list):
        for one in value:
            yield from references_in(one)
    elif isinstance(value, dict):
        for name, one in value.items():
            if name == "reference":
                yield one
            else:
                yield from references_in(one)


def test_the_same_arguments_give_the_same_clinic():
    assert made() == made()
    assert made(seed=8) != made()


def test_a_later_day_keeps_the_bookings_of_the_days_both_cover():
    first, second = (
        {one["id"]: one for one in of_type(made(today), "Appointment")} for today in (TODAY, TODAY + timedelta(days=3))
    )
    both = first.keys() & second.keys()
    assert len(both) > 100
    assert all(first[id_] == second[id_] for id_ in both)


@pytest.mark.parametrize("counts", [(1, 1, 0), (1, 1, 5), (3, 2, 5), (12, 200, 30), (30, 10, 3), (0, 3, 2)])
def test_ids_are_unique_and_every_reference_points_back(counts: tuple[int, int, int]):
    seen: set[str] = set()
    for resource in clinic(*counts, 7, TODAY):
        name = f"{resource['resourceType']}/{resource['id']}"
        assert name not in seen
        assert len(resource["id"]) <= 64
        assert set(references_in(resource)) <= seen
        seen.add(name)
    assert f"Patient/patient-{counts[1]}" in seen


def test_every_resource_is_valid():
    for resource in made(days=5):
        assert issues_of(resource) == [], resource["id"]
        assert terms.problems(resource) == [], resource["id"]


def test_the_first_practitioner_and_the_readme_have_what_they_need():
    resources = made(practitioners=1, patients=1)
    ids = {f"{one['resourceType']}/{one['id']}" for one in resources}
    assert {"Practitioner/dr-adams", "Schedule/schedule-1", "HealthcareService/follow-up", "Patient/patient-1"} <= ids
    assert of_type(resources, "Appointment") == []
    offered = terms.offers(of_type(resources, "Schedule")[0])
    assert "HealthcareService/follow-up" in offered


def test_npi_check_digits():
    clinicians = [one for one in of_type(made(days=0), "Practitioner") if "identifier" in one]
    assert len(clinicians) == 26
    for practitioner in clinicians:
        digits = [int(one) for one in "80840" + practitioner["identifier"][0]["value"]]
        doubled = [sum(divmod(2 * one, 10)) for one in digits[-2::-2]]
        assert (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def test_days_beyond_the_horizon_are_refused():
    with pytest.raises(ValueError, match="between 0 and 120"):
        list(clinic(1, 1, 121, 7, TODAY))


@pytest.mark.parametrize("today", DAYS)
def test_the_last_day_lies_within_the_horizon(today: date):
    last = max(one["start"] for one in of_type(made(today, days=120, practitioners=12), "Appointment"))
    assert date.fromisoformat(last[:10]) < today + timedelta(days=180)


@pytest.mark.parametrize("today", DAYS)
@pytest.mark.parametrize("patients", [40, 400])
def test_nobody_and_nothing_is_in_two_places(today: date, patients: int):
    resources = made(today, patients=patients)
    terms_of = {one["id"]: terms.service_terms(one) for one in of_type(resources, "HealthcareService")}
    busy: dict[str, set[tuple[int, int, str]]] = defaultdict(set)
    seats: dict[tuple[str, str], int] = defaultdict(int)
    for one in of_type(resources, "Appointment"):
        service = terms_of[service_of(one)]
        start, end = seconds(one["start"]), seconds(one["end"])
        padded = start - service.buffer_before, end + service.buffer_after
        for patient in actors(one, "Patient"):
            assert patient != "Patient/patient-1"
            assert (start, end, "") not in busy[patient]
            busy[patient].add((start, end, ""))
        group = f"{one['start']} {service.id}" if service.capacity > 1 else one["id"]
        for actor in actors(one, "Practitioner") + actors(one, "Device") + actors(one, "Location"):
            busy[actor].add((*padded, group))
            seats[actor, group] += 1
            assert seats[actor, group] <= service.capacity
    assert busy
    for entries in busy.values():
        for (_, before, _), (after, _, _) in pairwise(sorted(entries)):
            assert before <= after


@pytest.mark.parametrize("today", DAYS)
def test_every_visit_fits_the_rules_of_its_schedule(today: date):
    resources = made(today)
    services = {one["id"]: terms.service_terms(one) for one in of_type(resources, "HealthcareService")}
    openings = {one["actor"][0]["reference"]: terms.opening(one) for one in of_type(resources, "Schedule")}
    referrals = {one["id"]: one["subject"]["reference"] for one in of_type(resources, "ServiceRequest")}
    overnight = 0
    for one in of_type(resources, "Appointment"):
        service = services[service_of(one)]
        start = datetime.fromisoformat(one["start"])
        assert start.utcoffset() == start.astimezone(ZONE).utcoffset()
        local = start.astimezone(ZONE)
        lasts = seconds(one["end"]) - seconds(one["start"])
        assert lasts == service.durations[0] == one["minutesDuration"] * 60
        assert (local.hour * 3600 + local.minute * 60) % (service.alignment or 1) == 0
        (practitioner,) = actors(one, "Practitioner")
        opening = openings[practitioner]
        days = local.date() - timedelta(days=1), local.date()
        modality = next((x["valueCode"] for x in one["extension"] if x["url"].endswith("/modality")), "in-person")
        spans = [span for day in days for span in day_spans(opening, day, service.id, modality)]
        assert any(span.start <= seconds(one["start"]) and seconds(one["end"]) <= span.end for span in spans), one["id"]
        overnight += local.hour < 3
        (patient,) = actors(one, "Patient")
        if service.referral_required:
            (reference,) = one["basedOn"]
            assert referrals[reference["reference"].split("/")[1]] == patient
        if service.id == "HealthcareService/ultrasound":
            assert len(actors(one, "Device")) == len(actors(one, "Location")) == 1
        channel = next(x["valueCode"] for x in one["extension"] if x["url"].endswith("/booking-channel"))
        assert service.online_booking or channel != "online"
    assert overnight


def test_about_a_third_is_filled():
    resources = made(practitioners=1, patients=400, days=100)
    booked = sum(one["minutesDuration"] for one in of_type(resources, "Appointment"))
    weekdays = {one["start"][:10] for one in of_type(resources, "Appointment")}
    assert 0.2 < booked / (len(weekdays) * 8 * 60) < 0.5


def test_bookings_stay_off_vacations_holidays_and_the_nights_into_them():
    assert holidays(2026)[date(2026, 11, 26)] == "Thanksgiving Day"
    assert list(windows(0, date(2026, 11, 26))) == []
    for index in range(1, 60):
        away = vacation(index, 2026)
        assert away is not None
        assert away[0].weekday() == 0
        assert away[0].year == away[1].year == 2026
        assert all(list(windows(index, away[0] + timedelta(days=one))) == [] for one in range(7))
    # Christmas Eve 2026 is a Thursday: the urgent care window ends at midnight.
    assert [end for _, _, end in windows(2, date(2026, 12, 24))] == [1440]
    assert [end for _, _, end in windows(2, date(2026, 12, 17))] == [1560]


def test_every_second_week_counts_from_a_monday():
    assert FIRST_WEEK.weekday() == 0
    tuesdays = [date(2026, 11, 3) + timedelta(weeks=one) for one in range(4)]
    held: Callable[[date], int] = lambda day: len(list(windows(1, day)))  # noqa: E731
    assert sorted(held(day) for day in tuesdays) == [0, 0, 1, 1]
    assert held(tuesdays[0]) == held(tuesdays[2])


def test_invented_contact_details_only():
    for patient in of_type(made(days=0), "Patient"):
        phone, email = (one["value"] for one in patient["telecom"])
        assert "-555-01" in phone
        assert email.endswith("@example.org")


def test_every_patient_has_a_number_of_their_own_that_is_kept_for_fiction():
    numbers = [one["value"] for number in (1, 99, 100, 101, 200, 56_000) for one in _phone(number)]
    assert len(set(numbers)) == len(numbers) == 6
    patients = of_type(made(patients=450, days=0), "Patient")
    everybody = [one["value"] for patient in patients for one in patient["telecom"] if one["system"] == "phone"]
    assert len(set(everybody)) == len(everybody) == 450
    assert all(re.fullmatch(r"\+1-[2-9][0-8]\d-555-01\d\d", one) for one in everybody)
    assert list(_phone(1_000_000)) == []


def test_the_patient_of_the_readme_speaks_as_it_does():
    for seed in range(20):
        (first,) = of_type(made(patients=1, days=0, seed=seed), "Patient")
        assert first["communication"][0]["language"]["coding"][0]["code"] == "en"


def test_the_clinic_s_day_is_that_of_its_zone_and_of_the_clock():
    late = int(datetime(2026, 11, 22, 3, tzinfo=UTC).timestamp() * 1000)
    assert clinic_date(late) == date(2026, 11, 21)
    assert clinic_date(late + 3 * 86_400_000) == date(2026, 11, 24)

"""``$find``: what each argument selects, in a query and in Parameters, and what is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from tests.builders.answers import actors, clocks, expressions, outcome_in, people, reasons, refused, starts
from tests.builders.clinic import OWN, SERVICE_SYSTEM, Clinic, availability, duration, parameters, part, proposals

SPECIALTY = "http://snomed.info/sct"
LANGUAGE = "urn:ietf:bcp:47"
NPI = "http://hl7.org/fhir/sid/us-npi"


def _coded(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


@pytest_asyncio.fixture(scope="module")
async def clinic(client: Any) -> Clinic:
    """Ada in Boston, 9 to 12 in person, 13 to 14 video; Bob in New York, 9 to 11; visits of 30 or 60, one of 45."""
    made = Clinic(client)
    visit = await made.service("visit", 30, part("duration", "Duration", duration(60)))
    consult = await made.service("consult", 45)
    for name in ("north", "south"):
        await made.put({"resourceType": "Organization", "id": made.id(name), "name": name})
    await _site(made, "boston", "Bóston", (42.36, -71.06), "north")
    await _site(made, "york", "New York", (40.71, -74.0), "south")
    await _person(made, "ada", "es", "394579002", "boston", "north")
    await _person(made, "bob", "fr", "394582007", "york", "south")
    await made.patient()
    in_person = availability(end="12:00:00", parts=[part("modality", "Code", "in-person")])
    video = availability("13:00:00", "14:00:00", parts=[part("modality", "Code", "video")])
    await made.schedule("sada", [f"PractitionerRole/{made.id('ada-role')}"], [visit], in_person, video)
    await made.schedule("sbob", [f"Practitioner/{made.id('bob')}"], [visit, consult], availability(end="11:00:00"))
    return made


async def _site(clinic: Clinic, name: str, city: str, position: tuple[float, float], organization: str) -> None:
    await clinic.put(
        {
            "resourceType": "Location",
            "id": clinic.id(name),
            "name": f"{clinic.name} {name}",
            "address": {"city": city},
            "position": {"latitude": position[0], "longitude": position[1]},
            "managingOrganization": {"reference": f"Organization/{clinic.id(organization)}"},
        }
    )


async def _person(clinic: Clinic, name: str, language: str, specialty: str, site: str, organization: str) -> None:
    await clinic.put(
        {
            "resourceType": "Practitioner",
            "id": clinic.id(name),
            "identifier": [{"system": NPI, "value": clinic.id(name)}],
            "communication": [_coded(LANGUAGE, language)],
        }
    )
    await clinic.put(
        {
            "resourceType": "PractitionerRole",
            "id": clinic.id(f"{name}-role"),
            "practitioner": {"reference": f"Practitioner/{clinic.id(name)}"},
            "organization": {"reference": f"Organization/{clinic.id(organization)}"},
            "location": [{"reference": f"Location/{clinic.id(site)}"}],
            "specialty": [_coded(SPECIALTY, specialty)],
        }
    )


def _visit(clinic: Clinic) -> dict[str, str]:
    return {"service": f"HealthcareService/{clinic.id('visit')}"}


async def test_a_service_is_found_with_everybody_who_offers_it(clinic: Clinic) -> None:
    found = await clinic.find(**_visit(clinic))
    assert people(found) == {"ada", "bob"}
    assert found["total"] == 6 + 2 + 4
    assert found["type"] == "searchset"


async def test_a_proposal_says_all_that_a_booking_needs(clinic: Clinic) -> None:
    found = proposals(await clinic.find(practitioner=f"Practitioner/{clinic.id('ada')}", **_visit(clinic)))[0]
    assert found["status"] == "proposed"
    assert (found["start"], found["end"]) == (clinic.at("09:00"), clinic.at("09:30"))
    assert found["minutesDuration"] == 30
    assert found["requestedPeriod"] == [{"start": found["start"], "end": found["end"]}]
    assert len(found["id"]) <= 64
    assert {one["status"] for one in found["participant"]} == {"needs-action"}
    assert found["serviceType"][0]["coding"][0]["code"] == clinic.id("visit")
    slot = (await clinic.client.get(found["slot"][0]["reference"])).json()
    assert (slot["status"], slot["start"]) == ("free", found["start"])
    read = await clinic.client.get(f"Appointment/{found['id']}")
    assert (read.status_code, read.json()["start"]) == (200, found["start"])


async def test_nothing_is_written(clinic: Clinic) -> None:
    found = proposals(await clinic.find(**_visit(clinic)))
    ids = ",".join(one["id"] for one in found)
    stored = (await clinic.client.get("Appointment", params={"_id": ids})).json()
    assert "entry" not in stored


SELECTIONS = [
    ({"service": "HealthcareService/{consult}"}, {"bob"}),
    ({"service-type": f"{SERVICE_SYSTEM}|{{consult}}"}, {"bob"}),
    ({"service-type": "{visit}"}, {"ada", "bob"}),
    ({"visit-type": f"{SERVICE_SYSTEM}|{{consult}}"}, {"bob"}),
    ({"service-type": "{consult},{visit}"}, {"ada", "bob"}),
    ({"specialty": f"{SPECIALTY}|394579002"}, {"ada"}),
    ({"specialty": "394582007"}, {"bob"}),
    ({"practitioner": "Practitioner/{ada}"}, {"ada"}),
    ({"practitioner": "http://fhir.test/fhir/Practitioner/{bob}"}, {"bob"}),
    ({"practitioner": "PractitionerRole/{ada-role}"}, {"ada"}),
    ({"practitioner": f"{NPI}|{{bob}}"}, {"bob"}),
    ({"practitioner": ["Practitioner/{ada}", "Practitioner/{bob}"]}, {"ada", "bob"}),
    ({"practitioner": f"{NPI}|nobody"}, set()),
    ({"location": "Location/{boston}"}, {"ada"}),
    ({"location-reference": "Location/{york}"}, {"bob"}),
    ({"location-near": "42.4|-71.1|20|km"}, {"ada"}),
    ({"location-near": "42.4|-71.1|400|mi"}, {"ada", "bob"}),
    ({"location-string": "bost"}, {"ada"}),
    ({"organization": "Organization/{south}"}, {"bob"}),
    ({"language": "es"}, {"ada"}),
    ({"language": f"{LANGUAGE}|fr"}, {"bob"}),
    ({"modality": "video"}, {"ada", "bob"}),
    ({"modality": "video", "location": "Location/{boston}"}, {"ada"}),
    ({"schedule": "Schedule/{sbob}"}, {"bob"}),
    ({"duration": "60"}, {"ada", "bob"}),
    ({"duration": "45min"}, {"bob"}),
    ({"specialty": "394579002", "location": "Location/{york}"}, set()),
]


@pytest.mark.parametrize(("sent", "expected"), SELECTIONS, ids=[str(one[0]) for one in SELECTIONS])
async def test_an_argument_selects(clinic: Clinic, sent: dict[str, Any], expected: set[str]) -> None:
    named = _Named(clinic)
    query = {
        name: [one.format_map(named) for one in value] if isinstance(value, list) else value.format_map(named)
        for name, value in sent.items()
    }
    if not {"service", "service-type", "visit-type", "schedule", "practitioner"} & set(query):
        query["service"] = [f"HealthcareService/{clinic.id(one)}" for one in ("visit", "consult")]
    found = await clinic.find(**query)
    assert people(found) == expected
    assert found["total"] == len(proposals(found))


class _Named(dict[str, str]):
    """``{ada}`` in a template is the id of this clinic's ada."""

    def __init__(self, clinic: Clinic) -> None:
        super().__init__()
        self._clinic = clinic

    def __missing__(self, name: str) -> str:
        return self._clinic.id(name)


async def test_the_length_that_is_asked_for(clinic: Clinic) -> None:
    found = await clinic.find(duration="1h", practitioner=f"Practitioner/{clinic.id('bob')}")
    assert [one["minutesDuration"] for one in proposals(found)] == [60, 60]
    assert clocks(found) == ["09:00", "10:00"]


async def test_modality_selects_the_hours_and_is_booked(clinic: Clinic) -> None:
    found = await clinic.find(modality="video", practitioner=f"Practitioner/{clinic.id('ada')}")
    assert clocks(found) == ["13:00", "13:30"]
    stated = [one["valueCode"] for one in proposals(found)[0]["extension"] if one["url"] == f"{OWN}modality"]
    assert stated == ["video"]


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ("10:00-11:00", ["10:00", "10:30"]),
        ("mon 09:00-10:00", ["09:00", "09:30"]),
        ("tue-fri", []),
        ("sat-mon", ["09:00", "09:30", "10:00", "10:30"]),
    ],
)
async def test_preferred_times_are_in_the_clinics_zone(clinic: Clinic, wish: str, expected: list[str]) -> None:
    found = await clinic.find(
        preferred_time=wish, practitioner=f"Practitioner/{clinic.id('bob')}", service=_visit(clinic)["service"]
    )
    assert clocks(found) == expected


async def test_first_available_is_one_time_a_provider(clinic: Clinic) -> None:
    found = await clinic.find(first_available="true", **_visit(clinic))
    assert clocks(found) == ["09:00", "09:00"]
    assert people(found) == {"ada", "bob"}
    assert found["total"] == 2


async def test_per_day_caps_each_provider(clinic: Clinic) -> None:
    found = await clinic.find(
        per_day="3",
        end=(clinic.first + timedelta(days=1)).isoformat(),
        practitioner=f"Practitioner/{clinic.id('bob')}",
        **_visit(clinic),
    )  # fmt: skip
    assert clocks(found) == ["09:00", "09:30", "10:00"] * 2


async def test_stated_providers_are_in_order_of_preference(clinic: Clinic) -> None:
    for order in (["ada", "bob"], ["bob", "ada"]):
        found = await clinic.find(practitioner=[f"Practitioner/{clinic.id(one)}" for one in order], **_visit(clinic))
        assert [actors(one)[0].rpartition("-")[2] for one in proposals(found)[:2]] == order


async def test_several_schedules_are_needed_together(clinic: Clinic) -> None:
    found = await clinic.find(schedule=[f"Schedule/{clinic.id('sada')}", f"Schedule/{clinic.id('sbob')}"])
    assert clocks(found) == ["09:00", "09:30", "10:00", "10:30"]
    assert {tuple(sorted(actors(one))) for one in proposals(found)} == {
        (f"Practitioner/{clinic.id('ada')}", f"Practitioner/{clinic.id('bob')}")
    }


async def test_a_datetime_bounds_the_visit(clinic: Clinic) -> None:
    found = await clinic.find(
        start=clinic.at("09:15"), end=clinic.at("10:45"), practitioner=f"Practitioner/{clinic.id('bob')}",
        **_visit(clinic),
    )  # fmt: skip
    assert all(clinic.at("09:15") <= one for one in starts(found))
    assert all(one["end"] <= clinic.at("10:45") for one in proposals(found))
    assert found["total"] > 0


async def test_get_and_post_answer_alike(clinic: Clinic) -> None:
    day = clinic.first.isoformat()
    body = parameters(
        start=("Date", day),
        end=("Date", day),
        service=("Reference", {"reference": f"HealthcareService/{clinic.id('visit')}"}),
        specialty=("CodeableConcept", _coded(SPECIALTY, "394579002")),
        language=("Coding", {"system": LANGUAGE, "code": "es"}),
        practitioner=("Reference", {"identifier": {"system": NPI, "value": clinic.id("ada")}}),
        modality=("Code", "in-person"),
        duration=("Duration", duration(30)),
        preferred_time=("String", "mon 09:00-11:00"),
        per_day=("PositiveInt", 3),
    )
    posted = await clinic.client.post("Appointment/$find", json=body)
    assert posted.status_code == 200, posted.text
    assert clocks(posted.json()) == ["09:00", "09:30", "10:00"]
    self_link = next(one["url"] for one in posted.json()["link"] if one["relation"] == "self")
    assert (await clinic.client.get(self_link)).json()["entry"] == posted.json()["entry"]


async def test_service_type_in_every_form(clinic: Clinic) -> None:
    day, code = clinic.first.isoformat(), clinic.id("consult")
    for kind, value in (
        ("String", f"{SERVICE_SYSTEM}|{code}"),
        ("Code", code),
        ("Coding", {"system": SERVICE_SYSTEM, "code": code}),
        ("CodeableConcept", _coded(SERVICE_SYSTEM, code)),
    ):
        body = parameters(start=("DateTime", day), end=("DateTime", day), service_type=(kind, value))
        answer = await clinic.client.post("Appointment/$find", json=body)
        assert clocks(answer.json()) == ["09:00", "09:45"], (kind, answer.text)


async def test_an_unknown_argument_is_named_and_refused_when_strict(clinic: Clinic) -> None:
    found = await clinic.find(bogus="1", **_visit(clinic))
    outcome = outcome_in(found)
    assert reasons(found) == ["param-ignored"]
    assert outcome is not None
    assert (outcome["issue"][0]["severity"], outcome["issue"][0]["expression"]) == ("warning", ["bogus"])
    assert found["total"] == 12
    day = clinic.first.isoformat()
    strict = await clinic.client.get(
        "Appointment/$find", params={"start": day, "end": day, "bogus": "1"}, headers={"Prefer": "handling=strict"}
    )
    refused(strict, 400, "param-ignored")


async def test_missing_arguments_are_all_named(client: Any) -> None:
    outcome = refused(await client.get("Appointment/$find"), 400, "param-missing")
    assert expressions(outcome) == ["start", "end"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("start", "2026-13-40"),
        ("start", "2026-11-02T08:00"),
        ("end", "yesterday"),
        ("duration", "-5"),
        ("duration", "soon"),
        ("per-day", "0"),
        ("per-day", "x"),
        ("_count", "-1"),
        ("_page", "%%%"),
        ("modality", "pigeon"),
        ("first-available", "perhaps"),
        ("preferred-time", "noon"),
        ("location-near", "91|0"),
        ("location-near", "here"),
        ("practitioner", "Patient/1"),
        ("patient", "not a reference"),
    ],
)
async def test_a_malformed_argument_is_refused_by_name(clinic: Clinic, name: str, value: str) -> None:
    day = clinic.first.isoformat()
    answer = await clinic.client.get("Appointment/$find", params={"start": day, "end": day, name: value})
    assert expressions(refused(answer, 400, "param-invalid")) == [name]


async def test_a_malformed_parameter_is_refused_by_its_place(clinic: Clinic) -> None:
    day = clinic.first.isoformat()
    body = parameters(start=("Date", day), end=("Date", day), duration=("String", "never"))
    answer = await clinic.client.post("Appointment/$find", json=body)
    assert expressions(refused(answer, 400, "param-invalid")) == ["Parameters.parameter[2]"]


async def test_a_window_that_ends_before_it_starts_or_is_too_long(clinic: Clinic) -> None:
    day = clinic.first
    for end in (day - timedelta(days=2), day + timedelta(days=500)):
        answer = await clinic.client.get("Appointment/$find", params={"start": day, "end": end.isoformat()})
        assert expressions(refused(answer, 400, "param-invalid")) == ["end"]

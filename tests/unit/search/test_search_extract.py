"""Index values have the shapes that the store and the evaluators rely on."""

from __future__ import annotations

from datetime import UTC
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from fhir_server.search.extract import EARLIEST, LATEST, index_values, normalised
from fhir_server.settings import CANONICAL
from tests.builders.search import BASE, DEFINITIONS

DAY = 86_400_000
NOV_23 = 1_795_392_000_000  # 2026-11-23T00:00:00Z


def values(kind, zone=UTC, **elements):
    return index_values({"resourceType": kind, **elements}, DEFINITIONS.of(kind), (BASE,), zone)


@pytest.mark.parametrize(
    ("concept", "stored"),
    [
        ({"coding": [{"system": "s", "code": "c"}]}, ["=c", "s|c", "s|"]),
        ({"coding": [{"code": "c"}]}, ["=c", "|c"]),
        ({"coding": [{"system": "s"}]}, ["s|"]),
        ({"coding": [{"system": "s", "code": "c"}, {"system": "s", "code": "d"}]}, ["=c", "s|c", "s|", "=d", "s|d"]),
        ({"text": "words"}, [""]),
        ({"coding": [{"display": "words"}]}, [""]),
    ],
)
def test_tokens(concept, stored):
    assert values("Slot", serviceType=[concept])["service-type"] == stored


def test_identifiers_contacts_and_codings_are_tokens():
    assert values("Slot", identifier=[{"system": "s", "value": "v"}])["identifier"] == ["=v", "s|v", "s|"]
    found = values("Patient", telecom=[{"system": "phone", "value": "5"}, {"system": "email", "value": "@"}])
    assert found["telecom"] == ["=5", "phone|5", "phone|", "=@", "email|@", "email|"]
    assert found["phone"] == ["=5", "phone|5", "phone|"]
    assert values("Encounter", **{"class": {"code": "AMB"}})["class"] == ["=AMB", "|AMB"]


def test_codes_and_booleans_are_scalars():
    assert values("Slot", status="free") == {"status": "=free"}
    assert values("Schedule", active=False) == {"active": "=false"}
    assert values("Patient")["deceased"] == values("Patient", deceasedBoolean=False)["deceased"] == "=false"
    assert values("Patient", deceasedDateTime="2026")["deceased"] == "=true"
    assert values("Appointment", participant=[{"status": "accepted"}, {"status": "accepted"}]) == {
        "part-status": ["=accepted"],
        "part-status:sort": "=accepted",
    }


@pytest.mark.parametrize(
    ("reference", "stored"),
    [
        ({"reference": "Schedule/1"}, "Schedule/1"),
        ({"reference": "Schedule/1/_history/2"}, "Schedule/1"),
        ({"reference": f"{BASE}/Schedule/1"}, "Schedule/1"),
        ({"reference": f"{BASE}/Schedule/1/_history/4"}, "Schedule/1"),
        ({"reference": "http://other.example/fhir/Schedule/1"}, "http://other.example/fhir/Schedule/1"),
        ({"reference": "https://ehr.example/fhir2/Schedule/1"}, "https://ehr.example/fhir2/Schedule/1"),
        ({"reference": "urn:uuid:1"}, "urn:uuid:1"),
        ({"reference": "#s"}, ""),
        ({"display": "the schedule"}, ""),
        ({"identifier": {"system": "s", "value": "v"}}, ["#=v", "#s|v", "#s|"]),
        ({"reference": "Schedule/1", "identifier": {"value": "v"}}, ["Schedule/1", "#=v", "#|v"]),
    ],
)
def test_references(reference, stored):
    assert values("Slot", schedule=reference)["schedule"] == stored


def test_actors_are_told_apart_by_type():
    found = values(
        "Appointment", participant=[{"actor": {"reference": "Patient/1"}}, {"actor": {"reference": "Location/1"}}]
    )
    assert found["actor"] == ["Patient/1", "Location/1"]
    assert (found["patient"], found["location"]) == (["Patient/1"], ["Location/1"])
    assert "practitioner" not in found


def test_offers_of_a_schedule():
    url = f"{CANONICAL}StructureDefinition/offers"
    found = values("Schedule", extension=[{"url": url, "valueReference": {"reference": "HealthcareService/1"}}])
    assert found == {"offers": ["HealthcareService/1"], "offers:sort": "HealthcareService/1"}


def test_canonicals_are_found_with_and_without_version():
    found = values("Slot", meta={"profile": ["http://p|1"], "source": "http://s"})
    assert found == {
        "_profile": ["http://p|1", "http://p"], "_profile:sort": "http://p|1", "_source": "http://s"
    }  # fmt: skip
    assert values("ServiceRequest", instantiatesCanonical=["http://p|1"])["instantiates-canonical"][1] == "http://p"


def test_strings_keep_their_originals_aside():
    found = values(
        "Patient", name=[{"text": "Ann Núñez", "family": "Núñez", "given": ["Ann", "Lee"], "prefix": ["Dr"]}]
    )
    assert found["name"] == ["ann nunez", "nunez", "ann", "lee", "dr"]
    assert found["name:exact"] == ["Ann Núñez", "Núñez", "Ann", "Lee", "Dr"]
    assert values("HealthcareService", name="Follow  Up") == {"name": "follow up", "name:exact": "Follow  Up"}
    address = values("Location", address={"line": ["1 Main St"], "city": "Bern", "postalCode": "3000"})
    assert address["address"] == ["1 main st", "bern", "3000"]
    assert address["address-city"] == "bern"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Núñez", "nunez"),
        ("NU\u0303N\u0303EZ", "nunez"),
        ("Straße", "strasse"),
        ("İstanbul", "istanbul"),
        ("  a \t b\n", "a b"),
        ("ﬁ", "fi"),
        ("O'Brien", "o'brien"),
        ("李", "李"),
    ],
)
def test_normalised(text, plain):
    assert normalised(text) == plain


@pytest.mark.parametrize(
    ("period", "low", "high"),
    [
        ({"start": "2026-11-23", "end": "2026-11-23"}, NOV_23, NOV_23 + DAY),
        ({"start": "2026-11-23"}, NOV_23, LATEST),
        ({"end": "2026-11-23"}, EARLIEST, NOV_23 + DAY),
    ],
)
def test_periods_are_open_where_they_have_no_end(period, low, high):
    assert values("Schedule", planningHorizon=period)["date"] == {"l": low, "h": high}


@pytest.mark.parametrize(
    ("text", "low", "width"),
    [
        ("2026-11-23T00:00:00Z", NOV_23, 1000),
        ("2026-11-23T00:00:00.250Z", NOV_23 + 250, 1),
        ("2026-11-22T19:00:00-05:00", NOV_23, 1000),
        ("2026-11-22T23:59:60Z", NOV_23, 1000),
    ],
)
def test_instants(text, low, width):
    assert values("Slot", start=text)["start"] == {"l": low, "h": low + width}


def test_dates_are_read_in_the_zone():
    found = values("Patient", zone=ZoneInfo("Europe/Berlin"), birthDate="2026-03-29")["birthdate"]
    assert found["h"] - found["l"] == 23 * 3_600_000


def test_a_choice_is_indexed_by_what_it_is():
    assert values("ServiceRequest", occurrenceDateTime="2026-11-23")["occurrence"] == {"l": NOV_23, "h": NOV_23 + DAY}
    timing = {
        "event": ["2026-11-25", "2026-11-23"],
        "repeat": {"boundsPeriod": {"start": "2026-11-24", "end": "2026-11-26"}},
    }
    assert values("ServiceRequest", occurrenceTiming=timing)["occurrence"] == {"l": NOV_23, "h": NOV_23 + 4 * DAY}
    assert values("ServiceRequest", occurrenceTiming={"repeat": {"frequency": 1}}) == {}
    assert values("Consent", sourceAttachment={"url": "http://x"}) == {}


def test_unreadable_dates_are_found_by_none():
    for text in ("2026-02-30", "soon", "2026-11-23T24:00:00Z", "9999-12-31T23:59:60-14:00x"):
        assert values("Slot", start=text) == {}


def test_what_is_displayed_stands_beside_the_codes():
    concept = {"coding": [{"code": "c", "display": "Follow Up"}, {"code": "d"}], "text": "Núñez"}
    assert values("Slot", serviceType=[concept, {"text": "nunez"}])["service-type:text"] == ["nunez", "follow up"]
    assert values("Encounter", **{"class": {"code": "AMB", "display": "Ambulatory"}})["class:text"] == ["ambulatory"]
    kind = {"coding": [{"system": "t", "code": "MR", "display": "no"}], "text": "Record  Number"}
    found = values("Slot", identifier=[{"system": "s", "value": "v", "type": kind}, {"value": "w", "type": {}}])
    assert found["identifier:text"] == ["record number"]
    assert found["identifier:of-type"] == ["t|MR|v"]
    assert not [key for key in values("Slot", status="free", identifier=[{"value": "w"}]) if ":text" in key]


def test_of_several_values_the_first_is_sorted_by():
    found = values("Practitioner", name=[{"family": "Zoë", "given": ["b", "a"]}, {"family": "Adams"}])
    assert (found["family:sort"], found["given:sort"], found["name:sort"]) == ("zoe", "b", "zoe")
    assert "birthdate:sort" not in values("Patient", birthDate="2026")
    assert values("Slot", schedule={"reference": "Schedule/1"})["schedule:sort"] == "Schedule/1"


def test_a_composite_keeps_the_parts_of_an_element_together():
    traits = [
        {"code": {"coding": [{"code": "a"}]}, "valueCodeableConcept": {"coding": [{"code": "b"}]}},
        {"code": {"coding": [{"code": "c"}]}, "valueBoolean": False, "exclude": True},
        {"code": {"coding": [{"code": "d"}]}, "valueQuantity": {"value": 1, "code": "kg"}},
    ]
    found = values("Group", characteristic=traits)
    assert found["characteristic-value"] == [
        {"c1": ["=a", "|a"], "c2": ["=b", "|b"]},
        {"c1": ["=c", "|c"], "c2": ["=false"]},
    ]
    assert found["value"] == ["=b", "|b", "=false"]
    assert found["exclude"] == ["=true"]
    assert "characteristic-value:sort" not in found


def test_quantities_and_positions():
    length = {"value": Decimal("30.0"), "system": "http://unitsofmeasure.org", "code": "min", "unit": "minutes"}
    assert values("Encounter", length=length)["length"] == {
        "v": 30.0,
        "u": ["=min", "=minutes", "http://unitsofmeasure.org|min"],
    }
    position = {"latitude": Decimal("46.9"), "longitude": Decimal("7.4")}
    assert values("Location", position=position)["near"] == {"type": "Point", "coordinates": [7.4, 46.9]}
    assert values("Location", position={"latitude": Decimal(91), "longitude": Decimal(0)}) == {}


def test_nothing_is_stored_for_what_is_absent():
    assert values("Appointment") == {}
    assert values("Practitioner", name=[{}], telecom=[]) == {}


@pytest.mark.parametrize("broken", [[], [None], "text", 1, {"a": 1}, [[]], [1]])
def test_a_broken_resource_does_no_harm(broken):
    for kind in DEFINITIONS.types:
        names = {definition.expression.split(".")[1] for definition in DEFINITIONS.of(kind).values()}
        assert isinstance(values(kind, **dict.fromkeys((name for name in names if name.isidentifier()), broken)), dict)

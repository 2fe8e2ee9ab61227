"""Search values as they are stored: what identifies a person is a hash, everything else is as it was."""

from __future__ import annotations

from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from fhir_server.search.extract import index_values
from fhir_server.search.sealed import LONGEST
from fhir_server.store.sealed_index import SealedIndex
from fhir_server.store.sealing import Sealer
from tests.builders.sealing import ring
from tests.builders.search import DEFINITIONS

SEALER = Sealer(ring())
MARKED = "Zyxomma"


def stored(resource, zone=UTC):
    kind = resource["resourceType"]
    plain = index_values(resource, DEFINITIONS.of(kind), (), zone)
    return SealedIndex(SEALER, DEFINITIONS, zone).of(kind, plain)


PATIENT = {
    "resourceType": "Patient",
    "active": True,
    "gender": "female",
    "birthDate": "1980-05-03",
    "deceasedDateTime": "2020-02-02T10:00:00Z",
    "identifier": [{"system": "urn:mrn", "value": MARKED, "type": {"coding": [{"code": "MR"}], "text": MARKED}}],
    "name": [{"text": f"Ada {MARKED}", "family": MARKED, "given": ["Ada"]}],
    "telecom": [{"system": "phone", "value": MARKED}, {"system": "email", "value": f"{MARKED}@x.example"}],
    "address": [{"city": MARKED, "line": [MARKED], "state": MARKED, "postalCode": MARKED, "use": "home"}],
    "generalPractitioner": [{"reference": "Practitioner/1"}, {"identifier": {"system": "urn:npi", "value": MARKED}}],
    "communication": [{"language": {"text": MARKED}}],
    "meta": {"tag": [{"code": "t", "display": MARKED}]},
}


def test_nothing_that_identifies_stays_clear():
    found = stored(PATIENT)
    assert MARKED.lower() not in str(found).lower()
    assert "1980" not in str({name: value for name, value in found.items() if name.startswith("birthdate")})
    assert (found["active"], found["gender"], found["deceased"]) == ("=true", "=female", "=true")
    assert found["general-practitioner"][0] == "Practitioner/1"
    assert all(one.startswith("#") for one in found["general-practitioner"][1:])
    assert not [name for name in found if name.endswith(":sort") and name.partition(":")[0] in ("family", "name")]


def test_one_hash_for_each_beginning_shared_by_the_parts_of_a_name():
    found = stored({"resourceType": "Patient", "name": [{"family": "Lee", "given": ["Le", "Ann"]}]})
    assert len(found["family"]) == 3
    assert len(found["given"]) == 5
    assert set(found["family"]) | set(found["given"]) == set(found["name"])
    assert len(found["name"]) == 6
    assert len(found["family:exact"]) == 1
    long = stored({"resourceType": "Patient", "name": [{"family": "x" * 100}]})
    assert len(long["family"]) == LONGEST


@pytest.mark.parametrize(
    ("date", "precisions"), [("1980", 1), ("1980-05", 2), ("1980-05-03", 3), ("0001-01-01", 3), ("9999-12-31", 3)]
)
def test_a_birth_date_has_a_hash_for_each_precision(date, precisions):
    assert len(stored({"resourceType": "Patient", "birthDate": date})["birthdate"]) == precisions


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Pacific/Apia", "Asia/Kathmandu"])
@pytest.mark.parametrize("date", ["1980-05-03", "2026-03-29", "1900-01-01", "2011-12-31"])
def test_dates_are_hashed_in_the_zone_of_the_server(zone, date):
    found = stored({"resourceType": "Patient", "birthDate": date}, ZoneInfo(zone))
    assert len(found["birthdate"]) == 3


def test_what_is_there_and_has_nothing_to_compare_is_not_missing():
    found = stored({"resourceType": "Appointment", "reasonCode": [{"text": MARKED}]})
    assert found["reason-code"]
    assert MARKED.lower() not in str(found).lower()


def test_types_of_the_directory_and_times_on_offer_stay_as_they_are():
    for resource in (
        {"resourceType": "Practitioner", "name": [{"family": MARKED}], "identifier": [{"value": MARKED}]},
        {"resourceType": "Slot", "identifier": [{"value": MARKED}], "schedule": {"reference": "Schedule/1"}},
    ):
        kind = resource["resourceType"]
        assert stored(resource) == index_values(resource, DEFINITIONS.of(kind), (), UTC)

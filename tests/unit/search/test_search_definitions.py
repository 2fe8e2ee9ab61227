"""The SearchParameters load, compile and say what they do."""

from __future__ import annotations

import json
import re

import pytest

from fhir_server.fhir.types import RESOURCE_TYPES
from fhir_server.search.definitions import load
from fhir_server.settings import CANONICAL
from tests.builders.search import DEFINITIONS, PARAMETERS

COMMON = {"_id", "_lastUpdated", "_tag", "_profile", "_security", "_source"}
ARTIFACTS = [
    (file.stem, entry) for file in sorted(PARAMETERS.glob("*.json")) for entry in json.loads(file.read_text())["entry"]
]


def test_every_held_type_has_parameters():
    assert set(DEFINITIONS.types) == set(RESOURCE_TYPES)
    for kind in DEFINITIONS.types:
        assert set(DEFINITIONS.of(kind)) > COMMON


@pytest.mark.parametrize(
    ("kind", "entry"), ARTIFACTS, ids=lambda each: each if isinstance(each, str) else each["fullUrl"]
)
def test_an_artifact_is_complete(kind, entry):
    parameter = entry["resource"]
    assert parameter["resourceType"] == "SearchParameter"
    assert parameter["base"] == [kind]
    assert parameter["status"] == "active"
    assert entry["fullUrl"] == parameter["url"]
    assert parameter["url"].startswith(("http://hl7.org/fhir/SearchParameter/", f"{CANONICAL}SearchParameter/"))
    assert re.fullmatch(r"[A-Za-z0-9\-.]{1,64}", parameter["id"])
    assert parameter["url"].endswith(f"/{parameter['id']}")
    assert parameter["description"].endswith(".")
    assert ("target" in parameter) == (parameter["type"] == "reference")
    for chained in parameter.get("chain", ()):
        (target,) = [held for held in parameter["target"] if held in DEFINITIONS.types]
        assert chained in DEFINITIONS.of(target)


def test_codes_of_a_type_are_unique():
    for file in PARAMETERS.glob("*.json"):
        codes = [entry["resource"]["code"] for entry in json.loads(file.read_text())["entry"]]
        assert len(codes) == len(set(codes))


def test_single_and_coded_follow_the_elements():
    of = DEFINITIONS.of
    assert of("Slot")["start"].single
    assert of("Slot")["start"].longest == 1000
    assert of("Slot")["status"].coded
    assert of("Slot")["schedule"].single
    assert not of("Slot")["schedule"].scalar
    assert not of("Appointment")["patient"].single
    assert not of("Appointment")["-date-or-req-period"].single
    assert of("Appointment")["-date-or-req-period"].longest == 0
    assert of("Patient")["birthdate"].longest > 366 * 86_400_000
    assert not of("Location")["address"].single
    assert of("Location")["address-city"].single
    assert not of("Schedule")["offers"].single
    assert not of("Encounter")["class"].single
    assert of("Appointment")["_lastUpdated"].field == "at"
    assert of("Appointment")["_id"].field == "_id"


@pytest.mark.parametrize(
    "changed",
    [
        {"expression": "Slot.start.exists()"},
        {"expression": "Appointment.start"},
        {"type": "composite"},
        {"type": "composite", "component": [{"definition": "urn:y", "expression": "start"}] * 2},
        {"type": "resource"},
        {"base": ["Schedule"]},
    ],
)
def test_what_cannot_be_evaluated_is_refused_at_load(tmp_path, changed):
    parameter = {"url": "urn:x", "code": "start", "base": ["Slot"], "type": "date", "expression": "Slot.start"}
    parameter |= {"description": "x"} | changed
    (tmp_path / "Resource.json").write_text('{"entry": []}')
    (tmp_path / "Slot.json").write_text(json.dumps({"entry": [{"resource": parameter}]}))
    with pytest.raises(ValueError, match=r"urn:[xy]|not understood"):
        load(tmp_path)

"""The code systems, value sets and concept maps agree with each other, with the code and with the demo clinic."""

from __future__ import annotations

from typing import get_args

import pytest

from fhir_server.cli.clinic_services import SERVICE_TYPES, SERVICES
from fhir_server.conformance.artifacts import Artifacts
from fhir_server.conformance.terminology import Terminology
from fhir_server.errors import Category
from fhir_server.fhir.models import required_codes
from fhir_server.rest.operations.cancel import REASONS
from fhir_server.scheduling.terms import Channel, Modality
from fhir_server.settings import CANONICAL

ARTIFACTS = Artifacts.load()
TERMINOLOGY = Terminology(ARTIFACTS)
R4 = "http://hl7.org/fhir/"


def codes(system: str) -> frozenset[str]:
    found = TERMINOLOGY.systems.get(system)
    assert found is not None
    return frozenset(found.concepts)


@pytest.mark.parametrize("system", ARTIFACTS.code_systems.values(), ids=lambda one: one["id"])
def test_a_code_system_has_its_value_set_and_each_code_once(system):
    found = TERMINOLOGY.systems.get(system["url"])
    assert ARTIFACTS.value_sets[system["valueSet"]]["compose"]["include"] == [{"system": system["url"]}]
    assert system["content"] in {"complete", "fragment"}
    assert ("count" in system) is (system["content"] == "complete")
    assert system.get("count", len(found.concepts)) == len(found.concepts) == _count(system["concept"])
    assert ("hierarchyMeaning" in system) is any("concept" in one for one in system["concept"])
    assert TERMINOLOGY.members(system["valueSet"]) == {(system["url"], code) for code in found.concepts}
    assert all(one.display.strip() == one.display for one in found.concepts.values())


def _count(concepts):
    return sum(1 + _count(one.get("concept", ())) for one in concepts)


@pytest.mark.parametrize("url", ARTIFACTS.value_sets)
def test_every_value_set_can_be_expanded(url):
    assert TERMINOLOGY.members(url)


@pytest.mark.parametrize("concept_map", ARTIFACTS.concept_maps.values(), ids=lambda one: one["id"])
def test_a_concept_map_maps_known_codes_to_known_codes(concept_map):
    sources = TERMINOLOGY.members(concept_map["sourceCanonical"])
    targets = TERMINOLOGY.members(concept_map["targetCanonical"])
    mapped = set()
    for group in concept_map["group"]:
        for element in group["element"]:
            mapped.add((group["source"], element["code"]))
            for target in element["target"]:
                assert target["equivalence"] == "unmatched" or (group["target"], target["code"]) in targets
    assert mapped == sources


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        (f"{R4}appointmentstatus", required_codes("Appointment")["Appointment.status"]),
        (f"{R4}participationstatus", required_codes("Appointment")["Appointment.participant.status"]),
        (f"{R4}participantrequired", required_codes("Appointment")["Appointment.participant.required"]),
        (f"{R4}slotstatus", required_codes("Slot")["Slot.status"]),
        (f"{R4}days-of-week", required_codes("PractitionerRole")["PractitionerRole.availableTime.daysOfWeek"]),
        (f"{CANONICAL}CodeSystem/booking-channel", frozenset(get_args(Channel))),
        (f"{CANONICAL}CodeSystem/modality", frozenset(get_args(Modality))),
        (SERVICE_TYPES, frozenset(SERVICES)),
        (f"{CANONICAL}CodeSystem/reminder-channel", {"email", "sms", "voice", "push"}),
        (f"{CANONICAL}CodeSystem/reminder-kind", {"reminder", "confirmation-request", "follow-up", "offer", "notice"}),
    ],
)
def test_the_codes_are_those_of_the_code(system, expected):
    assert codes(system) == expected


def test_issue_types_of_every_problem_are_held():
    assert {one.issue_code for one in Category} <= codes(f"{R4}issue-type")


def test_demo_services_are_displayed_as_they_are_named():
    for concept in TERMINOLOGY.systems.get(SERVICE_TYPES).concepts.values():
        assert concept.display == SERVICES[concept.code].name


def test_the_system_of_bare_cancellation_codes_is_held():
    assert {"pat", "prov", "prov-hosp"} <= codes(REASONS)

"""What this project publishes is valid R4 in the eyes of a validator that is not ours."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fhir_server.conformance.artifacts import Artifacts
from fhir_server.conformance.code_systems import CodeSystem
from fhir_server.fhir.json import dump, parse
from fhir_server.fhir.subset import TAG
from fhir_server.fhir.types import CONFORMANCE_TYPES
from tests.conformance import independent
from tests.conformance.recorder import Recorder

ARTIFACTS = Artifacts.load()
HL7 = [one for one in ARTIFACTS.code_systems.values() if one["publisher"] == "HL7 International"]
PATIENT = {"resourceType": "Patient", "name": [{"family": "Adams"}]}


@pytest.fixture(scope="module", autouse=True)
def _available() -> None:
    try:
        independent.validator()
    except independent.UnavailableError as reason:
        pytest.skip(f"no independent validator: {reason}")


@pytest.mark.parametrize(
    ("broken", "word"),
    [
        ({**PATIENT, "colour": "red"}, "colour"),
        ({**PATIENT, "gender": "blue"}, "gender"),
        ({"resourceType": "Slot", "status": "free"}, "schedule"),
        ({"resourceType": "Appointment", "status": "booked", "participant": [{"status": "accepted"}]}, "app-1"),
    ],
)
def test_it_sees_what_is_wrong(broken: dict[str, Any], word: str) -> None:
    assert independent.faults(PATIENT) == []
    assert any(word in fault for fault in independent.faults(broken))


@pytest.mark.parametrize("example", ARTIFACTS.examples.values(), ids=lambda one: str(one["id"]))
def test_every_example_is_valid(example: dict[str, Any]) -> None:
    assert independent.faults(json.loads(dump(example))) == []


@pytest.mark.parametrize("type_", CONFORMANCE_TYPES)
async def test_every_artifact_is_valid_as_it_is_served(client: Any, type_: str) -> None:
    bundle = (await client.get(type_, params={"_count": "1000"})).json()
    found = {
        entry["resource"]["id"]: faults
        for entry in bundle["entry"]
        if (faults := independent.faults(entry["resource"]))
    }
    assert found == {}


async def test_the_capabilities_are_valid(client: Any) -> None:
    assert independent.faults((await client.get("metadata")).json()) == []


@pytest.mark.parametrize("held", HL7, ids=lambda one: str(one["id"]))
def test_what_is_held_of_hl7_is_as_hl7_has_it(held: dict[str, Any]) -> None:
    theirs = independent.definition(f"CodeSystem-{held['id']}")
    assert theirs is not None
    assert theirs["url"] == held["url"]
    mine, known = CodeSystem(held), CodeSystem(theirs)
    for code, concept in mine.concepts.items():
        assert concept.display == known.concepts[code].display.strip()
        assert set(concept.parents) == set(known.concepts[code].parents)
    assert not mine.complete or mine.concepts.keys() == known.concepts.keys()


def test_the_recorder_keeps_one_of_a_shape_and_judges_it() -> None:
    recorder = Recorder()
    other = {"resourceType": "Patient", "name": [{"family": "Burns"}]}
    bad = {"resourceType": "Patient", "gender": "blue"}
    entries = [{"resource": one, "fullUrl": f"urn:uuid:{number}"} for number, one in enumerate((PATIENT, other, bad))]
    recorder.keep({"resourceType": "Bundle", "type": "collection", "entry": entries[:2]}, "GET /x")
    assert [type_ for type_, _ in recorder.kept] == ["Patient", "Bundle"]
    assert recorder.faults() == ([], 0)
    part = {"resourceType": "Appointment", "meta": {"tag": [TAG]}, "status": "booked"}
    recorder.keep(part, "GET /part")
    recorder.keep({"resourceType": "Bundle", "type": "collection", "entry": entries}, "GET /y")
    assert len(recorder.kept) == 3
    found, left = recorder.faults()
    assert left == 0
    assert any(fault.startswith("Patient of GET /y: ") for fault in found)
    with pytest.raises(pytest.fail.Exception, match="gender"):
        recorder.check()


async def test_the_recorder_hears_answers(client: Any) -> None:
    recorder = Recorder()
    for answer in (
        await client.get("ValueSet/modality"),
        await client.get("ValueSet/none"),
        await client.head("ValueSet/modality"),
    ):
        await recorder.hear(answer)
    assert [type_ for type_, _ in recorder.kept] == ["ValueSet", "OperationOutcome"]
    assert parse(dump(next(iter(recorder.kept.values()))[1]))["id"] == "modality"

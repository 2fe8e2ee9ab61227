"""References in all their forms."""

from __future__ import annotations

import pytest

from fhir_server.fhir.references import Reference, is_reference, of, parse, references_in
from fhir_server.fhir.types import RESOURCE_TYPES, is_id

BASE = "https://ehr.example/fhir/"


@pytest.mark.parametrize(
    ("text", "kind", "key"),
    [
        ("Slot/1", "relative", "Slot/1"),
        ("Slot/1/_history/2", "relative", "Slot/1"),
        (f"{BASE}Slot/1", "absolute", "Slot/1"),
        (f"{BASE}Slot/1/_history/2", "absolute", "Slot/1"),
        ("https://ehr.example/some/file.txt?x=1", "absolute", ""),
        ("urn:uuid:c757873d-ec9a-4326-a141-556f43239520", "urn", ""),
        ("urn:oid:1.2.3", "urn", ""),
        ("#slot-1", "contained", ""),
        ("#", "contained", ""),
        ("Patient?identifier=sys|1", "conditional", ""),
    ],
)
def test_every_form_has_its_kind(text, kind, key):
    found = parse(text)
    assert (found.kind, found.key, found.text) == (kind, key, text)


@pytest.mark.parametrize(
    "text", ["", "Slot", "Slot/", "slot/1", "Slot/a b", "Slot/" + "x" * 65, "Slot/1/2", "Slot/$find", "#a b", "/Slot/1"]
)
def test_what_is_no_reference_is_refused(text):
    with pytest.raises(ValueError, match="not a reference"):
        parse(text)


def test_a_reference_is_local_when_it_points_here():
    assert parse("Slot/1").local() == "Slot/1"
    assert parse(f"{BASE}Slot/1").local() == ""
    assert parse(f"{BASE}Slot/1/_history/3").local([BASE]) == "Slot/1"
    assert parse("https://other.example/fhir/Slot/1").local([BASE]) == ""
    assert parse("#Slot").local([BASE]) == ""


def test_an_element_gives_its_reference_or_its_identifier():
    assert of({"reference": "Patient/1"}) == parse("Patient/1")
    assert of({"reference": "urn:uuid:1", "type": "Patient"}) == Reference("urn", "urn:uuid:1", "Patient")
    assert of({"type": "Patient", "identifier": {"system": "s", "value": "v"}}) == Reference(
        "logical", "", "Patient", system="s", value="v"
    )
    assert of({"identifier": {"value": "v", "system": 5}, "type": 5}) == Reference("logical", value="v")
    assert of({"display": "x"}) is None
    assert of({"identifier": {"system": "s"}}) is None
    with pytest.raises(ValueError, match="not a reference"):
        of({"reference": "nonsense"})


def test_all_references_are_found_with_their_place():
    resource = {
        "resourceType": "Appointment",
        "identifier": [{"system": "s", "value": "1"}],
        "extension": [{"url": "u", "valueReference": {"reference": "Location/1"}}],
        "contained": [{"resourceType": "Slot", "id": "s", "schedule": {"reference": "Schedule/1"}}],
        "slot": [{"reference": "#s"}],
        "participant": [
            {"actor": {"reference": "Patient/1", "display": "somebody"}, "status": "accepted"},
            {"actor": {"identifier": {"value": "7"}, "type": "Practitioner"}, "status": "accepted"},
            {"actor": {"display": "nobody"}, "status": "accepted"},
        ],
    }
    assert [(place, node.get("reference")) for place, node in references_in(resource)] == [
        ("Appointment.extension[0].valueReference", "Location/1"),
        ("Appointment.contained[0].schedule", "Schedule/1"),
        ("Appointment.slot[0]", "#s"),
        ("Appointment.participant[0].actor", "Patient/1"),
        ("Appointment.participant[1].actor", None),
    ]


def test_a_reference_is_known_by_its_properties():
    assert is_reference({"reference": "Slot/1", "_reference": {"id": "x"}})
    assert not is_reference({"reference": {"x": 1}})
    assert not is_reference({"reference": "Slot/1", "status": "x"})
    assert not is_reference({"identifier": [{"value": "1"}]})


def test_types_and_ids():
    assert list(RESOURCE_TYPES) == sorted(RESOURCE_TYPES)
    assert is_id("a.B-1")
    assert is_id("x" * 64)
    assert not any(is_id(text) for text in ("", "x" * 65, "a b", "a/b", "a$b", "a_b", "a\n", "é"))

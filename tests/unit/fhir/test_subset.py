"""Parts of resources: what ``_summary`` and ``_elements`` keep. https://hl7.org/fhir/R4/search.html#summary"""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.fhir.json import dump, parse
from fhir_server.fhir.subset import TAG, Subset, is_subsetted, named
from fhir_server.fhir.types import RESOURCE_TYPES

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "1",
    "meta": {"versionId": "3", "lastUpdated": "2026-11-24T09:00:00.000Z", "tag": [{"system": "urn:t", "code": "x"}]},
    "implicitRules": "urn:rules",
    "language": "en",
    "text": {"status": "generated", "div": "<div xmlns='http://www.w3.org/1999/xhtml'>x</div>"},
    "contained": [{"resourceType": "Organization", "id": "o"}],
    "extension": [{"url": "urn:e", "valueString": "x"}],
    "modifierExtension": [{"url": "urn:m", "valueBoolean": True}],
    "name": [{"family": "Adams"}],
    "birthDate": "1980-01-01",
    "_birthDate": {"extension": [{"url": "urn:e", "valueString": "x"}]},
    "deceasedBoolean": False,
    "maritalStatus": {"text": "M"},
    "photo": [{"contentType": "image/png"}],
}

APPOINTMENT: dict[str, Any] = {
    "resourceType": "Appointment",
    "id": "1",
    "status": "booked",
    "description": "x",
    "start": "2026-11-24T09:00:00Z",
    "comment": "x",
    "participant": [
        {
            "id": "p",
            "extension": [{"url": "urn:e", "valueString": "x"}],
            "actor": {"reference": "Patient/1"},
            "status": "accepted",
            "_status": {"id": "s"},
            "period": {"start": "2026-11-24"},
        }
    ],
}


def _names(subset: Subset, resource: dict[str, Any]) -> set[str]:
    return set(subset.of(resource)) - {"resourceType", "id", "meta", "implicitRules", "modifierExtension"}


def test_the_summary_has_what_r4_marks() -> None:
    assert _names(Subset("true"), PATIENT) == {"name", "birthDate", "_birthDate", "deceasedBoolean"}
    shown = Subset("true").of(APPOINTMENT)
    assert set(shown) == {"resourceType", "id", "meta", "status", "start", "participant"}
    assert shown["participant"] == [
        {"id": "p", "actor": {"reference": "Patient/1"}, "status": "accepted", "_status": {"id": "s"}}
    ]


def test_a_picture_is_no_summary() -> None:
    service = {
        "resourceType": "HealthcareService",
        "photo": {"contentType": "image/png", "data": "AAAA", "url": "urn:x"},
    }
    assert Subset("true").of(service)["photo"] == {"contentType": "image/png", "url": "urn:x"}
    consent = {"resourceType": "Consent", "sourceAttachment": {"data": "AAAA", "title": "x"}, "status": "active"}
    assert Subset("true").of(consent)["sourceAttachment"] == {"title": "x"}


def test_text_and_data_divide_a_resource() -> None:
    assert _names(Subset("text"), PATIENT) == {"text"}
    assert _names(Subset("text"), APPOINTMENT) == {"status", "participant"}
    assert _names(Subset("data"), PATIENT) == _names(Subset("data"), {**PATIENT}) == set(PATIENT) - {
        "resourceType", "id", "meta", "implicitRules", "modifierExtension", "text",
    }  # fmt: skip


def test_elements_keep_what_is_mandatory_and_what_changes_the_meaning() -> None:
    wanted, unknown = named(["start", "comment"], ["Appointment"])
    assert unknown == []
    assert list(Subset("", wanted).of(APPOINTMENT)) == [
        "resourceType", "id", "meta", "status", "start", "comment", "participant",
    ]  # fmt: skip
    wanted, _ = named(["birthDate"], ["Patient"])
    shown = Subset("", wanted).of(PATIENT)
    assert set(shown) == {
        "resourceType", "id", "meta", "implicitRules", "modifierExtension", "birthDate", "_birthDate",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["deceased", "deceased[x]", "deceasedBoolean", "Patient.deceased"])
def test_a_choice_has_several_names(name: str) -> None:
    wanted, unknown = named([name], ["Patient"])
    assert not unknown
    assert Subset("", wanted).of(PATIENT)["deceasedBoolean"] is False


def test_names_that_are_no_elements() -> None:
    wanted, unknown = named(["birthDate", "bogus", "name.family", "Patient.bogus", "Nothing.name"], ["Patient"])
    assert unknown == ["bogus", "name.family", "Patient.bogus", "Nothing.name"]
    assert wanted == {"Patient": frozenset({"birthDate"})}
    assert named(["bogus"], ["Patient"]) == ({}, ["bogus"])


def test_elements_of_several_types() -> None:
    wanted, unknown = named(["birthDate", "Practitioner.name"], ["Patient", "Slot"])
    assert unknown == []
    assert wanted == {
        "Patient": frozenset({"birthDate"}), "Slot": frozenset(), "Practitioner": frozenset({"name"}),
    }  # fmt: skip
    only = Subset("", wanted)
    assert only.applies("Practitioner")
    assert not only.applies("Location"), "the list concerns the matches"


def test_the_tag_stands_once_beside_others() -> None:
    shown = Subset("data").of(PATIENT)
    assert shown["meta"] == {**PATIENT["meta"], "tag": [{"system": "urn:t", "code": "x"}, TAG]}
    assert Subset("data").of(shown)["meta"] == shown["meta"]
    assert PATIENT["meta"]["tag"] == [{"system": "urn:t", "code": "x"}], "the original is untouched"


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        ({"tag": [TAG]}, True),
        ({"tag": [{"code": "SUBSETTED"}]}, True),
        ({"tag": [{"system": "urn:other", "code": "SUBSETTED"}]}, False),
        ({"tag": [{"system": TAG["system"], "code": "MAX"}]}, False),
        ({"tag": "SUBSETTED"}, False),
        ({}, False),
        (None, False),
        ("x", False),
    ],
)
def test_who_says_that_he_is_a_part(meta: Any, expected: bool) -> None:
    assert is_subsetted({"resourceType": "Patient", "meta": meta}) is expected


def test_bytes_that_are_wanted_whole_are_not_touched() -> None:
    body = b'{ "resourceType":"Patient" }'
    assert Subset().show("Patient", body) is body
    assert Subset("", {"Slot": frozenset({"start"})}).show("Patient", body) is body


def test_decimals_keep_their_digits() -> None:
    body = b'{"resourceType":"Location","position":{"longitude":1.00,"latitude":2.50}}'
    wanted, _ = named(["position"], ["Location"])
    shown = Subset("", wanted).show("Location", body)
    assert b'"longitude":1.00,"latitude":2.50' in shown
    assert dump(parse(shown)["position"]) == b'{"longitude":1.00,"latitude":2.50}'


@pytest.mark.parametrize("type_", RESOURCE_TYPES)
@pytest.mark.parametrize("summary", ["true", "text", "data"])
def test_every_held_type_has_a_shape(type_: str, summary: str) -> None:
    shown = Subset(summary).of({"resourceType": type_, "id": "1", "text": {"status": "empty"}, "identifier": []})
    assert ("text" in shown) is (summary == "text")
    assert ("identifier" in shown) is (
        summary == "data" or (summary == "true" and type_ not in {"Device", "Subscription"})
    )

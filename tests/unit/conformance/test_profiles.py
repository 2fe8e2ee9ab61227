"""Constraints of profiles: cardinality, types, fixed and pattern values, bindings and slicing."""

from __future__ import annotations

import copy

import pytest

from fhir_server.conformance.artifacts import Artifacts
from fhir_server.conformance.profiles import Profiles
from fhir_server.conformance.terminology import Terminology
from fhir_server.conformance.validator import Validator
from fhir_server.errors import Category
from fhir_server.settings import CANONICAL

ARTIFACTS = Artifacts.load()
OURS = Profiles(ARTIFACTS.structure_definitions, Terminology(ARTIFACTS).members)
OWN = f"{CANONICAL}StructureDefinition/"
MEMBERS = {"urn:vs": {("urn:s", "a"), ("", "en")}}


def element(path, **said):
    return {"id": path, "path": path.replace(":home", "").replace(":work", ""), **said}


def profile(*elements, type_="Patient", base="http://hl7.org/fhir/StructureDefinition/Patient"):
    return {"url": "urn:p", "version": "1", "type": type_, "baseDefinition": base,
            "differential": {"element": [element(type_), *elements]}}  # fmt: skip


def faults(resource, *elements):
    found = Profiles({"urn:p": profile(*elements)}, MEMBERS.get).issues(
        {"resourceType": "Patient", **resource}, ["urn:p"]
    )
    assert all(one.category is Category.RULE for one in found)
    return [one.expression for one in found]


@pytest.mark.parametrize(
    ("rules", "good", "bad", "place"),
    [
        ([element("Patient.name", min=1)], {"name": [{"text": "x"}]}, {}, "Patient.name"),
        ([element("Patient.name", max="1")], {"name": [{}]}, {"name": [{}, {}]}, "Patient.name"),
        ([element("Patient.photo", max="0")], {}, {"photo": [{}]}, "Patient.photo"),
        ([element("Patient.name.family", min=1)], {"name": [{"family": "x"}]}, {"name": [{"family": "x"}, {}]},
         "Patient.name[1].family"),
        ([element("Patient.birthDate", min=1)], {"_birthDate": {"extension": []}}, {}, "Patient.birthDate"),
        ([element("Patient.gender", fixedCode="male")], {"gender": "male"}, {"gender": "female"}, "Patient.gender"),
        ([element("Patient.deceased[x]", type=[{"code": "boolean"}])], {"deceasedBoolean": False},
         {"deceasedDateTime": "2020"}, "Patient.deceasedDateTime"),
        ([element("Patient.deceased[x]", min=1)], {"deceasedBoolean": False}, {}, "Patient.deceased"),
        ([element("Patient.maritalStatus", patternCodeableConcept={"coding": [{"code": "M"}]})],
         {"maritalStatus": {"text": "x", "coding": [{"code": "S"}, {"code": "M", "display": "y"}]}},
         {"maritalStatus": {"coding": [{"code": "S"}]}}, "Patient.maritalStatus"),
        ([element("Patient.maritalStatus", binding={"strength": "required", "valueSet": "urn:vs"})],
         {"maritalStatus": {"coding": [{"system": "urn:s", "code": "a"}]}},
         {"maritalStatus": {"text": "only words"}}, "Patient.maritalStatus"),
        ([element("Patient.language", binding={"strength": "required", "valueSet": "urn:vs"})],
         {"language": "en"}, {"language": "de"}, "Patient.language"),
        ([element("Patient.managingOrganization", type=[{"code": "Reference", "targetProfile":
          ["http://hl7.org/fhir/StructureDefinition/Organization"]}])],
         {"managingOrganization": {"reference": "Organization/1"}},
         {"managingOrganization": {"reference": "Group/1"}}, "Patient.managingOrganization"),
    ],
)  # fmt: skip
def test_one_rule(rules, good, bad, place):
    assert faults(good, *rules) == []
    assert faults(bad, *rules) == [place]


def test_bindings_that_are_not_required_or_not_known_bind_nothing():
    for binding in ({"strength": "preferred", "valueSet": "urn:vs"}, {"strength": "required", "valueSet": "urn:none"}):
        assert faults({"language": "de"}, element("Patient.language", binding=binding)) == []


def sliced(kind, path, **said):
    discriminator = {"type": kind, "path": path}
    return [
        element("Patient.telecom", slicing={"discriminator": [discriminator], "rules": said.get("rules", "open")}),
        element("Patient.telecom:home", min=1, max="1", **said.get("slice", {})),
        element(f"Patient.telecom:home.{path}", **said["value"]),
        element("Patient.telecom:home.value", min=1),
    ]


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("value", "use", {"fixedCode": "home"}),
        ("pattern", "use", {"patternCode": "home"}),
        ("value", "period.start", {"fixedDateTime": "2020"}),
        ("exists", "rank", {"min": 1}),
    ],
)
def test_slices(kind, path, value):
    rules = sliced(kind, path, value=value)
    mine = {"use": "home", "rank": 1, "period": {"start": "2020"}, "value": "1"}
    assert faults({"telecom": [{"use": "work"}, mine]}, *rules) == []
    assert faults({"telecom": [{"use": "work"}]}, *rules) == ["Patient.telecom"]
    assert faults({"telecom": [mine, mine]}, *rules) == ["Patient.telecom"]
    without = {name: said for name, said in mine.items() if name != "value"}
    assert faults({"telecom": [without]}, *rules) == ["Patient.telecom[0].value"]


def test_a_closed_slicing_has_no_others():
    rules = sliced("value", "use", value={"fixedCode": "home"}, rules="closed")
    mine = {"use": "home", "value": "1"}
    assert faults({"telecom": [mine, {"use": "work"}]}, *rules) == ["Patient.telecom[1]"]


@pytest.mark.parametrize(
    "bad",
    [
        element("Patient.telecom", slicing={"discriminator": [{"type": "type", "path": "$this"}], "rules": "open"}),
        element("Patient.telecom", slicing={"rules": "open"}),
        {"id": "Patient.telecom:a/b", "path": "Patient.telecom"},
    ],
)
def test_what_is_not_evaluated_is_refused_at_load(bad):
    with pytest.raises(ValueError, match=r"urn:p: the slicing at Patient\.telecom"):
        Profiles({"urn:p": profile(bad)}, MEMBERS.get)


def test_profiles_of_others_are_not_checked_and_versions_count():
    strict = Profiles({"urn:p": profile(element("Patient.name", min=1))}, MEMBERS.get)
    patient = {"resourceType": "Patient"}
    assert strict.known("urn:p|1")
    assert not strict.known("urn:p|2")
    assert strict.issues(patient, ["urn:other", "urn:p|2"]) == []
    assert len(strict.issues(patient, ["urn:p", "urn:p", "urn:p|1"])) == 1
    (fault,) = strict.issues({"resourceType": "Slot"}, ["urn:p"])
    assert (fault.expression, fault.text) == ("Slot.meta.profile", "this profile is one of Patient")


def test_a_profile_on_a_profile_holds_both():
    first = profile(element("Patient.name", min=1))
    second = {**profile(element("Patient.gender", min=1), base="urn:p"), "url": "urn:q"}
    both = Profiles({"urn:p": first, "urn:q": second}, MEMBERS.get)
    found = both.issues({"resourceType": "Patient"}, ["urn:q"])
    assert [one.expression for one in found] == ["Patient.gender", "Patient.name"]


@pytest.mark.parametrize("example", ARTIFACTS.examples.values(), ids=lambda one: one["id"])
def test_every_example_follows_its_profiles(example):
    assert OURS.issues(example, example.get("meta", {}).get("profile", ())) == []


BOOKED = ARTIFACTS.examples["Appointment/example-booked-appointment"]


def test_our_profiles_check_their_extensions():
    broken = copy.deepcopy(BOOKED)
    broken["extension"] = [
        {"url": f"{OWN}modality", "valueCode": "carrier-pigeon"},
        {"url": f"{OWN}booking-channel", "valueCode": "phone"},
        {"url": f"{OWN}booking-channel", "valueCode": "phone"},
        {"url": f"{OWN}override-reason", "valueCode": "urgent"},
        {"url": "urn:of-somebody-else", "valueCode": "x"},
    ]
    del broken["participant"][0]["actor"]
    found = {(one.expression, one.text.partition(":")[0]) for one in OURS.issues(broken, broken["meta"]["profile"])}
    assert found == {
        ("Appointment.extension", "scheduling-appointment"),
        ("Appointment.extension[0].valueCode", "scheduling-appointment"),
        ("Appointment.extension[3].valueCode", "scheduling-appointment"),
        ("Appointment.participant[0].actor", "scheduling-appointment"),
    }


def test_parts_of_extensions_are_slices():
    example = copy.deepcopy(ARTIFACTS.examples["HealthcareService/example-follow-up"])
    parameters = next(one for one in example["extension"] if one["url"] == f"{OWN}service-parameters")
    at = example["extension"].index(parameters)
    parameters["extension"] = [one for one in parameters["extension"] if one["url"] != "duration"]
    (fault,) = OURS.issues(example, example["meta"]["profile"])
    assert fault.expression == f"HealthcareService.extension[{at}].extension"
    assert "extension:duration" in fault.text


def test_the_validator_checks_what_meta_profile_names():
    validator = Validator({}, OURS)
    service = {"resourceType": "HealthcareService", "active": True}
    assert validator.issues(service, "HealthcareService") == []
    url = f"{OWN}scheduling-healthcare-service"
    claimed = {**service, "meta": {"profile": ["urn:unknown", url]}}
    assert [one.expression for one in validator.issues(claimed, "HealthcareService")] == ["HealthcareService.name"]
    assert [one.expression for one in validator.issues(service, "HealthcareService", [url])] == [
        "HealthcareService.name"
    ]
    assert [one.expression for one in validator.issues({**service, "meta": 5}, "HealthcareService")] == [
        "HealthcareService.meta"
    ]

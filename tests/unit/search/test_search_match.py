"""What searches find, by the tables of https://hl7.org/fhir/R4/search.html."""

from __future__ import annotations

from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from fhir_server.search.match import NeedsOtherResourcesError, distance, matches
from tests.builders.search import BASE, UTC, document, read


def found(resource, *pairs, zone=UTC):
    kind = resource["resourceType"]
    return matches(read(kind, *pairs, zone=zone).query.clauses, document(resource, zone=zone))


def slot(**elements):
    return {"resourceType": "Slot", **elements}


def patient(*names, **elements):
    return {"resourceType": "Patient", "name": [{"family": name} for name in names], **elements}


@pytest.mark.parametrize(
    ("name", "searched", "hit"),
    [
        ("name", "nunez", True),
        ("name", "NÚÑ", True),
        ("name", "unez", False),
        ("name:contains", "UNE", True),
        ("name:exact", "Núñez", True),
        ("name:exact", "Nu\u0301n\u0303ez", True),
        ("name:exact", "núñez", False),
        ("name:exact", "Núñe", False),
        ("name", "o'b", True),
        ("name", r"a\,b", True),
        ("name", "a,x", True),
        ("name", "x,y", False),
        ("name", r"a\,c", False),
        ("name", ".*", True),
        ("name", ".", True),
        ("name", "..", False),
        ("name:contains", "*", True),
        ("name:contains", ".+", False),
        ("name", r"\$s", True),
        ("name", r"p\|q", True),
    ],
)
def test_strings(name, searched, hit):
    named = patient("Núñez", "O'Brien", "a,b", ".*", "$s", "p|q") | {"resourceType": "Practitioner"}
    assert found(named, (name, searched)) is hit


CONCEPTS = {
    "with": [{"coding": [{"system": "http://s", "code": "c"}]}],
    "without": [{"coding": [{"code": "c"}]}],
    "other": [{"coding": [{"system": "http://t", "code": "d"}]}],
    "none": [],
}


@pytest.mark.parametrize(
    ("name", "searched", "hits"),
    [
        ("service-type", "c", {"with", "without"}),
        ("service-type", "http://s|c", {"with"}),
        ("service-type", "|c", {"without"}),
        ("service-type", "http://s|", {"with"}),
        ("service-type", "C", set()),
        ("service-type", "http://t|c", set()),
        ("service-type", "c,d", {"with", "without", "other"}),
        ("service-type:not", "c", {"other", "none"}),
        ("service-type:not", "http://s|c,d", {"without", "none"}),
        ("service-type:missing", "true", {"none"}),
        ("service-type:missing", "false", {"with", "without", "other"}),
    ],
)
def test_tokens(name, searched, hits):
    assert {key for key, concepts in CONCEPTS.items() if found(slot(serviceType=concepts), (name, searched))} == hits


def test_not_on_several_elements_means_none_of_them():
    both = slot(serviceType=CONCEPTS["with"] + CONCEPTS["other"])
    assert not found(both, ("service-type:not", "d"))
    assert found(both, ("service-type:not", "e"))


def test_a_value_of_words_alone_is_not_missing():
    assert found(slot(serviceType=[{"text": "by words"}]), ("service-type:missing", "false"))
    assert not found(slot(serviceType=[{"text": "by words"}]), ("service-type", "by words"))
    assert found(slot(_status={"extension": []}), ("status:missing", "true"))


@pytest.mark.parametrize(
    ("stored", "hit"),
    [
        ("Patient/1", True),
        (f"{BASE}/Patient/1", True),
        ("Patient/1/_history/2", True),
        ("Practitioner/1", False),
        ("Patient/10", False),
        ("http://other.example/fhir/Patient/1", False),
    ],
)
@pytest.mark.parametrize(
    ("name", "searched"),
    [
        ("patient", "1"),
        ("patient", "Patient/1"),
        ("patient", f"{BASE}/Patient/1"),
        ("patient", "Patient/1/_history/7"),
        ("patient:Patient", "1"),
        ("actor:Patient", "1"),
    ],
)
def test_references(stored, hit, name, searched):
    appointment = {"resourceType": "Appointment", "participant": [{"actor": {"reference": stored}}]}
    assert found(appointment, (name, searched)) is hit


def test_a_patient_is_never_found_by_the_id_of_somebody_else():
    appointment = {"resourceType": "Appointment", "participant": [{"actor": {"reference": "Practitioner/1"}}]}
    assert not found(appointment, ("patient", "1"))
    assert not found(appointment, ("patient", "Practitioner/1"))
    assert found(appointment, ("actor", "1"))


def test_logical_references():
    actor = {"type": "Practitioner", "identifier": {"system": "http://npi", "value": "7"}}
    appointment = {"resourceType": "Appointment", "participant": [{"actor": actor}]}
    for searched in ("http://npi|7", "7", "http://npi|"):
        assert found(appointment, ("actor:identifier", searched))
        assert found(appointment, ("practitioner:identifier", searched))
    assert not found(appointment, ("actor:identifier", "|7"))
    assert not found(appointment, ("patient:identifier", "7"))
    assert not found(appointment, ("actor", "7"))


TARGETS = {
    "before": {"start": "2026-10-01", "end": "2026-10-31"},
    "into": {"start": "2026-10-15", "end": "2026-11-10"},
    "inside": {"start": "2026-11-10", "end": "2026-11-20"},
    "same": {"start": "2026-11-01", "end": "2026-11-30"},
    "around": {"start": "2026-10-15", "end": "2026-12-15"},
    "out": {"start": "2026-11-20", "end": "2026-12-15"},
    "after": {"start": "2026-12-01", "end": "2026-12-31"},
    "since": {"start": "2026-11-20"},
    "until": {"end": "2026-11-10"},
}


@pytest.mark.parametrize(
    ("prefix", "hits"),
    [
        ("", "inside same"),
        ("eq", "inside same"),
        ("ne", "before into around out after since until"),
        ("gt", "around out after since"),
        ("lt", "before into around until"),
        ("ge", "into inside same around out after since until"),
        ("le", "before into inside same around out since until"),
        ("sa", "after"),
        ("eb", "before"),
    ],
)
def test_date_prefixes(prefix, hits):
    schedules = {key: {"resourceType": "Schedule", "planningHorizon": period} for key, period in TARGETS.items()}
    assert {key for key, each in schedules.items() if found(each, ("date", f"{prefix}2026-11"))} == set(hits.split())


def test_no_date_satisfies_no_prefix():
    for prefix in ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"):
        assert not found({"resourceType": "Schedule"}, ("date", f"{prefix}2026"))


@pytest.mark.parametrize(
    ("stored", "searched", "hit"),
    [
        ("2026-11-23T09:00:00Z", "2026", True),
        ("2026-11-23T09:00:00Z", "2026-11", True),
        ("2026-11-23T09:00:00Z", "2026-11-23", True),
        ("2026-11-23T09:00:00Z", "2026-11-23T09:00Z", True),
        ("2026-11-23T09:00:00Z", "2026-11-23T09:00:00Z", True),
        ("2026-11-23T09:00:00Z", "2026-11-23T10:00:00+01:00", True),
        ("2026-11-23T09:00:00Z", "2026-11-23T09:00:00.000Z", False),
        ("2026-11-23T09:00:00.500Z", "2026-11-23T09:00:00Z", True),
        ("2026-11-23T09:00:00Z", "2026-11-23T09:00:01Z", False),
        ("2026-11-23T09:00:00Z", "gt2026-11-23T09:00:00Z", False),
        ("2026-11-23T09:00:00Z", "ge2026-11-23T09:00:00Z", True),
        ("2026-11-23T09:00:00Z", "lt2026-11-23T09:00:00Z", False),
        ("2026-11-23T09:00:00Z", "lt2026-11-24", True),
        ("2026-11-23T09:00:00Z", "gt2026-11-23", False),
        ("2026-11-23T23:59:60Z", "ge2026-11-24", True),
    ],
)
def test_date_precision(stored, searched, hit):
    assert found(slot(start=stored), ("start", searched)) is hit


@pytest.mark.parametrize(
    ("stored", "hit"),
    [
        ("2026-03-28T22:59:59Z", False),
        ("2026-03-28T23:00:00Z", True),
        ("2026-03-29T21:59:59Z", True),
        ("2026-03-29T22:00:00Z", False),
    ],
)
def test_a_day_is_the_local_day_of_23_hours(stored, hit):
    assert found(slot(start=stored), ("start", "2026-03-29"), zone=ZoneInfo("Europe/Berlin")) is hit


def test_repeats_narrow_and_commas_widen():
    free = slot(start="2026-11-23T09:00:00Z", status="free")
    assert found(free, ("start", "ge2026-11-23"), ("start", "lt2026-11-24"), ("status", "busy,free"))
    assert not found(free, ("start", "ge2026-11-24"), ("start", "lt2026-11-25"))
    assert found(free, ("start", "2026-11-22,2026-11-23"))


@pytest.mark.parametrize(
    ("searched", "hit"),
    [
        ("30", True),
        ("30.0", False),
        ("30.4", True),
        ("gt30", True),
        ("ge30.4", True),
        ("gt30.4", False),
        ("lt30", False),
        ("ne30", False),
        ("ap33", True),
        ("ap40", False),
        ("3e1", True),
        ("30||min", True),
        ("30||minutes", True),
        ("30|http://unitsofmeasure.org|min", True),
        ("30|http://unitsofmeasure.org|h", False),
        ("30|http://other|min", False),
    ],
)
def test_quantities(searched, hit):
    length = {"value": Decimal("30.4"), "unit": "minutes", "system": "http://unitsofmeasure.org", "code": "min"}
    assert found({"resourceType": "Encounter", "length": length}, ("length", searched)) is hit


def test_common_parameters():
    meta = {
        "tag": [{"system": "http://s", "code": "t"}], "security": [{"code": "R"}], "source": "http://src",
        "profile": ["http://p|2"],
    }  # fmt: skip
    resource = slot(meta=meta)
    for name, value in (
        ("_id", "0,1"), ("_tag", "http://s|t"), ("_security", "R"), ("_source", "http://src"), ("_profile", "http://p"),
        ("_profile", "http://p|2"), ("_lastUpdated", "2026-11-23"), ("_lastUpdated", "ge2026-11-23T09:00:01Z"),
        ("_lastUpdated", "lt2026-11-23T09:00:02Z"), ("_lastUpdated", "ne2026-11-22"), ("_id:not", "2"),
    ):  # fmt: skip
        assert found(resource, (name, value)), (name, value)
    for name, value in (
        ("_id", "2"), ("_profile", "http://p|1"), ("_profile", "HTTP://p"), ("_source", "http://sr"), ("_tag", "|t"),
        ("_lastUpdated", "gt2026-11-23T09:00:01Z"), ("_lastUpdated", "sa2026-11-23"), ("_lastUpdated", "eb2026-11-23"),
    ):  # fmt: skip
        assert not found(resource, (name, value)), (name, value)


@pytest.mark.parametrize(
    ("searched", "hit"),
    [
        ("46.95|7.45", True),
        ("46.95|7.45|1", True),
        ("46.20|6.15|120|km", False),
        ("46.20|6.15|140|km", True),
        ("46.20|6.15|140000|m", True),
        ("46.20|6.15|90|[mi_i]", True),
        ("46.20|6.15|70|[mi_i],46.95|7.45|1", True),
        ("46.20|6.15", False),
    ],
)
def test_near(searched, hit):
    bern = {"resourceType": "Location", "position": {"latitude": Decimal("46.948"), "longitude": Decimal("7.4474")}}
    assert found(bern, ("near", searched)) is hit
    assert not found({"resourceType": "Location"}, ("near", searched))


def test_distances_are_great_circles():
    assert distance(0, 0, 0, 180) == pytest.approx(20_037_392, rel=1e-4)
    assert distance(90, 0, 90, 99) == pytest.approx(0, abs=1e-3)


def test_chains_need_other_resources():
    for kind, name in (("Slot", "schedule.actor"), ("Patient", "_has:Appointment:patient:identifier")):
        with pytest.raises(NeedsOtherResourcesError):
            matches(read(kind, (name, "1")).query.clauses, document({"resourceType": kind}))

"""The shapes of IHE BALP; an AuditEvent is valid R4 by our models and by a validator that is not ours."""

from __future__ import annotations

import os
from typing import Any

import pytest

from fhir_server.access.record import Access, Accessed
from fhir_server.fhir import models
from fhir_server.services.audit.events import events_of, render
from fhir_server.services.audit.kinds import KINDS
from fhir_server.store.audit.batches import Batch
from tests.audit.records import AT, BASE, access
from tests.conformance import independent

DCM = "http://dicom.nema.org/resources/ontology/DCM"


def rendered(thing: Access, recorded: int = AT, **options: Any) -> list[dict[str, Any]]:
    return [render(one, BASE, **options) for one in events_of(Batch("c0ffee", 7, recorded, (thing,)))]


def agent(event: dict[str, Any], code: str) -> dict[str, Any]:
    (found,) = [one for one in event["agent"] if one["type"]["coding"][0]["code"] == code]
    return dict(found)


def test_the_skeleton_of_a_patient_read() -> None:
    (event,) = rendered(access(client="client_id", subject="sub", issuer="iss", token="jti", fhir_user=""))
    assert event["meta"]["profile"] == [
        "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PatientRead"
    ]
    assert (event["type"]["system"], event["type"]["code"]) == (
        "http://terminology.hl7.org/CodeSystem/audit-event-type", "rest",
    )  # fmt: skip
    assert event["subtype"] == [{"system": "http://hl7.org/fhir/restful-interaction", "code": "read"}]
    assert (event["action"], event["outcome"], event["recorded"]) == ("R", "0", "2026-11-22T09:00:00.000Z")
    assert event["id"] == "c0ffee-7-0-0"
    server, client = agent(event, "110153"), agent(event, "110152")
    assert server["who"] == {"identifier": {"value": "fhir.test"}}
    assert (server["requestor"], server["network"]) == (False, {"address": BASE, "type": "5"})
    assert client["who"] == {"identifier": {"value": "client_id"}}
    assert (client["requestor"], client["network"]) == (False, {"address": "10.0.0.7", "type": "2"})
    person = agent(event, "IRCP")
    assert person["who"] == {"identifier": {"system": "iss", "value": "sub"}}
    assert (person["requestor"], person["policy"]) == (True, ["jti"])
    assert "network" not in person
    assert all("media" not in one for one in event["agent"])
    assert event["source"]["observer"] == {"identifier": {"value": "fhir.test"}}
    data, patient, transaction = event["entity"]
    system = "http://terminology.hl7.org/CodeSystem/"
    assert (data["type"]["system"], data["type"]["code"]) == (f"{system}audit-entity-type", "2")
    assert (data["role"]["system"], data["role"]["code"]) == (f"{system}object-role", "4")
    assert data["what"] == {"reference": "Appointment/a1/_history/3"}
    assert (patient["type"]["code"], patient["role"]["code"]) == ("1", "1")
    assert patient["what"] == {"reference": "Patient/p1"}
    assert transaction["type"]["code"] == "XrequestId"
    assert transaction["what"] == {"identifier": {"value": "req-1"}}


@pytest.mark.parametrize(
    ("interaction", "action", "profile", "client", "server", "person"),
    [
        ("create", "C", "Create", "110153", "110152", "AUT"),
        ("read", "R", "Read", "110152", "110153", "IRCP"),
        ("vread", "R", "Read", "110152", "110153", "IRCP"),
        ("update", "U", "Update", "110153", "110152", "AUT"),
        ("patch", "U", "Update", "110153", "110152", "AUT"),
        ("delete", "D", "Delete", "110150", "custodian", "AUT"),
        ("search", "E", "Query", "110153", "110152", "IRCP"),
    ],
)
def test_every_profile(interaction: str, action: str, profile: str, client: str, server: str, person: str) -> None:
    thing = access(interaction=interaction, action=action, query=b"GET /x" if profile == "Query" else b"")
    (event,) = rendered(thing)
    assert event["meta"]["profile"][0].endswith(f"IHE.BasicAudit.Patient{profile}")
    assert [one["type"]["coding"][0]["code"] for one in event["agent"]] == [client, server, person]
    assert event["subtype"][0]["code"] == interaction
    (bare,) = rendered(
        access(interaction=interaction, action=action, query=thing.query, objects=(Accessed("Slot", "1"),))
    )
    assert bare["meta"]["profile"][0].endswith(f"IHE.BasicAudit.{profile}")
    types = [(one["type"]["code"], one.get("role", {}).get("code")) for one in event["entity"]]
    assert types.count(("2", "24")) == (profile == "Query")
    assert types.count(("2", "4")) == (profile != "Query")


def test_k_patients_are_k_events_that_tell_nothing_of_each_other() -> None:
    things = tuple(Accessed("Appointment", f"a{at}", 1, (f"Patient/p{at}",)) for at in range(3))
    slot = Accessed("Slot", "s1", 1)
    events = rendered(access(interaction="search", action="E", query=b"GET /", objects=(*things, slot)))
    assert [one["id"] for one in events] == ["c0ffee-7-0-2", "c0ffee-7-0-1", "c0ffee-7-0-0"]
    for at, event in zip((2, 1, 0), events, strict=True):
        shown = [one["what"]["reference"] for one in event["entity"] if "reference" in one.get("what", {})]
        assert shown == [f"Appointment/a{at}/_history/1", "Slot/s1/_history/1", f"Patient/p{at}"]
    (none,) = rendered(access(interaction="search", action="E", query=b"GET /", objects=()))
    assert none["meta"]["profile"][0].endswith("BasicAudit.Query")
    (asked,) = rendered(access(interaction="search", action="E", query=b"GET /", objects=(), patients=("Patient/p",)))
    assert asked["meta"]["profile"][0].endswith("BasicAudit.PatientQuery")


def test_a_patient_is_about_itself() -> None:
    (event,) = rendered(access(objects=(Accessed("Patient", "p9", 2),)))
    assert [one["what"]["reference"] for one in event["entity"][:2]] == ["Patient/p9/_history/2", "Patient/p9"]


def test_a_refusal_says_why_and_the_glass_that_was_broken_too() -> None:
    (event,) = rendered(access(outcome=4, reason="forbidden", purpose="BTG"))
    assert (event["outcome"], event["outcomeDesc"]) == ("4", "forbidden")
    coding = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "BTG"}
    assert event["purposeOfEvent"] == [{"coding": [coding]}]
    assert agent(event, "IRCP")["purposeOfUse"] == [{"coding": [coding]}]


def test_what_was_recorded_late_says_when_it_happened() -> None:
    (event,) = rendered(access(recovered=True), AT + 60_000)
    assert event["recorded"] == "2026-11-22T09:01:00.000Z"
    assert event["period"]["start"] == "2026-11-22T09:00:00.000Z"
    assert "recorded by another process" in event["outcomeDesc"]


def test_logins() -> None:
    for interaction, code in (("login", "110122"), ("login-failed", "110122"), ("logout", "110123")):
        (event,) = rendered(access(interaction=interaction, action="E", objects=()))
        assert (event["type"]["system"], event["type"]["code"]) == (DCM, "110114")
        assert event["subtype"][0]["code"] == code
    (event,) = rendered(access(interaction="$book", action="E"))
    assert [one["code"] for one in event["subtype"]] == ["operation", "$book"]


def test_without_a_person_the_client_asks() -> None:
    (event,) = rendered(access(subject="", fhir_user="", network="proxy.example"))
    assert len(event["agent"]) == 2
    client = agent(event, "110152")
    assert (client["requestor"], client["policy"]) == (True, ["jti-1"])
    assert client["network"] == {"address": "proxy.example", "type": "1"}
    (event,) = rendered(access(subject="", fhir_user="", client="", network=""))
    assert agent(event, "110152")["who"] == {"display": "not identified"}


VARIANTS = [
    *(access(interaction=one, action="E") for one in (*KINDS, "$book", "$everything")),
    access(outcome=8, reason="exception", purpose="BTG", recovered=True),
    access(subject="", fhir_user="", token=""),
    access(issuer="", network="::1", objects=(), request_id=""),
    access(interaction="search", action="E", query=b"GET /fhir/Patient?name=\xff", objects=(), patients=("Patient/p",)),
]


@pytest.mark.parametrize("thing", VARIANTS, ids=lambda one: one.interaction)
def test_every_shape_is_valid_r4(thing: Access) -> None:
    for event in rendered(thing, names={"Practitioner/dr-adams": "Dr. Adams"}):
        assert models.issues_of(event) == []


@pytest.mark.skipif(not os.environ.get("FHIR_TEST_ANSWERS"), reason="needs the independent validator")
def test_every_shape_is_valid_for_a_validator_that_is_not_ours() -> None:
    for thing in VARIANTS:
        for event in rendered(thing):
            assert independent.faults(event) == []

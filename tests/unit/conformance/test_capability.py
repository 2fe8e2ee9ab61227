"""The CapabilityStatement says what it is told."""

from __future__ import annotations

from fhir_server.conformance.artifacts import Artifacts
from fhir_server.conformance.capability import SearchParam, ServerDescription, TypeDescription, capability_statement
from fhir_server.fhir.models import issues_of

ARTIFACTS = Artifacts.load()
APPOINTMENT = TypeDescription(
    "Appointment",
    ["read", "search-type"],
    [SearchParam("status", "token", "http://hl7.org/fhir/SearchParameter/Appointment-status", "by status")],
    includes=["Appointment:patient"],
    profiles=ARTIFACTS.profiles_of("Appointment"),
    operations=[
        (one["code"], one["url"])
        for one in ARTIFACTS.operation_definitions.values()
        if "Appointment" in one["resource"]
    ],
    read_history=True,
    update_create=True,
)


def _statement(**more):
    return capability_statement(
        ServerDescription(
            "https://ehr.example/fhir",
            "2026-11-22T00:00:00Z",
            "0.1.0",
            [TypeDescription("Slot", ["read"]), APPOINTMENT],
            **more,
        )
    )


def test_it_is_a_valid_r4_statement():
    statement = _statement(
        interactions=["transaction"],
        search_params=[SearchParam("_id", "token")],
        patch_formats=["application/json-patch+json"],
        security="none yet",
    )
    assert issues_of(statement) == []
    assert (statement["fhirVersion"], statement["kind"]) == ("4.0.1", "instance")
    assert statement["patchFormat"] == ["application/json-patch+json"]
    assert statement["implementation"]["url"] == "https://ehr.example/fhir"
    assert statement["rest"][0]["interaction"] == [{"code": "transaction"}]
    assert statement["rest"][0]["searchParam"] == [{"name": "_id", "type": "token"}]


def test_types_come_in_order_with_their_operations_and_profiles():
    appointment, slot = _statement()["rest"][0]["resource"]
    assert appointment["type"] == "Appointment"
    assert appointment["interaction"] == [{"code": "read"}, {"code": "search-type"}]
    assert {one["name"] for one in appointment["operation"]} == {
        "find",
        "hold",
        "extend-hold",
        "release",
        "book",
        "cancel",
        "reschedule",
        "confirm",
        "checkin",
        "checkin-link",
        "noshow",
        "no-show-report",
        "undo",
        "join-waitlist",
        "waitlist",
        "offer",
        "offers",
    }
    assert all(
        one["definition"].startswith("https://fhir-scheduling.example/fhir/OperationDefinition/")
        for one in appointment["operation"]
    )
    assert len(appointment["supportedProfile"]) == 1
    assert appointment["readHistory"] is True
    assert slot == {
        "type": "Slot",
        "profile": "http://hl7.org/fhir/StructureDefinition/Slot",
        "interaction": [{"code": "read"}],
        "versioning": "versioned",
        "readHistory": False,
        "updateCreate": False,
        "conditionalCreate": False,
        "conditionalRead": "not-supported",
        "conditionalUpdate": False,
        "conditionalDelete": "not-supported",
    }

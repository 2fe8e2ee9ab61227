"""What a problem looks like to a client."""

from __future__ import annotations

from fhir_server.errors import Category, Issue, Problem, problem
from fhir_server.fhir.models import issues_of
from fhir_server.fhir.outcome import ALTERNATIVE, NEXT_AVAILABLE, SCHEDULING_ISSUE, informational, outcome


def _proposal(name):
    return {
        "resourceType": "Appointment",
        "id": name,
        "meta": {"versionId": "1"},
        "status": "proposed",
        "participant": [{"actor": {"reference": "Practitioner/1"}, "status": "needs-action"}],
    }


def test_every_issue_has_its_words_code_and_place():
    found = outcome(
        Problem(
            Category.RULE,
            (
                Issue("too soon", "Appointment.start", "min-notice"),
                Issue("not an id", "Appointment.id", category=Category.INVALID),
                Issue("by the way", severity="warning"),
            ),
        )
    )
    assert found == {
        "resourceType": "OperationOutcome",
        "issue": [
            {
                "severity": "error",
                "code": "business-rule",
                "details": {"text": "too soon", "coding": [{"system": SCHEDULING_ISSUE, "code": "min-notice"}]},
                "diagnostics": "too soon",
                "expression": ["Appointment.start"],
            },
            {
                "severity": "error",
                "code": "invalid",
                "details": {"text": "not an id"},
                "diagnostics": "not an id",
                "expression": ["Appointment.id"],
            },
            {
                "severity": "warning",
                "code": "business-rule",
                "details": {"text": "by the way"},
                "diagnostics": "by the way",
            },
        ],
    }
    assert issues_of(found) == []


def test_alternatives_are_contained_and_referred_to():
    found = outcome(
        Problem(
            Category.CONFLICT, (Issue("taken", "start", "slot-taken"),), alternatives=(_proposal("a"), _proposal("b"))
        )
    )
    assert [one["id"] for one in found["contained"]] == ["a", "b"]
    assert all("meta" not in one for one in found["contained"])
    assert found["issue"][0]["extension"] == [
        {"url": ALTERNATIVE, "valueReference": {"reference": "#a"}},
        {"url": ALTERNATIVE, "valueReference": {"reference": "#b"}},
    ]
    assert issues_of(found) == []


def test_every_category_gives_a_valid_outcome():
    for category in Category:
        assert issues_of(outcome(problem(category, "words"))) == []


def test_hints_beside_an_answer():
    found = informational(
        [Issue("no free time", code="no-free-time", severity="information")], next_available="2026-12-01T08:00:00Z"
    )
    assert found["issue"][0]["code"] == "informational"
    assert found["issue"][0]["extension"] == [{"url": NEXT_AVAILABLE, "valueDateTime": "2026-12-01T08:00:00Z"}]
    assert issues_of(found) == []
    assert informational([])["issue"][0]["details"]["text"] == "All OK"

"""OperationOutcome, https://hl7.org/fhir/R4/operationoutcome.html: the one builder of what a problem looks like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_server.settings import CANONICAL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fhir_server.errors import Issue, Problem

SCHEDULING_ISSUE = f"{CANONICAL}CodeSystem/scheduling-issue"
ALTERNATIVE = f"{CANONICAL}StructureDefinition/alternative"
NEXT_AVAILABLE = f"{CANONICAL}StructureDefinition/next-available"


def outcome(problem: Problem) -> dict[str, Any]:
    """The OperationOutcome of a problem.

    What may be booked instead is contained under its own id, and the first issue refers to each by the extension
    *alternative*. Alternatives hold no contained resources of their own (dom-2); their ``meta`` stays out (dom-4).
    """
    issues = [_issue(issue, problem.category.issue_code) for issue in problem.issues]
    result: dict[str, Any] = {"resourceType": "OperationOutcome"}
    if problem.alternatives and issues:
        result["contained"] = [
            {name: value for name, value in proposal.items() if name != "meta"} for proposal in problem.alternatives
        ]
        issues[0] = {
            "extension": [
                {"url": ALTERNATIVE, "valueReference": {"reference": f"#{proposal['id']}"}}
                for proposal in problem.alternatives
            ],
            **issues[0],
        }
    result["issue"] = issues
    return result


def informational(issues: Iterable[Issue], *, next_available: str = "") -> dict[str, Any]:
    """An OperationOutcome beside an answer that succeeds: hints and warnings, "All OK" when there are none.

    ``next_available`` is a FHIR dateTime that the first issue carries as the extension *next-available*.
    """
    found = [_issue(issue, "informational") for issue in issues]
    if not found:
        found = [{"severity": "information", "code": "informational", "details": {"text": "All OK"}}]
    if next_available:
        found[0] = {"extension": [{"url": NEXT_AVAILABLE, "valueDateTime": next_available}], **found[0]}
    return {"resourceType": "OperationOutcome", "issue": found}


def _issue(issue: Issue, code: str) -> dict[str, Any]:
    """One issue; ``diagnostics`` repeats the text because many clients show nothing else."""
    details: dict[str, Any] = {"text": issue.text}
    if issue.code:
        details["coding"] = [{"system": SCHEDULING_ISSUE, "code": issue.code}]
    result: dict[str, Any] = {
        "severity": issue.severity,
        "code": issue.category.issue_code if issue.category else code,
        "details": details,
        "diagnostics": issue.text,
    }
    if issue.expression:
        result["expression"] = [issue.expression]
    return result

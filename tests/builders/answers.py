"""What tests read from answers: codes of refusals, starts and people of proposals."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.builders.clinic import proposals


def codes(answer: Any) -> list[str]:
    """Codes of *scheduling-issue* in an OperationOutcome, in order; empty where an issue has none."""
    return [_code(one) for one in outcome_of(answer)["issue"]]


def outcome_of(answer: Any) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    assert body["resourceType"] == "OperationOutcome", body
    assert answer.headers["content-type"].startswith("application/fhir+json")
    return body


def refused(answer: Any, status: int, code: str = "") -> dict[str, Any]:
    """The OperationOutcome of a refusal of this status, whose first issue has this code."""
    assert answer.status_code == status, answer.text
    found = outcome_of(answer)
    assert all(one["severity"] in {"error", "fatal"} for one in found["issue"]), found
    if code:
        assert codes(answer)[0] == code, found
    return found


def expressions(outcome: dict[str, Any]) -> list[str]:
    return [place for one in outcome["issue"] for place in one.get("expression", ())]


def starts(bundle: dict[str, Any]) -> list[str]:
    return [one["start"] for one in proposals(bundle)]


def clocks(bundle: dict[str, Any]) -> list[str]:
    """Local times of day of the proposals: ``09:00``."""
    return [datetime.fromisoformat(one).strftime("%H:%M") for one in starts(bundle)]


def actors(appointment: dict[str, Any], type_: str = "Practitioner") -> list[str]:
    """References of one type that take part."""
    references = [one["actor"].get("reference", "") for one in appointment["participant"]]
    return [one for one in references if one.startswith(f"{type_}/")]


def people(bundle: dict[str, Any]) -> set[str]:
    """Last part of the ids of the practitioners of a searchset: ``{"ada"}``."""
    return {one.rpartition("-")[2] for each in proposals(bundle) for one in actors(each)}


def outcome_in(bundle: dict[str, Any]) -> dict[str, Any] | None:
    """The OperationOutcome of a searchset."""
    found = [one["resource"] for one in bundle.get("entry", ()) if one["search"]["mode"] == "outcome"]
    assert len(found) <= 1
    return found[0] if found else None


def _code(issue: dict[str, Any]) -> str:
    return next((one["code"] for one in issue.get("details", {}).get("coding", ())), "")


def reasons(bundle: dict[str, Any]) -> list[str]:
    """Codes in the outcome of a searchset."""
    found = outcome_in(bundle)
    return [_code(one) for one in found["issue"]] if found else []

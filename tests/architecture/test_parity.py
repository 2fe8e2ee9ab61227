"""Parity: what is declared is there, and what is there is declared."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

from fhir_server.rest.operations.table import HL7, OPERATIONS
from fhir_server.settings import Settings

ROOT = Path(__file__).parents[2]


def _resources(folder: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((ROOT / folder).glob("*.json"))]


def test_every_operation_has_its_definition_and_every_definition_its_handler() -> None:
    declared = {
        (kind, one["code"]): (one["id"], one["type"], one["instance"], not one.get("affectsState", False))
        for one in _resources("profiles/operation_definitions")
        for kind in one["resource"]
    }
    answered = {
        key: (one.definition, one.type, one.instance, one.safe)
        for key, one in OPERATIONS.items()
        if not one.definition.startswith(HL7)
    }
    assert answered == declared


def test_every_refusal_has_a_code_of_the_code_system() -> None:
    system = json.loads((ROOT / "terminology/code_systems/scheduling-issue.json").read_text())
    declared = {one["code"] for one in system["concept"]}
    used = {code for path in (ROOT / "fhir_server").rglob("*.py") for code in _issue_codes(ast.parse(path.read_text()))}
    assert len(used) > 15, "the search for codes finds them"
    assert used <= declared


def _issue_codes(module: ast.Module) -> set[str]:
    """Codes given to ``problem(category, text, expression, code)``, ``Issue(…)``, ``Refusal(code, …)``."""
    place = {"problem": 3, "Issue": 2, "Refusal": 0, "_reason": 0}
    found = set()
    for node in ast.walk(module):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in place:
            continue
        at = place[node.func.id]
        given = [node.args[at]] if len(node.args) > at else [one.value for one in node.keywords if one.arg == "code"]
        found |= {one.value for one in given if isinstance(one, ast.Constant) and one.value}
    return found


def test_every_setting_is_documented() -> None:
    declared = {f"FHIR_{name.upper()}" for name in Settings.model_fields}
    documented = set(re.findall(r"`(FHIR_[A-Z_]+)`", (ROOT / "docs/settings.md").read_text()))
    assert declared <= documented

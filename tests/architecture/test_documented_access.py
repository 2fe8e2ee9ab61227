"""The table of roles in the documentation is the one by which the server answers."""

from __future__ import annotations

import re
from pathlib import Path

from fhir_server.access.caller import Role
from fhir_server.access.rules import ALLOWED
from fhir_server.fhir.types import RESOURCE_TYPES

ACCESS = Path(__file__).parents[2] / "docs/access.md"


def test_every_type_and_role_is_documented_as_it_is() -> None:
    rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in ACCESS.read_text().splitlines()]
    heads = next(row for row in rows if row and row[0] == "type" and "patient" in row)
    roles = [Role(name) for name in heads[1:]]
    assert set(roles) == set(Role)
    said = {row[0]: row[1:] for row in rows if len(row) == len(heads) and re.fullmatch(r"[A-Z][A-Za-z]+", row[0])}
    assert said == {type_: [ALLOWED[role].get(type_, "") for role in roles] for type_ in RESOURCE_TYPES}

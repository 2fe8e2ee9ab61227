"""docs/messages.md says what is there."""

from __future__ import annotations

import json
import re
from pathlib import Path

from fhir_server.messages.checking import check_all
from fhir_server.messages.facts import PIECES, VARIABLES
from fhir_server.messages.language import FILTERS
from fhir_server.messages.templates import KINDS, PARTS

PAGE = (Path(__file__).parents[3] / "docs/messages.md").read_text()


def _named(begin: str, end: str) -> set[str]:
    """What stands in the first column of a table."""
    rows = PAGE.split(begin)[1].split(end)[0].split("\n")
    return {name for row in rows if row.count("|") > 2 for name in re.findall(r"`([\w-]+)`", row.split("|")[1])}


def test_the_examples_can_be_kept() -> None:
    examples = json.loads(re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0])
    assert len(examples) == 3
    assert check_all(examples) == {}


def test_variables_kinds_parts_and_filters_are_documented() -> None:
    assert _named("| variable |", "Any of") == VARIABLES | PIECES
    assert _named("| kind |", "Keys in calls") == set(KINDS)
    assert all(f"`{part}`" in PAGE for part in PARTS)
    assert all(f"`{name}`" in PAGE for name in FILTERS if name != "e")

"""``fhirPathCriteria`` of topics: comparisons of a resource with what it was before. Pure.

criteria    = conjunction { "or" conjunction }
conjunction = test { "and" test }
test        = operand ( "=" | "!=" ) operand | path ".exists()" | path ".empty()"
operand     = path | "'" text "'"
path        = ( "%current" | "%previous" ) "." a path of fhir_server/fhir/fhirpath.py

Comparisons with nothing are false. Instants are compared as points in time, whatever their offset.
https://hl7.org/fhir/R5/subscriptiontopic-definitions.html#SubscriptionTopic.resourceTrigger.fhirPathCriteria
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fhir_server.fhir.fhirpath import Path, compile_path
from fhir_server.fhir.fhirpath_steps import Budget
from fhir_server.fhir.temporal import instant_ms
from fhir_server.fhir.tree import root

Resource = Mapping[str, Any] | None
Test = Callable[[Resource, Resource], bool]

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")


@dataclass(frozen=True, slots=True)
class Operand:
    """A text, or a path in the state before or after."""

    text: str = ""
    side: str = ""
    path: Path | None = None

    def values(self, before: Resource, after: Resource) -> list[Any]:
        if self.path is None:
            return [self.text]
        resource = after if self.side == "current" else before
        if resource is None:
            return []
        found = self.path.select(root(dict(resource)), Budget())
        return [_comparable(one.value) for one in found if one.value is not None]


def compile_criteria(text: str) -> Test:
    """A test of a resource before and after a change; ``ValueError`` for anything beyond the syntax above."""
    ways = [[_test(one) for one in _split(way, "and")] for way in _split(text, "or")]
    return lambda before, after: any(all(test(before, after) for test in way) for way in ways)


def _split(text: str, word: str) -> list[str]:
    """The parts between a word that stands outside of texts and brackets."""
    parts, depth, quoted, start = [], 0, False, 0
    mark = f" {word} "
    for at, sign in enumerate(text):
        if sign == "'":
            quoted = not quoted
        elif not quoted:
            depth += {"(": 1, ")": -1}.get(sign, 0)
            if depth == 0 and text.startswith(mark, at):
                parts.append(text[start:at])
                start = at + len(mark)
    return [one.strip() for one in (*parts, text[start:])]


def _test(text: str) -> Test:
    for verdict, wanted in ((".exists()", True), (".empty()", False)):
        if text.endswith(verdict):
            operand = _operand(text.removesuffix(verdict))
            return lambda before, after: bool(operand.values(before, after)) is wanted
    for mark, same in (("!=", False), ("=", True)):
        sides = _split(text, mark)
        if len(sides) == 2:
            left, right = _operand(sides[0]), _operand(sides[1])
            return lambda before, after: _compared(left.values(before, after), right.values(before, after), same=same)
    msg = f"no comparison and no exists() or empty(): {text}"
    raise ValueError(msg)


def _compared(one: list[Any], other: list[Any], *, same: bool) -> bool:
    return bool(one) and bool(other) and (one == other) is same


def _operand(text: str) -> Operand:
    if len(text) > 1 and text[0] == text[-1] == "'":
        return Operand(text=text[1:-1])
    for side in ("current", "previous"):
        if text.startswith(f"%{side}."):
            return Operand(side=side, path=compile_path(text.removeprefix(f"%{side}.")))
    msg = f"neither %current, %previous nor a text: {text}"
    raise ValueError(msg)


def _comparable(value: Any) -> Any:
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        try:
            return instant_ms(value)
        except ValueError:
            return value
    return value

"""The writes of a transaction as they were read, and where in the Bundle a fault lies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from fhir_server.errors import Problem
from fhir_server.fhir.models import is_resource_type
from fhir_server.services.conditional import Pairs
from fhir_server.services.conditions import Condition
from fhir_server.services.resources import Change

_HEADERS = {"If-Match": "ifMatch", "If-None-Match": "ifNoneMatch", "If-None-Exist": "ifNoneExist"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One write; ``place`` is its index in the Bundle.

    ``id`` is that of the URL; ``pairs`` are criteria in its place, of a POST those of ifNoneExist. ``resource`` is the
    content of POST and PUT, ``change`` what a PATCH does.
    """

    place: int
    method: str
    type: str
    id: str = ""
    pairs: Pairs | None = None
    resource: dict[str, Any] | None = None
    change: Change | None = None
    condition: Condition = field(default_factory=Condition)
    full_url: str = ""


@contextmanager
def placed(place: int) -> Iterator[None]:
    """Refusals inside say which entry they are about."""
    try:
        yield
    except Problem as refused:
        raise located(refused, place) from None


def located(refused: Problem, place: int) -> Problem:
    """A refusal of one request as a refusal of the entry that made it: ``Bundle.entry[2].resource.start``."""
    issues = tuple(
        replace(one, expression=_expression(one.expression, place), category=one.category or refused.category)
        for one in refused.issues
    )
    return Problem(refused.category, issues, refused.headers, refused.alternatives)


def _expression(expression: str, place: int) -> str:
    entry = f"Bundle.entry[{place}]"
    if expression.startswith("Bundle."):
        return expression
    if expression in _HEADERS:
        return f"{entry}.request.{_HEADERS[expression]}"
    if expression == "resourceType":
        return f"{entry}.resource.resourceType"
    head, dot, rest = expression.partition(".")
    if is_resource_type(head):
        return f"{entry}.resource{dot}{rest}"
    return f"{entry}.request" if expression else entry

"""The writes of a transaction as they were read, and where in the Bundle a fault lies."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from fhir_server.errors import Category, Problem, problem
from fhir_server.fhir.models import is_resource_type
from fhir_server.fhir.rewriting import restful
from fhir_server.services.conditional import Pairs
from fhir_server.services.conditions import Condition
from fhir_server.services.resources import Change

_URN = re.compile(
    r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|urn:oid:[0-2](\.(0|[1-9][0-9]*))+", re.ASCII | re.IGNORECASE
)
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


def check_full_url(entry: Entry, id_: str, bases: Collection[str]) -> None:
    """The full URL names what the entry writes, https://hl7.org/fhir/R4/bundle-definitions.html#Bundle.entry.fullUrl.

    :param id_: that of the resource, empty for a deletion by criteria that match nothing.
    :param bases: our own, each with a trailing slash; below them a URL is the resource's own one.
    :raises Problem: 400.
    """
    if not entry.full_url or _URN.fullmatch(entry.full_url):
        return
    found = restful(entry.full_url)
    if found is None:
        text = "a full URL is a urn:uuid, a urn:oid or an absolute URL that ends with type and id"
    elif found[1] != entry.type:
        text = f"the full URL is none of a {entry.type}"
    elif found[0].lower() not in {one.lower() for one in bases}:
        return
    elif entry.method == "POST":
        text = "the server chooses the id of a create; its full URL is a urn:uuid"
    elif id_ and found[2] != id_:
        text = "the full URL is that of another resource than the entry's"
    else:
        return
    raise problem(Category.INVALID, text, f"Bundle.entry[{entry.place}].fullUrl")


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

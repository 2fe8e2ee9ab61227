"""May this resource be stored? Shape, values, bindings, targets, invariants, profiles: all faults together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_server.conformance.invariants import invariant_issues
from fhir_server.conformance.shape import shape_of
from fhir_server.errors import Category, Issue, Problem, problem
from fhir_server.fhir import models

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fhir_server.conformance.profiles import Profiles

Resource = dict[str, Any]

_GRAVITY = (Category.STRUCTURE, Category.INVALID, Category.REQUIRED, Category.RULE)


class Validator:
    """Checks resources of the types that this server holds.

    ``extra_checks`` by resource type see a resource whose own elements have the right JSON types; they bring in what
    lies above this room, such as the terms of a Schedule. ``profiles`` are checked where ``meta.profile`` names one.
    """

    __slots__ = ("_extra", "profiles")

    def __init__(
        self,
        extra_checks: Mapping[str, Callable[[Resource], list[Issue]]] | None = None,
        profiles: Profiles | None = None,
    ) -> None:
        self._extra = dict(extra_checks or {})
        self.profiles = profiles

    def check(self, resource: Any, type_name: str) -> None:
        """Raise a Problem with every fault of a resource that should be of ``type_name``.

        The category is the gravest of all: STRUCTURE, INVALID or REQUIRED (HTTP 400), or RULE (HTTP 422) when nothing
        but invariants and rules is broken.
        """
        if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
            raise problem(Category.STRUCTURE, f"a resource of type {type_name} is needed", "resourceType")
        if resource["resourceType"] != type_name:
            raise problem(Category.INVALID, f"the resourceType is not {type_name}", "resourceType")
        issues = self.issues(resource, type_name)
        if issues:
            categories = {issue.category for issue in issues}
            raise Problem(next(one for one in _GRAVITY if one in categories), tuple(issues))

    def issues(self, resource: Resource, type_name: str, profiles: Iterable[str] = ()) -> list[Issue]:
        """Every fault of a resource of ``type_name``; empty when it may be stored.

        ``profiles`` are canonical URLs to check beside those of ``meta.profile``; unknown ones are not checked.
        """
        shape = shape_of(resource, type_name)
        found = shape.issues
        if not shape.unreadable:
            _add_new(found, models.issues_of(resource))
        if not shape.broken:
            _add_new(found, invariant_issues(resource))
            if type_name in self._extra:
                _add_new(found, self._extra[type_name](resource))
            claimed = [*claimed_profiles(resource), *profiles]
            if claimed and self.profiles:
                _add_new(found, self.profiles.issues(resource, claimed))
        return found


def claimed_profiles(resource: Resource) -> list[str]:
    """The canonical URLs in ``meta.profile``."""
    meta = resource.get("meta")
    return [one for one in meta.get("profile", ()) if isinstance(one, str)] if meta else []


def _add_new(found: list[Issue], more: list[Issue]) -> None:
    """Append what is not yet said about the same place: one issue a fault."""
    if more:
        places = [issue.expression for issue in found]
        found += (issue for issue in more if not any(_same(issue.expression, place) for place in places))


def _same(one: str, other: str) -> bool:
    """Whether two places are the same or one holds the other."""
    short, long = sorted((one, other), key=len)
    return long.startswith(short) and long[len(short) :][:1] in {"", ".", "["} and "." in short

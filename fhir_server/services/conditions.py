"""Conditions of a write: If-Match and If-None-Match, https://hl7.org/fhir/R4/http.html#concurrency."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.errors import Category, problem
from fhir_server.store.resources import Stored


@dataclass(frozen=True, slots=True)
class Condition:
    """``if_match``: versions of which one must be current (empty = none stated, ``*`` = any that exists).

    ``if_none_match``: True for ``If-None-Match: *`` (only if there is none yet).
    """

    if_match: tuple[str, ...] = ()
    if_none_match: bool = False


def check_version(condition: Condition, current: Stored | None, type_: str) -> None:
    """:raises Problem: 412 when the condition does not hold for the current version (None = there is none)."""
    if condition.if_none_match and current is not None:
        raise problem(Category.PRECONDITION, "the resource exists already", type_, "version-conflict")
    if not condition.if_match:
        return
    if current is None:
        raise problem(Category.PRECONDITION, "there is no version to match", type_, "version-conflict")
    if "*" not in condition.if_match and str(current.version) not in condition.if_match:
        text = f"the current version is {current.version}"
        raise problem(Category.PRECONDITION, text, type_, "version-conflict")

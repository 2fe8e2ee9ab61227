"""Who says how urgent somebody on the waitlist is: clinicians, and systems that speak for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_server.access.caller import Role
from fhir_server.errors import Category, problem
from fhir_server.services.waitlist.records import preferred

MAY = frozenset({Role.PRACTITIONER, Role.SYSTEM})


def check(role: Role, resource: Mapping[str, Any], before: Mapping[str, Any] | None) -> None:
    """Whether a caller may store this entry of the waitlist.

    :param before: the version that it replaces.
    :raises Problem: 403 for another urgency or priority than before, where the caller is no clinician.
    """
    if role in MAY or "waitlist" not in {resource.get("status"), (before or {}).get("status")}:
        return
    if _said(resource) == _said(before or {}):
        return
    place = "Appointment.priority" if resource.get("priority") else "Appointment.extension"
    raise problem(Category.FORBIDDEN, "only clinicians say how urgent it is", place, "withheld")


def _said(resource: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(preferred(resource).get("urgency", ())), resource.get("priority") or 0

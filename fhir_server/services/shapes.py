"""What an extension of ours is made of: values of certain types, checked, in parts; and what is wrong with one."""

from __future__ import annotations

import functools
import zoneinfo
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from fhir_server.errors import Category, Issue
from fhir_server.fhir.temporal import calendar_date, date_range, duration_seconds, instant_ms, time_seconds
from fhir_server.scheduling.terms import Modality
from fhir_server.scheduling.waitlist import MOST_URGENT
from fhir_server.services.actors import reference_of
from fhir_server.settings import CANONICAL

OWN = f"{CANONICAL}StructureDefinition/"
"""URL that every extension of ours starts with."""

TIMEZONE = "http://hl7.org/fhir/StructureDefinition/timezone"
"""IANA zone of a resource, http://hl7.org/fhir/R4/extension-timezone.html."""

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

Check = Callable[[Any], object]


@dataclass(frozen=True, slots=True)
class Part:
    """One extension or one part of it: its value types, cardinality and check (raises ``ValueError`` with words)."""

    kinds: tuple[str, ...]
    required: bool = False
    many: bool = False
    check: Check | None = None
    parts: Mapping[str, Part] = field(default_factory=dict)


def value_of(extension: Mapping[str, Any]) -> tuple[str, Any]:
    """``("Duration", {...})`` from ``valueDuration``; ``("", None)`` for an extension that holds parts."""
    return next(((name[5:], value) for name, value in extension.items() if name.startswith("value")), ("", None))


def faults(extension: Mapping[str, Any], shape: Part, place: str) -> list[Issue]:
    """What is wrong with one extension; ``place`` is its FHIRPath."""
    kind, value = value_of(extension)
    if shape.parts:
        return _part_faults(extension, shape, place)
    if kind not in shape.kinds:
        wanted = " or ".join(f"value{name}" for name in shape.kinds)
        return [Issue(f"{wanted} is needed here", place, category=Category.INVALID)]
    if shape.check is not None:
        try:
            shape.check(value)
        except ValueError as fault:
            return [Issue(str(fault), f"{place}.value{kind}", category=Category.INVALID)]
    return []


def _part_faults(extension: Mapping[str, Any], shape: Part, place: str) -> list[Issue]:
    found: list[Issue] = []
    seen: set[str] = set()
    for index, part in enumerate(extension.get("extension", ())):
        name, where = part.get("url", ""), f"{place}.extension[{index}]"
        known = shape.parts.get(name)
        if known is None:
            # Extensions of others are allowed inside ours; a short name that is not ours is a spelling mistake.
            if ":" not in name:
                found.append(Issue("unknown part of this extension", f"{where}.url", category=Category.INVALID))
            continue
        if name in seen and not known.many:
            found.append(Issue(f"{name} occurs more than once", where, category=Category.INVALID))
        seen.add(name)
        found += faults(part, known, where)
    found += [
        Issue(f"{name} is missing", place, category=Category.REQUIRED)
        for name, part in shape.parts.items()
        if part.required and name not in seen
    ]
    return found


def check_zone(name: Any) -> None:
    """Raises ``ValueError`` unless ``name`` is an IANA zone."""
    if name not in _zones():
        msg = "not an IANA time zone"
        raise ValueError(msg)


@functools.cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def one_of(*codes: str) -> Part:
    return Part(("Code",), check=_code_check(frozenset(codes)))


def _code_check(codes: frozenset[str]) -> Check:
    def check(value: Any) -> None:
        if value not in codes:
            msg = f"not one of {', '.join(sorted(codes))}"
            raise ValueError(msg)

    return check


def check_urgency(value: Any) -> None:
    if not 0 <= value <= MOST_URGENT:
        msg = f"a number from 0 to {MOST_URGENT} is needed, {MOST_URGENT} the most urgent"
        raise ValueError(msg)


def check_length(value: Any) -> None:
    if duration_seconds(value) == 0:
        msg = "a Duration of more than zero is needed"
        raise ValueError(msg)


def check_dates(value: Any) -> None:
    """Dates, partial ones included; of a dateTime the date counts."""
    for bound in _bounds(value):
        date_range(bound, zoneinfo.ZoneInfo("UTC"))


def check_period(value: Any) -> None:
    """Full dates or dateTimes."""
    for bound in _bounds(value):
        if "T" in bound:
            instant_ms(bound)
        else:
            calendar_date(bound)


def _bounds(period: Any) -> list[str]:
    bounds = [period[name] for name in ("start", "end") if name in period]
    if not bounds:
        msg = "a Period with a start or an end is needed"
        raise ValueError(msg)
    return bounds


def check_count(value: Any) -> None:
    if value < 1:
        msg = "a number from 1 up is needed"
        raise ValueError(msg)


def reference_check(*types: str) -> Check:
    def check(value: Any) -> None:
        # requires may hold a CodeableConcept, which has no type to check.
        reference = reference_of(value)
        if "coding" in value or "text" in value:
            return
        literal = bool(reference) and not reference.startswith("#")
        if not reference or (literal and not any(f"{name}/" in f"/{reference}" for name in types)):
            msg = f"a reference to {' or '.join(types)} is needed"
            raise ValueError(msg)

    return check


MODALITY = one_of(*get_args(Modality))
LENGTH = Part(("Duration",), check=check_length)
WAIT = Part(("Duration",), check=duration_seconds)
COUNT = Part(("PositiveInt",), check=check_count)
FLAG = Part(("Boolean",))
TIME = Part(("Time",), check=time_seconds)
SERVICES = Part(("Reference",), many=True, check=reference_check("HealthcareService"))
WHERE = Part(("Reference",), check=reference_check("Location"))

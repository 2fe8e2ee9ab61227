"""R4 invariants of datatypes, wherever they stand, https://hl7.org/fhir/R4/datatypes.html.

Attachment    att-1                 Period        per-1
ContactPoint  cpt-2                 Quantity      qty-3
Duration      drt-1, qty-3          Range         rng-2
Extension     ext-1 (a shape)       Ratio         rat-1
Timing        tim-1 tim-2 tim-4 … tim-10
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_server.fhir.temporal import instant_ms

if TYPE_CHECKING:
    from collections.abc import Callable

Element = dict[str, Any]

_UCUM = "http://unitsofmeasure.org"
_MEALS = frozenset(("C", "CM", "CD", "CV"))


def is_reversed(period: Element) -> bool:
    """Whether a Period ends before it starts; values of unlike precision are compared as far as both go."""
    start, end = period.get("start"), period.get("end")
    if not isinstance(start, str) or not isinstance(end, str):
        return False
    if "T" in start and "T" in end:
        try:
            return instant_ms(start) > instant_ms(end)
        except ValueError:
            return False
    shared = min(len(start), len(end), 10)
    return start[:shared] > end[:shared]


def _attachment(attachment: Element) -> str:
    return "att-1: a contentType is required if data is given" if _lacks(attachment, "data", "contentType") else ""


def _contact_point(point: Element) -> str:
    return "cpt-2: a system is required if a value is given" if _lacks(point, "value", "system") else ""


def _duration(duration: Element) -> str:
    if "code" in duration and (duration.get("system") != _UCUM or "value" not in duration):
        return "drt-1: a code goes with a value and the system of UCUM"
    return ""


def _period(period: Element) -> str:
    return "per-1: the period ends before it starts" if is_reversed(period) else ""


def _quantity(quantity: Element) -> str:
    return "qty-3: a system is required if a code is given" if _lacks(quantity, "code", "system") else ""


def _range(limits: Element) -> str:
    low, high = limits.get("low", {}), limits.get("high", {})
    alike = low.get("code") == high.get("code") and low.get("unit") == high.get("unit")
    if alike and "value" in low and "value" in high and low["value"] > high["value"]:
        return "rng-2: low is above high"
    return ""


def _ratio(ratio: Element) -> str:
    if ("numerator" in ratio) != ("denominator" in ratio) or ratio.keys().isdisjoint(("numerator", "extension")):
        return "rat-1: numerator and denominator are both given, or an extension says why not"
    return ""


def _repeat(repeat: Element) -> str:
    pairs = (
        ("tim-1", "duration", "durationUnit"),
        ("tim-2", "period", "periodUnit"),
        ("tim-6", "periodMax", "period"),
        ("tim-7", "durationMax", "duration"),
        ("tim-8", "countMax", "count"),
    )
    for key, name, other in pairs:
        if _lacks(repeat, name, other):
            return f"{key}: {name} needs {other}"
    for key, name in (("tim-4", "duration"), ("tim-5", "period")):
        if repeat.get(name, 0) < 0:
            return f"{key}: {name} is negative"
    if "offset" in repeat and ("when" not in repeat or not _MEALS.isdisjoint(repeat["when"])):
        return "tim-9: an offset needs a when other than C, CM, CD and CV"
    if "timeOfDay" in repeat and "when" in repeat:
        return "tim-10: either timeOfDay or when"
    return ""


def _lacks(element: Element, name: str, other: str) -> bool:
    return name in element and other not in element


DATATYPES: dict[str, Callable[[Element], str]] = {
    "Age": _quantity,
    "Attachment": _attachment,
    "ContactPoint": _contact_point,
    "Count": _quantity,
    "Distance": _quantity,
    "Duration": _duration,
    "Period": _period,
    "Quantity": _quantity,
    "Range": _range,
    "Ratio": _ratio,
    "TimingRepeat": _repeat,
}
"""Type → check that gives the words of the first broken invariant, or nothing; for elements whose shape is right."""

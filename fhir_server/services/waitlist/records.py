"""What an entry of the waitlist says of its offers: the extension *waitlist-offer*, which the server alone sets. Pure.

Every offer that an entry ever had stands in it, the last one last, with what came of it: the resource explains itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from fhir_server.fhir.temporal import format_instant, instant_seconds
from fhir_server.scheduling.interval import Interval
from fhir_server.scheduling.waitlist import Offer, Outcome
from fhir_server.services.actors import reference_of
from fhir_server.settings import CANONICAL

PREFERENCE_URL = f"{CANONICAL}StructureDefinition/waitlist-preference"
OFFER_URL = f"{CANONICAL}StructureDefinition/waitlist-offer"
WAITS = "waits"
"""The field beside the body by which a round finds who waits for a service."""

OFFERED = "offer"
"""The field beside the body of an Appointment that is offered: ``{of}``, the version of the entry as it waited."""


@dataclass(frozen=True, slots=True)
class Record:
    """One offer to be noted; epoch seconds. ``by`` is ``rank`` or ``staff``, ``reason`` says why this patient.

    ``freed`` is the time that became free and is handed on when the offer ends.
    """

    start: int
    end: int
    schedule: str
    made: int
    until: int
    by: str
    freed: Interval
    reason: str = ""


def is_offer(extra: Mapping[str, Any]) -> bool:
    """Whether an Appointment is offered to somebody on the waitlist, open or just over."""
    return extra.get(OFFERED) is not None and extra.get("expires") is not None


def waits(found: Any) -> bool:
    """Whether a stored Appointment is an entry of the waitlist, one that is offered something included."""
    return bool(found.extra.get(WAITS))


def waits_of(resource: Mapping[str, Any], extra: Mapping[str, Any], bases: Sequence[str]) -> list[str] | None:
    """What an entry waits for: references of services and tokens of codes; None for what is no entry."""
    if resource.get("status") != "waitlist" and not extra.get(OFFERED):
        return None
    services = [reference_of(one, bases) for one in preferred(resource).get("service", ())]
    return list(dict.fromkeys([*services, *([] if services else codes_of(resource))])) or None


def codes_of(resource: Mapping[str, Any]) -> list[str]:
    """``system|code`` of the service types; a code without a system as ``=code``, which is any system's."""
    return [
        f"{coding['system']}|{coding['code']}" if coding.get("system") else f"={coding['code']}"
        for concept in resource.get("serviceType", ())
        for coding in concept.get("coding", ())
        if coding.get("code")
    ]


def preferred(resource: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The values of the extension *waitlist-preference* by part; empty without one."""
    found: dict[str, list[Any]] = {}
    for extension in resource.get("extension", ()):
        if extension.get("url") == PREFERENCE_URL:
            for part in extension.get("extension", ()):
                value = next((value for name, value in part.items() if name.startswith("value")), None)
                found.setdefault(part.get("url", ""), []).append(value)
    return found


def offers_of(resource: Mapping[str, Any], bases: Sequence[str] = ()) -> tuple[Offer, ...]:
    """Every offer that an entry had, in their order."""
    return tuple(
        Offer(
            instant_seconds(parts["start"]), instant_seconds(parts["end"], floor=False),
            reference_of(parts["schedule"], bases), parts["outcome"], _period(parts.get("freed")),
        )
        for parts in map(_values, _records(resource))
    )  # fmt: skip


def freed_by(resource: Mapping[str, Any]) -> Interval | None:
    """The time that became free and was the reason for the open offer; None without an open offer that says so."""
    last = offers_of(resource)[-1:]
    return last[0].freed if last and last[0].outcome == "open" else None


def with_offer(resource: Mapping[str, Any], record: Record) -> dict[str, Any]:
    """The entry with one more offer, which is open."""
    parts: list[dict[str, Any]] = [
        {"url": "start", "valueInstant": format_instant(record.start, UTC)},
        {"url": "end", "valueInstant": format_instant(record.end, UTC)},
        {"url": "schedule", "valueReference": {"reference": record.schedule}},
        {"url": "freed", "valuePeriod": _as_period(record.freed)},
        {"url": "made", "valueInstant": format_instant(record.made, UTC)},
        {"url": "until", "valueInstant": format_instant(record.until, UTC)},
        {"url": "by", "valueCode": record.by},
    ]
    if record.reason:
        parts.append({"url": "reason", "valueString": record.reason})
    parts.append({"url": "outcome", "valueCode": "open"})
    return {**resource, "extension": [*resource.get("extension", ()), {"url": OFFER_URL, "extension": parts}]}


def closed(resource: Mapping[str, Any], outcome: Outcome) -> dict[str, Any]:
    """The entry with its open offer ended."""
    said = [_ended(one, outcome) if one.get("url") == OFFER_URL else one for one in resource.get("extension", ())]
    return {**resource, "extension": said} if said else dict(resource)


def kept(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What a client writes, with the offers as they were: whatever it says of them is left out."""
    others = [one for one in after.get("extension", ()) if one.get("url") != OFFER_URL]
    found = {name: value for name, value in after.items() if name != "extension"}
    said = [*others, *_records(before)]
    return {**found, "extension": said} if said else found


def _records(resource: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for one in resource.get("extension", ()) if one.get("url") == OFFER_URL]


def _period(said: Mapping[str, str] | None) -> Interval | None:
    return Interval(instant_seconds(said["start"]), instant_seconds(said["end"], floor=False)) if said else None


def _as_period(interval: Interval) -> dict[str, str]:
    return {"start": format_instant(interval.start, UTC), "end": format_instant(interval.end, UTC)}


def _values(extension: Mapping[str, Any]) -> dict[str, Any]:
    return {
        part["url"]: next(value for name, value in part.items() if name.startswith("value"))
        for part in extension["extension"]
    }


def _ended(extension: Mapping[str, Any], outcome: str) -> dict[str, Any]:
    parts = [
        {**part, "valueCode": outcome} if part["url"] == "outcome" and part["valueCode"] == "open" else part
        for part in extension["extension"]
    ]
    return {**extension, "extension": parts}

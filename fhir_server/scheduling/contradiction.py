"""What a Schedule's terms say against themselves; decided exactly, so that a write can be refused for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Literal

from fhir_server.scheduling.civil import DAY, local_day
from fhir_server.scheduling.hours import (
    LAST_ORDINAL,
    around,
    override_intervals,
    override_touches,
    rule_starts_on,
    week_number,
)
from fhir_server.scheduling.interval import intersect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from zoneinfo import ZoneInfo

    from fhir_server.scheduling.terms import Opening, Override, Rule

_SAMPLE = 10  # days that stand for an endless range: more than any zone spends on one transition
_SOME_MONDAY = date(2024, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A fault in ``rules[index]`` or ``overrides[index]``, alone or with the ``other`` one, at ``element``."""

    kind: Literal["rule", "override"]
    index: int
    other: int | None
    other_kind: Literal["rule", "override"] | None
    element: str
    text: str


def contradictions(opening: Opening) -> tuple[Contradiction, ...]:
    """What a Schedule's terms say against themselves; empty when they can be kept.

    A rule or override that never has any time; two rules that put one human in two stated places at once for a common
    service; a closure over an ``open`` or ``replace`` override that concerns the same service, modality and place.
    """
    found = [
        Contradiction("rule", index, None, None, *fault)
        for index, rule in enumerate(opening.rules)
        if (fault := _never(rule)) is not None
    ]
    found += (
        Contradiction("override", index, None, None, *fault)
        for index, override in enumerate(opening.overrides)
        if (fault := _idle(override, opening.zone)) is not None
    )
    text = "Two openings overlap at different locations."
    for index, rule in enumerate(opening.rules):
        for other, earlier in enumerate(opening.rules[:index]):
            if rule.location and earlier.location and rule.location != earlier.location and _rules_meet(rule, earlier):
                found.append(Contradiction("rule", index, other, "rule", "location", text))
    text = "A closure overlaps an opening of the same service."
    for index, closed in enumerate(opening.overrides):
        if closed.kind == "closed":
            for other, override in enumerate(opening.overrides):
                if override.kind != "closed" and _overrides_meet(closed, override, opening.zone):
                    found.append(Contradiction("override", index, other, "override", "period", text))
    return tuple(found)


def _never(rule: Rule) -> tuple[str, str] | None:
    """Element and words if no window of the rule ever starts."""
    if rule.effective_from is not None and rule.effective_until is not None:
        if rule.effective_until < rule.effective_from:
            return "effective", "The opening ends before it begins."
        if not any(_starts_between(rule, rule.effective_from.toordinal(), rule.effective_until.toordinal())):
            return "daysOfWeek", "None of the days lies in the effective period."
    return None


def _starts_between(rule: Rule, low: int, high: int) -> Iterator[int]:
    """The first day (ordinal) in ``[low, high]`` on which the rule starts, for each of its days of the week."""
    for weekday in sorted(rule.days) or range(7):
        ordinal = low + (weekday + 1 - low) % 7
        behind = (week_number(rule.effective_from) - (ordinal - 1) // 7) % rule.week_interval
        if (ordinal := ordinal + 7 * behind) <= high:
            yield ordinal


def _rules_meet(a: Rule, b: Rule) -> bool:
    """Whether two rules are ever open at the same wall-clock time for a common service."""
    if a.services and b.services and a.services.isdisjoint(b.services):
        return False
    for later in (-1, 0, 1):
        if not _windows_meet(a.start, a.end, b.start, b.end, later):
            continue
        low = max(_ordinal(a.effective_from, 1), _ordinal(b.effective_from, 1) - later)
        high = min(_ordinal(a.effective_until, LAST_ORDINAL), _ordinal(b.effective_until, LAST_ORDINAL) - later)
        for first in _starts_between(a, low, high):
            # Weeks of ``a`` meet every week of ``b``'s rhythm that they ever meet within ``b.week_interval`` steps.
            step = 7 * a.week_interval
            for ordinal in range(first, min(high, first + step * (b.week_interval - 1)) + 1, step):
                if rule_starts_on(b, date.fromordinal(ordinal + later)):
                    return True
    return False


def _windows_meet(start: int, end: int, other_start: int, other_end: int, later: int) -> bool:
    """Whether two windows overlap on the wall clock, the other one starting ``later`` days after."""
    end = end if end > start else end + DAY
    other_end = (other_end if other_end > other_start else other_end + DAY) + later * DAY
    return start < other_end and other_start + later * DAY < end


def _idle(override: Override, zone: ZoneInfo) -> tuple[str, str] | None:
    """Element and words if the override never has any time."""
    period = override.period_start, override.period_end
    if period[0] is not None and period[1] is not None and period[1] <= period[0]:
        return "period", "The period ends before it begins."
    low, high = _days(override, zone)
    if low > high:
        return "period", "The period ends before it begins."
    for ordinal in range(low, high + 1):
        day = date.fromordinal(ordinal)
        if override_touches(override, zone, day) and override_intervals(override, zone, day):
            return None
    return "startTime", "The times of day lie outside the period."


def _overrides_meet(closed: Override, override: Override, zone: ZoneInfo) -> bool:
    """Whether a closure ever takes time from an opening that concerns the same service, modality and place."""
    pairs = (closed.services, override.services), (closed.modalities, override.modalities)
    if any(a and b and a.isdisjoint(b) for a, b in pairs):
        return False
    if closed.location is not None and override.location not in (None, closed.location):
        return False
    times = closed.start or 0, closed.end or 0, override.start or 0, override.end or 0
    if not any(_windows_meet(*times, later) for later in (-1, 0, 1)):
        return False
    low, high = _days(closed, zone, override)
    for ordinal in range(low, high + 1):
        day = date.fromordinal(ordinal)
        ours = override_intervals(closed, zone, day) if override_touches(closed, zone, day) else ()
        for near in around(day) if ours else ():
            if override_touches(override, zone, near) and intersect(ours, override_intervals(override, zone, near)):
                return True
    return False


def _days(override: Override, zone: ZoneInfo, other: Override | None = None) -> tuple[int, int]:
    """First and last day (ordinals) worth a look: bounded where the dates are, else some days that stand for all."""
    firsts, lasts = _edges(override, zone)
    if other is not None:
        other_firsts, other_lasts = _edges(other, zone)
        firsts += [ordinal - 1 for ordinal in other_firsts]
        lasts += [ordinal + 1 for ordinal in other_lasts]
    if not firsts:
        firsts = [min(lasts, default=_SOME_MONDAY + _SAMPLE) - _SAMPLE]
    low = max(1, *firsts)
    return low, min([*lasts, LAST_ORDINAL] if lasts else [low + _SAMPLE, LAST_ORDINAL])


def _edges(override: Override, zone: ZoneInfo) -> tuple[list[int], list[int]]:
    firsts = [] if override.first is None else [override.first.toordinal()]
    lasts = [] if override.last is None else [override.last.toordinal()]
    if override.period_start is not None:
        firsts.append(local_day(zone, override.period_start).toordinal())
    if override.period_end is not None:
        lasts.append(local_day(zone, override.period_end - 1).toordinal())
    return firsts, lasts


def _ordinal(day: date | None, default: int) -> int:
    return default if day is None else day.toordinal()

"""When one rule or one override applies: on which local days, for whom, at which instants."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from fhir_server.scheduling.civil import local_day, wall_intervals
from fhir_server.scheduling.interval import Interval

if TYPE_CHECKING:
    from collections.abc import Iterator
    from zoneinfo import ZoneInfo

    from fhir_server.scheduling.terms import Override, Rule

LAST_ORDINAL = date.max.toordinal()


def rule_starts_on(rule: Rule, day: date) -> bool:
    """Whether a window of the rule starts on a local day."""
    if rule.days and day.weekday() not in rule.days:
        return False
    if rule.effective_from is not None and day < rule.effective_from:
        return False
    if rule.effective_until is not None and day > rule.effective_until:
        return False
    return rule.week_interval == 1 or (week_number(day) - week_number(rule.effective_from)) % rule.week_interval == 0


def override_touches(override: Override, zone: ZoneInfo, day: date) -> bool:
    """Whether the dates or the exact period of the override touch a local day."""
    if override.first is not None and day < override.first:
        return False
    if override.last is not None and day > override.last:
        return False
    if override.period_start is not None and day < local_day(zone, override.period_start):
        return False
    return override.period_end is None or day <= local_day(zone, override.period_end - 1)


def override_intervals(override: Override, zone: ZoneInfo, day: date) -> tuple[Interval, ...]:
    """The override's window on a local day that it touches, cut to its exact period; the whole day without times.

    With one time only, the window starts or ends at midnight.
    """
    window = wall_intervals(zone, day, override.start or 0, override.end or 0)
    low, high = override.period_start, override.period_end
    if low is None and high is None:
        return window
    clipped: list[Interval] = []
    for start, end in window:
        from_, until = start if low is None else max(start, low), end if high is None else min(end, high)
        if from_ < until:
            clipped.append(Interval(from_, until))
    return tuple(clipped)


def reaches(override: Override, zone: ZoneInfo, day: date) -> bool:
    """Whether an override can matter to a window that starts on ``day`` and may reach the end of the next."""
    ordinal = day.toordinal()
    if override.first is not None and override.first.toordinal() > ordinal + 1:
        return False
    if override.last is not None and override.last.toordinal() < ordinal - 1:
        return False
    if override.period_start is None and override.period_end is None:
        return True
    return any(override_touches(override, zone, near) for near in around(day))


def around(day: date) -> Iterator[date]:
    """The day before, the day, the day after."""
    for ordinal in range(max(day.toordinal() - 1, 1), min(day.toordinal() + 1, LAST_ORDINAL) + 1):
        yield date.fromordinal(ordinal)


def concerns(term: Rule | Override, service: str | None, modality: str | None) -> bool:
    """Whether a rule or an override speaks of this service and modality; None = of any."""
    return (not term.services or service is None or service in term.services) and (
        not term.modalities or modality is None or modality in term.modalities
    )


def week_number(day: date | None) -> int:
    """Number of a Monday-based week; without a day the week that weekly intervals count from by default."""
    return 0 if day is None else (day.toordinal() - 1) // 7

"""Preferred times: days of the week and parts of the day in the clinic's zone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TEXT = re.compile(
    r"(?:(?P<days>[a-z]{3}(?:[-,][a-z]{3})*)\s*)?(?:(?P<start>[01]\d|2[0-3]):(?P<sm>[0-5]\d)-(?P<end>[01]\d|2[0-4]):(?P<em>[0-5]\d))?"
)


@dataclass(frozen=True, slots=True)
class Preferred:
    """``days``: 0 = Monday … 6 = Sunday, empty = any; ``start``/``end``: seconds from local midnight, half-open."""

    days: frozenset[int]
    start: int
    end: int

    def admits(self, instant: int, zone: ZoneInfo) -> bool:
        local = datetime.fromtimestamp(instant, zone)
        seconds = local.hour * 3600 + local.minute * 60 + local.second
        return (not self.days or local.weekday() in self.days) and self.start <= seconds < self.end


def read(text: str) -> Preferred:
    """``mon,tue 08:00-12:00``, ``mon-fri``, ``13:00-17:00``.

    :raises ValueError: for anything else.
    """
    found = _TEXT.fullmatch(text.strip().lower())
    if not text.strip() or found is None:
        msg = "not a preferred time: days such as mon,tue or mon-fri and hours such as 08:00-12:00 are needed"
        raise ValueError(msg)
    start, end = 0, 86400
    if found["start"]:
        start = int(found["start"]) * 3600 + int(found["sm"]) * 60
        end = int(found["end"]) * 3600 + int(found["em"]) * 60
    if end <= start or end > 86400:
        msg = "not a preferred time: the hours end before they start"
        raise ValueError(msg)
    return Preferred(_days(found["days"] or ""), start, end)


def _days(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        if first not in DAYS or (last and last not in DAYS):
            msg = "not a preferred time: days are mon, tue, wed, thu, fri, sat and sun"
            raise ValueError(msg)
        low, high = DAYS.index(first), DAYS.index(last or first)
        found.update(range(low, high + 1) if low <= high else [*range(low, 7), *range(high + 1)])
    return frozenset(found)


def of_timing(timing: Mapping[str, Any]) -> Preferred:
    """IHE ITI-115 ``timing``: ``repeat.dayOfWeek`` and ``timeOfDay``/``when`` MORN, AFT, EVE as preferred times."""
    repeat: Mapping[str, Any] = timing.get("repeat") or {}
    days: Sequence[str] = repeat.get("dayOfWeek") or ()
    parts = {"MORN": (6, 12), "AFT": (12, 17), "EVE": (17, 21), "NIGHT": (21, 24)}
    whens = [parts[one] for one in repeat.get("when") or () if one in parts]
    start = min((low for low, _ in whens), default=0)
    end = max((high for _, high in whens), default=24)
    times = [int(one[:2]) * 3600 + int(one[3:5]) * 60 for one in repeat.get("timeOfDay") or ()]
    if times:
        return Preferred(_days(",".join(days)), min(times), max(times) + 1)
    return Preferred(_days(",".join(days)), start * 3600, end * 3600)


def write(wish: Preferred) -> str:
    """The text that :func:`read` reads."""
    days = ",".join(DAYS[one] for one in sorted(wish.days))
    hours = f"{_clock(wish.start)}-{_clock(wish.end)}"
    return f"{days} {hours}".strip()


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds % 3600 // 60:02}"

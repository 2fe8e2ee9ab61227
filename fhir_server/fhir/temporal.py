"""FHIR date, dateTime, instant, time and Duration as numbers, https://hl7.org/fhir/R4/datatypes.html#primitive.

A range is half-open and in milliseconds since 1970-01-01T00:00:00Z; a leap second ``:60`` is the second after ``:59``.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = _EPOCH.toordinal()
_DAY_MS = 86_400_000
_WIDEST_OFFSET = timedelta(hours=14)

_OFFSET = r"(?:Z|[+-](?:0\d|1[0-3]):[0-5]\d|[+-]14:00)"
_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d"
_INSTANT = re.compile(rf"\d{{4}}-\d\d-\d\dT{_CLOCK}:(?:[0-5]\d|60)(?:\.\d+)?{_OFFSET}", re.ASCII)
_PARTIAL = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d)"
    rf"(?:T(?P<clock>{_CLOCK})(?::(?P<second>[0-5]\d|60)(?:\.(?P<fraction>\d+))?)?(?P<offset>{_OFFSET})?)?)?)?",
    re.ASCII,
)
_TIME = re.compile(rf"(?P<clock>{_CLOCK}):(?P<second>[0-5]\d)(?:\.\d+)?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)

_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "wk": 604800}
_UCUM = "http://unitsofmeasure.org"


def instant_ms(text: str) -> int:
    """Milliseconds since the epoch of an instant or a dateTime with an offset, finer digits cut off.

    Raises ``ValueError`` for anything else, a dateTime without a time or without an offset included.
    """
    if _INSTANT.fullmatch(text) is None:
        msg = "not an instant: YYYY-MM-DDThh:mm:ss with an offset is needed"
        raise ValueError(msg)
    leap = text[17:19] == "60"
    try:
        moment = datetime.fromisoformat(f"{text[:17]}59{text[19:]}" if leap else text)
    except ValueError:
        msg = "not an instant: no such day"
        raise ValueError(msg) from None
    since = moment - _EPOCH
    whole = (since.days * 86400 + since.seconds) * 1000 + since.microseconds // 1000
    return whole + 1000 if leap else whole


def instant_seconds(text: str, *, floor: bool = True) -> int:
    """Seconds since the epoch of an instant or a dateTime with an offset, rounded down, or up without ``floor``.

    Raises ``ValueError`` as :func:`instant_ms` does.
    """
    ms = instant_ms(text)
    if floor or ("." not in text):
        return ms // 1000
    # Digits finer than a millisecond still lie after the whole second.
    return ms // 1000 + bool(text[20:].rstrip("Z").split("+")[0].split("-")[0].strip("0"))


def date_range(text: str, zone: tzinfo) -> tuple[int, int]:
    """``(low, high)`` in milliseconds, half-open, of a date, dateTime or instant of any precision.

    A year, month, day, minute or second lasts as long as it does, a fraction one millisecond. Minutes without seconds,
    which search values may have, are accepted. A value without an offset is read in ``zone``. Raises ``ValueError``.
    """
    found = _PARTIAL.fullmatch(text)
    if found is None:
        msg = "not a date: YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss with an offset is needed"
        raise ValueError(msg)
    year, month, day, clock, second, fraction, offset = found.groups()
    try:
        first = date(int(year), int(month or 1), int(day or 1))
    except ValueError:
        msg = "not a date: no such day"
        raise ValueError(msg) from None
    if clock is None:
        if day is not None:
            after = first.toordinal() + 1
        elif month is not None:
            after = _next_month(first)
        else:
            after = date(first.year, 12, 31).toordinal() + 1
        return _midnight_ms(first.toordinal(), zone), _midnight_ms(after, zone)
    moment = datetime(
        first.year, first.month, first.day, int(clock[:2]), int(clock[3:]), tzinfo=_fixed(offset) if offset else zone
    )
    since = moment - _EPOCH
    low = (since.days * 86400 + since.seconds + int(second or 0)) * 1000
    if second is None:
        return low, low + 60_000
    if fraction is None:
        return low, low + 1000
    low += int(fraction[:3].ljust(3, "0"))
    return low, low + 1


def calendar_date(text: str) -> date:
    """A full FHIR date ``YYYY-MM-DD``; raises ``ValueError`` for a partial date or a dateTime."""
    if _DATE.fullmatch(text) is None:
        msg = "not a full date: YYYY-MM-DD is needed"
        raise ValueError(msg)
    try:
        return date.fromisoformat(text)
    except ValueError:
        msg = "not a date: no such day"
        raise ValueError(msg) from None


def time_seconds(text: str) -> int:
    """Seconds from midnight of a FHIR time ``hh:mm:ss``, fractions cut off; raises ``ValueError``."""
    found = _TIME.fullmatch(text)
    if found is None:
        msg = "not a time: hh:mm:ss is needed"
        raise ValueError(msg)
    clock = found["clock"]
    return int(clock[:2]) * 3600 + int(clock[3:]) * 60 + int(found["second"])


def format_instant(seconds: int, zone: tzinfo) -> str:
    """An instant as the clock on the wall of ``zone`` shows it: ``2026-11-23T09:00:00-05:00``; UTC ends with ``Z``.

    Where the zone's offset of that time cannot be written in FHIR (local mean times), the instant is given in UTC.
    """
    moment = datetime.fromtimestamp(seconds, zone)
    offset = moment.utcoffset() or timedelta(0)
    if offset.seconds % 60 or abs(offset) > _WIDEST_OFFSET:
        moment = datetime.fromtimestamp(seconds, UTC)
    text = moment.isoformat()
    return f"{text[:-6]}Z" if moment.tzname() == "UTC" else text


def duration_seconds(duration: dict[str, Any]) -> int:
    """Whole seconds of a FHIR Duration in UCUM ``s``, ``min``, ``h``, ``d`` (24 hours) or ``wk``.

    Raises ``ValueError`` for another unit, a comparator, a negative value or a part of a second.
    """
    value, unit = duration.get("value"), duration.get("code", duration.get("unit"))
    numeric = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    scale = _UNITS.get(unit) if isinstance(unit, str) and duration.get("system", _UCUM) == _UCUM else None
    if scale is None or not numeric or "comparator" in duration:
        msg = "not a duration: a value in UCUM s, min, h, d or wk is needed"
        raise ValueError(msg)
    seconds = Decimal(str(value)) * scale
    if seconds < 0 or seconds >= 10**12 or seconds != int(seconds):
        msg = "not a duration: whole seconds from zero up are needed"
        raise ValueError(msg)
    return int(seconds)


def _next_month(first: date) -> int:
    if first.month == 12:
        return date(first.year, 12, 31).toordinal() + 1
    return date(first.year, first.month + 1, 1).toordinal()


def _midnight_ms(ordinal: int, zone: tzinfo) -> int:
    """Local midnight; the day after 9999-12-31 takes that day's offset."""
    day = date.fromordinal(min(ordinal, date.max.toordinal()))
    offset = datetime(day.year, day.month, day.day, tzinfo=zone).utcoffset() or timedelta(0)
    return (ordinal - _EPOCH_DAY) * _DAY_MS - (offset.days * 86400 + offset.seconds) * 1000


def _fixed(offset: str) -> tzinfo:
    """The tzinfo of ``Z`` or ``±hh:mm``."""
    moment = datetime.fromisoformat(f"2000-01-01T00:00:00{offset}")
    assert moment.tzinfo is not None
    return moment.tzinfo

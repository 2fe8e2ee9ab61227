"""How long the access record is kept."""

from __future__ import annotations

from datetime import UTC, datetime


def latest(now: int, years: int) -> int:
    """The moment before which everything is older than so many years; both in milliseconds since the epoch."""
    moment = datetime.fromtimestamp(now / 1000, UTC)
    day = 28 if (moment.month, moment.day) == (2, 29) else moment.day
    return int(moment.replace(year=moment.year - years, day=day).timestamp() * 1000)

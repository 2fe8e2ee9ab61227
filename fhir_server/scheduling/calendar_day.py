"""A calendar day: everything that keeps one actor busy on one UTC day, and what each entry is."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Entry(NamedTuple):
    """One piece of busy time in an actor's calendar; seconds since the epoch, UTC, half-open.

    ``start``/``end`` is the visit itself, ``busy_start``/``busy_end`` includes buffers. ``owner`` is the resource that
    holds the time (``Appointment/1``, ``Slot/2``). A hold with ``expires <= now`` does not exist for any reader.
    ``share``: entries with the same non-empty share may overlap up to ``capacity`` (a group visit, a published Slot of
    capacity n). ``over`` marks a seat that staff added beyond capacity.
    """

    owner: str
    kind: Literal["hold", "booked", "blocked"]
    start: int
    end: int
    busy_start: int
    busy_end: int
    expires: int | None = None
    schedule: str = ""
    service: str = ""
    patients: tuple[str, ...] = ()
    channel: str = ""
    new_patient: bool = False
    share: str = ""
    capacity: int = 1
    over: bool = False


def utc_days(start: int, end: int) -> range:
    """Day numbers (days since the epoch, UTC) that ``[start, end)`` touches."""
    return range(start // 86400, (end - 1) // 86400 + 1)

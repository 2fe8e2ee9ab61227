"""The states of an Appointment and of a Slot, and which may follow which.

    Appointment       may become
    ----------------  ------------------------------------------------------------
    (new)             any state: history is loaded as it happened
    proposed          pending, booked, cancelled
    pending           booked, waitlist, cancelled
    booked            arrived, checked-in, fulfilled, noshow, cancelled
    arrived           checked-in, fulfilled, cancelled
    checked-in        fulfilled, cancelled
    waitlist          pending, cancelled
    fulfilled         —
    noshow            —
    cancelled         —
    entered-in-error  —

    Slot              may become
    ----------------  ------------------------------------------------------------
    (new)             any state
    free              busy-tentative, busy, busy-unavailable
    busy-tentative    free, busy, busy-unavailable
    busy              free
    busy-unavailable  free, busy-tentative, busy
    entered-in-error  —

Every state may stay as it is, and every state may become ``entered-in-error``. What ``$undo`` takes back is not in this
table (``arrival.TAKEN_BACK``), nor is when it can be said what became of a visit (``arrival.outcome_side``).

https://hl7.org/fhir/R4/valueset-appointmentstatus.html https://hl7.org/fhir/R4/valueset-slotstatus.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

APPOINTMENT: Mapping[str, frozenset[str]] = {
    "proposed": frozenset({"pending", "booked", "cancelled"}),
    "pending": frozenset({"booked", "waitlist", "cancelled"}),
    "booked": frozenset({"arrived", "checked-in", "fulfilled", "noshow", "cancelled"}),
    "arrived": frozenset({"checked-in", "fulfilled", "cancelled"}),
    "checked-in": frozenset({"fulfilled", "cancelled"}),
    "waitlist": frozenset({"pending", "cancelled"}),
    "fulfilled": frozenset(),
    "noshow": frozenset(),
    "cancelled": frozenset(),
    "entered-in-error": frozenset(),
}

SLOT: Mapping[str, frozenset[str]] = {
    "free": frozenset({"busy-tentative", "busy", "busy-unavailable"}),
    "busy-tentative": frozenset({"free", "busy", "busy-unavailable"}),
    "busy": frozenset({"free"}),
    "busy-unavailable": frozenset({"free", "busy-tentative", "busy"}),
    "entered-in-error": frozenset(),
}

TAKES_TIME = frozenset({"pending", "booked", "arrived", "checked-in"})


def appointment_allows(old: str | None, new: str) -> bool:
    """Whether an Appointment in state ``old`` (None: it does not exist yet) may be in state ``new``."""
    return _allows(APPOINTMENT, old, new)


def slot_allows(old: str | None, new: str) -> bool:
    """Whether a Slot in state ``old`` (None: it does not exist yet) may be in state ``new``."""
    return _allows(SLOT, old, new)


def takes_time(status: str) -> bool:
    """Whether an Appointment in this state keeps its actors busy."""
    return status in TAKES_TIME


def _allows(table: Mapping[str, frozenset[str]], old: str | None, new: str) -> bool:
    if new not in table:
        return False
    if old is None:
        return True
    return old in table and (new in {old, "entered-in-error"} or new in table[old])

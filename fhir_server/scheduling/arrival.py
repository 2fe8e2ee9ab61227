"""When a patient can check in, when a visit counts as missed, and which transitions can be taken back. Pure.

All times are seconds since the epoch. A policy that says nothing opens check-in two hours before the start and closes
it at the end of the visit; a transition can be taken back for one day.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fhir_server.scheduling.no_show import DEFAULT, suspected_at

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fhir_server.scheduling.terms import Policy

OPENS = 2 * 3600
UNDO_WINDOW = 86400

ARRIVALS: Mapping[str, frozenset[str]] = {
    "booked": frozenset({"arrived", "checked-in"}),
    "arrived": frozenset({"checked-in"}),
}
"""Check-in: from which state to which."""

CHECKED_IN = frozenset({"arrived", "checked-in"})
OUTCOMES = CHECKED_IN | {"noshow", "fulfilled"}
"""States that say what became of a visit."""

TAKEN_BACK: Mapping[str, frozenset[str]] = {
    "arrived": frozenset({"booked"}),
    "checked-in": frozenset({"booked", "arrived"}),
    "noshow": frozenset({"booked"}),
}
"""``$undo``: what a state may go back to, if it came from there."""

Side = Literal["inside", "early", "late"]


def checkin_side(policy: Policy, start: int, end: int, now: int) -> Side:
    """Whether ``now`` lies in the time in which the patient of a visit can check in, before it or after it."""
    opens = OPENS if policy.checkin_opens is None else policy.checkin_opens
    closes = end if policy.checkin_closes is None else start + policy.checkin_closes
    if now < start - opens:
        return "early"
    return "late" if now > closes else "inside"


def outcome_side(policy: Policy, status: str, start: int, end: int, now: int, *, interface: bool) -> Side:
    """Whether ``now`` is the time to say what became of a visit.

    :param status: one of ``OUTCOMES``.
    :param interface: a system says what its people know: it does not wait for who is late.
    """
    if status in CHECKED_IN:
        return checkin_side(policy, start, end, now)
    waits = status == "noshow" and not interface
    return "early" if now < (suspected_at(policy.no_show or DEFAULT, start) if waits else start) else "inside"


@dataclass(frozen=True, slots=True)
class Past:
    """One version of an Appointment: when it was written (seconds), its status, and each patient's participation."""

    at: int
    status: str
    patients: Mapping[str, str]

    def same(self, other: Past) -> bool:
        """Whether nothing that can be taken back lies between the two."""
        return self.status == other.status and self.patients == other.patients


def last_transition(versions: Sequence[Past]) -> tuple[Past, Past] | None:
    """The last change of status or of a patient's participation, as the version before it and the one that made it.

    :param versions: the newest first, as far back as is known.
    """
    for newer, older in itertools.pairwise(versions):
        if not newer.same(older):
            return older, newer
    return None


def can_undo(before: Past, after: Past) -> bool:
    """Whether the transition is one of ``$confirm``, ``$checkin`` and ``$noshow``."""
    if before.status != after.status:
        return before.status in TAKEN_BACK.get(after.status, frozenset())
    changed = {name for name in after.patients if after.patients[name] != before.patients.get(name)}
    return (
        after.status in {"booked", "pending"}
        and before.patients.keys() == after.patients.keys()
        and all(
            after.patients[name] == "accepted" and before.patients[name] in {"needs-action", "tentative"}
            for name in changed
        )
    )


def still_open(policy: Policy, at: int, now: int) -> bool:
    """Whether a transition made ``at`` can still be taken back."""
    window = UNDO_WINDOW if policy.undo_window is None else policy.undo_window
    return now <= at + window

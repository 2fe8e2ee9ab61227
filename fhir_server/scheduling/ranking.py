"""The order in which proposals are offered.

    assignment        first                        among equal starts
    ----------------  ---------------------------  ---------------------------------------
    earliest, None    earliest start               —
    established       earliest start               provider seen most recently
    least-loaded      earliest start               provider with the fewest bookings
    round-robin       earliest start               provider whose last booking is longest ago
    continuity        providers seen, then start   provider seen most recently

What is still equal follows the stated preference, then the Schedule's id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_NEVER = -(1 << 62)
_LAST = 1 << 62


@dataclass(frozen=True, slots=True)
class Candidate:
    """One possible visit: its start in epoch seconds and the Schedules it takes time of, the provider's first."""

    start: int
    schedules: tuple[str, ...]
    location: str | None = None
    duration: int = 0

    @property
    def schedule(self) -> str:
        return self.schedules[0]


def rank(
    candidates: Iterable[Candidate],
    assignment: str | None,
    seen: Mapping[str, int],
    load: Mapping[str, int],
    turn: Mapping[str, int],
    preference: Mapping[str, int],
) -> list[Candidate]:
    """``candidates`` in the order of the table above, the same for the same input whatever its order.

    By Schedule: ``seen`` the epoch of the patient's last fulfilled visit, ``load`` the bookings it has, ``turn`` the
    epoch of its last booking (absent: never, so first), ``preference`` the place in the caller's order (absent: last).
    """

    def order(candidate: Candidate) -> tuple[int, int, int, int, tuple[str, ...], str, int]:
        provider = candidate.schedule
        ahead = tie = 0
        if assignment == "continuity":
            ahead = 0 if provider in seen else 1
        if assignment in {"established", "continuity"}:
            tie = -seen.get(provider, _NEVER)
        elif assignment == "least-loaded":
            tie = load.get(provider, 0)
        elif assignment == "round-robin":
            tie = turn.get(provider, _NEVER)
        place = preference.get(provider, _LAST)
        return (
            ahead,
            candidate.start,
            tie,
            place,
            candidate.schedules,
            candidate.location or "",
            candidate.duration,
        )

    return sorted(candidates, key=order)

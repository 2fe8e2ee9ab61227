"""Rates of no-shows: visits are counted in groups, and small groups can be put together. Pure.

A visit counts once it is known what became of it: the patient came, or did not. Those of which that is only suspected
are counted apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Outcome = Literal["attended", "missed", "suspected"]
Group = Literal["provider", "appointment-type", "reminder-channel", "confirmation"]
GROUPS: tuple[Group, ...] = ("provider", "appointment-type", "reminder-channel", "confirmation")

OTHERS = ""
"""The key of small groups that were put together."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit: what became of it, and under which keys it counts in each group; several, or none."""

    outcome: Outcome
    keys: Mapping[Group, frozenset[str]]


@dataclass(slots=True)
class Cell:
    """``visits``: of which it is known; ``missed`` of them were no-shows; ``suspected`` come on top."""

    visits: int = 0
    missed: int = 0
    suspected: int = 0

    @property
    def rate(self) -> float | None:
        """Share of no-shows from 0 to 1; None without visits."""
        return self.missed / self.visits if self.visits else None

    def add(self, other: Cell) -> None:
        self.visits += other.visits
        self.missed += other.missed
        self.suspected += other.suspected

    def count(self, outcome: Outcome) -> None:
        self.visits += outcome != "suspected"
        self.missed += outcome == "missed"
        self.suspected += outcome == "suspected"


@dataclass(slots=True)
class Tally:
    """The counts of all visits together, and by group and key."""

    total: Cell = field(default_factory=Cell)
    groups: dict[Group, dict[str, Cell]] = field(default_factory=lambda: {one: {} for one in GROUPS})

    def count(self, visits: Iterable[Visit]) -> None:
        """Count more visits; one that has several keys in a group counts under each."""
        for visit in visits:
            self.total.count(visit.outcome)
            for group in GROUPS:
                for key in visit.keys.get(group, ()):
                    self.groups[group].setdefault(key, Cell()).count(visit.outcome)

    def rows(self, group: Group, least: int = 0) -> list[tuple[str, Cell]]:
        """The rows of a group by key; those with fewer than ``least`` visits together, last, as :data:`OTHERS`."""
        large, small = [], Cell()
        for key, cell in sorted(self.groups[group].items()):
            if cell.visits + cell.suspected < least:
                small.add(cell)
            else:
                large.append((key, cell))
        return [*large, (OTHERS, small)] if small.visits or small.suspected else large

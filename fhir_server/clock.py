"""The clock: milliseconds since the epoch, moved in development so that a week of reminders can be watched in a minute.

``FHIR_CLOCK``: empty = real; ``+3d``, ``-90min`` = so far from real (s, min, h, d); ``x600@1764170000000`` = since
that moment (ms) time runs so many times as fast; ``file:PATH`` = so many ms ahead of real as the file says, which
somebody sets forward. Every process that is given the same text tells the same time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_UNITS = {"s": 1_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_FURTHEST = 100 * 365 * _UNITS["d"]
_OFFSET = re.compile(r"([+-])(\d{1,9})(s|min|h|d)", re.ASCII)
_FILE = "file:"
_RATE = re.compile(r"x(\d{1,6})@(\d{1,14})", re.ASCII)


def real() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Moved:
    """A clock that is ``offset`` ms away, and since ``origin`` (ms) runs ``rate`` times as fast."""

    offset: int = 0
    rate: int = 1
    origin: int = 0

    def __call__(self) -> int:
        now = real()
        return now + self.offset + (max(0, now - self.origin) * (self.rate - 1) if self.rate != 1 else 0)


@dataclass(frozen=True, slots=True)
class Led:
    """A clock that is as many ms ahead of real as its file says: none as long as there is no file."""

    path: Path

    def __call__(self) -> int:
        return real() + self.ahead()

    def ahead(self) -> int:
        try:
            return int(self.path.read_text())
        except FileNotFoundError:
            return 0

    def forward(self, milliseconds: int) -> None:
        """Set it forward for everybody."""
        draft = self.path.with_suffix(".new")  # nobody reads a half written number
        draft.write_text(str(self.ahead() + milliseconds))
        draft.replace(self.path)


def clock_of(text: str) -> Callable[[], int]:
    """The clock that a setting names.

    :raises ValueError: it names none.
    """
    if not text:
        return real
    if found := _OFFSET.fullmatch(text):
        sign, number, unit = found.groups()
        offset = int(f"{sign}{number}") * _UNITS[unit]
        if abs(offset) > _FURTHEST:
            msg = "not a clock within a hundred years"
            raise ValueError(msg)
        return Moved(offset=offset)
    if (found := _RATE.fullmatch(text)) and int(found[1]) > 0:
        return Moved(rate=int(found[1]), origin=int(found[2]))
    if text.startswith(_FILE) and Path(text.removeprefix(_FILE)).is_absolute():
        return Led(Path(text.removeprefix(_FILE)))
    msg = "not a clock such as +3d, -90min, x600@1764170000000 or file:/tmp/clock"
    raise ValueError(msg)

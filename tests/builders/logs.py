"""A logger that keeps what it is told, to stand in a module whatever logging another test has set up."""

from __future__ import annotations

from typing import Any


class Log:
    """``events`` has the fields of each line."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def info(self, event: str, **fields: Any) -> None:
        self.events.append({"event": event, **fields})

    warning = info

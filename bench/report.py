"""The table on the terminal and the same numbers as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.calls import CASES
from bench.measure import Cell

HEAD = (
    "case", "callers", "calls/s", "p50 ms", "p99 ms", "server", "database", "bare", "driver", "its db", "ratio", "aim",
    "guard",
)  # fmt: skip


def rows(cells: Sequence[Cell]) -> list[tuple[str, ...]]:
    """The head and one row a cell; CPU in ms a call."""
    found: list[tuple[str, ...]] = [HEAD]
    for cell in cells:
        server, driver = cell.server, cell.driver
        found.append(
            (
                CASES[cell.case].title, str(cell.callers), f"{server.rate:.0f}", f"{server.p50:.1f}",
                f"{server.p99:.1f}", f"{server.cpu['server']:.2f}", f"{server.cpu['database']:.2f}",
                f"{cell.bare.total:.2f}", f"{driver.cpu['client']:.2f}", f"{driver.cpu['database']:.2f}",
                f"{cell.ratio:.1f}", _aim(cell), f"{100 * cell.added:+.0f} %",
            )
        )  # fmt: skip
    return found


def _aim(cell: Cell) -> str:
    case, verdict = CASES[cell.case], cell.verdict()
    if not verdict:
        return ""
    return f"{case.aim:g}x {verdict}" if case.aim is not None else f"{case.aim_ms:g} ms {verdict}"


def markdown(cells: Sequence[Cell]) -> str:
    """The table in Markdown, aligned so that it reads on a terminal too."""
    found = rows(cells)
    widths = [max(len(row[place]) for row in found) for place in range(len(HEAD))]
    lines = [_line(row, widths) for row in found]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([lines[0], _line(rule, widths), *lines[1:]])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    """The case to the left, numbers to the right."""
    numbers = [text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True)]
    return "| " + " | ".join([row[0].ljust(widths[0]), *numbers]) + " |"


def write(path: Path, cells: Sequence[Cell], database: str, workers: int, seconds: float) -> None:
    """Everything measured, with what it was measured on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "database": database,
        "workers": workers,
        "seconds": seconds,
        "cells": [cell.as_json() for cell in cells],
    }
    path.write_text(json.dumps(found, indent=1) + "\n")

"""Processes of this machine as a test sees them."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def processes_with(word: str) -> list[str]:
    """Command lines of running processes that contain ``word``; zombies do not count."""
    listing = subprocess.run(["ps", "-axwwo", "stat=,command="], check=True, capture_output=True, text=True).stdout
    lines = (line.strip() for line in listing.splitlines())
    return [line for line in lines if word in line and not line.startswith("Z") and "ps -axwwo" not in line]


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True

"""A child process that ends with its parent, however the parent ends."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Way = Literal["exec", "watch", "stdin"]

_LIFELINE = Path(__file__).with_name("lifeline.py")
_LAST_SECONDS = 5.0
_LOG_LIMIT = 10 * 1024 * 1024


class Child:
    """A running command, its log file, and where in the log its own output begins."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, offset: int) -> None:
        self._process = process
        self._log = log
        self._offset = offset

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def output(self) -> str:
        """What it has written since it started."""
        with self._log.open("rb") as log:
            log.seek(self._offset)
            return log.read().decode(errors="replace")

    def stop(self, seconds: float = 20.0) -> None:
        """SIGTERM, then SIGKILL after ``seconds``; safe to call twice."""
        self._process.terminate()
        if not self._ends_within(seconds):
            # The end of standard input makes a watcher kill its command; killed first, it could not.
            if self._process.stdin:
                self._process.stdin.close()
                self._ends_within(_LAST_SECONDS)
            self._process.kill()
            self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()

    def _ends_within(self, seconds: float) -> bool:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True


def start(
    command: Sequence[str],
    log: Path,
    *,
    keep: tuple[int, ...] = (),
    way: Way | None = None,
    more: Mapping[str, str] | None = None,
) -> Child:
    """Start ``command`` (its first word is a path) with its output appended to ``log``.

    ``keep`` are file descriptors that it inherits: an inherited lock is held until the last process is gone.
    ``way`` is ``exec`` or ``watch`` as ``lifeline.py`` says, or ``stdin`` for a command that itself ends when its
    standard input does; None picks ``exec`` on Linux in the main thread, else ``watch``.
    ``more`` stands in its environment besides ours.
    A log above 10 MB moves to ``<name>.1`` first. Raises OSError when the log or the command cannot be opened.
    """
    if way is None:
        in_main = threading.current_thread() is threading.main_thread()
        way = "exec" if sys.platform == "linux" and in_main else "watch"
    if log.exists() and log.stat().st_size > _LOG_LIMIT:
        log.replace(log.with_name(f"{log.name}.1"))
    lifeline = () if way == "stdin" else (sys.executable, "-I", "-S", str(_LIFELINE), way, str(os.getpid()))
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*lifeline, *command],
            stdin=subprocess.DEVNULL if way == "exec" else subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=keep,
            env={**os.environ, **(more or {})},
            start_new_session=True,  # Ctrl-C reaches the parent alone, which stops its children in order
        )
        return Child(process, log, output.tell())

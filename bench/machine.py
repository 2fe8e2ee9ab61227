"""The processes of a run: database, servers, crews; and the CPU that each has used."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TICK = 1000 / os.sysconf("SC_CLK_TCK")
"""Milliseconds of one clock tick in ``/proc/<pid>/stat``."""


class Failed(Exception):  # noqa: N818  it ends the run
    """A process of the run ended or refused an order."""


class Meter:
    """CPU of a process and its descendants. https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html"""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def milliseconds(self) -> float:
        parents, ticks = {}, {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                parents[int(entry.name)] = int(fields[1])
                # Own time and that of children that have ended; living children are counted themselves.
                ticks[int(entry.name)] = sum(map(int, fields[11:15]))
        return sum(used for pid, used in ticks.items() if self._is_ours(pid, parents)) * TICK

    def _is_ours(self, pid: int, parents: Mapping[int, int]) -> bool:
        while pid and pid != self.pid:
            pid = parents.get(pid, 0)
        return pid == self.pid

    def has_loaded(self, name: str) -> bool:
        """Whether a library of this name is mapped into the process or one of its children."""
        pids = [self.pid, *_children(self.pid)]
        return any(name in Path(f"/proc/{pid}/maps").read_text() for pid in pids)


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def serving(application: str, environment: Mapping[str, str], *, factory: bool, workers: int = 1) -> Iterator[Served]:
    """An ASGI application under uvicorn with the settings that the tests use; ends with the block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [
        sys.executable, "-m", "uvicorn", application, "--host", "127.0.0.1", "--port", str(port),
        "--log-level", "warning", "--no-access-log", "--workers", str(workers),
        "--loop", "uvloop", "--http", "httptools",
        *(["--factory"] if factory else []),
    ]  # fmt: skip
    process = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        _await_listening(port, process)
        yield Served(port, Meter(process.pid))
    finally:
        process.terminate()
        process.wait(timeout=30)


class Served:
    """A running server: its port and its CPU."""

    def __init__(self, port: int, meter: Meter) -> None:
        self.port = port
        self.meter = meter


def _await_listening(port: int, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if process.poll() is not None:
            raise Failed(f"a server ended with {process.returncode}")
        try:
            # uvicorn listens when the application has started.
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise Failed("a server did not start in time")


class Crewed:
    """A crew process and the line to it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.meter = Meter(process.pid)

    def order(self, do: str, **more: Any) -> dict[str, Any]:
        """Give an order and wait for the answer."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"failed": "the process ended"}
        if "failed" in answer:
            raise Failed(answer["failed"])
        return answer


@contextmanager
def crew(module: str, *arguments: str) -> Iterator[Crewed]:
    """A crew in a process of its own; it ends when its standard input does."""
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Crewed(process)

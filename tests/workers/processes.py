"""Worker processes of a test: real ones, with a real broker."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from fhir_server.settings import Settings
from tests.server import environment

PATIENCE = 150.0


@contextmanager
def running(settings: Settings, *command: str, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """``fhir-server worker`` or ``beat``."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fhir_server.cli.main", *command], stdout=subprocess.PIPE,
        env=environment(settings, FHIR_ENVIRONMENT="development", **more),
    )  # fmt: skip
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


async def until(true: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait until it is true."""
    end = time.monotonic() + PATIENCE
    while not await true():
        assert time.monotonic() < end, f"waited too long: {what}"
        await asyncio.sleep(0.05)

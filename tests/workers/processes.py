"""Worker processes of a test: real ones, with a real broker."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from fhir_server.settings import Settings
from tests.server import environment


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

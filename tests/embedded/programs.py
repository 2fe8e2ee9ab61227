"""Small programs that stand where a real one is expected, and the real ones of the wheels."""

from __future__ import annotations

import sys
from pathlib import Path

from fhir_server.embedded import mongo, redis

PLAIN_PATH = "/usr/bin:/bin"


def program(folder: Path, name: str, text: str) -> Path:
    """An executable Python script ``name`` in ``folder``."""
    path = folder / name
    path.write_text(f"#!{sys.executable} -IS\n{text}\n")
    path.chmod(0o755)
    return path


def real_mongod() -> Path:
    return Path(mongo._wheel().path)


def real_valkey() -> Path:
    return Path(redis._wheel().path)

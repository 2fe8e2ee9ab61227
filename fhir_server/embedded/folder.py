"""The data folder of one instance on one machine, held by one process at a time.

<folder>/folder.json   marker and memory: who made it, which database binaries and ports it uses, whether it is seeded
        /lock          exclusive lock, also held by the databases until they are gone
        /mongo  /mongod.log  /mongod.log.1
        /redis  /redis.log   /redis.log.1
        /demo-ehr.pem  /demo-ehr-app.secret   what the demo clinic's clients prove themselves with
        /settings.sh   the settings of the one that runs, for commands beside it
        /clock         how far time is ahead in a time-lapse run
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import time
from typing import TYPE_CHECKING, Any, Self

from fhir_server.embedded.refused import Refused

if TYPE_CHECKING:
    from pathlib import Path

NEEDED_BYTES = 300 * 1024 * 1024
"""Free space below which nothing is started: a database that fills the disk stops in the middle."""

_MARKER = "folder.json"
_LOCK = "lock"
_DRAFT = "folder.new"
_OURS = (
    "mongo",
    "mongod.log",
    "mongod.log.1",
    "redis",
    "redis.log",
    "redis.log.1",
    "demo-ehr.pem",
    "demo-ehr-app.secret",
    "clock",
    "settings.sh",
    _DRAFT,
    _MARKER,
)
_LOCK_SECONDS = 2.0


class Folder:
    """A locked data folder; a context manager that releases the lock."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self.lock = lock
        self._memory: dict[str, Any] = _read_memory(path / _MARKER)

    @classmethod
    def open(cls, path: Path, *, reset: bool = False) -> Self:
        """Create ``path`` where it is missing, lock it, and with ``reset`` delete what an earlier instance left.

        Raises Refused: another instance holds it, it holds files that are not ours, it cannot be written, or less
        than 300 MB are free.
        """
        path = path.expanduser().absolute()
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            if any(entry.name not in {_LOCK, _DRAFT} for entry in path.iterdir()) and not (path / _MARKER).is_file():
                raise Refused(f"{path} is not empty and was not made by fhir-server.", "choose another: --data DIR")
            lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as failure:
            raise Refused(f"The data folder {path} cannot be used: {failure.strerror}.") from failure
        try:
            _acquire(lock, path)
            if reset:
                _delete_ours(path)
            _require_space(path)
            folder = cls(path, lock)
            folder.remember("made_by", "fhir-server")
        except BaseException:
            os.close(lock)
            raise
        return folder

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the lock; safe to call twice."""
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1

    def recall(self, key: str) -> Any:
        """What was remembered under ``key`` in this or an earlier run, else None."""
        return self._memory.get(key)

    def remember(self, key: str, value: Any) -> None:
        """Keep a JSON value for later runs."""
        if self._memory.get(key) == value:
            return
        self._memory[key] = value
        marker = self.path / _MARKER
        draft = marker.with_name(_DRAFT)  # a marker is never seen half written
        draft.write_text(json.dumps(self._memory, indent=2) + "\n")
        draft.replace(marker)


def _acquire(lock: int, path: Path) -> None:
    """Take the lock; a killed instance's databases may need a moment to let go of it."""
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as failure:
            if failure.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
                raise Refused(f"The data folder {path} cannot be locked: {failure.strerror}.") from failure
            if time.monotonic() > deadline:
                holder = os.pread(lock, 20, 0).decode(errors="replace").strip()
                raise Refused(
                    f"The data folder {path} is in use by another instance (process {holder or 'unknown'}).",
                    "stop it, or choose another folder: --data DIR",
                ) from failure
            time.sleep(0.05)
        else:
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
            return


def _delete_ours(path: Path) -> None:
    """Delete what an instance makes here; anything else stays."""
    for name in _OURS:
        entry = path / name
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)


def _require_space(path: Path) -> None:
    free = shutil.disk_usage(path).free
    if free < NEEDED_BYTES:
        raise Refused(
            f"Only {free // 1024**2} MB are free in {path}; {NEEDED_BYTES // 1024**2} MB are needed.",
            "free some space, or choose another folder: --data DIR",
        )


def _read_memory(marker: Path) -> dict[str, Any]:
    try:
        memory = json.loads(marker.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as failure:
        raise Refused(f"{marker} is damaged.", "start over: fhir-server dev --reset") from failure
    return memory if isinstance(memory, dict) else {}

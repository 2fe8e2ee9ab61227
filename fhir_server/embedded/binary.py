"""Find a database program on this machine: on PATH, in a wheel, or behind Docker; and try it before relying on it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

Source = Literal["system", "embedded", "docker"]

_PROBE_SECONDS = 10.0
_DOCKER_SECONDS = 3.0
_PACKAGES = {
    "libssl.so.3": "libssl3",
    "libcrypto.so.3": "libssl3",
    "libcurl.so.4": "libcurl4",
    "liblzma.so.5": "liblzma5",
}


@dataclass(frozen=True, slots=True)
class Binary:
    """A program that starts: where it comes from, its path (``docker`` for a container) and its version text."""

    source: Source
    path: str
    version: str


class UnusableError(Exception):
    """A program that is missing or does not start; ``fix`` is a line to paste or empty."""

    def __init__(self, reason: str, fix: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.fix = fix


def choose(candidates: Mapping[Source, Callable[[], Binary]], before: str | None) -> tuple[Binary, str]:
    """The first candidate that starts, and why it is the one.

    ``before`` is the source that this data folder used last: it comes first, since data of a newer version does not
    open with an older program. Raises UnusableError with every reason.
    """
    failures: list[UnusableError] = []
    for source in sorted(candidates, key=lambda name: name != before):
        try:
            binary = candidates[source]()
        except UnusableError as failure:
            failures.append(failure)
        else:
            why = "as before in this folder" if source == before else "; ".join(each.reason for each in failures)
            return binary, why
    reasons = "; ".join(each.reason for each in failures)
    raise UnusableError(reasons, "\n".join(each.fix for each in failures if each.fix))


def on_path(*names: str) -> Binary:
    """The first of ``names`` on PATH. Raises UnusableError."""
    for name in names:
        path = shutil.which(name)
        if path:
            return Binary("system", path, probe(path, f"{name} on PATH"))
    raise UnusableError(f"no {' or '.join(names)} on PATH")


def docker(image: str) -> Binary:
    """``image`` where a Docker daemon answers within three seconds. Raises UnusableError."""
    path = shutil.which("docker")
    if path is None:
        raise UnusableError("no docker on PATH")
    try:
        subprocess.run([path, "info"], check=True, capture_output=True, timeout=_DOCKER_SECONDS)
    except (OSError, subprocess.SubprocessError) as failure:
        raise UnusableError("no Docker daemon answers") from failure
    return Binary("docker", path, image)


def container(binary: Binary, port: int, folder: Path, command: list[str]) -> list[str]:
    """A ``docker run`` line for ``command`` with ``folder`` at /data/db and ``port`` on 127.0.0.1.

    The container ends when the standard input of ``docker run`` does, so it does not outlive a killed parent.
    """
    script = 'exec 3<&0; "$@" & it=$!; (cat <&3 >/dev/null; kill $it) & trap "kill $it" TERM INT; wait $it; wait $it'
    # On Linux the files keep the caller's owner; Docker on macOS maps owners itself.
    user = ["--user", f"{os.getuid()}:{os.getgid()}"] if sys.platform == "linux" else []
    options = ["--rm", "-i", "-p", f"127.0.0.1:{port}:{port}", "-v", f"{folder}:/data/db", *user]
    return [binary.path, "run", *options, "--entrypoint", "sh", binary.version, "-c", script, "sh", *command]


def probe(path: str, name: str) -> str:
    """Run ``path --version``; answers the version, such as ``6.0.5``. Raises UnusableError saying what is missing."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False)
    except FileNotFoundError as failure:
        # The file is there; what is missing is the loader that it names.
        raise UnusableError(f"{name} needs glibc, which this system does not have") from failure
    except (OSError, subprocess.SubprocessError) as failure:
        raise UnusableError(f"{name} does not start ({failure})") from failure
    version = re.search(r"v=?(\d+\.\d+\.\d+)", done.stdout)
    if done.returncode == 0 and version:
        return version[1]
    raise _diagnosis(name, done.returncode, done.stderr)


def _diagnosis(name: str, status: int, output: str) -> UnusableError:
    if missing := re.search(r"(?:libraries: |Library not loaded: )(\S+?):?(?:\s|$)", output):
        library = missing[1].rstrip(":")
        package = _PACKAGES.get(library)
        fix = f"sudo apt-get install -y {package}" if package else ""
        return UnusableError(f"{name} does not start: {library} is missing", fix)
    if glibc := re.search(r"version `(GLIBC_[\d.]+)' not found", output):
        return UnusableError(f"{name} does not start: it needs {glibc[1]} or newer")
    if status == -signal.SIGILL:
        return UnusableError(f"{name} does not start: this processor has no AVX instructions")
    last = output.strip().splitlines()[-1:] or [f"status {status}"]
    return UnusableError(f"{name} does not start ({last[0].strip()})")

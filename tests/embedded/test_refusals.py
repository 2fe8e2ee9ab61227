"""`dev`, `serve` and `doctor` say in one sentence why they do not start."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from datetime import date
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from fhir_server.cli import serve
from fhir_server.cli.dev import curl_lines
from fhir_server.cli.dev_settings import data_folder, settings_beside, told
from fhir_server.cli.doctor import examine
from fhir_server.cli.serve import require_database
from fhir_server.cli.start import read_settings, require_encryption
from fhir_server.cli.time_lapse import afresh, clock
from fhir_server.embedded import mongo
from fhir_server.embedded.folder import Folder
from fhir_server.embedded.refused import Refused

if TYPE_CHECKING:
    from pathlib import Path


def fhir_server(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fhir_server.cli.main", *words]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FHIR_")}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**clean, **environment}, timeout=30
    )


def test_a_taken_port_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = fhir_server("dev", "--port", port, "--data", str(tmp_path / "data"))
    assert done.returncode == 2
    assert done.stderr.startswith(f"Port {port} on 127.0.0.1 cannot be used")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "ehr.example"])
def test_the_demo_is_for_this_machine_alone(host: str, tmp_path: Path) -> None:
    for command in (("dev", "--data", str(tmp_path / "data")), ("token", "--user", "patient1")):
        done = fhir_server(*command, "--host", host)
        assert (done.returncode, "loopback only" in done.stderr) == (2, True)


@pytest.mark.parametrize("environment", ["production", "development"])
def test_serve_and_dev_refuse_a_base_by_which_tokens_travel_readable(environment: str, tmp_path: Path) -> None:
    stated = {"FHIR_BASE_URL": "http://ehr.example/fhir", "FHIR_ENVIRONMENT": environment, "FHIR_HOST": "0.0.0.0"}
    done = fhir_server("serve", **stated)
    assert done.returncode == 2
    assert done.stderr.startswith("FHIR_BASE_URL is http and not on this machine")
    del stated["FHIR_HOST"]
    assert fhir_server("dev", "--data", str(tmp_path / "data"), **stated).stderr == done.stderr
    assert not (tmp_path / "data").exists()


def test_a_base_is_encrypted_or_on_this_machine() -> None:
    assert require_encryption(read_settings(base_url="https://ehr.example/fhir"))
    for base in ("", "http://localhost:9000/fhir", "http://[::1]/fhir"):
        assert not require_encryption(read_settings(base_url=base))
    for base in ("http://127.0.0.1.example/fhir", "http://192.0.2.1/fhir", "http://localhost.example/fhir"):
        with pytest.raises(Refused):
            require_encryption(read_settings(base_url=base))


def test_a_held_folder_is_refused(tmp_path: Path) -> None:
    with Folder.open(tmp_path):
        done = fhir_server("dev", "--port", "0", "--data", str(tmp_path))
    assert done.returncode == 2
    assert "in use by another instance" in done.stderr


def test_settings_that_are_not_valid_are_named_without_their_value() -> None:
    done = fhir_server("serve", FHIR_PAGE_SIZE="0", FHIR_WORKERS="s3cret")
    assert done.returncode == 2
    assert "FHIR_PAGE_SIZE" in done.stderr
    assert "FHIR_WORKERS" in done.stderr
    assert "s3cret" not in done.stderr


def test_serve_names_a_database_that_does_not_answer() -> None:
    done = fhir_server("serve", FHIR_MONGO_URI="mongodb://anna:s3cret@127.0.0.1:1/?replicaSet=rs0")
    assert done.returncode == 2
    assert "MongoDB does not answer at 127.0.0.1:1" in done.stderr
    assert "s3cret" not in done.stderr


def test_old_mongodb_is_for_development_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Folder.open(tmp_path) as data, mongo.start(data, allow_docker=False) as server:
        require_database(read_settings(mongo_uri=server.url, environment="development"))
        production = read_settings(mongo_uri=server.url, environment="production")
        monkeypatch.setattr(serve, "OLDEST_PRODUCTION_MONGODB", (99, 0))  # the wheels of some systems hold a newer one
        with pytest.raises(Refused, match=r"MongoDB [\d.]+ is too old .*CVE-2025-14847"):
            require_database(production)
        states = {check.name: check.state for check in examine(server.url, "redis://127.0.0.1:1/0")}
    assert states.pop("MongoDB") in {"ok", "warn"}
    assert states == {
        "FHIR base": "warn",
        "clients": "warn",
        "accounts": "warn",
        "access record": "ok",
        "settings": "ok",
        "Python": "ok",
        "MongoDB replica set": "ok",
        "MongoDB primary": "ok",
        "MongoDB write concern": "ok",
        "MongoDB encryption": "ok",
        "Redis": "fail",
        "Redis encryption": "ok",
        "keys": "fail",
        "time zones": "ok",
        "disk": "ok",
    }


def test_doctor_ends_with_one_where_something_is_missing() -> None:
    done = fhir_server(
        "doctor", "--mongo-uri", "mongodb://a:s3cret@127.0.0.1:1/", "--redis-url", "redis://:s3cret@127.0.0.1:1/0"
    )
    assert done.returncode == 1
    assert "MongoDB does not answer at 127.0.0.1:1" in done.stdout
    assert "s3cret" not in done.stdout + done.stderr


def test_the_curl_lines_can_be_pasted() -> None:
    find, book = curl_lines("http://127.0.0.1:8080/fhir", proposal="p-1", today=date(2026, 12, 30))
    address, _, sent = find.removeprefix("curl -s '").partition("' ")
    assert sent == '-H "Authorization: Bearer $TOKEN"'
    url = urlsplit(address)
    assert url.path == "/fhir/Appointment/$find"
    assert parse_qs(url.query) == {
        "start": ["2026-12-31"],
        "end": ["2027-01-06"],
        "service": ["HealthcareService/follow-up"],
        "_count": ["3"],
    }
    assert book.startswith(
        "curl -s -X POST 'http://127.0.0.1:8080/fhir/Appointment/$book' -H \"Authorization: Bearer $TOKEN\""
    )
    assert '"valueUri":"Appointment/p-1"' in book


def test_settings_that_belong_together_are_refused_in_a_sentence() -> None:
    for name, value in (("FHIR_CLOCK", "+3d"), ("FHIR_OUTBOX_FOLDER", "/tmp/none")):
        for command in (("outbox", "status"), ("worker",), ("serve",)):
            done = fhir_server(*command, **{name: value})
            assert done.returncode == 2
            assert done.stderr == f"The settings are not valid: {name}: for FHIR_ENVIRONMENT=development alone.\n"


def test_dev_is_development_by_itself(tmp_path: Path) -> None:
    """With a clock it comes as far as the port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = fhir_server("dev", "--port", port, "--data", str(tmp_path / "data"), FHIR_CLOCK="+3d")
    assert done.stderr.startswith(f"Port {port} on 127.0.0.1 cannot be used")


def test_a_time_lapse_shares_its_folder_with_no_other_run(tmp_path: Path) -> None:
    assert not afresh(tmp_path / "new", time_lapse=False, reset=False)
    real = tmp_path / "real"
    with Folder.open(real) as folder:
        folder.remember("seed", "done")
    assert not afresh(real, time_lapse=False, reset=False)
    with pytest.raises(Refused, match="the data of fhir-server dev"):
        afresh(real, time_lapse=True, reset=False)
    led = tmp_path / "led"
    with Folder.open(led) as folder:
        assert clock(folder) == f"file:{led / 'clock'}"
    assert afresh(led, time_lapse=True, reset=False)
    with pytest.raises(Refused, match="yet to come"):
        afresh(led, time_lapse=False, reset=False)
    for path in (real, led):
        assert afresh(path, time_lapse=path == real, reset=True)


def test_commands_beside_dev_have_its_settings_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in os.environ if one.startswith("FHIR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    usual = data_folder()
    usual.mkdir(parents=True)
    sender = "Anna's clinic <a@b.example>"
    running = read_settings(
        mongo_uri="mongodb://127.0.0.1:1/?replicaSet=rs0", environment="development", keys="file:/k", clock="+3d",
        smtp_url="smtp://anna:s3cret@127.0.0.1:25", mail_from=sender, require_second_factor=False,
    )  # fmt: skip
    with pytest.raises(Refused, match="no fhir-server dev runs on"):
        settings_beside(None)
    with told(running, usual) as path:
        assert path.stat().st_mode & 0o777 == 0o600
        assert settings_beside(None) == settings_beside(usual) == running
        shell = f'. {path}; printf %s "$FHIR_MAIL_FROM"'
        assert subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True).stdout == sender
        # An environment that names a server of its own means that one.
        monkeypatch.setenv("FHIR_KEYS", "file:/own")
        assert settings_beside(None).keys == "file:/own"
        assert settings_beside(usual) == running
    with pytest.raises(Refused, match="No fhir-server dev runs on"):
        settings_beside(usual)
    monkeypatch.delenv("FHIR_KEYS")
    data_folder(time_lapse=True).mkdir()
    with told(running, data_folder(time_lapse=True)):
        assert settings_beside(None) == running

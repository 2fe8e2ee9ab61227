"""``fhir-server dev`` as a newcomer uses it: start, paste the lines, run the README, stop, start again."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from fhir_server.remote.http import httpx
from fhir_server.services.authorization.demo_accounts import PASSWORD

README = Path(__file__).parents[2] / "README.md"
LAST_LINE = "Ctrl-C stops everything"


@contextlib.contextmanager
def dev(folder: Path, port: int, *options: str, last: str = LAST_LINE) -> Iterator[str]:
    """A running ``fhir-server dev``; what it printed until a line that begins so."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fhir_server.cli.main", "dev", "--port", str(port), "--data", str(folder), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_clean_environment(),
    )
    errors: list[str] = []
    patience = threading.Timer(240, process.kill)  # a line that does not come ends the reading
    patience.start()
    assert process.stdout is not None
    assert process.stderr is not None
    reader = threading.Thread(target=errors.extend, args=(process.stderr,))
    reader.start()
    try:
        printed = []
        for line in process.stdout:
            printed.append(line)
            if last in line:
                break
        else:
            pytest.fail(f"dev ended: {''.join(printed)} {''.join(errors)}")
        yield "".join(printed)
    finally:
        patience.cancel()
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
        reader.join()
        process.stdout.close()
        process.stderr.close()
    assert process.returncode == 0
    assert "Traceback" not in "".join(errors)


def _clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("FHIR_")}


@pytest.fixture(scope="module")
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dev")


def _shell(script: str) -> str:
    done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_start_paste_stop_and_start_again(folder: Path, port: int) -> None:
    root = f"http://127.0.0.1:{port}"
    with dev(folder, port) as printed:
        assert httpx.get(f"{root}/health/ready", trust_env=False).status_code == 200
        token, find, book = [line for line in printed.splitlines() if line.startswith(("TOKEN=", "curl "))]
        assert json.loads(_shell(f"{token}\n{find}"))["total"] > 3
        booked = json.loads(_shell(f"{token}\n{book}"))
        assert booked["status"] == "booked"
        for page in ("/", "/fhir/metadata", "/fhir/.well-known/smart-configuration", "/health/live", "/metrics"):
            assert httpx.get(root + page, trust_env=False).status_code == 200
        for place in ("Appointment", "Patient/patient-1", "Slot?start=ge2026-01-01", "_history"):
            assert httpx.get(f"{root}/fhir/{place}", trust_env=False).status_code == 401
        assert f"{root}/auth/apps" in printed
        assert PASSWORD in printed
    with dev(folder, port):
        ehr = _shell(token.replace("--user patient1", "--client demo-ehr") + '\nprintf %s "$TOKEN"')
        again = httpx.get(
            f"{root}/fhir/Appointment/{booked['id']}", headers={"Authorization": f"Bearer {ehr}"}, trust_env=False
        )
        assert again.status_code == 200
        assert again.json() == booked
        _run_readme(port)


def test_a_week_of_reminders_is_watched(tmp_path: Path, port: int) -> None:
    """The visit is confirmed at once, and each of the five reminders goes out, however slow this machine is."""
    with dev(tmp_path, port, "--time-lapse", last="that was the week") as printed:
        _, booked, sent = re.split("(Booked for Patient/patient-1: .*)", printed)
        visit = _in_some_year(" ".join(booked.split()[4:7]))
        times = [_in_some_year(one[4:16]) for one in sent.splitlines() if one[17:20] == "UTC"]
        before = [(visit - one) % timedelta(days=366) / timedelta(hours=1) for one in times]
        # Time goes on by an hour, so a reminder goes out within the hour (and some real seconds) after it is due.
        assert len(before) == 6
        assert all(due - 1.1 < one <= due for due, one in zip((168, 72, 48, 24, 2), before[1:], strict=True))
        page = httpx.get(f"http://127.0.0.1:{port}/dev/outbox", trust_env=False)
        assert page.status_code == 200
        assert "patient-1@example.org" in page.text
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        # Logins keep real time.
        token = _shell(f"{sys.executable} -m fhir_server.cli.main token --user patient1 --port {port}")
        mine = httpx.get(
            f"http://127.0.0.1:{port}/fhir/CommunicationRequest?subject=Patient/patient-1&status=completed",
            headers={"Authorization": f"Bearer {token.strip()}"}, trust_env=False,
        )  # fmt: skip
        assert mine.status_code == 200
        assert mine.json()["entry"]
        told = _shell(f"{sys.executable} -m fhir_server.cli.main outbox status --data {tmp_path}")
        assert "outbox  empty" in told


def _in_some_year(text: str) -> datetime:
    """Of day, month and time in UTC."""
    return datetime.strptime(f"2000 {text} +0000", "%Y %d %b %H:%M %z")


def _run_readme(port: int) -> None:
    """The README's commands, word by word but for the port."""
    text = README.read_text()
    (script,) = re.findall(r"```sh\n(BASE=.*?)```", text, re.DOTALL)
    commands = script.replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    commands = commands.replace(".venv/bin/fhir-server", f"FHIR_PORT={port} {sys.executable} -m fhir_server.cli.main")
    commands = commands.replace("\ncurl ", "\necho; curl ").replace("; curl -s ", "; curl -f -s ")
    commands = commands.replace("-f -s -o", "-s -o")  # the one that is to fail
    answers = _shell(commands).strip().splitlines()
    assert "404" in answers
    found, booked, mine, report, first = (json.loads(one) for one in answers if one.startswith("{"))
    assert len([one for one in found["entry"] if one["search"]["mode"] == "match"]) == 3
    assert booked["status"] == first["status"] == "booked"
    assert booked["id"] in {one["resource"]["id"] for one in mine["entry"]}
    assert {one["resource"]["resourceType"] for one in report["entry"]} == {"AuditEvent"}
    assert "Practitioner" in {one["resource"]["resourceType"] for one in mine["entry"]}

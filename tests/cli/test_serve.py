"""``fhir-server serve`` under authorisation: any address, keys needed, a warning where no TLS is in front."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from fhir_server.cli.serve import NO_TLS
from fhir_server.remote.http import httpx
from fhir_server.settings import Settings
from tests.server import await_ready, environment

SERVE = [sys.executable, "-m", "fhir_server.cli.main", "serve"]


@contextmanager
def serving(settings: Settings, errors: list[str], **stated: str) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    own = settings.model_copy(update={"mongo_database": f"{settings.mongo_database}_serve_{os.getpid()}"})
    stated |= {"FHIR_PORT": str(port), "FHIR_WORKERS": "1", "FHIR_ENVIRONMENT": "development"}
    process = subprocess.Popen(
        SERVE, env=environment(own, **stated), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        await_ready(f"http://127.0.0.1:{port}", process)  # type: ignore[arg-type]
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        errors.extend(process.communicate(timeout=60)[1].splitlines())


def test_it_listens_everywhere_and_warns_on_one_line_without_tls(settings: Settings) -> None:
    errors: list[str] = []
    with serving(settings, errors, FHIR_HOST="0.0.0.0") as root:
        assert httpx.get(f"{root}/fhir/metadata", trust_env=False).status_code == 200
        refused = httpx.get(f"{root}/fhir/Appointment", trust_env=False)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Bearer realm="fhir"')
    assert errors.count(NO_TLS) == 1


def test_by_https_it_signs_tokens_under_its_public_name(settings: Settings) -> None:
    errors: list[str] = []
    with serving(settings, errors, FHIR_BASE_URL="https://ehr.example/fhir") as root:
        told = httpx.get(f"{root}/fhir/.well-known/smart-configuration", trust_env=False).json()
        assert told["issuer"] == "https://ehr.example"
        assert told["token_endpoint"] == "https://ehr.example/auth/token"
    assert NO_TLS not in errors


def test_without_keys_nothing_starts(settings: Settings) -> None:
    stated = environment(settings, FHIR_KEYS="", FHIR_ENVIRONMENT="development")
    done = subprocess.run(SERVE, env=stated, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("FHIR_KEYS is not set")
    assert done.stderr.count("\n") == 1

"""``fhir-server client``, and the clients of the demo clinic."""

from __future__ import annotations

import json
import os
import secrets
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fhir_server.access.client import Kind
from fhir_server.services.authorization import clients
from fhir_server.services.authorization import secrets as client_secrets
from fhir_server.services.authorization.demo import demo_clients
from fhir_server.services.world import World
from fhir_server.settings import Settings
from tests.builders.smart import ES384, ask, assertion, public


def _run(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    given = {f"FHIR_{name.upper()}": str(value) for name, value in settings.model_dump().items() if value != ""}
    environment = {**os.environ, **given}
    command = [sys.executable, "-m", "fhir_server.cli.main", "client", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


async def test_a_client_is_added_shown_disabled_and_removed(world: World, settings: Settings) -> None:
    id_ = f"cli-{secrets.token_hex(4)}"
    added = _run(settings, "add", id_, "--kind", "symmetric", "--scope", "patient/*.rs", "--scope", "openid",
                 "--redirect", "https://app.example/cb")  # fmt: skip
    assert added.returncode == 0, added.stderr
    secret = added.stdout.strip()
    assert len(secret.splitlines()) == 1
    client = await clients.get(world, id_)
    assert client is not None
    assert await client_secrets.matches(client.secret, secret)
    assert id_ in _run(settings, "list").stdout
    shown = json.loads(_run(settings, "show", id_, "--json").stdout)
    assert (shown["client_id"], shown["scope"], shown["kind"]) == (id_, "openid patient/*.rs", "symmetric")
    assert "secret" not in str(shown)
    fresh = _run(settings, "rotate-secret", id_).stdout.strip()
    assert fresh != secret
    assert _run(settings, "disable", id_).returncode == 0
    client = await clients.get(world, id_)
    assert client is not None
    assert client.disabled
    assert _run(settings, "enable", id_).returncode == 0
    client = await clients.get(world, id_)
    assert client is not None
    assert not client.disabled
    assert await client_secrets.matches(client.secret, fresh)
    assert _run(settings, "remove", id_).returncode == 0
    assert _run(settings, "show", id_).returncode == 2


async def test_a_backend_is_added_with_the_file_of_its_keys(
    world: World, settings: Settings, auth: Any, tmp_path: Path
) -> None:
    file, id_ = tmp_path / "jwks.json", f"cli-{secrets.token_hex(4)}"
    file.write_text(json.dumps({"keys": [public(ES384, "es")]}))
    added = _run(settings, "add", id_, "--kind", "asymmetric", "--scope", "system/*.rs", "--jwks", str(file), "--json")
    assert json.loads(added.stdout)["grant_types"] == ["client_credentials"]
    client = await clients.get(world, id_)
    assert client is not None
    assert (await ask(auth, client)).status_code == 200


@pytest.mark.parametrize(
    "arguments",
    [
        ("add", "x", "--scope", "patient/*.sr", "--redirect", "https://a.example/cb"),
        ("add", "x", "--scope", "openid", "--kind", "king", "--redirect", "https://a.example/cb"),
        ("add", "x", "--scope", "openid"), ("disable", "nobody"),
    ],
    ids=range(4),
)  # fmt: skip
def test_what_is_refused_is_one_sentence(settings: Settings, arguments: tuple[str, ...]) -> None:
    done = _run(settings, *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


async def test_the_demo_clients_are_made_once_with_files_for_their_owner_alone(
    world: World, auth: Any, tmp_path: Path
) -> None:
    from joserfc.jwk import ECKey

    for _ in range(2):
        await demo_clients(world, tmp_path)
        assert {one.id for one in await clients.every(world)} >= {
            "demo-ehr", "demo-ehr-app", "demo-patient-app", "demo-cli",
        }  # fmt: skip
    for name in ("demo-ehr.pem", "demo-ehr-app.secret"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    client = await clients.get(world, "demo-ehr")
    assert client is not None
    assert (client.kind, client.clinics) == (Kind.ASYMMETRIC, None)
    key = ECKey.import_key((tmp_path / "demo-ehr.pem").read_bytes())
    proof = assertion(client, "http://fhir.test/auth/token", key=key, header={"kid": "demo-ehr"})
    assert (await ask(auth, client, proof=proof, scope="system/*.cruds")).status_code == 200
    (tmp_path / "demo-ehr.pem").unlink()
    await demo_clients(world, tmp_path)
    key = ECKey.import_key((tmp_path / "demo-ehr.pem").read_bytes())
    proof = assertion(client, "http://fhir.test/auth/token", key=key, header={"kid": "demo-ehr"})
    assert (await ask(auth, client, proof=proof, scope="system/*.cruds")).status_code == 200

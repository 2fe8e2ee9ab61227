"""Clients of the demo clinic, one of every kind, for a developer's machine alone.

demo-ehr          a backend with keys of its own: system/*.cruds, may start apps
demo-ehr-app      a confidential app that an EHR starts
demo-patient-app  a public app that a patient starts
demo-cli          a public app of the clinic itself: the command line
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from joserfc.jwk import ECKey

from fhir_server.access.client import Client, Kind
from fhir_server.access.scopes import parse
from fhir_server.services.authorization import clients
from fhir_server.services.world import World

KEY_FILE = "demo-ehr.pem"
SECRET_FILE = "demo-ehr-app.secret"  # noqa: S105  its name
EHR = "demo-ehr"
KID = EHR
CLI = "demo-cli"
DEMO = (EHR, "demo-ehr-app", "demo-patient-app", CLI)
CALLBACK = "http://127.0.0.1/callback"
"""Where the command line gets its codes: nothing listens there, it reads the redirect itself."""

_PERSON = frozenset({"authorization_code", "refresh_token"})
_LOGIN = "openid fhirUser profile offline_access online_access"


async def demo_clients(world: World, folder: Path) -> None:
    """Register those that are missing; key and secret are written into the folder, readable by its owner alone."""
    known = {one.id for one in await clients.every(world)}
    public = _public_key(folder / KEY_FILE)
    for client in _clients(public):
        if client.id not in known:
            _, secret = await clients.register(world, client)
            if secret:
                _write(folder / SECRET_FILE, f"{secret}\n".encode())
        elif client.jwks is not None:
            # The folder's key may be another one: the database was kept, the folder was not.
            held = await clients.get(world, client.id)
            if held is not None and held.jwks != client.jwks:
                await clients.change(world, client)


def _clients(public: dict[str, Any]) -> tuple[Client, ...]:
    return (
        Client(
            id=EHR,
            name="Demo EHR",
            kind=Kind.ASYMMETRIC,
            scopes=parse("launch system/*.cruds"),
            grant_types=frozenset({"client_credentials"}),
            jwks={"keys": [public]},
            introspects=True,
        ),
        Client(
            id="demo-ehr-app",
            name="Demo app in the EHR",
            kind=Kind.SYMMETRIC,
            scopes=parse(f"launch launch/encounter launch/appointment {_LOGIN} patient/*.cruds user/*.cruds"),
            grant_types=_PERSON,
            redirect_uris=("http://127.0.0.1:8765/callback",),
            launch_uri="http://127.0.0.1:8765/launch",
        ),
        Client(
            id="demo-patient-app",
            name="Demo app for patients",
            kind=Kind.PUBLIC,
            scopes=parse(f"launch/patient {_LOGIN} patient/*.cruds"),
            grant_types=_PERSON,
            redirect_uris=("http://127.0.0.1:8765/callback",),
        ),
        Client(
            id=CLI,
            name="Command line",
            kind=Kind.PUBLIC,
            scopes=parse(f"launch/patient {_LOGIN} patient/*.cruds user/*.cruds"),
            grant_types=_PERSON,
            redirect_uris=(CALLBACK,),
            trusted=True,
        ),
    )


def _public_key(path: Path) -> dict[str, Any]:
    """The public part of the key in that file, which is made when it is not there."""
    if path.exists():
        key = ECKey.import_key(path.read_bytes())
    else:
        key = ECKey.generate_key("P-384")
        _write(path, key.as_pem(private=True))
    return {**key.as_dict(private=False), "kid": KID, "alg": "ES384", "use": "sig"}


def _write(path: Path, content: bytes) -> None:
    """A file that only its owner reads, from its first byte on."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)

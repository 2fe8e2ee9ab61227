"""Clients, accounts and tokens for tests of the authorization server."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from fhir_server.access.account import Account
from fhir_server.access.caller import Role
from fhir_server.access.client import Client, Kind
from fhir_server.access.scopes import parse
from fhir_server.services.authorization import clients
from fhir_server.services.world import World

REDIRECT = "https://app.example/callback"
PERSON = frozenset({"authorization_code", "refresh_token"})
SCOPES = (
    "openid fhirUser profile launch launch/patient launch/encounter launch/appointment offline_access online_access "
    "patient/*.cruds user/*.cruds"
)
ES384 = ECKey.generate_key("P-384")
RS384 = RSAKey.generate_key(2048)


def public(key: ECKey | RSAKey, kid: str, **more: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), "kid": kid, **more}


async def app(world: World, kind: Kind = Kind.PUBLIC, **more: Any) -> tuple[Client, str]:
    """A registered app of people and its secret."""
    keys = {"jwks": {"keys": [public(ES384, "es")]}} if kind is Kind.ASYMMETRIC else {}
    made = Client(
        id=f"app-{secrets.token_hex(6)}", name="An app", kind=kind, scopes=parse(SCOPES), grant_types=PERSON,
        redirect_uris=(REDIRECT,), **keys,
    )  # fmt: skip
    return await clients.register(world, replace(made, **more))


async def backend(world: World, scopes: str = "system/*.cruds", **more: Any) -> Client:
    """A registered backend with the keys above."""
    made = Client(
        id=f"backend-{secrets.token_hex(6)}", name="A backend", kind=Kind.ASYMMETRIC, scopes=parse(scopes),
        grant_types=frozenset({"client_credentials"}),
        jwks={"keys": [public(ES384, "es"), public(RS384, "rs")]},
    )  # fmt: skip
    return (await clients.register(world, replace(made, **more)))[0]


async def person(world: World, role: Role = Role.PATIENT, fhir_user: str = "Patient/1", **more: Any) -> Account:
    """An account as the accounts' collection holds it."""
    id_ = secrets.token_hex(12)
    made = Account(id_, f"user-{id_}", "Somebody", role, fhir_user, (fhir_user,) if fhir_user else ())
    made = replace(made, **more)
    await world.store.connection.collection("accounts").insert_one({
        "_id": made.id, "username": made.username, "name": made.name, "role": made.role.value,
        "fhir_user": made.fhir_user, "persons": list(made.persons), "clinics": sorted(made.clinics),
        "second_factor": made.second_factor, "disabled": made.disabled,
    })  # fmt: skip
    return made


def assertion(client: Client, audience: str, **claims: Any) -> str:
    """A client assertion with the EC key; ``header`` and ``key`` may be given."""
    header = {"alg": "ES384", "typ": "JWT", "kid": "es", **claims.pop("header", {})}
    key = claims.pop("key", ES384)
    now = int(time.time())
    said = {
        "iss": client.id, "sub": client.id, "aud": audience, "exp": now + 240, "iat": now,
        "jti": secrets.token_urlsafe(12), **claims,
    }  # fmt: skip
    said = {name: value for name, value in said.items() if value is not None}
    return jwt.encode(header, said, key, algorithms=[header["alg"]])

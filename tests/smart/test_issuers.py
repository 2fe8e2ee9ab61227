"""Tokens of issuers outside, mapped to callers (S20, V19)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from fhir_server.access.caller import Role
from fhir_server.services.authorization import issuers, tokens
from fhir_server.services.authorization.invalid_token import InvalidToken
from fhir_server.services.world import World
from fhir_server.settings import Settings
from tests.builders.smart import RS384, public

IDP = "https://idp.example"
ENTRY: dict[str, Any] = {
    "issuer": IDP, "jwks": {"keys": [public(RS384, "one")]}, "algorithms": ["RS256"],
    "claims": {"role": "groups", "clinics": "orgs"}, "roles": {"doctors": "practitioner", "patients": "patient"},
    "scopes": "user/*.cruds patient/*.rs",
}  # fmt: skip


def _settings(settings: Settings, folder: Path, entries: Any) -> Settings:
    file = folder / "issuers.json"
    file.write_text(json.dumps(entries))
    return settings.model_copy(update={"trusted_issuers": str(file)})


@pytest.fixture
def trusting(world: World, settings: Settings, tmp_path: Path) -> Iterator[World]:
    world.memory.issuers = issuers.read(_settings(settings, tmp_path, [ENTRY]))
    yield world
    world.memory.issuers = {}
    world.memory.callers.clear()


def _token(key: Any = RS384, header: dict[str, Any] | None = None, **claims: Any) -> str:
    now = int(time.time())
    said = {
        "iss": IDP, "aud": ["x", "http://fhir.test/fhir"], "sub": "u1", "exp": now + 60, "iat": now, "azp": "emr",
        "jti": "j", "scope": "user/*.cruds openid system/*.rs", "groups": ["staff", "doctors"],
        "orgs": ["Organization/1"], "fhirUser": "http://fhir.test/fhir/Practitioner/2", **claims,
    }  # fmt: skip
    head = {"alg": "RS256", "kid": "one", **(header or {})}
    return jwt.encode(head, {k: v for k, v in said.items() if v is not None}, key, algorithms=[head["alg"]])


async def test_a_token_from_outside_is_a_caller(trusting: World) -> None:
    caller = await tokens.caller_of(trusting, _token())
    assert (caller.role, caller.fhir_user, caller.clinics) == (
        Role.PRACTITIONER, "Practitioner/2", {"Organization/1"},
    )  # fmt: skip
    assert (caller.client, caller.subject, caller.issuer, caller.token) == (f"{IDP}|emr", "u1", IDP, "j")
    assert str(caller.scopes) == "user/*.cruds"
    walled = await tokens.caller_of(trusting, _token(orgs=None))
    assert walled.clinics == frozenset()
    patient = _token(groups="patients", scope="patient/*.rs", patient="7", fhirUser="Patient/7", orgs=None)
    found = await tokens.caller_of(trusting, patient)
    assert (found.role, found.patient, found.clinics) == (Role.PATIENT, "Patient/7", None)


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"aud": "x"}, "audience"), ({"exp": 1}, "expired"), ({"exp": None}, "claims"), ({"sub": None}, "type"),
        ({"groups": ["strangers"]}, "claims"), ({"groups": None}, "claims"), ({"groups": {"$ne": ""}}, "claims"),
        ({"fhirUser": "https://evil.example/fhir/Practitioner/2"}, "context"), ({"fhirUser": None}, "context"),
        ({"scope": "patient/*.rs"}, "context"), ({"nonce": "x"}, "type"), ({"nbf": 4102444800}, "early"),
        ({"iss": "https://other.example"}, "type"), ({"header": {"kid": "two"}}, "key"),
        ({"header": {"alg": "RS384"}}, "algorithm"), ({"header": {"jku": "http://127.0.0.1:1/"}}, "header"),
        ({"key": RSAKey.generate_key(2048)}, "signature"),
    ],
    ids=str,
)  # fmt: skip
async def test_a_token_from_outside_that_is_not_believed(trusting: World, claims: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidToken) as refused:
        await tokens.caller_of(trusting, _token(**claims))
    assert refused.value.reason == reason


async def test_without_the_setting_nobody_outside_is_believed(world: World) -> None:
    with pytest.raises(InvalidToken):
        await tokens.caller_of(world, _token())


@pytest.mark.parametrize(
    "entries",
    [
        [{"issuer": IDP}], {}, [1], [{**ENTRY, "jwks_uri": "https://idp.example/jwks"}], [{**ENTRY, "issuer": None}],
        [{**ENTRY, "jwks": None, "jwks_uri": "http://idp.example/jwks"}], [{**ENTRY, "algorithms": ["HS256"]}],
        [{**ENTRY, "algorithms": ["none"]}], [{**ENTRY, "roles": {"x": "king"}}], [{**ENTRY, "issuer": "http://fhir.test"}],
    ],
    ids=range(10),
)  # fmt: skip
def test_a_file_that_cannot_be_used(settings: Settings, tmp_path: Path, entries: Any) -> None:
    if entries == {}:
        assert issuers.read(_settings(settings, tmp_path, [])) == {}
        entries = {"issuer": IDP}
    with pytest.raises(ValueError, match="FHIR_TRUSTED_ISSUERS"):
        issuers.read(_settings(settings, tmp_path, entries))
    with pytest.raises(ValueError, match="FHIR_TRUSTED_ISSUERS"):
        issuers.read(settings.model_copy(update={"trusted_issuers": str(tmp_path / "absent")}))

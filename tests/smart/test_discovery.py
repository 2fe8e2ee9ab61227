"""Discovery: JSON whatever is accepted, absolute URLs, only true claims (S1, S2)."""

from __future__ import annotations

from typing import Any

import pytest
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oidc.discovery import OpenIDProviderMetadata

from fhir_server.access.client import Kind
from fhir_server.access.scopes import parse
from fhir_server.services.authorization.discovery import SCOPES
from fhir_server.services.world import World
from tests.builders.smart import Flow, app, ask, backend, launched, person

DOCUMENTS = ("smart-configuration", "openid-configuration", "oauth-authorization-server", "jwks.json")


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("base", ["", "/fhir"])
@pytest.mark.parametrize("accept", ["application/json", "application/fhir+xml", "text/html", "*/*"])
async def test_a_document_is_json_for_every_origin(auth: Any, name: str, base: str, accept: str) -> None:
    url = f"{base}/.well-known/{name}"
    answer = await auth.get(url, headers={"Accept": accept, "Origin": "https://anywhere.example"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers
    assert "max-age" in answer.headers["cache-control"]
    again = await auth.get(url, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert (await auth.options(url, headers={"Origin": "https://a.example"})).status_code == 204
    assert (await auth.post(url)).status_code == 405
    for member, value in answer.json().items():
        if member.endswith(("endpoint", "_uri", "issuer")):
            assert value.startswith("http://fhir.test"), member


async def test_the_metadata_are_valid(auth: Any) -> None:
    smart = (await auth.get("/fhir/.well-known/smart-configuration")).json()
    openid = (await auth.get("/.well-known/openid-configuration")).json()
    secure = {name: _https(value) for name, value in openid.items()}
    OpenIDProviderMetadata(secure).validate()
    AuthorizationServerMetadata({name: _https(value) for name, value in smart.items()}).validate()
    assert smart["issuer"] == openid["issuer"] == "http://fhir.test"
    assert smart["code_challenge_methods_supported"] == ["S256"]
    assert {"RS384", "ES384"} <= set(smart["token_endpoint_auth_signing_alg_values_supported"])
    assert "registration_endpoint" not in smart


def _https(value: Any) -> Any:
    return value.replace("http://", "https://") if isinstance(value, str) else value


@pytest.mark.parametrize("scope", SCOPES)
async def test_every_scope_can_be_granted(world: World, auth: Any, scope: str) -> None:
    if scope.startswith("system/"):
        client = await backend(world)
        answer = await ask(auth, client, scope=scope)
        assert answer.json()["scope"] == scope
        return
    client, _ = await app(world)
    context = {"patient": "Patient/1", "encounter": "Encounter/1", "appointment": "Appointment/1"}
    launching = scope == "launch" or scope in {"launch/encounter", "launch/appointment"}
    more = {"launch": await launched(world, client, **context)} if launching else {}
    asked = " ".join(dict.fromkeys((scope, "openid", *(("launch",) if launching else ()))))
    account = await person(world, fhir_user="Patient/1")
    found = await Flow(world, auth, client).tokens(account, asked, **more)
    assert scope in found["scope"].split()


async def test_the_capability_statement_names_the_endpoints(auth: Any) -> None:
    statement = (await auth.get("/fhir/metadata")).json()
    security = statement["rest"][0]["security"]
    assert security["cors"] is True
    assert security["service"][0]["coding"][0]["code"] == "SMART-on-FHIR"
    named = {one["url"]: one["valueUri"] for one in security["extension"][0]["extension"]}
    smart = (await auth.get("/fhir/.well-known/smart-configuration")).json()
    assert named == {
        "authorize": smart["authorization_endpoint"], "token": smart["token_endpoint"],
        "introspect": smart["introspection_endpoint"], "revoke": smart["revocation_endpoint"],
        "manage": smart["management_endpoint"],
    }  # fmt: skip


async def test_scopes_that_are_named_are_scopes() -> None:
    known = parse(SCOPES)
    assert len(known.resources) + len(known.others) == len(SCOPES)


async def test_every_kind_of_client_gets_tokens(world: World, auth: Any) -> None:
    account = await person(world)
    for kind in Kind:
        client, secret = await app(world, kind)
        found = await Flow(world, auth, client, secret).tokens(account, "patient/*.rs launch/patient")
        assert found["patient"] == "1"

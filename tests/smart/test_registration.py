"""Registration by apps themselves: off, and where it is on within bounds (S27, S37, V13, V20)."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from fhir_server.app import Server
from fhir_server.remote.http import httpx
from fhir_server.services.authorization import clients
from fhir_server.services.world import World
from tests.builders.smart import ES384, Flow, person, public

_addresses = itertools.count(1)


@pytest_asyncio.fixture
async def open_auth(app: Server, world: World) -> AsyncIterator[Any]:
    """The same server with registration on, asked from an address of its own."""
    app.door.world = replace(world, settings=world.settings.model_copy(update={"registration": True}))
    transport = httpx.ASGITransport(app=app, client=(f"192.0.2.{next(_addresses)}", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://fhir.test", timeout=30) as made:
        yield made
    app.door.world = world


APP = {"redirect_uris": ["https://new.example/cb"], "token_endpoint_auth_method": "none", "client_name": "New"}


async def test_it_is_off(auth: Any) -> None:
    answer = await auth.post("/auth/register", json=APP)
    assert answer.status_code == 403


async def test_an_app_registers_and_gets_tokens(open_auth: Any, world: World) -> None:
    smart = (await open_auth.get("/.well-known/smart-configuration")).json()
    assert smart["registration_endpoint"] == "http://fhir.test/auth/register"
    answer = await open_auth.post("/auth/register", json={**APP, "scope": "patient/*.cruds user/*.cruds system/*.rs x"})
    assert answer.status_code == 201
    found = answer.json()
    assert found["scope"] == "patient/*.cruds"
    assert "client_secret" not in found
    client = await clients.get(world, found["client_id"])
    assert client is not None
    assert not client.trusted
    assert not client.introspects
    assert client.origins == ("https://new.example",)
    tokens = await Flow(world, open_auth, client).tokens(await person(world), "patient/*.rs")
    assert tokens["patient"] == "1"


async def test_secrets_and_keys(open_auth: Any, world: World) -> None:
    answer = await open_auth.post("/auth/register", json={**APP, "token_endpoint_auth_method": "client_secret_basic"})
    found = answer.json()
    assert found["client_secret_expires_at"] == 0
    client = await clients.get(world, found["client_id"])
    assert client is not None
    assert (await Flow(world, open_auth, client, found["client_secret"]).refresh("x")).status_code == 400
    keyed = {**APP, "token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [public(ES384, "es")]}}
    assert (await open_auth.post("/auth/register", json=keyed)).status_code == 201
    by_url = {**APP, "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://new.example/jwks"}
    assert (await open_auth.post("/auth/register", json=by_url)).status_code == 201


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"redirect_uris": ["http://new.example/cb"]}, "invalid_redirect_uri"),
    ({"redirect_uris": ["https://*.example/cb"]}, "invalid_redirect_uri"),
    ({"redirect_uris": ["https://new.example/cb#x"]}, "invalid_redirect_uri"),
    ({"redirect_uris": []}, "invalid_redirect_uri"),
    ({"redirect_uris": None}, "invalid_redirect_uri"),
    ({"redirect_uris": {"$gt": ""}}, "invalid_redirect_uri"),
    ({"redirect_uris": ["https://new.example/%d" % n for n in range(11)]}, "invalid_redirect_uri"),  # noqa: UP031
    ({"grant_types": ["client_credentials"]}, "invalid_client_metadata"),
    ({"grant_types": ["authorization_code", "client_credentials"]}, "invalid_client_metadata"),
    ({"grant_types": ["implicit"]}, "invalid_client_metadata"),
    ({"grant_types": [{"$ne": ""}]}, "invalid_client_metadata"),
    ({"response_types": ["token"]}, "invalid_client_metadata"),
    ({"scope": "system/*.cruds"}, "invalid_client_metadata"),
    ({"scope": ["patient/*.rs"]}, "invalid_client_metadata"),
    ({"token_endpoint_auth_method": "tls"}, "invalid_client_metadata"),
    ({"token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata"),
    ({"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "http://10.0.0.1/jwks"}, "invalid_client_metadata"),
    ({"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "file:///etc/passwd"}, "invalid_client_metadata"),
    ({"token_endpoint_auth_method": "private_key_jwt", "jwks": "x"}, "invalid_client_metadata"),
    ({"client_name": {"$gt": ""}}, "invalid_client_metadata"),
    ({"client_name": "a\nb"}, "invalid_client_metadata"),
]


@pytest.mark.parametrize(("change", "error"), REFUSED, ids=str)
async def test_what_cannot_be_registered(open_auth: Any, change: dict[str, Any], error: str) -> None:
    answer = await open_auth.post("/auth/register", json={**APP, **change})
    assert (answer.status_code, answer.json()["error"]) == (400, error)


async def test_what_is_no_registration_at_all(open_auth: Any) -> None:
    for kept in ({"data": {"client_name": "x"}}, {"json": [1]}, {"json": "x"}):
        assert (await open_auth.post("/auth/register", **kept)).json()["error"] == "invalid_request"
    deep = b'{"a":' * 100_000
    answer = await open_auth.post("/auth/register", content=deep, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400


async def test_it_is_rate_limited(open_auth: Any) -> None:
    answers = [await open_auth.post("/auth/register", json={}) for _ in range(21)]
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) > 0

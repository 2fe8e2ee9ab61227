"""Which web pages may call: registered origins the token endpoint, nobody with credentials (S31, the server's part)."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.access.client import Kind
from fhir_server.services.authorization import clients
from fhir_server.services.world import World
from tests.builders.smart import Flow, app, person


@pytest.mark.parametrize("path", ["/auth/token", "/auth/revoke"])
async def test_a_registered_origin_may_call(world: World, auth: Any, path: str) -> None:
    client, _ = await app(world, redirect_uris=("https://spa.example:8443/cb",))
    asked = {"Origin": "https://spa.example:8443", "Access-Control-Request-Method": "POST"}
    preflight = await auth.options(path, headers=asked)
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == asked["Origin"]
    assert "Authorization" in preflight.headers["access-control-allow-headers"]
    for form in ({}, {"client_id": client.id, "grant_type": "refresh_token", "refresh_token": "x", "token": "x"}):
        answer = await auth.post(path, data=form, headers={"Origin": asked["Origin"]})
        assert answer.headers["access-control-allow-origin"] == asked["Origin"]
        assert answer.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in answer.headers
    await clients.disable(world, client.id)
    assert "access-control-allow-origin" not in (await auth.options(path, headers=asked)).headers


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "*", "https://spa2.example.evil.example", "file://", "x" * 500]
)
async def test_another_origin_may_not(world: World, auth: Any, origin: str) -> None:
    client, _ = await app(world, redirect_uris=("https://spa2.example/cb",))
    found = await Flow(world, auth, client).code(await person(world))
    preflight = await auth.options("/auth/token", headers={"Origin": origin})
    assert "access-control-allow-origin" not in preflight.headers
    answer = await auth.post("/auth/token", data={"code": found}, headers={"Origin": origin})
    assert "access-control-allow-origin" not in answer.headers


async def test_origins_of_confidential_apps_are_those_that_are_registered(world: World, auth: Any) -> None:
    await app(world, Kind.SYMMETRIC, redirect_uris=("https://server.example/cb",), origins=("https://web.example",))
    for origin, allowed in (("https://server.example", False), ("https://web.example", True)):
        answer = await auth.options("/auth/token", headers={"Origin": origin})
        assert ("access-control-allow-origin" in answer.headers) is allowed

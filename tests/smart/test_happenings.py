"""What the authorization server tells: every request once, who and for whom, and nothing that opens (A1, A4)."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from fhir_server.access.client import Kind
from fhir_server.services.authorization import compact
from fhir_server.services.world import World
from fhir_server.smart import happening
from fhir_server.smart.happening import Happening
from tests.builders.smart import Flow, app, ask, backend, person


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Happening, int]]:
    found: list[tuple[Happening, int]] = []

    async def hear(_: Any, request: Any, status: int) -> None:
        if happening.of(request).interaction:
            found.append((dataclasses.replace(happening.of(request)), status))

    monkeypatch.setattr(happening, "tell", hear)
    return found


async def test_a_persons_way_is_told(world: World, auth: Any, told: list[tuple[Happening, int]]) -> None:
    client, secret = await app(world, Kind.SYMMETRIC)
    flow, account = Flow(world, auth, client, secret), await person(world)
    first = await flow.tokens(account, "patient/*.rs offline_access")
    second = (await flow.refresh(first["refresh_token"])).json()
    await flow.post("/auth/introspect", token=second["access_token"])
    await flow.post("/auth/revoke", token=second["refresh_token"])
    await auth.options("/auth/token", headers={"Origin": "https://a.example"})
    await auth.get("/.well-known/jwks.json")
    assert [(one.interaction, status) for one, status in told] == [
        ("authorize", 303), ("token", 200), ("refresh", 200), ("introspect", 200), ("revoke", 200),
    ]  # fmt: skip
    assert {one.client for one, _ in told} == {client.id}
    for (one, _), given in zip(told[1:3], (first, second), strict=True):
        assert (one.subject, one.patients, one.fhir_user) == (account.id, ("Patient/1",), "Patient/1")
        assert one.token == compact.claims_of(given["access_token"])["jti"]
    for given in (first, second):
        assert given["access_token"] not in str(told)
        assert given["refresh_token"] not in str(told)
    assert secret not in str(told)


async def test_refusals_are_told_with_their_reason(world: World, auth: Any, told: list[tuple[Happening, int]]) -> None:
    client, _ = await app(world)
    flow = Flow(world, auth, client)
    await flow.authorize(redirect_uri="https://evil.example")
    await flow.refused(aud="https://evil.example/fhir")
    await flow.redeem("nope")
    await ask(auth, await backend(world), proof="a.b.c")
    await auth.post("/auth/register", json={})
    await auth.post("/auth/launch", json={})
    assert [(one.interaction, one.reason, status) for one, status in told] == [
        ("authorize", "unredirectable", 400), ("authorize", "invalid_request", 303), ("token", "invalid_grant", 400),
        ("token", "invalid_client", 401), ("register", "access_denied", 403), ("launch", "invalid_token", 401),
    ]  # fmt: skip

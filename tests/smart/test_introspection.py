"""Introspection and revocation: for those who prove themselves, about their own (S29, S30)."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.access.caller import Role
from fhir_server.access.client import Kind
from fhir_server.services.authorization import tokens
from fhir_server.services.authorization.invalid_token import InvalidToken
from fhir_server.services.world import World
from tests.builders.smart import Flow, app, ask, assertion, backend, launched, person

ASSERTED = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


async def _flow(world: World, auth: Any, kind: Kind = Kind.SYMMETRIC, **more: Any) -> Flow:
    client, secret = await app(world, kind, **more)
    return Flow(world, auth, client, secret)


async def _active(flow: Flow, token: str) -> Any:
    answer = await flow.post("/auth/introspect", token=token)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


async def test_a_client_sees_its_own_tokens(world: World, auth: Any) -> None:
    flow = await _flow(world, auth)
    doctor = await person(world, Role.PRACTITIONER, "Practitioner/1")
    text = await launched(world, flow.client, patient="3", encounter="4", appointment="5")
    found = await flow.tokens(doctor, "openid fhirUser launch user/*.rs offline_access", launch=text, patient="")
    shown = await _active(flow, found["access_token"])
    assert shown["active"] is True
    assert set(shown["scope"].split()) == set(found["scope"].split())
    assert (shown["client_id"], shown["sub"], shown["iss"]) == (flow.client.id, doctor.id, "http://fhir.test")
    assert (shown["patient"], shown["encounter"]) == ("3", "4")
    assert shown["fhirContext"] == [{"reference": "Appointment/5"}]
    assert shown["fhirUser"] == "http://fhir.test/fhir/Practitioner/1"
    assert isinstance(shown["exp"], int)
    refresh = await _active(flow, found["refresh_token"])
    assert (refresh["active"], refresh["client_id"]) == (True, flow.client.id)


async def test_tokens_of_others_are_inactive_but_for_who_may_see_them(world: World, auth: Any) -> None:
    flow, other = await _flow(world, auth), await _flow(world, auth)
    found = await flow.tokens(await person(world), "patient/*.rs offline_access")
    for token in (found["access_token"], found["refresh_token"], "nope", "a.b.c", "x" * 20_000):
        assert await _active(other, token) == {"active": False}
    watcher = await _flow(world, auth, Kind.ASYMMETRIC, introspects=True)
    assert (await _active(watcher, found["access_token"]))["client_id"] == flow.client.id
    assert await _active(watcher, found["refresh_token"]) == {"active": False}


async def test_a_bearer_may_ask_as_its_client(world: World, auth: Any) -> None:
    flow = await _flow(world, auth)
    found = await flow.tokens(await person(world))
    machine = await backend(world, introspects=True)
    token = (await ask(auth, machine)).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    answer = await auth.post("/auth/introspect", data={"token": found["access_token"]}, headers=headers)
    assert answer.json()["active"] is True
    mine = {"Authorization": f"Bearer {found['access_token']}"}
    assert (await auth.post("/auth/introspect", data={"token": token}, headers=mine)).json() == {"active": False}
    watcher = await _flow(world, auth, introspects=True)
    personal = await watcher.tokens(await person(world))
    headers = {"Authorization": f"Bearer {personal['access_token']}"}
    answer = await auth.post("/auth/introspect", data={"token": found["access_token"]}, headers=headers)
    assert answer.status_code == 401


async def test_nobody_asks_unproved(world: World, auth: Any) -> None:
    flow = await _flow(world, auth, Kind.PUBLIC)
    found = await flow.tokens(await person(world))
    for kept in (
        {"data": {"token": found["access_token"]}},
        {"data": {"token": found["access_token"], "client_id": flow.client.id}},
        {"data": {"token": "x"}, "headers": {"Authorization": "Bearer nope"}},
        {"data": {"token": "x"}, "auth": ("nobody", "x")},
    ):
        answer = await auth.post("/auth/introspect", **kept)
        assert answer.status_code == 401, kept
        assert answer.headers["www-authenticate"]
    proved = await _flow(world, auth)
    assert (await proved.post("/auth/introspect")).json()["error"] == "invalid_request"
    assert (await auth.get("/auth/introspect")).status_code == 405


async def test_an_assertion_for_one_endpoint_is_none_for_another_server(world: World, auth: Any) -> None:
    machine = await backend(world)
    for audience, status in (("http://fhir.test/auth/introspect", 200), ("http://evil.test/auth/introspect", 401)):
        form = {"token": "x", "client_assertion_type": ASSERTED, "client_assertion": assertion(machine, audience)}
        assert (await auth.post("/auth/introspect", data=form)).status_code == status
    wrong = assertion(machine, "http://fhir.test/auth/introspect")
    assert (await ask(auth, machine, proof=wrong)).status_code == 401


async def _opens(world: World, token: str) -> bool:
    try:
        await tokens.caller_of(world, token)
    except InvalidToken:
        return False
    return True


@pytest.mark.parametrize("kind", list(Kind))
async def test_a_refresh_token_given_back_ends_everything_at_once(world: World, auth: Any, kind: Kind) -> None:
    flow = await _flow(world, auth, kind)
    found = await flow.tokens(await person(world), "patient/*.rs offline_access")
    assert await _opens(world, found["access_token"])
    answer = await flow.post("/auth/revoke", token=found["refresh_token"], token_type_hint="access_token")
    assert (answer.status_code, answer.content) == (200, b"")
    assert not await _opens(world, found["access_token"])
    assert (await flow.refresh(found["refresh_token"])).status_code == 400


async def test_an_access_token_given_back_ends_alone(world: World, auth: Any) -> None:
    flow = await _flow(world, auth)
    found = await flow.tokens(await person(world), "patient/*.rs offline_access")
    for _ in range(2):
        assert (await flow.post("/auth/revoke", token=found["access_token"])).status_code == 200
    assert not await _opens(world, found["access_token"])
    assert await _active(flow, found["access_token"]) == {"active": False}
    assert (await flow.refresh(found["refresh_token"])).status_code == 200


async def test_tokens_of_others_are_not_given_back(world: World, auth: Any) -> None:
    flow, other = await _flow(world, auth), await _flow(world, auth)
    found = await flow.tokens(await person(world), "patient/*.rs offline_access")
    for token in (found["access_token"], found["refresh_token"], "nope"):
        assert (await other.post("/auth/revoke", token=token)).status_code == 200
    assert await _opens(world, found["access_token"])
    assert (await flow.post("/auth/revoke")).json()["error"] == "invalid_request"
    assert (await auth.post("/auth/revoke", data={"token": "x"})).status_code == 401
    assert (await flow.refresh(found["refresh_token"])).status_code == 200

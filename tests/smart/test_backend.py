"""SMART Backend Services: assertions of backends, one use each (S21, S23, S24, S25)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey

from fhir_server.remote.http import httpx
from fhir_server.services.authorization import clients, tokens
from fhir_server.services.authorization.authentication import BEARER_ASSERTION
from fhir_server.services.world import World
from fhir_server.settings import Settings
from tests.builders.smart import ES384, RS384, ask, assertion, backend, public
from tests.builders.smart import TOKEN_URL as URL
from tests.server import serving


async def test_a_backend_gets_five_minutes_and_no_refresh_token(world: World, auth: Any) -> None:
    client = await backend(world)
    answer = await ask(auth, client, scope="system/Patient.rs offline_access nonsense")
    found = answer.json()
    assert answer.status_code == 200
    assert found | {"access_token": ""} == {
        "access_token": "", "token_type": "Bearer", "expires_in": 300, "scope": "system/Patient.rs",
    }  # fmt: skip
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
    assert (await tokens.caller_of(world, found["access_token"])).client == client.id


@pytest.mark.parametrize(("algorithm", "kid", "key"), [("RS384", "rs", RS384), ("ES384", "es", ES384)])
async def test_both_algorithms(world: World, auth: Any, algorithm: str, kid: str, key: Any) -> None:
    client = await backend(world)
    proof = assertion(client, URL, header={"alg": algorithm, "kid": kid}, key=key)
    assert (await ask(auth, client, proof=proof)).status_code == 200


def now(seconds: int) -> Callable[[], int]:
    """An instant that is counted from when the test runs."""
    return lambda: int(time.time()) + seconds


CLAIMS: list[dict[str, Any]] = [
    {"iss": "other"}, {"sub": "other"}, {"iss": None}, {"sub": {"$ne": ""}}, {"aud": "http://fhir.test/auth/token/"},
    {"aud": "http://fhir.test/fhir"}, {"aud": "http://fhir.test"}, {"aud": None},
    {"aud": ["http://fhir.test/auth/token", "https://evil.example"]}, {"exp": None}, {"exp": now(-1)},
    {"exp": now(400)}, {"exp": "9"}, {"exp": True}, {"jti": None}, {"jti": ""}, {"jti": "x" * 256}, {"jti": 7},
    {"nbf": now(100)}, {"iat": now(100)},
]  # fmt: skip


@pytest.mark.parametrize("change", CLAIMS, ids=range(len(CLAIMS)))
async def test_claims_that_prove_nothing(world: World, auth: Any, change: dict[str, Any]) -> None:
    client = await backend(world)
    change = {name: value() if callable(value) else value for name, value in change.items()}
    answer = await ask(auth, client, proof=assertion(client, URL, **change))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


HEADERS: list[dict[str, Any]] = [
    {"header": {"kid": "unknown"}}, {"header": {"kid": ""}}, {"header": {"typ": "at+jwt"}},
    {"header": {"jku": "http://127.0.0.1:1/jwks"}}, {"header": {"x5u": "http://127.0.0.1:1/x"}},
    {"header": {"jwk": {"kty": "EC"}}},
    {"header": {"alg": "ES256"}, "key": ECKey.generate_key("P-256")},
    {"header": {"alg": "RS256", "kid": "rs"}, "key": RS384},
    {"header": {"alg": "RS384", "kid": "es"}, "key": RS384},
    {"header": {"alg": "ES384", "kid": "rs"}},
    {"key": ECKey.generate_key("P-384")},
    {"header": {"alg": "HS256"}, "key": OctKey.import_key(ES384.as_pem(private=False).hex())},
]  # fmt: skip


@pytest.mark.parametrize("change", HEADERS, ids=lambda change: str(change.get("header")))
async def test_signatures_that_prove_nothing(world: World, auth: Any, change: dict[str, Any]) -> None:
    client = await backend(world)
    answer = await ask(auth, client, proof=assertion(client, URL, **change))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_an_unsigned_assertion_proves_nothing(world: World, auth: Any) -> None:
    client = await backend(world)
    head, body, _ = assertion(client, URL).split(".")
    for proof in (
        f"{head}.{body}.",
        f"eyJhbGciOiJub25lIiwia2lkIjoiZXMifQ.{body}.",
        f"{head}.{body}.AAAA",
        "x",
        "a.b.c",
    ):
        assert (await ask(auth, client, proof=proof)).status_code == 401


async def test_two_keys_of_one_name_prove_nothing(world: World) -> None:
    twice = {"keys": [public(ES384, "es"), public(ECKey.generate_key("P-384"), "es")]}
    with pytest.raises(clients.UnfitClientError):
        await backend(world, jwks=twice)


SMALL = {"kty": "RSA", "e": "AQAB", "n": "x" * 171}


@pytest.mark.parametrize(
    "unfit",
    [
        {"keys": []}, {"keys": [1]}, {}, {"keys": [{**SMALL, "kid": "rs"}]},
        {"keys": [public(ECKey.generate_key("P-256"), "es")]}, {"keys": [{**ES384.as_dict(private=True), "kid": "es"}]},
        {"keys": [{"kty": "oct", "k": "AAAA", "kid": "x"}]}, {"keys": [ES384.as_dict(private=False) | {"kid": None}]},
    ],
)  # fmt: skip
async def test_keys_that_cannot_be_registered(world: World, unfit: dict[str, Any]) -> None:
    with pytest.raises(clients.UnfitClientError):
        await backend(world, jwks=unfit)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"), ({"grant_type": None}, "invalid_request"),
        ({"grant_type": "authorization_code"}, "unauthorized_client"),
        ({"scope": None}, "invalid_scope"), ({"scope": "patient/*.rs user/*.rs"}, "invalid_scope"),
        ({"scope": "openid"}, "invalid_scope"), ({"client_assertion_type": "x"}, "invalid_client"),
        ({"client_assertion_type": None}, "invalid_client"), ({"client_id": "other"}, "invalid_client"),
        ({"client_secret": "x"}, "invalid_request"),
    ],
)  # fmt: skip
async def test_requests_that_are_refused(world: World, auth: Any, change: dict[str, Any], error: str) -> None:
    client = await backend(world)
    answer = await ask(auth, client, **change)
    assert answer.status_code in {400, 401}
    assert answer.json()["error"] == error


async def test_an_assertion_is_good_once(world: World, auth: Any) -> None:
    client = await backend(world)
    proof = assertion(client, URL)
    first = await ask(auth, client, proof=proof)
    second = await ask(auth, client, proof=proof)
    assert (first.status_code, second.status_code, second.json()["error"]) == (200, 401, "invalid_client")


@pytest.fixture
async def outside() -> AsyncIterator[Any]:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as made:
        yield made


@pytest.fixture
def twins(settings: Settings) -> Iterator[tuple[str, str]]:
    """Roots of two processes that are one server to the outside."""
    known = {"FHIR_BASE_URL": settings.base_url}
    with serving(settings, **known) as first, serving(settings, **known) as second:
        yield first.removesuffix("/fhir"), second.removesuffix("/fhir")


async def test_of_the_same_assertion_in_two_processes_one_succeeds(
    world: World, twins: tuple[str, str], outside: Any
) -> None:
    client = await backend(world)
    for _ in range(5):
        proof = assertion(client, URL)
        form = {
            "grant_type": "client_credentials", "scope": "system/*.rs", "client_assertion_type": BEARER_ASSERTION,
            "client_assertion": proof,
        }  # fmt: skip
        answers = await asyncio.gather(*(outside.post(f"{twins[n % 2]}/auth/token", data=form) for n in range(8)))
        assert sorted(one.status_code for one in answers) == [200] + [401] * 7
    issued = next(one.json()["access_token"] for one in answers if one.status_code == 200)
    assert (await tokens.caller_of(world, issued)).client == client.id


async def test_what_one_process_ends_is_over_in_the_other(world: World, twins: tuple[str, str], outside: Any) -> None:
    client = await backend(world)

    async def say(root: str, path: str, **form: str) -> Any:
        proof = {"client_assertion_type": BEARER_ASSERTION, "client_assertion": assertion(client, URL)}
        return await outside.post(f"{root}{path}", data={**proof, **form})

    for _ in range(3):
        token = (await say(twins[0], "/auth/token", grant_type="client_credentials", scope="system/*.rs")).json()
        for _ in range(2):
            assert (await say(twins[1], "/auth/introspect", token=token["access_token"])).json()["active"] is True
        await say(twins[0], "/auth/revoke", token=token["access_token"])
        assert (await say(twins[1], "/auth/introspect", token=token["access_token"])).json() == {"active": False}


async def test_a_client_that_is_disabled_gets_nothing(world: World, auth: Any) -> None:
    client = await backend(world)
    await clients.disable(world, client.id)
    assert (await ask(auth, client)).status_code == 401

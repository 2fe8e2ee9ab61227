"""What attackers send: wrong tokens by every way, operators of the database, addresses inside (S20, V13, V18, V19)."""

from __future__ import annotations

import base64
import hmac
import itertools
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from joserfc import jwt

from fhir_server.access.scopes import parse
from fhir_server.app import Server
from fhir_server.remote.http import httpx
from fhir_server.remote.jwks import KeySets
from fhir_server.services.authorization import clients, keys, tokens
from fhir_server.services.world import World
from tests.builders.smart import Flow, app, assertion, backend, person
from tests.smart.key_server import KeyServer, key_server

FHIR = "/fhir/Patient?_count=1"
_addresses = itertools.count(1)
_tokens = itertools.count(1)


@pytest_asyncio.fixture
async def attacker(app: Server) -> AsyncIterator[Any]:
    """A client at an address of its own, so that limits of other tests do not answer in place of what is tested."""
    transport = httpx.ASGITransport(app=app, client=(f"198.51.100.{next(_addresses)}", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://fhir.test", timeout=30) as made:
        yield made


async def _ask(attacker: Any, token: str) -> Any:
    return await attacker.get(FHIR, headers={"Authorization": f"Bearer {token}"})


async def test_other_tokens_of_ours_are_no_access_tokens(world: World, auth: Any, attacker: Any) -> None:
    """S20: the ID token, the refresh token and the code of a real login; and the access token opens."""
    flow = Flow(world, auth, *await app(world))
    account = await person(world)
    scopes = "openid fhirUser offline_access patient/*.rs"
    found = await flow.tokens(account, scopes)
    assert (await _ask(attacker, found["access_token"])).status_code == 200
    code = await flow.code(account, scopes)
    for wrong in (found["id_token"], found["refresh_token"], code, assertion(await backend(world), "http://fhir.test")):
        answer = await _ask(attacker, wrong)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Bearer realm="fhir", error="invalid_token"'
        assert wrong not in answer.text
    for wrong in (found["access_token"], found["id_token"]):
        assert (await flow.refresh(wrong)).status_code == 400
        assert (await flow.redeem(wrong)).status_code == 400


async def test_a_token_comes_in_the_header_alone(world: World, attacker: Any) -> None:
    issued = await tokens.issue(world, client=await backend(world), scopes=parse("system/*.rs"))
    token = issued.token
    for method, url, more in (
        ("GET", f"{FHIR}&access_token={token}", {}), ("GET", f"{FHIR}&token={token}", {}),
        ("POST", "/fhir/Patient/_search", {"data": {"access_token": token}}),
        ("GET", FHIR, {"headers": {"X-Authorization": f"Bearer {token}"}}),
        ("GET", FHIR, {"headers": {"Cookie": f"access_token={token}"}}),
        ("GET", FHIR, {"headers": {"Authorization": f"Basic {token}"}}),
        ("GET", FHIR, {"headers": {"Authorization": token}}),
        ("GET", FHIR, {"headers": [("Authorization", f"Bearer {token}"), ("Authorization", "Bearer x")]}),
        ("GET", FHIR, {"headers": {"Authorization": f"Bearer {token} x"}}),
    ):  # fmt: skip
        answer = await attacker.request(method, url, **more)
        assert answer.status_code == 401, (url, more, answer.text)
        assert token not in answer.text
    both = await attacker.get(f"{FHIR}&access_token={token}", headers={"Authorization": f"bearer {token}"})
    assert token not in both.text


def _b64(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


async def test_our_published_keys_sign_nothing(world: World, auth: Any, attacker: Any) -> None:
    """V19: HS256 with each shape of a public key as the secret, RS256 with the kid of an EC key, and the reverse."""
    client = await backend(world)
    now = world.now()
    claims = {"iss": "http://fhir.test", "aud": "http://fhir.test/fhir", "sub": client.id, "client_id": client.id,
              "scope": "system/*.rs", "jti": "forged", "iat": now, "exp": now + 60}  # fmt: skip
    published = (await auth.get("/.well-known/jwks.json")).json()["keys"]
    access, id_ = await keys.signing(world, "access"), await keys.signing(world, "id")
    forged = []
    for one, key in ((access, access.key), (id_, id_.key)):
        shown = next(each for each in published if each["kid"] == one.kid)
        assert "d" not in shown
        pem = key.as_pem(private=False)
        for secret in (pem, pem.strip(), key.as_der(private=False), json.dumps(shown).encode(), shown["kid"].encode()):
            for kid in (access.kid, id_.kid):
                said = f"{_b64({'alg': 'HS256', 'typ': 'at+jwt', 'kid': kid})}.{_b64(claims)}"
                forged.append(f"{said}.{_b64(hmac.digest(secret, said.encode(), 'sha256'))}")
    head = {"alg": "RS256", "typ": "at+jwt", "kid": access.kid}
    forged.append(jwt.encode(head, claims, id_.key, algorithms=["RS256"]))
    head = {"alg": "ES256", "typ": "at+jwt", "kid": id_.kid}
    forged.append(jwt.encode(head, claims, access.key, algorithms=["ES256"]))
    for algorithm in ("none", "None", "NONE", "nOnE", ""):
        head = {"alg": algorithm, "typ": "at+jwt", "kid": access.kid}
        forged += [f"{_b64(head)}.{_b64(claims)}.", f"{_b64(head)}.{_b64(claims)}.AA"]
    good = jwt.encode({"alg": "ES256", "typ": "at+jwt", "kid": access.kid}, claims, access.key, algorithms=["ES256"])
    forged += [good[:-8], f"{good}.", f"{good.rpartition('.')[0]}.", good.replace(".", "..", 1), f"{good}=", good + "A"]
    for token in forged:
        answer = await _ask(attacker, token)
        assert answer.status_code == 401, token
    assert (await _ask(attacker, good)).status_code == 200  # what is forged above is wrong in one thing each


OPERATORS: list[Any] = [
    {"$gt": ""}, {"$ne": None}, {"$regex": ".*"}, {"$where": "1"}, {"$in": ["x"]}, ["x"], [{"$gt": ""}], None, 7, True,
]  # fmt: skip
FORMS = {
    "/auth/token": ("grant_type", "code", "redirect_uri", "code_verifier", "client_id", "client_secret", "scope",
                    "refresh_token", "client_assertion", "client_assertion_type"),
    "/auth/introspect": ("token", "token_type_hint", "client_id", "client_secret"),
    "/auth/revoke": ("token", "token_type_hint", "client_id", "client_secret"),
    "/auth/authorize": ("client_id", "redirect_uri", "response_type", "scope", "state", "aud", "launch",
                        "code_challenge"),
}  # fmt: skip


@pytest.mark.parametrize("path", FORMS)
async def test_operators_in_forms(path: str, world: World, auth: Any, attacker: Any) -> None:
    """PHP-like brackets, dots and dollars in names, operators as values: nothing is matched by them."""
    client, _ = await app(world)
    flow = Flow(world, auth, client)
    found = await flow.tokens(await person(world), "patient/*.rs offline_access")
    base = {"client_id": client.id, "grant_type": "refresh_token"} if path != "/auth/authorize" else flow.asked("x/y")
    for field in FORMS[path]:
        for operator in ("$gt", "$ne", "$regex", "$where"):
            for name, value in (
                (f"{field}[{operator}]", ""), (f"{field}.{operator}", ""), (f"{field}[]", "x"),
                (field, json.dumps({operator: ""})), (field, f"{operator}:1"), (f"${field}", "x"),
            ):  # fmt: skip
                rest = {one: text for one, text in base.items() if one != field}
                answer = await attacker.post(path, data={**rest, name: value})
                said = answer.headers.get("location", "")
                assert answer.status_code in {400, 401, 429} or "error=" in said or path == "/auth/revoke", (
                    name,
                    value,
                )
                assert "access_token" not in answer.text
                assert '"active":true' not in answer.text
    assert (await flow.refresh(found["refresh_token"])).status_code == 200, "somebody's token was used or ended"


@pytest.mark.parametrize("path", ["/auth/token", "/auth/introspect", "/auth/revoke"])
async def test_json_is_no_form(path: str, attacker: Any) -> None:
    for operator in OPERATORS:
        body = {"grant_type": "refresh_token", "refresh_token": operator, "token": operator, "client_id": operator}
        answer = await attacker.post(path, json=body)
        assert answer.status_code in {400, 401, 415}, operator


JSON = ("client_name", "redirect_uris", "grant_types", "response_types", "scope", "jwks", "jwks_uri",
        "token_endpoint_auth_method", "client_uri", "logo_uri", "launch_uri")  # fmt: skip
CONTEXT = ("client_id", "patient", "encounter", "appointment", "intent", "account", "need_patient_banner")


async def test_operators_in_json(world: World, app: Server, attacker: Any) -> None:
    known = app.door.world
    assert known is not None
    app.door.world = replace(known, settings=known.settings.model_copy(update={"registration": True}))
    base = {"redirect_uris": ["https://new.example/cb"], "token_endpoint_auth_method": "none", "client_name": "New"}
    try:
        for member, value in itertools.product(JSON, OPERATORS):
            answer = await attacker.post("/auth/register", json={**base, member: value})
            if answer.status_code == 201:  # a member that is left out, or ignored because it is not known
                assert "$" not in answer.text, (member, value, answer.text)
            else:
                assert answer.status_code in {400, 429}, (member, value, answer.text)
    finally:
        app.door.world = known
    client, _ = await _app(world)
    emr = await tokens.issue(
        world, client=await backend(world, "launch system/*.rs"), scopes=parse("launch system/*.rs")
    )
    headers = {"Authorization": f"Bearer {emr.token}"}
    for member, value in itertools.product(CONTEXT, OPERATORS):
        body = {"client_id": client.id, member: value}
        answer = await attacker.post("/auth/launch", json=body, headers=headers)
        boolean = member == "need_patient_banner" and value is True
        assert answer.status_code == (201 if boolean else 400), (member, value, answer.text)


async def _app(world: World) -> Any:
    return await app(world)


NAMES = ("status[$ne]", "identifier[$where]", "status.$gt", "$where", "idx.status", "_id[$regex]", "name[]",
         "body.name", "status%00", "patients", "clinics", "__proto__", "constructor")  # fmt: skip
VALUES = ('{"$gt":""}', "$where:1", "';return true;//", "[$ne]=x", "function(){return true}", "||1==1", "$regex")


async def test_operators_in_fhir_parameters(world: World, attacker: Any) -> None:
    issued = await tokens.issue(world, client=await backend(world), scopes=parse("system/*.cruds"))
    headers = {"Authorization": f"Bearer {issued.token}"}
    for name in NAMES:
        strict = await attacker.get(
            "/fhir/Patient", params={name: "x"}, headers={**headers, "Prefer": "handling=strict"}
        )
        assert strict.status_code == 400, name
        lenient = await attacker.get("/fhir/Patient", params={name: "x", "_count": "1"}, headers=headers)
        assert lenient.status_code == 400 or "OperationOutcome" in lenient.text, name
        for method in ("DELETE", "PATCH"):
            answer = await attacker.request(
                method, "/fhir/Patient", params={name: "x"}, json=[], headers={
                    **headers, "Content-Type": "application/json-patch+json"}
            )  # fmt: skip
            assert answer.status_code == 400, (method, name, answer.text)
    for name, value in itertools.product(("identifier", "family", "_id", "gender", "active", "birthdate"), VALUES):
        answer = await attacker.get("/fhir/Patient", params={name: value}, headers=headers)
        assert answer.status_code == 400 or answer.json()["total"] == 0, (name, value, answer.text)
        answer = await attacker.get(f"/fhir/Patient/{value.replace('/', '')}", headers=headers)
        assert answer.status_code in {400, 404}, value
    for member in ({"$gt": ""}, {"idx.status": "x"}, {"$set": {"a": 1}}):
        answer = await attacker.post("/fhir/Patient", json={"resourceType": "Patient", **member}, headers=headers)
        assert answer.status_code == 400, member


@pytest.fixture
def listener() -> Iterator[KeyServer]:
    with key_server() as made:
        yield made


async def test_no_address_inside_is_asked_in_production(
    world: World, app: Server, attacker: Any, listener: KeyServer
) -> None:
    """V18: whatever names our loopback listener, as keys, as logo or inside a token, it hears nothing."""
    known = app.door.world
    assert known is not None
    settings = known.settings.model_copy(update={"registration": True, "environment": "production"})
    inside = replace(world, settings=settings, memory=replace(world.memory, key_sets=KeySets(loopback=False)))
    urls = [listener.url, listener.url.replace("127.0.0.1", "localhost"), listener.url.replace("http:", "https:"),
            listener.url.replace("127.0.0.1", "2130706433"), listener.url.replace("127.0.0.1", "[::ffff:127.0.0.1]"),
            listener.url.replace("127.0.0.1", "0.0.0.0")]  # fmt: skip
    base = {"redirect_uris": ["https://new.example/cb"], "client_name": "New"}
    app.door.world = inside
    try:
        for url in urls:
            for more in (
                {"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": url},
                {"token_endpoint_auth_method": "none", "logo_uri": url, "client_uri": url, "policy_uri": url,
                 "tos_uri": url, "sector_identifier_uri": url, "request_uris": [url]},
            ):  # fmt: skip
                answer = await attacker.post("/auth/register", json={**base, **more})
                if answer.status_code != 201:
                    continue
                client = await clients.get(inside, answer.json()["client_id"])
                assert client is not None
                form = {"grant_type": "refresh_token", "refresh_token": "x", "client_assertion_type":
                        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                        "client_assertion": assertion(client, "http://fhir.test/auth/token")}  # fmt: skip
                assert (await attacker.post("/auth/token", data=form)).status_code in {400, 401}
        for client in [await _with_keys_at(world, url) for url in urls]:
            form = {"grant_type": "client_credentials", "scope": "system/*.rs", "client_assertion_type":
                    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                    "client_assertion": assertion(client, "http://fhir.test/auth/token")}  # fmt: skip
            assert (await attacker.post("/auth/token", data=form)).status_code == 401
        for header in ({"jku": listener.url}, {"x5u": listener.url}, {"jku": listener.url, "kid": listener.url}):
            proof = assertion(await backend(world), "http://fhir.test/auth/token", header=header)
            form = {"grant_type": "client_credentials", "scope": "system/*.rs", "client_assertion": proof,
                    "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}  # fmt: skip
            assert (await attacker.post("/auth/token", data=form)).status_code == 401
            assert (await _ask(attacker, proof)).status_code == 401
    finally:
        app.door.world = known
    assert listener.hits == 0


async def _with_keys_at(world: World, url: str) -> Any:
    """A backend whose keys are at an address that its operator registered, however that came to be."""
    made = await backend(world)
    client = replace(made, id=f"inside-{secrets.token_hex(6)}", jwks=None, jwks_uri=url)
    await world.store.authorization.clients.insert(client)
    return client


def test_the_listener_listens(listener: KeyServer) -> None:
    """The silence above says something."""
    assert httpx.get(listener.url, trust_env=False).status_code == 200
    assert listener.hits == 1

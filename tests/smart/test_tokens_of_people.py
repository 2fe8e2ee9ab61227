"""Codes, refresh tokens and the token response (S6, S7, S8, S12, S13, S21, S22, S28, S32)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from fhir_server.access.caller import Role
from fhir_server.access.client import Client, Kind
from fhir_server.access.scopes import parse
from fhir_server.services.authorization import clients, grants, tokens
from fhir_server.services.authorization.invalid_token import InvalidToken
from fhir_server.services.world import World
from tests.builders.smart import Flow, app, disable, launched, login, logout, person


async def _flow(world: World, auth: Any, kind: Kind = Kind.PUBLIC, **more: Any) -> Flow:
    client, secret = await app(world, kind, **more)
    return Flow(world, auth, client, secret)


async def opens(world: World, token: str) -> bool:
    try:
        await tokens.caller_of(world, token)
    except InvalidToken:
        return False
    return True


def _refused(answer: Any, error: str = "invalid_grant") -> bool:
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
    return bool(answer.status_code in {400, 401} and answer.json()["error"] == error)


@pytest.mark.parametrize("kind", list(Kind))
async def test_a_code_becomes_tokens(world: World, auth: Any, kind: Kind) -> None:
    flow = await _flow(world, auth, kind)
    account = await person(world)
    answer = await flow.redeem(await flow.code(account, "launch/patient patient/*.rs offline_access"))
    found = answer.json()
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
    assert (found["token_type"], found["expires_in"], found["patient"]) == ("Bearer", 3600, "1")
    assert found["need_patient_banner"] is True
    assert found["scope"] == "launch/patient offline_access patient/*.rs"
    assert "id_token" not in found
    caller = await tokens.caller_of(world, found["access_token"])
    assert (caller.role, caller.patient, caller.subject) == (Role.PATIENT, "Patient/1", account.id)
    style = await auth.get(found["smart_style_url"])
    assert style.json()["color_text"]
    assert style.headers["access-control-allow-origin"] == "*"


async def test_a_launch_gives_its_context(world: World, auth: Any) -> None:
    flow = await _flow(world, auth)
    doctor = await person(world, Role.PRACTITIONER, "Practitioner/1")
    context = {"patient": "Patient/3", "encounter": "4", "appointment": "Appointment/5", "intent": "reschedule"}
    text = await launched(world, flow.client, **context, need_patient_banner=False)
    found = await flow.tokens(doctor, "launch online_access user/*.rs", launch=text, patient="")
    assert (found["patient"], found["encounter"], found["intent"]) == ("3", "4", "reschedule")
    assert found["fhirContext"] == [{"reference": "Appointment/5"}]
    assert found["need_patient_banner"] is False
    again = (await flow.refresh(found["refresh_token"])).json()
    for name in ("patient", "encounter", "intent", "fhirContext", "need_patient_banner", "scope"):
        assert again[name] == found[name]
    assert (await tokens.caller_of(world, again["access_token"])).patient == "Patient/3"


@pytest.mark.parametrize(
    "change",
    [
        {"code_verifier": None}, {"code_verifier": ""}, {"code_verifier": "w" * 64}, {"code_verifier": "challenge"},
        {"redirect_uri": None}, {"redirect_uri": "https://app.example/other"}, {"code": "nope"}, {"code": "\udcff"},
    ],
    ids=str,
)  # fmt: skip
async def test_a_code_without_its_proof_gives_nothing_and_is_over(
    world: World, auth: Any, change: dict[str, Any]
) -> None:
    flow = await _flow(world, auth)
    code = await flow.code(await person(world))
    if change.get("code_verifier") == "challenge":
        change = {"code_verifier": flow.asked("x")["code_challenge"]}
    if change.get("code") == "\udcff":
        answer = await auth.post(
            "/auth/token",
            content=f"grant_type=authorization_code&client_id={flow.client.id}&code=%FF".encode(),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
    else:
        form = {"code": code, **change}
        answer = await flow.redeem(**form)
    assert _refused(answer)
    assert _refused(await flow.redeem(code)) is ("code" not in change)


async def test_a_code_is_of_its_client(world: World, auth: Any) -> None:
    flow, other = await _flow(world, auth), await _flow(world, auth)
    code = await flow.code(await person(world))
    other.verifier = flow.verifier
    assert _refused(await other.redeem(code))
    assert (await flow.redeem(code)).status_code == 200


async def test_a_second_use_of_a_code_ends_what_the_first_gave(world: World, auth: Any) -> None:
    flow = await _flow(world, auth)
    code = await flow.code(await person(world), "patient/*.rs offline_access")
    first = (await flow.redeem(code)).json()
    assert await opens(world, first["access_token"])
    assert _refused(await flow.redeem(code))
    assert not await opens(world, first["access_token"])
    assert _refused(await flow.refresh(first["refresh_token"]))


async def test_of_many_uses_at_once_none_leaves_a_token(world: World, auth: Any) -> None:
    flow = await _flow(world, auth)
    code = await flow.code(await person(world))
    answers = await asyncio.gather(*(flow.redeem(code) for _ in range(6)))
    given = [one.json()["access_token"] for one in answers if one.status_code == 200]
    assert len(given) <= 1
    assert not any([await opens(world, one) for one in given])


async def test_a_code_lasts_a_minute(world: World, auth: Any) -> None:
    flow = await _flow(world, auth)
    code = await flow.code(await person(world))
    codes = world.store.connection.collection("codes")
    assert 0 < max([one["expires"] async for one in codes.find()]) - world.now() <= 60
    await codes.update_many({}, {"$set": {"expires": world.now()}})
    assert _refused(await flow.redeem(code))


async def test_a_refresh_rotates_and_a_second_use_ends_the_family(world: World, auth: Any) -> None:
    flow = await _flow(world, auth)
    account = await person(world)
    first = await flow.tokens(account, "patient/*.rs offline_access openid")
    second = (await flow.refresh(first["refresh_token"])).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert second["scope"] == first["scope"]
    assert await opens(world, first["access_token"])
    third = (await flow.refresh(second["refresh_token"])).json()
    assert _refused(await flow.refresh(first["refresh_token"]))
    for one in (first, second, third):
        assert not await opens(world, one["access_token"])
        assert _refused(await flow.refresh(one["refresh_token"]))
    assert await grants.apps_of(world, account.id) == []


async def test_of_many_refreshes_at_once_at_most_one_gives(world: World, auth: Any) -> None:
    flow = await _flow(world, auth)
    first = await flow.tokens(await person(world), "patient/*.rs offline_access")
    answers = await asyncio.gather(*(flow.refresh(first["refresh_token"]) for _ in range(6)))
    assert sum(one.status_code == 200 for one in answers) <= 1
    assert not await opens(world, first["access_token"])


async def test_a_refresh_narrows_and_never_widens(world: World, auth: Any) -> None:
    flow = await _flow(world, auth)
    found = await flow.tokens(await person(world), "patient/Appointment.rs patient/Slot.rs offline_access")
    for scope in ("patient/*.rs", "patient/Appointment.cruds", "patient/Slot.rs openid", "nonsense", "system/*.rs"):
        assert _refused(await flow.refresh(found["refresh_token"], scope=scope), "invalid_scope")
    narrow = (await flow.refresh(found["refresh_token"], scope="patient/Slot.s")).json()
    assert narrow["scope"] == "patient/Slot.s"
    wide = (await flow.refresh(narrow["refresh_token"])).json()
    assert set(wide["scope"].split()) == set(found["scope"].split())


async def test_a_refresh_token_is_of_its_client(world: World, auth: Any) -> None:
    flow, other = await _flow(world, auth), await _flow(world, auth)
    found = await flow.tokens(await person(world), "patient/*.rs offline_access")
    assert _refused(await other.refresh(found["refresh_token"]))
    assert _refused(await flow.refresh("nope"))
    assert _refused(await flow.post(grant_type="refresh_token"), "invalid_request")
    assert (await flow.refresh(found["refresh_token"])).status_code == 200
    assert not await opens(world, found["refresh_token"])


async def test_a_refresh_token_names_its_public_client_and_no_other(world: World, auth: Any) -> None:
    """The SMART JavaScript client sends no client_id; a client with a proof has to bring it."""
    account = await person(world)
    for kind, status in ((Kind.PUBLIC, 200), (Kind.SYMMETRIC, 401), (Kind.ASYMMETRIC, 401)):
        flow = Flow(world, auth, *await app(world, kind))
        found = await flow.tokens(account, "patient/*.rs offline_access")
        form = {"grant_type": "refresh_token", "refresh_token": found["refresh_token"]}
        assert (await auth.post("/auth/token", data=form)).status_code == status, kind
    assert (await auth.post("/auth/token", data={**form, "refresh_token": "unknown"})).status_code == 401


async def test_there_is_no_refresh_token_without_its_scope_or_grant_type(world: World, auth: Any) -> None:
    account = await person(world)
    assert "refresh_token" not in await (await _flow(world, auth)).tokens(account)
    flow = await _flow(world, auth, grant_types=frozenset({"authorization_code"}))
    found = await flow.tokens(account, "patient/*.rs offline_access")
    assert "refresh_token" not in found
    assert found["scope"] == "patient/*.rs"
    assert _refused(await flow.refresh("x"), "unauthorized_client")


async def test_online_access_dies_with_the_session_and_offline_does_not(world: World, auth: Any) -> None:
    flow = await _flow(world, auth)
    account = await person(world)
    session = await login(world, account)
    online = await flow.tokens(account, "patient/*.rs online_access", session=session)
    offline = await flow.tokens(account, "patient/*.rs offline_access", session=session)
    online = (await flow.refresh(online["refresh_token"])).json()
    await logout(world, session)
    assert not await opens(world, online["access_token"])
    assert _refused(await flow.refresh(online["refresh_token"]))
    assert await opens(world, offline["access_token"])
    assert (await flow.refresh(offline["refresh_token"])).status_code == 200


async def test_a_closed_account_refreshes_nothing(world: World, auth: Any) -> None:
    flow = await _flow(world, auth)
    account = await person(world)
    found = await flow.tokens(account, "patient/*.rs offline_access")
    await disable(world, account)
    assert _refused(await flow.refresh(found["refresh_token"]))


async def test_a_grant_is_shown_and_taken_back(world: World, auth: Any) -> None:
    flow = await _flow(world, auth)
    account, other = await person(world), await person(world)
    found = await flow.tokens(account, "patient/*.rs offline_access")
    (grant,) = await grants.apps_of(world, account.id)
    assert (grant.client, grant.patient, grant.offline) == (flow.client.id, "Patient/1", True)
    assert not await grants.revoke(world, grant.id, other.id)
    assert await opens(world, found["access_token"])
    assert await grants.revoke(world, grant.id, account.id)
    assert not await opens(world, found["access_token"])
    assert _refused(await flow.refresh(found["refresh_token"]))


async def test_the_id_token(world: World, auth: Any) -> None:
    flow = await _flow(world, auth)
    account = await person(world, Role.PRACTITIONER, "Practitioner/dr-adams")
    found = await flow.tokens(account, "openid fhirUser user/*.rs", nonce="n-0S6", patient="")
    keys = KeySet.import_key_set((await auth.get("/.well-known/jwks.json")).json())
    token = jwt.decode(found["id_token"], keys, algorithms=["RS256"])
    assert token.header["alg"] == "RS256"
    claims = token.claims
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("http://fhir.test", account.id, flow.client.id)
    assert (claims["nonce"], claims["auth_time"]) == ("n-0S6", 1000)
    assert claims["fhirUser"] == "http://fhir.test/fhir/Practitioner/dr-adams"
    half = hashlib.sha256(found["access_token"].encode()).digest()[:16]
    assert claims["at_hash"] == base64.urlsafe_b64encode(half).decode().rstrip("=")
    assert 0 < claims["exp"] - claims["iat"] <= 3600
    bare = await flow.tokens(account, "openid user/*.rs", patient="")
    assert not {"fhirUser", "nonce", "name"} & _claims(bare["id_token"]).keys()
    assert not await opens(world, found["id_token"])
    assert "id_token" not in await flow.tokens(account, "fhirUser user/*.rs", patient="")


def _claims(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))))


async def test_form_and_method(world: World, auth: Any) -> None:
    flow = await _flow(world, auth)
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        answer = await auth.request(method, "/auth/token")
        assert (answer.status_code, answer.headers["cache-control"]) == (405, "no-store")
        assert "POST" in answer.headers["allow"]
    for kept in (
        {"json": {"grant_type": {"$gt": ""}}},
        {"data": {"grant_type": "client_credentials", "client_id": [flow.client.id] * 2}},
        {"content": b"x=1"},
        {"data": {"x": "y" * 70_000}},
        {"data": {f"p{n}": "1" for n in range(200)}},
    ):
        assert _refused(await auth.post("/auth/token", **kept), "invalid_request")
    operators = await flow.post(**{"grant_type": "refresh_token", "refresh_token[$ne]": "x"})
    assert _refused(operators, "invalid_request")
    assert _refused(await flow.post(grant_type="password"), "unsupported_grant_type")
    assert _refused(await flow.post(), "invalid_request")
    assert _refused(await flow.post(grant_type="client_credentials"), "unauthorized_client")


@pytest.mark.parametrize("way", ["basic", "post"])
async def test_a_symmetric_client_proves_itself_by_its_secret(world: World, auth: Any, way: str) -> None:
    flow = await _flow(world, auth, Kind.SYMMETRIC)

    async def ask(id_: str, secret: str) -> Any:
        form = {"grant_type": "refresh_token", "refresh_token": "nope"}
        if way == "basic":
            return await auth.post("/auth/token", data=form, auth=(id_, secret))
        return await auth.post("/auth/token", data={**form, "client_id": id_, "client_secret": secret})

    assert _refused(await ask(flow.client.id, flow.secret))
    for id_, secret in ((flow.client.id, "wrong"), ("nobody", flow.secret), ("", ""), (flow.client.id, "ü\0")):
        answer = await ask(id_, secret)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        assert answer.headers["www-authenticate"].startswith("Basic realm=")
        assert answer.json()["error_description"]


async def test_a_client_proves_itself_in_one_way_its_own(world: World, auth: Any) -> None:
    flow = await _flow(world, auth, Kind.SYMMETRIC)
    form = {"grant_type": "refresh_token", "refresh_token": "x"}
    bare = await auth.post("/auth/token", data={**form, "client_id": flow.client.id})
    assert _refused(bare, "invalid_client")
    both = await auth.post(
        "/auth/token", data={**form, "client_secret": flow.secret}, auth=(flow.client.id, flow.secret)
    )
    assert _refused(both, "invalid_request")
    other = await auth.post("/auth/token", data={**form, "client_id": "x"}, auth=(flow.client.id, flow.secret))
    assert _refused(other, "invalid_client")
    keyed = await _flow(world, auth, Kind.ASYMMETRIC)
    assert _refused(await auth.post("/auth/token", data={**form, "client_id": keyed.client.id}), "invalid_client")
    for header in ("Basic", "Basic !!!", "Basic QUJD", "Digest x", "Bearer x"):
        answer = await auth.post("/auth/token", data=form, headers={"Authorization": header})
        assert _refused(answer, "invalid_client")


async def test_a_new_secret_voids_the_old(world: World, auth: Any) -> None:
    flow = await _flow(world, auth, Kind.SYMMETRIC)
    fresh = await clients.rotate_secret(world, flow.client.id)
    assert _refused(await flow.refresh("x"), "invalid_client")
    flow.secret = fresh
    assert _refused(await flow.refresh("x"))
    stored = await world.store.connection.collection("clients").find_one({"_id": flow.client.id})
    assert fresh not in str(stored)
    assert stored["secret"].startswith("$argon2id$")


async def test_a_client_that_is_removed_takes_its_grants_along(world: World, auth: Any) -> None:
    flow = await _flow(world, auth)
    account = await person(world)
    found = await flow.tokens(account, "patient/*.rs offline_access")
    assert await clients.remove(world, flow.client.id)
    assert not await opens(world, found["access_token"])
    assert await grants.apps_of(world, account.id) == []
    back = Client(flow.client.id, "Again", Kind.PUBLIC, parse("patient/*.rs"), flow.client.grant_types,
                  flow.client.redirect_uris)  # fmt: skip
    await clients.register(world, back)
    assert not await opens(world, found["access_token"])


async def test_nothing_that_opens_is_stored(world: World, auth: Any) -> None:
    flow = await _flow(world, auth)
    code = await flow.code(await person(world), "patient/*.rs offline_access")
    found = (await flow.redeem(code)).json()
    for name in ("codes", "refresh_tokens", "grants", "authorize_requests"):
        text = str(await world.store.connection.collection(name).find().to_list(None))
        for secret in (code, found["access_token"], found["refresh_token"]):
            assert secret not in text

"""The authorization endpoint: what is checked before a person is asked (S3, S4, S5, S8, S9, S10, S34)."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.access.scopes import parse
from fhir_server.services.authorization import clients, pending
from fhir_server.services.authorization.authorize_request import matches
from fhir_server.services.authorization.clients import UnfitClientError, check_redirect
from fhir_server.services.world import World
from tests.builders.smart import REDIRECT, Flow, app, backend, disable, launched, person, said


async def _flow(world: World, auth: Any, **more: Any) -> Flow:
    client, _ = await app(world, **more)
    return Flow(world, auth, client)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_good_request_waits_for_a_person(world: World, auth: Any, method: str) -> None:
    flow = await _flow(world, auth)
    asked = flow.asked("launch/patient patient/*.rs system/*.rs nonsense", nonce="n", prompt="login", max_age="60")
    kept = {"params": asked} if method == "GET" else {"data": asked}
    answer = await auth.request(method, "/auth/authorize", **kept)
    assert answer.status_code == 303
    assert answer.headers["cache-control"] == "no-store"
    waiting = await pending.get(world, answer.headers["location"].removeprefix("/auth/login?request="))
    assert waiting is not None
    assert (str(waiting.scopes), waiting.needs_patient) == ("launch/patient patient/*.rs", True)
    assert (waiting.nonce, waiting.prompt, waiting.max_age, waiting.launch) == ("n", "login", 60, None)


STATES = ["s", "a b&c=d#e?f", "%00%2F", "ü ☃ 😀", "x" * 2048, "'\"<script>", "a+b", " lead", "\\"]


@pytest.mark.parametrize("state", STATES, ids=range(len(STATES)))
async def test_the_state_comes_back_as_it_was(world: World, auth: Any, state: str) -> None:
    flow = await _flow(world, auth)
    heard = await flow.refused(state=state, response_type="token")
    assert heard["state"] == state
    waiting = await flow.waiting(state=state)
    assert waiting.state == state
    url = await pending.deny(world, waiting)
    assert said(url) == {"error": "access_denied", "state": state, "iss": "http://fhir.test"}
    account = await person(world)
    waiting = await flow.waiting(state=state)
    url = await pending.approve(
        world, waiting, account, scopes=waiting.scopes, patient="Patient/1", session="", authenticated=0
    )
    assert (said(url)["state"], said(url)["iss"]) == (state, "http://fhir.test")


async def test_a_state_of_bytes_that_are_no_text_comes_back(world: World, auth: Any) -> None:
    flow = await _flow(world, auth)
    query = "&".join(f"{name}={value}" for name, value in flow.asked("patient/*.rs").items() if name != "state")
    answer = await auth.get(f"/auth/authorize?{query.replace('patient/*.rs', 'nonsense')}&state=%FF%00%FE")
    assert answer.headers["location"].endswith("state=%FF%00%FE&iss=http%3A%2F%2Ffhir.test")
    answer = await auth.get(f"/auth/authorize?{query}&state=%FF%FE")
    waiting = await pending.get(world, answer.headers["location"].partition("=")[2])
    assert waiting is not None
    assert "state=%FF%FE&" in await pending.deny(world, waiting)


REDIRECTS = [
    "https://app.example/callback/more", "https://app.example/callback/", "https://app.example/callback?x=1",
    "https://app.example/callback#x", "https://app.example/Callback", "https://app.example@evil.example/callback",
    "https://app.example.evil.example/callback", "https://app.example/%2e%2e/callback",
    "https://app.example:8443/callback", "http://app.example/callback", "https://evil.example/callback",
    "https://app.example/call", "HTTPS://app.example/callback", " https://app.example/callback", "javascript:alert(1)",
    "https://app.example\\@evil.example/callback", "//app.example/callback", "", "https://app.example/callback\0",
]  # fmt: skip


@pytest.mark.parametrize("uri", REDIRECTS)
async def test_another_redirect_uri_is_never_gone_to(world: World, auth: Any, uri: str) -> None:
    answer = await (await _flow(world, auth)).authorize(redirect_uri=uri)
    assert answer.status_code == 400
    assert "location" not in answer.headers
    assert answer.headers["content-type"].startswith("text/html")
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "evil" not in answer.text


async def test_a_client_that_is_not_there_is_told_nothing(world: World, auth: Any) -> None:
    flow = await _flow(world, auth)
    for id_ in ("nobody", "", None, "a" * 300, "{'$ne': ''}", "x\0y"):
        assert (await flow.authorize(client_id=id_)).status_code == 400
    assert (await flow.authorize(redirect_uri=None)).status_code == 400
    machine = await backend(world)
    assert (await flow.authorize(client_id=machine.id)).status_code == 400
    twice = [*flow.asked("patient/*.rs").items(), ("redirect_uri", REDIRECT)]
    assert (await auth.get("/auth/authorize", params=twice)).status_code == 400
    raw = await auth.get("/auth/authorize?client_id=%FF%FE&redirect_uri=x")
    assert raw.status_code == 400
    assert (await auth.post("/auth/authorize", json=flow.asked("patient/*.rs"))).status_code == 400
    await clients.disable(world, flow.client.id)
    assert (await flow.authorize()).status_code == 400


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"), ({"response_type": None}, "invalid_request"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"code_challenge": None}, "invalid_request"), ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"), ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"), ({"aud": None}, "invalid_request"),
        ({"aud": "https://evil.example/fhir"}, "invalid_request"), ({"aud": "http://fhir.test"}, "invalid_request"),
        ({"aud": "http://fhir.test/fhir//"}, "invalid_request"), ({"aud": "http://fhir.test/FHIR"}, "invalid_request"),
        ({"state": None}, "invalid_request"), ({"scope": None}, "invalid_scope"), ({"scope": "nope"}, "invalid_scope"),
        ({"scope": "system/*.rs"}, "invalid_scope"), ({"scope": "patient/*.sr"}, "invalid_scope"),
        ({"scope": "launch"}, "invalid_request"), ({"scope": "launch", "launch": "nope"}, "invalid_request"),
        ({"launch": "nope"}, "invalid_request"), ({"prompt": "none login"}, "invalid_request"),
        ({"prompt": "x"}, "invalid_request"), ({"max_age": "-1"}, "invalid_request"),
        ({"request": "x"}, "request_not_supported"), ({"request_uri": "http://127.0.0.1"}, "request_uri_not_supported"),
        ({"response_mode": "fragment"}, "invalid_request"), ({"nonce": "n" * 5000}, "invalid_request"),
        ({"nonce": "\0"}, "invalid_request"),
    ],
    ids=str,
)  # fmt: skip
async def test_the_app_hears_of_every_other_fault(world: World, auth: Any, change: dict[str, Any], error: str) -> None:
    flow = await _flow(world, auth)
    heard = await flow.refused(**change)
    assert heard["error"] == error
    assert heard["iss"] == "http://fhir.test"
    assert heard.get("state") == (None if "state" in change else "s")
    assert "code" not in heard


async def test_a_parameter_that_is_there_twice_is_refused(world: World, auth: Any) -> None:
    flow = await _flow(world, auth)
    answer = await auth.get("/auth/authorize", params=[*flow.asked("patient/*.rs").items(), ("scope", "openid")])
    assert said(answer.headers["location"])["error"] == "invalid_request"


async def test_aud_may_end_in_a_slash(world: World, auth: Any) -> None:
    await (await _flow(world, auth)).waiting(aud="http://fhir.test/fhir/")


async def test_a_redirect_uri_keeps_its_query(world: World, auth: Any) -> None:
    flow = await _flow(world, auth, redirect_uris=("https://app.example/cb?a=%20b",))
    url = await pending.deny(world, await flow.waiting())
    assert url.startswith("https://app.example/cb?a=%20b&error=access_denied&")


@pytest.mark.parametrize(
    ("registered", "asked", "same"),
    [
        ("http://127.0.0.1/callback", "http://127.0.0.1:8765/callback", True),
        ("http://[::1]/callback", "http://[::1]:1/callback", True),
        ("http://localhost/callback", "http://localhost:65535/callback", True),
        ("http://127.0.0.1/callback", "http://127.0.0.1/callback", True),
        ("http://127.0.0.1:1/callback", "http://127.0.0.1:2/callback", False),
        ("http://127.0.0.1/callback", "http://127.0.0.1:99999/callback", False),
        ("http://127.0.0.1/callback", "http://127.0.0.1:0/callback", False),
        ("http://127.0.0.1/callback", "http://127.0.0.1:8/callback?x=1", False),
        ("http://127.0.0.1/callback", "http://127.0.0.1:8/callback/", False),
        ("http://127.0.0.1/callback", "http://127.0.0.1:8/other", False),
        ("http://127.0.0.1/callback", "http://localhost:8/callback", False),
        ("http://127.0.0.1/callback", "https://127.0.0.1:8/callback", False),
        ("http://127.0.0.1/callback", "http://127.0.0.1:8@evil.example/callback", False),
        ("http://127.0.0.1/callback", "http://127.0.0.1.evil.example:8/callback", False),
        ("https://127.0.0.1/callback", "https://127.0.0.1:8/callback", False),
        ("https://app.example/callback", "https://app.example:8/callback", False),
    ],
)
def test_a_loopback_redirect_without_port_has_any(registered: str, asked: str, same: bool) -> None:
    assert matches(registered, asked) is same


@pytest.mark.parametrize(
    "uri",
    [
        "http://app.example/cb", "https://app.example/cb#x", "https://*.example/cb", "https://u@app.example/cb", "/cb",
        "app:/cb", "https:///cb", "https://app.example/c b", "https://app.example:x/cb", "https://a.example/ü",
        "http://127.0.0.1.evil.example/cb", "https://a.example\\b", "javascript:alert(1)",
    ],
)  # fmt: skip
def test_redirect_uris_that_cannot_be_registered(uri: str) -> None:
    with pytest.raises(UnfitClientError):
        check_redirect(uri)


async def test_a_launch_is_good_once_for_one_app_for_five_minutes(world: World, auth: Any) -> None:
    flow, other = await _flow(world, auth), await _flow(world, auth)
    account = await person(world)
    text = await launched(world, flow.client, patient="1")
    asked = {"scope": "launch patient/*.rs", "launch": text}
    assert (await other.refused(**asked))["error"] == "invalid_request"
    first, second = await flow.waiting(**asked), await flow.waiting(**asked)
    assert first.launch is not None
    assert (first.launch.patient, first.needs_patient) == ("Patient/1", False)
    agreed = {"scopes": first.scopes, "patient": "Patient/2", "session": "", "authenticated": 0}
    assert "code" in said(await pending.approve(world, first, account, **agreed))
    assert said(await pending.approve(world, second, account, **agreed))["error"] == "invalid_request"
    assert (await flow.refused(**asked))["error"] == "invalid_request"
    over = await launched(world, flow.client, patient="1")
    collection = world.store.connection.collection("launches")
    await collection.update_many({"used": {"$exists": False}}, {"$set": {"expires": world.now()}})
    assert (await flow.refused("launch patient/*.rs", launch=over))["error"] == "invalid_request"


async def test_a_launch_for_somebody_is_nobody_elses(world: World, auth: Any) -> None:
    flow = await _flow(world, auth)
    mine, theirs = await person(world), await person(world)
    text = await launched(world, flow.client, patient="1", account=mine.id)
    waiting = await flow.waiting("launch patient/*.rs", launch=text)
    agreed = {"scopes": waiting.scopes, "patient": "", "session": "", "authenticated": 0}
    assert said(await pending.approve(world, waiting, theirs, **agreed))["error"] == "access_denied"


async def test_a_request_is_answered_once_and_ten_minutes_long(world: World, auth: Any) -> None:
    flow = await _flow(world, auth)
    account = await person(world)
    waiting = await flow.waiting()
    agreed = {"scopes": waiting.scopes, "patient": "Patient/1", "session": "", "authenticated": 0}
    await pending.approve(world, waiting, account, **agreed)
    assert await pending.get(world, waiting.id) is None
    with pytest.raises(pending.Unredirectable):
        await pending.approve(world, waiting, account, **agreed)
    with pytest.raises(pending.Unredirectable):
        await pending.deny(world, waiting)
    waiting = await flow.waiting()
    requests = world.store.connection.collection("authorize_requests")
    await requests.update_many({}, {"$set": {"expires": world.now()}})
    assert await pending.get(world, waiting.id) is None
    assert await pending.get(world, "nope") is None


@pytest.mark.parametrize(
    ("scope", "left", "patient", "fhir_user", "granted"),
    [
        ("patient/*.rs user/*.rs", "patient/*.rs user/*.rs", "Patient/1", "Patient/1", "patient/*.rs user/*.rs"),
        ("patient/*.rs openid", "patient/*.rs openid system/*.rs user/*.rs", "Patient/1", "", "openid patient/*.rs"),
        ("patient/*.cruds", "patient/Appointment.rs", "Patient/1", "", "patient/Appointment.rs"),
        ("patient/Appointment.rs", "patient/*.cruds", "Patient/1", "", None),
        ("patient/*.rs openid", "patient/*.rs openid", "", "", "openid"),
        ("patient/*.rs", "patient/*.rs", "", "", None),
        ("patient/*.rs", "patient/*.rs", "Patient/1/../2", "", None),
        ("patient/*.rs", "patient/*.rs", "Group/1", "", None),
        ("user/*.rs fhirUser", "user/*.rs fhirUser", "", "", None),
    ],
)
async def test_what_is_granted_is_what_means_something(
    world: World, auth: Any, scope: str, left: str, patient: str, fhir_user: str, granted: str | None
) -> None:
    flow = await _flow(world, auth)
    account = await person(world, fhir_user=fhir_user)
    waiting = await flow.waiting(scope)
    heard = said(
        await pending.approve(world, waiting, account, scopes=parse(left), patient=patient, session="", authenticated=0)
    )
    if granted is None:
        assert heard["error"] == "access_denied"
        return
    assert (await flow.redeem(heard["code"])).json()["scope"] == granted


async def test_a_closed_account_grants_nothing(world: World, auth: Any) -> None:
    flow = await _flow(world, auth)
    account = await person(world, disabled=True)
    waiting = await flow.waiting()
    agreed = {"scopes": waiting.scopes, "patient": "Patient/1", "session": "", "authenticated": 0}
    assert said(await pending.approve(world, waiting, account, **agreed))["error"] == "access_denied"
    open_ = await person(world)
    code = await flow.code(open_)
    await disable(world, open_)
    assert (await flow.redeem(code)).json()["error"] == "invalid_grant"

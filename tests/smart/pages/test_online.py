"""What depends on a login ends with it: online access, and everything of an account that is disabled."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from fhir_server.access.account import Account
from fhir_server.services.authorization import accounts, tokens
from fhir_server.services.authorization.invalid_token import InvalidToken
from fhir_server.services.world import World
from tests.builders.asking import Ask, sent_back
from tests.builders.browser import Browser
from tests.builders.people import PASSWORD, People
from tests.builders.smart import REDIRECT
from tests.builders.smart import app as registered

Allow = Callable[[Account, str], Awaitable[tuple[dict[str, Any], Callable[[], Awaitable[Any]]]]]


@pytest.fixture
def allow(world: World, browser: Browser, ask: Ask) -> Allow:
    """Log in, allow, and get tokens: the token response, and what refreshes them."""

    async def allowed(account: Account, scope: str) -> tuple[dict[str, Any], Callable[[], Awaitable[Any]]]:
        client, _ = await registered(world)
        verifier = secrets.token_urlsafe(48)
        asked = await ask(scope, client=client, code_challenge=create_s256_code_challenge(verifier))
        page = await browser.log_in(await browser.get(f"/auth/login?request={asked.id}"), account.username, PASSWORD)
        code = sent_back(await browser.submit(page, "consent", decision="allow"))["code"]
        form = {"code": code, "redirect_uri": REDIRECT, "code_verifier": verifier, "client_id": client.id}
        answer = await browser.http.post("/auth/token", data={"grant_type": "authorization_code", **form})
        assert answer.status_code == 200, answer.text
        held = answer.json()

        async def refresh() -> Any:
            form = {"refresh_token": held["refresh_token"], "client_id": client.id}
            renewed = await browser.http.post("/auth/token", data={"grant_type": "refresh_token", **form})
            held.update(renewed.json() if renewed.status_code == 200 else {})
            return renewed

        return held, refresh

    return allowed


async def test_online_access_ends_with_the_login_and_offline_access_does_not(
    world: World, clinic: People, browser: Browser, allow: Allow
) -> None:
    for scope, after in (("online_access", 400), ("offline_access", 200)):
        account = await clinic.account()
        held, refresh = await allow(account, f"launch/patient patient/Appointment.rs {scope}")
        assert (await refresh()).status_code == 200
        assert (await tokens.caller_of(world, held["access_token"])).patient == account.fhir_user
        await browser.submit(await browser.get("/auth/logout"), "logout")
        assert (await refresh()).status_code == after, scope
        if after == 400:
            with pytest.raises(InvalidToken):
                await tokens.caller_of(world, held["access_token"])
        else:
            assert (await tokens.caller_of(world, held["access_token"])).subject == account.id


async def test_online_access_ends_when_the_login_is_idle(world: World, clinic: People, allow: Allow) -> None:
    account = await clinic.account()
    _, refresh = await allow(account, "launch/patient patient/Appointment.rs online_access")
    await world.store.connection.collection("sessions").update_one(
        {"account": account.id}, {"$set": {"idle": world.now()}}
    )
    assert (await refresh()).status_code == 400


@pytest.mark.parametrize("how", ["disabled", "another password", "app revoked"])
async def test_tokens_end_with_the_next_request(
    world: World, clinic: People, browser: Browser, allow: Allow, how: str
) -> None:
    account = await clinic.account()
    scope = "online_access" if how == "another password" else "offline_access"
    held, refresh = await allow(account, f"launch/patient patient/Appointment.rs {scope}")
    await tokens.caller_of(world, held["access_token"])
    if how == "disabled":
        await accounts.disable(world, account.id)
    elif how == "another password":
        await accounts.set_password(world, account.id, "another long password")
    else:
        page = await browser.get("/auth/apps")
        grant = page.text.partition('name="grant" value="')[2].partition('"')[0]
        await browser.submit(page, "apps", grant=grant)
    with pytest.raises(InvalidToken):
        await tokens.caller_of(world, held["access_token"])
    assert (await refresh()).status_code == 400

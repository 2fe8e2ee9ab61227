"""Logging in: what an attacker tries, and what idle or disabled people see."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from argon2 import PasswordHasher

from fhir_server.access.caller import Role
from fhir_server.app import Server
from fhir_server.services.authorization import accounts, passwords, second_factor, sessions
from fhir_server.services.world import World
from fhir_server.smart.pages import login
from fhir_server.smart.pages.router import PAGES
from fhir_server.smart.pages.visit import Visit
from tests.builders.asking import Ask
from tests.builders.browser import Browser, forms
from tests.builders.people import PASSWORD, People


def cookie(browser: Browser) -> str:
    return browser.http.cookies.get("fhir-login", "")


async def test_a_login_without_a_request_leads_to_my_apps(clinic: People, browser: Browser) -> None:
    account = await clinic.account()
    page = await browser.log_in(await browser.get("/auth/login"), account.username, PASSWORD)
    assert page.url.path == "/auth/apps"
    assert "No app has access through you" in page.text


async def test_a_refusal_tells_nothing_about_what_was_wrong(clinic: People, browser: Browser, world: World) -> None:
    account, disabled = await clinic.account(), await clinic.account()
    await accounts.disable(world, disabled.id)
    said = set()
    for username, password in (
        (account.username, "wrong password"), ("nobody at all", PASSWORD), (disabled.username, PASSWORD),
    ):  # fmt: skip
        page = await browser.log_in(await browser.get("/auth/login"), username, password)
        assert page.status_code == 400
        said.add(page.text.replace(username, "").replace(forms(page)[0].fields[0][1], ""))
    assert len(said) == 1
    assert "do not match an account" in said.pop()


async def test_a_new_session_at_every_step_so_that_none_can_be_planted(
    clinic: People, browser: Browser, world: World
) -> None:
    desk = await clinic.account(Role.FRONT_DESK)
    page = await browser.get("/auth/login")
    first = cookie(browser)
    page = await browser.log_in(page, desk.username, PASSWORD)
    second = cookie(browser)
    await clinic.second_factor(browser, page)
    third = cookie(browser)
    assert len({first, second, third}) == 3
    for planted in (first, second):
        assert await sessions.use(world, planted[2:]) is None
    assert await sessions.use(world, third[2:]) is not None


async def test_a_cookie_that_somebody_planted_is_not_logged_in(clinic: People, app: Server) -> None:
    """The attacker's browser and the victim's hold the same cookie; the victim logs in."""
    attacker, victim = Browser(app), Browser(app)
    page = await attacker.get("/auth/login")
    victim.http.cookies.set("fhir-login", cookie(attacker), domain="fhir.test", path="/")
    account = await clinic.account()
    assert (await victim.log_in(page, account.username, PASSWORD)).url.path == "/auth/apps"
    assert (await attacker.get("/auth/apps")).url.path == "/auth/login"


@pytest.mark.parametrize("name", PAGES)
async def test_a_form_from_elsewhere_is_refused(clinic: People, app: Server, name: str) -> None:
    account = await clinic.account()
    own, other = Browser(app), Browser(app)
    await own.log_in(await own.get("/auth/login"), account.username, PASSWORD)
    foreign = forms(await other.get("/auth/login"))[0].fields
    for fields in ([("request", "")], [("csrf", "")], [("csrf", "x" * 64)], foreign):
        assert (await own.post(f"/auth/{name}", fields)).status_code == 403
    assert (await own.get("/auth/apps")).url.path == "/auth/apps", "nothing happened"
    assert (await Browser(app).post(f"/auth/{name}", foreign)).status_code == 403, "without a cookie"


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b'{"username": {"$gt": ""}, "password": {"$gt": ""}}', "application/json", 415),
        (b"csrf=" + b"x" * 70_000, "application/x-www-form-urlencoded", 413),
        (b"csrf=\xff\xfe", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"a=b" for _ in range(600)), "application/x-www-form-urlencoded", 400),
    ],
)
async def test_only_forms_are_read(browser: Browser, body: bytes, kind: str, status: int) -> None:
    answer = await browser.http.post("/auth/login", content=body, headers={"Content-Type": kind})
    assert answer.status_code == status


async def test_operators_of_the_database_are_words_here(clinic: People, browser: Browser) -> None:
    page = await browser.get("/auth/login")
    fields = [*forms(page)[0].fields[:1], ("username[$ne]", "x"), ("password[$ne]", "x")]
    assert (await browser.post("/auth/login", fields)).status_code == 400
    again = await browser.log_in(page, '{"$gt": ""}', '{"$gt": ""}')
    assert again.status_code == 400


async def test_attempts_for_a_username_are_limited_where_they_come_from(clinic: People, app: Server) -> None:
    account = await clinic.account()
    attacker, person = Browser(app), Browser(app)
    page = await attacker.get("/auth/login")
    answers = [await attacker.log_in(page, account.username, "wrong password") for _ in range(12)]
    assert [one.status_code for one in answers] == [400] * 10 + [429] * 2
    assert int(answers[-1].headers["retry-after"]) > 0
    assert "Too many attempts" in answers[-1].text
    right = await attacker.log_in(page, account.username, PASSWORD)
    assert right.status_code == 429, "also with the right password"
    page = await person.log_in(await person.get("/auth/login"), account.username, PASSWORD)
    assert page.url.path == "/auth/apps", "nobody is locked out by somebody elsewhere"


async def test_failures_for_a_username_are_limited_from_wherever_they_come(
    clinic: People, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(login.LIMITS, "failures", "3/hour")
    monkeypatch.setattr(Visit, "address", property(lambda _: secrets.token_hex(8)))
    account, other = await clinic.account(), await clinic.account()
    for _ in range(4):
        page = await browser.log_in(await browser.get("/auth/login"), account.username, PASSWORD)
        assert page.url.path == "/auth/apps", "what succeeds is not counted"
        page = await browser.submit(await browser.get("/auth/logout"), "logout")
    page = await browser.get("/auth/login")
    answers = [await browser.log_in(page, account.username.upper(), "wrong password") for _ in range(5)]
    assert [one.status_code for one in answers] == [400] * 3 + [429] * 2
    assert (await browser.log_in(page, account.username, PASSWORD)).status_code == 429
    assert (await browser.log_in(page, other.username, PASSWORD)).url.path == "/auth/apps"


async def test_a_thousand_attempts_of_one_address_are_refused_without_work(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    passwords._nobody.cache_clear()
    monkeypatch.setattr(passwords, "HASHER", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    page = await browser.get("/auth/login")
    form = forms(page)[0]
    statuses = []
    for number in range(1000):
        fields = [*form.fields[:1], ("username", f"user{number}"), ("password", "x" * 300)]
        statuses.append((await browser.post("/auth/login", fields)).status_code)
    passwords._nobody.cache_clear()
    assert statuses == [400] * 200 + [429] * 800


async def test_codes_are_limited_and_none_is_good_twice(clinic: People, app: Server, world: World) -> None:
    desk = await clinic.account(Role.FRONT_DESK)
    secret = await second_factor.offer(world, desk)
    step = world.now() // 30
    used = second_factor.code_at(secret, step)
    assert await second_factor.enroll(world, desk, used)
    browser = Browser(app)
    page = await browser.log_in(await browser.get("/auth/login"), desk.username, PASSWORD)
    assert page.url.path == "/auth/second-factor"
    replayed = await browser.submit(page, "second-factor", code=used)
    assert replayed.status_code == 400
    assert "used already" in replayed.text
    assert secret not in page.text
    page = await browser.submit(page, "second-factor", code=second_factor.code_at(secret, step + 1))
    assert page.url.path == "/auth/apps"
    thief = Browser(app)
    page = await thief.log_in(await thief.get("/auth/login"), desk.username, PASSWORD)
    statuses = [(await thief.submit(page, "second-factor", code="000000")).status_code for _ in range(12)]
    assert statuses == [400] * 8 + [429] * 4


async def test_a_recovery_code_logs_in_once(clinic: People, app: Server, world: World) -> None:
    desk = await clinic.account(Role.FRONT_DESK)
    secret = await second_factor.offer(world, desk)
    codes = await second_factor.enroll(world, desk, second_factor.code_at(secret, world.now() // 30))
    for status in (200, 400):
        browser = Browser(app)
        page = await browser.log_in(await browser.get("/auth/login"), desk.username, PASSWORD)
        assert (await browser.submit(page, "second-factor", code=codes[0])).status_code == status


async def test_a_patient_can_set_one_time_codes_up(clinic: People, browser: Browser) -> None:
    account = await clinic.account()
    page = await browser.log_in(await browser.get("/auth/login"), account.username, PASSWORD)
    assert "/auth/second-factor" in page.text
    page = await clinic.second_factor(browser, await browser.get("/auth/second-factor"))
    assert page.url.path == "/auth/apps"
    assert "/auth/second-factor" not in page.text


async def test_who_did_nothing_for_a_while_is_told_so(clinic: People, browser: Browser, world: World, ask: Ask) -> None:
    account, asked = await clinic.account(), await ask()
    page = await browser.log_in(await browser.get(f"/auth/login?request={asked.id}"), account.username, PASSWORD)
    await world.store.connection.collection("sessions").update_one(
        {"account": account.id}, {"$set": {"idle": world.now()}}
    )
    page = await browser.submit(page, "consent", decision="allow")
    assert page.url.path == "/auth/login"
    assert "did nothing for a while" in page.text
    assert (await browser.log_in(page, account.username, PASSWORD)).url.path == "/auth/consent"


async def test_a_disabled_account_ends_in_the_middle_of_a_consent(
    clinic: People, browser: Browser, world: World, ask: Ask
) -> None:
    account, asked = await clinic.account(), await ask()
    page = await browser.log_in(await browser.get(f"/auth/login?request={asked.id}"), account.username, PASSWORD)
    await world.store.connection.collection("accounts").update_one({"_id": account.id}, {"$set": {"disabled": True}})
    page = await browser.submit(page, "consent", decision="allow")
    assert page.url.path == "/auth/login"
    assert (await browser.log_in(page, account.username, PASSWORD)).status_code == 400


async def test_logging_out_is_asked_and_ends_the_session(clinic: People, browser: Browser, world: World) -> None:
    account = await clinic.account()
    await browser.log_in(await browser.get("/auth/login"), account.username, PASSWORD)
    held = cookie(browser)
    page = await browser.get("/auth/logout")
    assert await sessions.use(world, held[2:]) is not None, "a link elsewhere logs nobody out"
    page = await browser.submit(page, "logout")
    assert "You are logged out" in page.text
    assert await sessions.use(world, held[2:]) is None
    assert "for a while" not in (await browser.get("/auth/login")).text


async def test_somebody_else_can_go_on_with_a_request(clinic: People, browser: Browser, ask: Ask) -> None:
    first, second, asked = await clinic.account(), await clinic.account(), await ask()
    page = await browser.log_in(await browser.get(f"/auth/login?request={asked.id}"), first.username, PASSWORD)
    page = await browser.submit(page, "logout")
    assert page.url.path == "/auth/login"
    page = await browser.log_in(page, second.username, PASSWORD)
    assert page.url.path == "/auth/consent"


PLAIN = "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"


async def test_every_page_says_what_a_browser_may_do_with_it(clinic: People, browser: Browser, ask: Ask) -> None:
    account, asked = await clinic.account(), await ask()
    seen: list[Any] = [await browser.get("/auth/login"), await browser.get("/auth/login?request=nothing")]
    assert [one.headers["content-security-policy"] for one in seen] == [PLAIN, PLAIN]
    seen.append(await browser.get(f"/auth/login?request={asked.id}"))
    seen.append(await browser.log_in(seen[-1], account.username, PASSWORD))
    for one in seen[2:]:
        assert one.headers["content-security-policy"] == PLAIN.replace(
            "'self'; frame", "'self' https://app.example; frame"
        )
    seen += [await browser.get(f"/auth/{name}") for name in ("apps", "logout", "second-factor")]
    for one in seen:
        assert one.headers["x-frame-options"] == "DENY"
        assert one.headers["referrer-policy"] == "no-referrer"
        assert one.headers["cache-control"] == "no-store"
        assert one.headers["x-content-type-options"] == "nosniff"
        assert "strict-transport-security" not in one.headers, "this server is asked by http"
        assert "<script" not in one.text
        assert '<html lang="en">' in one.text
    style = await browser.http.get("/auth/static/style.css")
    assert style.headers["content-type"].startswith("text/css")


async def test_texts_of_others_are_texts(clinic: People, browser: Browser, ask: Ask, world: World) -> None:
    nasty = '"><script>alert(1)</script>'
    patient = await clinic.put("Patient", "nasty", name=[{"text": nasty}])
    account = await clinic.account(Role.PATIENT, patient)
    await accounts.change(world, account.id, name=nasty)
    asked = await ask()
    page = await browser.log_in(await browser.get(f"/auth/login?request={asked.id}"), nasty, "wrong")
    assert "<script" not in page.text
    page = await browser.log_in(page, account.username, PASSWORD)
    assert "alert(1)" in page.text
    assert "<script" not in page.text

"""The pages in a real browser, at a desk and on a phone, with the keyboard alone."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from typing import Any, Literal
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser as Chromium
from playwright.async_api import Page

from fhir_server.access.caller import Role
from fhir_server.remote.http import httpx
from fhir_server.services.authorization import second_factor
from fhir_server.services.world import World
from tests.browser.conftest import Catcher
from tests.builders.people import PASSWORD, People
from tests.builders.screens import OUTLINE, check
from tests.builders.smart import app as registered

VERIFIER = "v" * 43
SIZES = {"desk": (1280, 800), "phone": (375, 700)}
SCOPE = (
    "openid fhirUser launch/patient offline_access patient/Appointment.cruds patient/Patient.r patient/Slot.rs "
    "patient/Encounter.rs?status=planned,finished"
)


@pytest_asyncio.fixture(loop_scope="session", params=SIZES)
async def page(request: pytest.FixtureRequest, chromium: Chromium) -> AsyncIterator[Page]:
    """A page of a new browser window; what it complains of fails the test."""
    width, height = SIZES[request.param]
    context = await chromium.new_context(viewport={"width": width, "height": height})
    made = await context.new_page()
    complaints: list[str] = []
    made.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
    yield made
    await context.close()
    assert [one for one in complaints if "favicon" not in one and "status of 4" not in one] == []


class App:
    """An app that this test plays."""

    def __init__(self, world: World, root: str, catcher: Catcher, client: str) -> None:
        self.world, self.root, self.catcher, self.client = world, root, catcher, client

    def question(self, **more: str) -> str:
        """The URL at which the app sends a person to us."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
        said = {
            "response_type": "code", "client_id": self.client, "redirect_uri": self.catcher.uri, "scope": SCOPE,
            "state": "of the app", "aud": f"{self.root}/fhir", "code_challenge": challenge,
            "code_challenge_method": "S256", **more,
        }  # fmt: skip
        return f"{self.root}/auth/authorize?{urlencode(said)}"

    async def heard(self, page: Page) -> dict[str, str]:
        """The answer with which the browser came back."""
        await page.wait_for_url(f"{self.catcher.uri}*")
        return {name: values[0] for name, values in parse_qs(urlsplit(self.catcher.heard[-1]).query).items()}

    def token(self, code: str) -> dict[str, Any]:
        """What the app gets for a code."""
        said = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": self.catcher.uri,
            "client_id": self.client, "code_verifier": VERIFIER,
        }  # fmt: skip
        answer = httpx.post(f"{self.root}/auth/token", data=said, trust_env=False)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@pytest_asyncio.fixture(loop_scope="session")
async def my_app(world: World, root: str, catcher: Catcher) -> App:
    client, _ = await registered(world, name="Calendar of Tomorrow", redirect_uris=(catcher.uri,))
    return App(world, root, catcher, client.id)


async def follow(page: Page, role: Literal["button", "link"], name: str) -> None:
    """Click, and wait for the page to which it leads: what is looked at next is not the one before."""
    async with page.expect_navigation():
        await page.get_by_role(role, name=name).click()


async def log_in(page: Page, username: str) -> None:
    await page.get_by_label("Username").fill(username)
    await page.get_by_label("Password").fill(PASSWORD)
    await follow(page, "button", "Log in")


async def tab_to(page: Page, text: str) -> None:
    """Press Tab until what has that text or label has the focus, and see that it shows."""
    for _ in range(40):
        await page.keyboard.press("Tab")
        found = await page.evaluate(
            "() => { const one = document.activeElement;"
            " return [one.innerText || '', ...[...(one.labels || [])].map(each => each.innerText)].join(' '); }"
        )
        if text in found:
            assert await page.evaluate(OUTLINE) >= 2, f"{text} does not show its focus"
            return
    pytest.fail(f"no Tab leads to {text}")


async def test_a_parent_with_the_keyboard_alone(page: Page, my_app: App, clinic: People) -> None:
    child, own = await clinic.patient("child", birth="2016-05-06"), await clinic.patient("own")
    account = await clinic.account(Role.PATIENT, own, persons=[await clinic.parent("parent", child)])
    await page.goto(my_app.question())
    await check(page, "login")
    await page.keyboard.type(account.username)
    await page.keyboard.press("Tab")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/auth/patient*")
    await check(page, "patient")
    await tab_to(page, clinic.id("child"))
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/auth/consent*")
    await check(page, "consent")
    await tab_to(page, "personal details")
    await page.keyboard.press("Space")
    await tab_to(page, "Allow")
    await page.keyboard.press("Enter")
    answer = await my_app.heard(page)
    assert answer["state"] == "of the app"
    token = my_app.token(answer["code"])
    assert token["patient"] == child.removeprefix("Patient/")
    assert "patient/Appointment.cruds" in token["scope"]
    assert "patient/Patient.r" not in token["scope"]
    await page.goto(f"{my_app.root}/auth/apps")
    await check(page, "apps")
    await tab_to(page, "Take back access")
    await page.keyboard.press("Enter")
    await page.get_by_text("The access was taken back.").wait_for()
    await check(page, "apps-none")


async def test_deny(page: Page, my_app: App, clinic: People) -> None:
    account = await clinic.account()
    await page.goto(my_app.question())
    await log_in(page, account.username)
    await page.get_by_role("button", name="Deny").click()
    assert (await my_app.heard(page))["error"] == "access_denied"


async def test_what_went_wrong_is_said_and_linked(page: Page, my_app: App, clinic: People) -> None:
    account = await clinic.account()
    await page.goto(my_app.question())
    await page.get_by_label("Username").fill(account.username)
    await page.get_by_label("Password").fill("wrong password")
    await page.get_by_role("button", name="Log in").click()
    alert = page.get_by_role("alert")
    await alert.wait_for()
    await check(page, "login-wrong")
    await alert.get_by_role("link").click()
    assert await page.evaluate("() => document.activeElement.id") == "username"
    assert await page.get_by_label("Username").get_attribute("aria-describedby") == "fault"
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    for box in await page.get_by_role("checkbox").all():
        await box.uncheck()
    await page.get_by_role("button", name="Allow").click()
    await page.get_by_role("alert").wait_for()
    await check(page, "consent-wrong")


async def test_staff_find_a_patient(page: Page, my_app: App, clinic: People) -> None:
    desk = await clinic.account(Role.FRONT_DESK)
    for number in range(3):
        await clinic.patient(f"visitor{number}", managingOrganization={"reference": clinic.clinic})
    await page.goto(my_app.question())
    await log_in(page, desk.username)
    await check(page, "seek")
    await page.get_by_role("button", name="Find").click()
    await page.get_by_role("alert").wait_for()
    await page.get_by_label("Name").fill(f"Ana {clinic.tag}")
    await page.get_by_label("Birth date").fill("1980-02-03")
    await page.get_by_role("button", name="Find").click()
    await page.get_by_role("button", name=clinic.id("visitor1")).wait_for()
    await check(page, "found")
    await page.get_by_role("button", name=clinic.id("visitor1")).click()
    await page.get_by_role("button", name="Allow").click()
    token = my_app.token((await my_app.heard(page))["code"])
    assert token["patient"] == clinic.id("visitor1")


async def test_one_time_codes_are_set_up_and_asked_for(page: Page, my_app: App, clinic: People) -> None:
    account = await clinic.account()
    await page.goto(f"{my_app.root}/auth/login")
    await log_in(page, account.username)
    await follow(page, "link", "Set up one-time codes")
    await check(page, "enrol")
    secret = re.sub(r"\s", "", await page.locator("code.key").inner_text())
    step = my_app.world.now() // second_factor.STEP_SECONDS
    await page.get_by_label("Code").fill(second_factor.code_at(secret, step))
    await page.get_by_role("button", name="Continue").click()
    await page.get_by_text("Keep your recovery codes").wait_for()
    await check(page, "recovery")
    await follow(page, "link", "Continue")
    await follow(page, "link", "Log out")
    await check(page, "logout")
    await follow(page, "button", "Log out")
    await check(page, "logged-out")
    await follow(page, "link", "Log in")
    await log_in(page, account.username)
    await check(page, "code")
    await page.get_by_label("Code").fill(second_factor.code_at(secret, step + 1))
    await page.get_by_role("button", name="Continue").click()
    await page.wait_for_url("**/auth/apps")


async def test_an_ended_request_is_a_page(page: Page, my_app: App) -> None:
    await page.goto(f"{my_app.root}/auth/consent?request=nothing")
    await check(page, "error")

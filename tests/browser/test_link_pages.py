"""The pages of links in messages in a real browser, at a desk and on a phone, with the keyboard alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser as Chromium
from playwright.async_api import Page

from fhir_server.app import Server
from fhir_server.services.reminders import links
from fhir_server.services.world import World
from tests.builders.messages import Practice
from tests.builders.screens import OUTLINE, check

SIZES = {"desk": (1280, 800), "phone": (375, 700)}


@dataclass
class Mail:
    """Whoever got a message about an appointment."""

    practice: Practice
    world: World
    root: str
    booked: dict[str, Any]

    async def link(self, act: str) -> str:
        start = int(datetime.fromisoformat(self.booked["start"]).timestamp())
        about = links.About(f"mail-{act}", self.booked["id"], f"Patient/{self.practice.id('pat')}", start)
        url = await links.make(self.world, about, act, start)
        return url.replace(self.world.settings.issuer, self.root)

    async def now(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.practice.client.get(f"Appointment/{self.booked['id']}")).json()
        return found


@pytest_asyncio.fixture(loop_scope="session")
async def mail(client: Any, app: Server, world: World, root: str) -> Mail:
    practice = await Practice(client, app=app).opened()
    await practice.person(communication=[{"language": {"coding": [{"code": "en"}]}}])
    return Mail(practice, world, root, await practice.booked("14:00", day=4))


@pytest_asyncio.fixture(loop_scope="session", params=SIZES)
async def page(request: pytest.FixtureRequest, chromium: Chromium) -> AsyncIterator[Page]:
    width, height = SIZES[request.param]
    context = await chromium.new_context(viewport={"width": width, "height": height}, java_script_enabled=True)
    made = await context.new_page()
    complaints: list[str] = []
    made.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
    yield made
    await context.close()
    assert [one for one in complaints if "favicon" not in one and "status of 4" not in one] == []


async def _heading(page: Page) -> str:
    return await page.locator("h1").inner_text()


async def _comes(page: Page, heading: str) -> None:
    """The page with this heading is there, within what a browser waits for."""
    await page.get_by_role("heading", name=heading, level=1).wait_for()


async def test_confirm_with_the_keyboard(mail: Mail, page: Page) -> None:
    await page.goto(await mail.link("confirm"))
    assert await _heading(page) == "Will you come?"
    assert "Main Street Practice" in await page.inner_text("main")
    await check(page, "link-confirm")
    await page.keyboard.press("Tab")
    assert await page.evaluate(OUTLINE) >= 2
    await page.keyboard.press("Enter")
    await _comes(page, "Thank you")
    await check(page, "link-confirmed")
    await page.reload()
    assert await page.locator("button").count() == 0
    people = {one["actor"]["reference"].partition("/")[0]: one["status"] for one in (await mail.now())["participant"]}
    assert people["Patient"] == "accepted"


async def test_another_time_with_the_keyboard(mail: Mail, page: Page) -> None:
    await page.goto(await mail.link("reschedule"))
    assert await _heading(page) == "Choose another time"
    await check(page, "link-reschedule")
    day = await page.locator("nav a").nth(1).inner_text()
    await page.locator("nav a").nth(1).focus()
    await page.keyboard.press("Enter")
    await page.locator("nav a[aria-current]", has_text=day).wait_for()
    await page.locator("button").click()
    await page.locator("[role=alert]").wait_for()
    assert "Choose one of the times." in await page.locator("[role=alert]").inner_text()
    await check(page, "link-reschedule-fault")
    await page.locator("[role=alert] a").click()
    await page.keyboard.press("Space")
    await page.keyboard.press("ArrowDown")
    assert await page.locator("input:checked").count() == 1
    await page.locator("button").focus()
    await page.keyboard.press("Enter")
    await _comes(page, "Moved")
    await check(page, "link-moved")
    assert (await mail.now())["start"] != mail.booked["start"]


async def test_cancel_and_what_is_over(mail: Mail, page: Page) -> None:
    cancel, confirm = await mail.link("cancel"), await mail.link("confirm")
    await page.goto(cancel)
    await check(page, "link-cancel")
    await page.locator("button").click()
    await _comes(page, "Cancelled")
    await page.go_back()
    assert await _heading(page) == "Cancelled", "it says what was done"
    assert await page.locator("button").count() == 0
    await page.goto(confirm)
    assert await _heading(page) == "This link is no longer valid"
    await check(page, "link-over")
    assert (await mail.now())["status"] == "cancelled"

"""Development's outbox: what was sent is shown, and answered there as the person who got it would."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from fastapi import FastAPI

from fhir_server.app import Server
from fhir_server.remote.http import httpx
from fhir_server.remote.kept import keep
from fhir_server.smart.outbox import router
from tests.builders.clinic import part
from tests.builders.messages import Practice, rule

HINT = "Key that is pressed"


@pytest_asyncio.fixture(loop_scope="session")
async def browser(app: Server, tmp_path: Path) -> AsyncIterator[Any]:
    """Of a developer: the pages of ``tmp_path``."""
    pages = FastAPI()
    pages.include_router(router(app.door, str(tmp_path)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=pages), base_url="http://dev.test") as made:
        yield made


async def _asked(practice: Practice, folder: Path, medium: str) -> tuple[dict[str, Any], str]:
    """An appointment whose patient was asked whether they come, and the page where that is answered."""
    await practice.opened(rule("confirmation-request", 3, "d", medium), part("notices", "Boolean", False))
    await practice.person()
    booked = await practice.booked("14:00", day=10)
    await practice.until(practice.at("14:01", 7))
    (sent,) = practice.sent(medium)
    keep(folder, medium, asdict(sent), 1_790_000_000_000)
    return booked, f"/dev/outbox/answer?message={sent.id}"


async def _status(practice: Practice, booked: dict[str, Any]) -> tuple[str, str]:
    found = (await practice.client.get(f"Appointment/{booked['id']}")).json()
    mine = next(one for one in found["participant"] if one["actor"]["reference"].startswith("Patient/"))
    return found["status"], mine["status"]


async def test_a_text_is_answered(practice: Practice, browser: Any, tmp_path: Path) -> None:
    booked, path = await _asked(practice, tmp_path, "sms")
    shown = await browser.get("/dev/outbox")
    assert f'<a href="{path}">Answer</a>' in shown.text
    assert 'http-equiv="refresh"' in shown.text
    page = await browser.get(path)
    assert practice.number in page.text
    assert 'http-equiv="refresh"' not in page.text, "who types is not interrupted"
    assert "What comes back" not in page.text
    assert "thank you" in (await browser.post(path, data={"said": "yes"})).text
    assert await _status(practice, booked) == ("booked", "accepted")
    assert "cancelled" in (await browser.post(path, data={"said": "CANCEL"})).text
    assert await _status(practice, booked) == ("cancelled", "declined")


async def test_a_key_is_pressed(practice: Practice, browser: Any, tmp_path: Path) -> None:
    booked, path = await _asked(practice, tmp_path, "voice")
    for number in range(300):
        keep(tmp_path, "email", {"id": str(number), "to": "a@example.org"}, 1_790_000_000_001 + number)
    assert path not in (await browser.get("/dev/outbox")).text, "the list shows the last ones"
    assert HINT in (await browser.get(path)).text
    again = (await browser.post(path, data={"said": "9"})).text
    assert "press 1" in again
    assert 'name="again" value="1"' in again
    assert "Goodbye" in (await browser.post(path, data={"said": "9", "again": "1"})).text
    assert await _status(practice, booked) == ("booked", "needs-action")
    assert "confirmed" in (await browser.post(path, data={"said": "1"})).text
    assert await _status(practice, booked) == ("booked", "accepted")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_no_other_site_answers(practice: Practice, browser: Any, tmp_path: Path, site: str) -> None:
    booked, path = await _asked(practice, tmp_path, "sms")
    answer = await browser.post(path, data={"said": "CANCEL"}, headers={"Sec-Fetch-Site": site})
    assert answer.status_code == 403
    assert await _status(practice, booked) == ("booked", "needs-action")


async def test_what_is_no_text_and_no_call_is_not_answered(browser: Any, tmp_path: Path) -> None:
    keep(tmp_path, "email", {"id": "m", "to": "a@example.org", "subject": "<b>", "text": "see https://x.example/a"}, 1)
    shown = (await browser.get("/dev/outbox")).text
    assert "&lt;b&gt;" in shown
    assert '<a href="https://x.example/a">' in shown
    assert ">Answer<" not in shown
    for message in ("m", "none", ""):
        assert (await browser.get(f"/dev/outbox/answer?message={message}")).status_code == 404
        assert (await browser.post(f"/dev/outbox/answer?message={message}", data={"said": "C"})).status_code == 404

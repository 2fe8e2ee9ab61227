"""Checking in by a link: nothing is shown, the birth date is asked, it works once and not for long."""

from __future__ import annotations

import asyncio
import html
import re
from typing import Any
from urllib.parse import urlsplit

import pytest

from fhir_server.remote.http import httpx
from tests.attendance.house import House
from tests.builders.answers import refused


async def _link(house: House, id_: str, caller: str = "desk", **arguments: Any) -> str:
    answer = await house.act(caller, id_, "$checkin-link", **arguments)
    assert answer.status_code == 200, answer.text
    assert answer.headers["expires"].endswith("GMT")
    (said,) = answer.json()["parameter"]
    url: str = urlsplit(said["valueUrl"]).path
    assert url.startswith("/checkin/")
    return url


def _browser(house: House) -> Any:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=house.callers.app), base_url="http://fhir.test", timeout=30
    )


async def _submit(browser: Any, url: str, birth_date: str) -> Any:
    page = await browser.get(url)
    if page.status_code != 200:
        return page
    token = html.unescape(re.findall(r'name="csrf" value="([^"]+)"', page.text)[0])
    return await browser.post(url, data={"csrf": token, "birth_date": birth_date})


async def _ready(house: House) -> dict[str, Any]:
    await house.opened()
    visit: dict[str, Any] = await house.booked()
    house.clock.to(visit["start"], -10)
    return visit


async def test_a_patient_checks_in_by_link(house: House) -> None:
    visit = await _ready(house)
    url = await _link(house, visit["id"])
    async with _browser(house) as browser:
        page = await browser.get(url)
        assert page.status_code == 200
        said = page.text
        assert "<script" not in said
        for secret in (house.name, "Pat", "Doc", "1980", visit["id"], "09:00"):
            assert secret not in said.replace("1980-03-25</p>", ""), secret
        assert page.headers["referrer-policy"] == "no-referrer"
        done = await _submit(browser, url, "1980-03-25")
        assert done.status_code == 200, done.text
        assert "checked in" in done.text
        assert (await house.state(visit["id"]))[0] == "checked-in"
        assert (await browser.get(url)).status_code == 410
        assert (await _submit(browser, url, "1980-03-25")).status_code == 410


async def test_the_access_record_says_how(house: House) -> None:
    visit = await _ready(house)
    url = await _link(house, visit["id"])
    async with _browser(house) as browser:
        await _submit(browser, url, "1970-01-01")
        await _submit(browser, url, "1980-03-25")
    answer = await house.ask("pat", "GET", f"Patient/{house.id('pat')}/$access-report?_count=200")
    events = [one["resource"] for one in answer.json()["entry"] if one["search"]["mode"] == "match"]
    mine = [
        one for one in events if any(agent["who"].get("identifier", {}).get("value") == "checkin-link"
                                     for agent in one["agent"])
    ]  # fmt: skip
    assert sorted(one["outcome"] for one in mine) == ["0", "4"], mine


async def test_a_wrong_birth_date_is_asked_again_a_few_times(house: House) -> None:
    visit = await _ready(house)
    url = await _link(house, visit["id"])
    async with _browser(house) as browser:
        for _ in range(5):
            wrong = await _submit(browser, url, "1999-09-09")
            assert wrong.status_code == 422, wrong.text
            assert 'role="alert"' in wrong.text
            assert "1980-03-25" not in wrong.text.replace("for example 1980-03-25", "")
        assert (await _submit(browser, url, "1980-03-25")).status_code == 410
    assert (await house.state(visit["id"]))[0] == "booked"


async def test_a_link_ends(house: House) -> None:
    visit = await _ready(house)
    url = await _link(house, visit["id"])
    house.clock.to(visit["start"], 6)
    async with _browser(house) as browser:
        assert (await _submit(browser, url, "1980-03-25")).status_code == 410
        assert (await browser.get("/checkin/nothing")).status_code == 410
    assert (await house.state(visit["id"]))[0] == "booked"


@pytest.mark.parametrize("change", ["$cancel", "$reschedule"])
async def test_a_link_is_for_one_visit_as_it_was(house: House, change: str) -> None:
    visit = await _ready(house)
    url = await _link(house, visit["id"])
    arguments = {"start": ("DateTime", house.at("10:00"))} if change == "$reschedule" else {}
    assert (await house.act("desk", visit["id"], change, **arguments)).status_code == 200
    async with _browser(house) as browser:
        assert (await _submit(browser, url, "1980-03-25")).status_code == 410
    assert (await house.state(visit["id"]))[0] != "checked-in"


@pytest.mark.parametrize(("caller", "status"), [("pat", 403), ("other", 403), ("far", 404), ("system", 200)])
async def test_who_gives_out_links(house: House, caller: str, status: int) -> None:
    visit = await _ready(house)
    assert (await house.act(caller, visit["id"], "$checkin-link")).status_code == status


async def test_there_are_links_only_while_check_in_is_open(house: House) -> None:
    visit = await _ready(house)
    house.clock.to(visit["start"], -200)
    refused(await house.act("desk", visit["id"], "$checkin-link"), 422, "outside-window")
    house.clock.to(visit["start"])
    await house.act("desk", visit["id"], "$checkin")
    refused(await house.act("desk", visit["id"], "$checkin-link"), 422, "illegal-transition")


async def test_of_two_patients_one_is_named(house: House) -> None:
    await house.opened()
    body = house.appointment()
    body["participant"].append({"actor": house.ref("other"), "status": "accepted"})
    visit = (await house.ask("desk", "POST", "Appointment", body)).json()
    house.clock.to(visit["start"], -10)
    refused(await house.act("desk", visit["id"], "$checkin-link"), 400, "param-missing")
    await _link(house, visit["id"], patient=("Reference", house.ref("other")))


async def test_without_a_birth_date_the_desk_does_it(house: House) -> None:
    visit = await _ready(house)
    await house.put({"resourceType": "Patient", "id": house.id("pat"), "birthDate": "1980"})
    url = await _link(house, visit["id"], "system")
    async with _browser(house) as browser:
        answer = await _submit(browser, url, "1980")
        assert answer.status_code == 422
        assert "desk" in answer.text


async def test_two_browsers_check_in_once(house: House) -> None:
    visit = await _ready(house)
    urls = [await _link(house, visit["id"]) for _ in range(2)]
    async with _browser(house) as one, _browser(house) as two:
        told = await asyncio.gather(_submit(one, urls[0], "1980-03-25"), _submit(two, urls[1], "1980-03-25"))
    assert {each.status_code for each in told} == {200}
    assert (await house.read(f"Appointment/{visit['id']}"))["meta"]["versionId"] == "2"


async def test_a_form_of_another_page_is_refused(house: House) -> None:
    visit = await _ready(house)
    url = await _link(house, visit["id"])
    async with _browser(house) as browser:
        answer = await browser.post(url, data={"birth_date": "1980-03-25"})
        assert answer.status_code == 403
    assert (await house.state(visit["id"]))[0] == "booked"

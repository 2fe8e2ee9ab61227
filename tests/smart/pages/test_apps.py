"""My apps: what was allowed, in words, and taken back at once."""

from __future__ import annotations

from fhir_server.services.authorization import grants
from fhir_server.services.world import World
from tests.builders.asking import Ask, granted, sent_back
from tests.builders.browser import Browser, forms
from tests.builders.people import PASSWORD, People


async def test_an_app_is_listed_and_its_access_taken_back(
    world: World, clinic: People, browser: Browser, ask: Ask
) -> None:
    account = await clinic.account()
    asked = await ask("launch/patient patient/Appointment.rs offline_access")
    page = await browser.log_in(await browser.get(f"/auth/login?request={asked.id}"), account.username, PASSWORD)
    sent_back(await browser.submit(page, "consent", decision="allow"))
    grant = await granted(world, account)
    await world.store.authorization.grants.used(grant.id, world.now(), 0)
    page = await browser.get("/auth/apps")
    for words in ("An app", "See your appointments", "Allowed since", "Last used", "when you are not logged in"):
        assert words in page.text
    before = await world.store.access_epoch.current()
    page = await browser.submit(page, "apps", grant=grant.id)
    assert "The access was taken back" in page.text
    assert "No app has access through you" in page.text
    assert await grants.apps_of(world, account.id) == []
    assert await world.store.access_epoch.current() != before


async def test_nobody_takes_back_what_others_allowed(world: World, clinic: People, browser: Browser, ask: Ask) -> None:
    owner, other = await clinic.account(), await clinic.account()
    asked = await ask()
    page = await browser.log_in(await browser.get(f"/auth/login?request={asked.id}"), owner.username, PASSWORD)
    sent_back(await browser.submit(page, "consent", decision="allow"))
    grant = await granted(world, owner)
    page = await browser.submit(await browser.get("/auth/logout"), "logout")
    page = await browser.log_in(await browser.get("/auth/login"), other.username, PASSWORD)
    csrf = forms(await browser.get("/auth/logout"))[0].fields[0]
    await browser.post("/auth/apps", [csrf, ("grant", grant.id)])
    assert await world.store.authorization.grants.get(grant.id) is not None


async def test_the_access_report_is_linked_where_it_is(clinic: People, browser: Browser) -> None:
    account = await clinic.account()
    page = await browser.log_in(await browser.get("/auth/login"), account.username, PASSWORD)
    assert "/auth/access-report" in page.text
    report = await browser.http.get("/auth/access-report")
    assert report.status_code == 200
    assert "<h1>Access report</h1>" in report.text
    other = await browser.http.get("/auth/access-report?patient=Patient/somebody-else")
    assert other.status_code == 403

"""A process of the waitlist killed at each seam: the time is offered to one, once, and nothing of it is lost."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from fhir_server.services.rebuild import rebuild_calendar
from fhir_server.settings import Settings
from fhir_server.store import work
from tests.builders.persistence import until
from tests.builders.waiting import Waiting, outcomes
from tests.server import environment
from tests.waitlist.dying import SEAMS

AFTER_AN_OFFER = {"expired", "accepted"}
UNCOMMITTED = {"freed", "offered", "expired", "accepted"}


@pytest.mark.parametrize("seam", SEAMS)
async def test_killed_at(seam: str, clinic: Waiting, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    await clinic.patient("third")
    visit = await clinic.booked("09:00", "third")
    await clinic.follow()
    first, second = await clinic.joined("pat"), await clinic.joined("other")
    await clinic.follow()
    assert (await clinic.act(visit["id"], "$cancel")).status_code == 200
    if seam in AFTER_AN_OFFER:
        await clinic.follow()
    more = {"FHIR_CLOCK": "+31min"} if seam == "expired" else {}
    process = await asyncio.to_thread(
        subprocess.Popen,
        [sys.executable, "-m", "tests.waitlist.dying", seam, first["id"]], stdout=subprocess.PIPE,
        env=environment(settings, FHIR_ENVIRONMENT="development", FHIR_BASE_URL=settings.base_url, **more),
    )  # fmt: skip
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"here\n"
        process.kill()
        process.wait()
    committed = seam == "done" or seam in AFTER_AN_OFFER
    assert await clinic.states(first, second) == ["pending" if committed else "waitlist", "waitlist"]
    if seam in UNCOMMITTED:
        # The database ends what the dead left open after a minute; whoever is in its way ends it sooner.
        await until(lambda: clinic.world.store.connection.reap(0), within=5)
    monkeypatch.setattr(work, "LEASE_SECONDS", 0)
    monkeypatch.setattr(work, "RESEND_SECONDS", 0)
    await clinic.world.store.connection.collection(work.WORK).update_many({}, [{"$set": {"lease": "$$NOW"}}])
    await clinic.follow(31 if seam == "expired" else 0)
    if seam == "expired":
        assert await clinic.states(first, second) == ["waitlist", "pending"]
        assert [one for _, one in outcomes(await clinic.entry(first))] == ["expired"]
    else:
        assert await clinic.states(first, second) == ["pending", "waitlist"]
        offered = await clinic.entry(first)
        assert [one for _, one in outcomes(offered)] == ["open"]
        assert offered["meta"]["versionId"] == "2", "it was offered once"
        assert (await clinic.respond(first, "accepted")).status_code == 201
    assert "09:00" not in await clinic.free()
    assert (await rebuild_calendar(clinic.world, verify=True)).differences == []

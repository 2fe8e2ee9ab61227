"""Numbers without gaps, whoever dies and however many work at once (N3, N5, N6)."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from fhir_server.errors import Problem
from fhir_server.services.following.drain import tell
from fhir_server.services.following.performing import perform
from fhir_server.services.subscriptions.directory import Directory
from fhir_server.services.world import World
from fhir_server.settings import Settings
from fhir_server.store import work
from tests.builders.persistence import persistently
from tests.builders.subscriber import Subscriber
from tests.builders.visits import Visits
from tests.server import environment
from tests.subscriptions.dying import SEAMS


@pytest.mark.parametrize("seam", SEAMS)
async def test_killed_at(
    seam: str, emr: Subscriber, clinic: Visits, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At least once outside, with the same number; exactly once in our own state."""
    made = await emr.active()
    booked = await clinic.booked()
    process = await asyncio.to_thread(
        subprocess.Popen,
        [sys.executable, "-m", "tests.subscriptions.dying", seam], stdout=subprocess.PIPE,
        env=environment(settings, FHIR_ENVIRONMENT="development", FHIR_BASE_URL=settings.base_url),
    )  # fmt: skip
    assert process.stdout is not None
    with process.stdout:
        said = await asyncio.to_thread(process.stdout.readline)
        process.kill()
        process.wait()
    assert said == b"here\n"
    assert len(emr.told) == (seam in {"sent", "noted"})
    monkeypatch.setattr(work, "LEASE_SECONDS", 0)
    monkeypatch.setattr(work, "RESEND_SECONDS", 0)
    await emr.world.store.connection.collection(work.WORK).update_many({}, [{"$set": {"lease": "$$NOW"}}])
    await persistently(emr.settle)
    assert [one.numbers for one in emr.told] == [[1]] * (2 if seam == "sent" else 1)
    assert {one.bundle["id"] for one in emr.told} == {emr.told[0].bundle["id"]}
    assert emr.told[0].foci == [f"Appointment/{booked['id']}"]
    progress = await emr.world.store.subscriptions.get(made["id"])
    assert progress is not None
    assert (progress.n, progress.sent) == (1, 1)


async def test_four_at_once_leave_no_gap(emr: Subscriber, clinic: Visits, world: World) -> None:
    """N3: a hundred writes, four who relay and deliver."""
    made = await emr.active("appointment-changed", most=3)
    writing = True

    async def follow() -> None:
        mine = replace(world, subscribers=Directory())
        while True:
            last = not writing
            try:
                told = await tell(mine)
            except Problem:
                continue
            due = await mine.store.work.hand_out(mine.clock())
            for kind, key in due:
                await perform(mine, kind, key)
            if last and not told and not due:
                return
            await asyncio.sleep(0)

    async def write(number: int) -> None:
        appointment: dict[str, Any] = {"resourceType": "Appointment", "id": clinic.id(f"a{number}"),
            "status": "proposed", "participant": [{"actor": clinic.who(), "status": "needs-action"}]}  # fmt: skip
        for comment in ("one", "two", "three", "four"):
            answer = await emr.client.put(f"Appointment/{appointment['id']}", json={**appointment, "comment": comment})
            assert answer.status_code in {200, 201}, answer.text

    followers = [asyncio.create_task(follow()) for _ in range(4)]
    await asyncio.gather(*(write(number) for number in range(25)))
    writing = False
    await asyncio.gather(*followers)
    await emr.settle()
    numbers = [number for one in emr.told for number in one.numbers]
    assert sorted(set(numbers)) == list(range(1, 101))
    assert numbers == sorted(numbers)
    assert all(len(one.numbers) <= 3 for one in emr.told)
    assert (await emr.status(made["id"])).said("events-since-subscription-start") == "100"
    progress = await world.store.subscriptions.get(made["id"])
    assert progress is not None
    kept = await world.store.subscriptions.events(progress.line, 1, 1000)
    assert [one.number for one in kept] == list(range(1, 101))
    assert len({one.fact for one in kept}) == 100
    # Of each Appointment in the order of its versions.
    for number in range(25):
        versions = [one.version[2] for one in kept if one.version[1] == clinic.id(f"a{number}")]
        assert versions == [1, 2, 3, 4]

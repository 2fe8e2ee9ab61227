"""A process killed at each seam: what follows inside is there exactly once, what goes outside at least once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from fhir_server.services.following.drain import drain
from fhir_server.services.following.relay import STAGES, Stage
from fhir_server.services.following.table import FOLLOWERS, PERFORMERS
from fhir_server.services.world import World
from fhir_server.settings import Settings
from fhir_server.store import work
from tests.builders.clinic import Clinic
from tests.builders.persistence import persistently
from tests.following.dying import INSIDE, OUTSIDE, SEAMS, deeds
from tests.server import environment


@pytest.mark.parametrize("stage", STAGES, ids=lambda one: str(one.lease))
@pytest.mark.parametrize("seam", SEAMS)
async def test_killed_at(
    seam: str, stage: Stage, client: Any, world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await drain(world)
    connection = world.store.connection
    for name in (INSIDE, OUTSIDE):
        await connection.collection(name).delete_many({})
        await connection.create(name)
    ids = [(await Clinic(client).patient(f"p{number}")).partition("/")[2] for number in range(3)]
    facts = [f"Patient/{one}/0000000001" for one in ids]
    process = await asyncio.to_thread(
        subprocess.Popen,
        [sys.executable, "-m", "tests.following.dying", seam, stage.lease], stdout=subprocess.PIPE,
        env=environment(settings, FHIR_ENVIRONMENT="development", FHIR_BASE_URL=settings.base_url),
    )  # fmt: skip
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"here\n"
        process.kill()
        process.wait()
    monkeypatch.setattr(work, "LEASE_SECONDS", 0)
    monkeypatch.setattr(work, "RESEND_SECONDS", 0)
    await connection.collection(work.WORK).update_many({}, [{"$set": {"lease": "$$NOW"}}])
    with monkeypatch.context() as patched:
        patched.setitem(FOLLOWERS, "seam", None)  # taken away again at the end
        patched.setitem(PERFORMERS, "seam", None)
        deeds("", stage)
        await persistently(lambda: drain(world))
        inside = sorted([one["fact"] async for one in connection.collection(INSIDE).find()])
        assert inside == sorted(facts)
        times = {one["_id"]: one["times"] async for one in connection.collection(OUTSIDE).find()}
        assert sorted(times) == sorted(facts)
        assert sum(times.values()) == len(facts) + (seam == "done")
        assert not [key for key in facts if await world.store.work.planned("seam", key)]

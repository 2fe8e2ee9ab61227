"""Days of a clinic in some seconds, with processes that die in between; what must hold is read from the histories."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from fhir_server.bootstrap import open_world
from fhir_server.services.following.fact import Following
from fhir_server.services.following.table import FOLLOWERS, PERFORMERS
from fhir_server.services.rebuild import rebuild_calendar, rebuild_index
from fhir_server.services.waitlist import answer, offering
from fhir_server.services.world import World
from fhir_server.settings import Settings
from tests.waitlist.explained import Story
from tests.waitlist.simulation import Plan, Simulation


@pytest_asyncio.fixture(loop_scope="session")
async def empty(settings: Settings) -> AsyncIterator[World]:
    """A world with a database of its own."""
    own = settings.model_copy(update={"mongo_database": f"{settings.mongo_database}_{uuid.uuid4().hex[:6]}"})
    async with open_world(own) as opened:
        yield opened.world


async def _live(world: World, plan: Plan, patched: pytest.MonkeyPatch) -> tuple[Simulation, dict[str, int]]:
    days = Simulation.of(world, plan)
    patched.setitem(PERFORMERS, "message", days.hear)
    await days.open()
    waitlist = FOLLOWERS["waitlist"]
    patched.setitem(FOLLOWERS, "waitlist", Following(days.deadly(waitlist.follow), waitlist.types))
    for kind, performer in list(PERFORMERS.items()):
        patched.setitem(PERFORMERS, kind, days.deadly(performer))
    # Inside the transactions of an offer and of an answer, with all of it written and nothing committed.
    patched.setattr(offering, "tell", days.deadly(offering.tell))
    patched.setattr(answer, "unsay", _sometimes(days, answer.unsay))
    await days.run()
    story = await Story.read(days.world)
    counts = story.check()
    for verify in (rebuild_calendar, rebuild_index):
        report = await verify(days.world, verify=True)
        assert report.differences == []
    left = await world.store.work.counts(days.clock())
    assert {kind for kind, state in left if state in {"due", "running", "dead"}} == set()
    booked = {one.id for several in story.of.values() for one in several if one.status == "booked"}
    assert {(kind, id_) for kind, id_, _ in days.told if kind == "waitlist-offer"} >= {
        ("waitlist-offer", several[0].id) for several in story.entries if several[0].id in booked
    }, "who accepted was asked"
    return days, counts


def _sometimes(days: Simulation, act: Any) -> Any:
    """Dies only where the server itself acts: a patient's request that dies is one that the patient repeats."""

    async def done(world: World, *arguments: Any) -> None:
        await act(world, *arguments)
        if world.policy.caller is not days.world.policy.caller:
            days.dies()

    return done


async def test_some_days_of_a_small_clinic(empty: World, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(patients=30, providers=2, cancellations=35, days=2, deaths=0.05)
    days, counts = await _live(empty, plan, monkeypatch)
    assert days.deaths > 5
    assert days.cancelled == plan.cancellations
    assert counts["offers"] > 20
    assert days.answers["accepted"] > 5
    assert days.answers["declined"] > 2


@pytest.mark.soak
@pytest.mark.parametrize("seed", [1, 2])
async def test_weeks_of_a_clinic(empty: World, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    plan = Plan(patients=300, providers=5, cancellations=2000, days=7, seed=seed)
    days, counts = await _live(empty, plan, monkeypatch)
    assert days.deaths > 100
    assert days.cancelled == plan.cancellations
    assert sum(days.answers.values()) > 1000
    assert counts["offers"] > 1500

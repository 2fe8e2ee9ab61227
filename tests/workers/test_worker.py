"""Worker and beat as processes: what is written is told, what is due is done, whatever is killed or flushed."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import redis as redis_client
from typer.testing import CliRunner

from fhir_server.cli.main import app
from fhir_server.services.reminders.requests import REMINDER
from fhir_server.services.world import World
from fhir_server.settings import Settings
from tests.builders.clinic import Clinic
from tests.builders.persistence import until
from tests.workers.processes import running


async def _told(world: World) -> bool:
    return not await world.store.outbox.marked()


async def _plan(world: World, count: int, due: int | None = None) -> list[str]:
    """Facts that were set apart, of versions that do not exist: work that every worker can do."""
    keys = [f"Patient/{secrets.token_hex(6)}/0000000001" for _ in range(count)]
    for key in keys:
        about = {"type": "Patient", "id": key.split("/")[1], "version": 1}
        await world.store.work.plan(None, "follow", key, world.clock() if due is None else due, about)
    return keys


async def _done(world: World, keys: list[str]) -> bool:
    return not any([await world.store.work.planned("follow", key) for key in keys])


async def test_what_is_written_is_told_and_what_is_due_is_done(client: Any, world: World, settings: Settings) -> None:
    with running(settings, "worker"), running(settings, "beat"):
        await Clinic(client).patient()
        await until(lambda: _told(world), "the mark to go")
        keys = await _plan(world, 20)
        await until(lambda: _done(world, keys), "due work")
        later = await _plan(world, 1, world.clock() + 2500)
        assert not await _done(world, later)
        await until(lambda: _done(world, later), "a timer")


async def test_a_killed_worker_and_a_flushed_broker_lose_nothing(
    client: Any, world: World, settings: Settings, redis_url: str
) -> None:
    broker = redis_client.Redis.from_url(redis_url)
    with running(settings, "beat"):
        with running(settings, "worker") as first:
            await Clinic(client).patient()
            keys = await _plan(world, 200)
            await asyncio.sleep(0)
            first.kill()
        broker.flushall()
        more = [(await Clinic(client).patient(f"p{number}")).partition("/")[2] for number in range(10)]
        assert more
        with running(settings, "worker"):
            await until(lambda: _told(world), "the marks to go")
            broker.flushall()
            await until(lambda: _done(world, keys), "work that was under way")
    broker.close()


async def test_the_next_worker_leads_when_the_leader_is_killed(client: Any, world: World, settings: Settings) -> None:
    with running(settings, "worker") as first:
        await Clinic(client).patient()
        await until(lambda: _told(world), "the first to lead")
        with running(settings, "worker"):
            first.kill()
            first.wait()
            await Clinic(client).patient()
            await until(lambda: _told(world), "the second to lead")


async def test_what_people_are_sent_has_a_worker_of_its_own(client: Any, world: World, settings: Settings) -> None:
    with running(settings, "beat"), running(settings, "worker", "--only", "messages"):
        await world.store.work.plan(None, REMINDER, "nobody", world.clock())
        keys = await _plan(world, 1)
        await Clinic(client).patient()
        with running(settings, "worker", "--only", "events"):
            # It hands everything out; what is for people the other one takes.
            await until(lambda: _told(world), "the mark to go")
            await until(lambda: _done(world, keys), "due work")
            await until(lambda: _reminded(world), "a message")


async def test_events_alone_leave_messages_alone(client: Any, world: World, settings: Settings) -> None:
    with running(settings, "beat"), running(settings, "worker", "--only", "events"):
        await world.store.work.plan(None, REMINDER, "nobody", world.clock())
        keys = await _plan(world, 5)
        await until(lambda: _done(world, keys), "due work")
        assert not await _reminded(world)
    await world.store.work.withdraw(None, REMINDER, "nobody")


async def _reminded(world: World) -> bool:
    return await world.store.work.planned(REMINDER, "nobody") is None


def test_another_queue_is_refused() -> None:
    result = CliRunner().invoke(app, ["worker", "--only", "mail"])
    assert result.exit_code
    assert "events, messages" in str(result.exception) + result.output

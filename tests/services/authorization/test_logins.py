"""Sessions: slide with use, end without it, end at the end of a day, never known beforehand."""

from __future__ import annotations

from dataclasses import replace

from fhir_server.services.authorization import sessions
from fhir_server.services.world import World


def later(world: World, minutes: float) -> World:
    clock = world.clock
    return replace(world, clock=lambda: clock() + int(minutes * 60_000))


async def test_use_slides_the_end_and_idleness_is_the_end(world: World) -> None:
    idle = world.settings.session_idle_minutes
    opened = await sessions.open_session(world, "somebody", complete=True)
    assert await sessions.use(later(world, idle - 1), opened.cookie) is not None
    assert await sessions.alive(later(world, 2 * idle - 2), opened.session.id), "a request with a token is a use too"
    assert await sessions.use(later(world, 3 * idle - 3), opened.cookie) is not None
    assert not await sessions.alive(later(world, 4 * idle - 3), opened.session.id)
    assert await sessions.use(later(world, 4 * idle - 3), opened.cookie) is None


async def test_a_use_within_a_minute_is_not_written(world: World) -> None:
    opened = await sessions.open_session(world, "somebody", complete=True)
    assert await sessions.use(later(world, 0.5), opened.cookie) == opened.session
    assert await world.store.sessions.get(opened.session.id) == opened.session


async def test_a_session_ends_after_a_working_day_however_it_is_used(world: World) -> None:
    opened = await sessions.open_session(world, "somebody", complete=True)
    for minutes in range(10, sessions.ABSOLUTE_HOURS * 60, 10):
        assert await sessions.use(later(world, minutes), opened.cookie) is not None
    assert await sessions.use(later(world, sessions.ABSOLUTE_HOURS * 60), opened.cookie) is None


async def test_the_second_factor_opens_another_session_and_ends_the_first(world: World) -> None:
    first = await sessions.open_session(world, "somebody", complete=False)
    assert not await sessions.alive(world, first.session.id), "half a login is none"
    second = await sessions.complete(world, first.session)
    assert second is not None
    assert second.cookie != first.cookie
    assert await sessions.use(world, first.cookie) is None
    assert await sessions.alive(world, second.session.id)
    assert await sessions.complete(world, first.session) is None, "what is over cannot be completed"


async def test_closing_is_at_once_and_moves_the_epoch(world: World) -> None:
    opened = await sessions.open_session(world, "somebody", complete=True)
    before = await world.store.access_epoch.current()
    await sessions.close(world, opened.session)
    assert not await sessions.alive(world, opened.session.id)
    assert await world.store.access_epoch.current() != before


async def test_the_name_of_a_session_does_not_open_it(world: World) -> None:
    opened = await sessions.open_session(world, "somebody", complete=True)
    assert await sessions.use(world, opened.session.id) is None


async def test_ended_sessions_leave_the_database_by_themselves(world: World) -> None:
    indexes = await world.store.connection.collection("sessions").index_information()
    assert [one["expireAfterSeconds"] for one in indexes.values() if "expireAfterSeconds" in one] == [0]

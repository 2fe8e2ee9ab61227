"""One event loop and one database client a worker process, in a thread of its own; tasks run their work on it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Coroutine, Iterable
from typing import Any, TypeVar

from celery import Celery

from fhir_server.bootstrap import build, prepare
from fhir_server.log import get_logger
from fhir_server.services.following.leading import Leader
from fhir_server.services.following.relay import STAGES
from fhir_server.services.following.table import TO_PEOPLE
from fhir_server.services.world import World
from fhir_server.settings import Settings
from fhir_server.tasks import end
from workers.app import EVENTS, MESSAGES, PERFORM

T = TypeVar("T")
START_SECONDS = 60.0

log = get_logger("worker")


class Runtime:
    """The world of this process, and the stages of the relay that it may lead."""

    def __init__(self, settings: Settings, app: Celery, queues: Collection[str]) -> None:
        self._settings = settings
        self._app = app
        self._queues = queues
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="world", daemon=True)
        self._ready = threading.Event()
        self._failed: BaseException | None = None
        self._stop = asyncio.Event()
        self._world: World | None = None

    @property
    def world(self) -> World:
        """:raises RuntimeError: it is not started."""
        if self._world is None:
            msg = "the worker is not started"
            raise RuntimeError(msg)
        return self._world

    def start(self) -> None:
        """Open the database and begin to relay; raises whatever keeps it from starting."""
        self._thread.start()
        self._ready.wait(START_SECONDS)
        if self._failed is not None:
            raise self._failed

    def stop(self) -> None:
        """Give the lease back and close the database."""
        if self._loop.is_running():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)

    def call(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        """Run on the loop and wait for it.

        :raises TimeoutError: it took longer.
        """
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    async def give(self, due: Iterable[tuple[str, str]]) -> None:
        """Send pieces of due work to the workers; a broker that is away delays them."""
        try:
            await asyncio.to_thread(self._send, list(due))
        except OSError as failed:
            log.warning("the broker is away; due work waits", fault=type(failed).__name__)

    def _send(self, due: list[tuple[str, str]]) -> None:
        with self._app.producer_or_acquire() as producer:
            for kind, key in due:
                queue = MESSAGES if kind in TO_PEOPLE else EVENTS
                self._app.send_task(PERFORM, args=(kind, key), queue=queue, producer=producer, retry=False)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._live())

    async def _live(self) -> None:
        try:
            world = build(self._settings)
            await prepare(world)
            world.channels.tell()
            await world.record.start()
        except BaseException as failed:  # noqa: BLE001  told to whoever waits for the start
            self._failed = failed
            self._ready.set()
            return
        self._world = world.own()
        # What is told later is planned for people, by whoever serves them.
        stages = [stage for stage in STAGES if (MESSAGES if stage.later else EVENTS) in self._queues]
        leading = [asyncio.create_task(Leader(world, stage, self.give).lead()) for stage in stages]
        self._ready.set()
        await self._stop.wait()
        await end(*leading)
        await world.record.stop()
        await world.channels.close()
        await world.store.close()

"""What bound websockets are told: a handshake for each Subscription, then its events, whichever process numbered them.

One look at the numbers of all bound Subscriptions a quarter of a second serves every websocket of this process. A
websocket begins behind what was told last, so that one which was cut off goes on; what the network swallowed of the
last message is found by ``$events``. Whose access ends is told nothing more, within a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from fhir_server.errors import Problem
from fhir_server.fhir.json import parse
from fhir_server.log import get_logger
from fhir_server.remote.webhook import Outcome
from fhir_server.services.subscriptions.asking import Bound
from fhir_server.services.subscriptions.deliver import ACCESS_ENDED, turn
from fhir_server.services.subscriptions.notification import Kind, bundle
from fhir_server.services.subscriptions.sending import NOTHING, Prepared, Target, prepared, record, written
from fhir_server.services.subscriptions.writing import TYPE, terms_of
from fhir_server.services.world import World
from fhir_server.store.driver import PyMongoError

POLL_SECONDS = 0.25
CHECK_SECONDS = 1.0
SENT = Outcome(200)
"""A websocket took it."""

log = get_logger("websocket")


class Hub:
    """Wakes those who wait for a Subscription's next event."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def waiting(self, world: World, ids: Sequence[str]) -> AsyncIterator[asyncio.Event]:
        """An event that is set whenever one of these Subscriptions may have something new."""
        event = asyncio.Event()
        for id_ in ids:
            self._waiting.setdefault(id_, set()).add(event)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._poll(world))
        try:
            yield event
        finally:
            for id_ in ids:
                self._waiting[id_].discard(event)
                if not self._waiting[id_]:
                    del self._waiting[id_]

    async def _poll(self, world: World) -> None:
        known: dict[str, int] = {}
        while self._waiting:
            with suppress(PyMongoError):
                numbers = await world.store.subscriptions.numbers(list(self._waiting))
                for id_, number in numbers.items():
                    if known.get(id_) != number:
                        for event in self._waiting.get(id_, ()):
                            event.set()
                known = numbers
            await asyncio.sleep(POLL_SECONDS)


HUB = Hub()


@dataclass
class Line:
    """One bound Subscription: the number of the event that was told last, and when anything was told (ms)."""

    id: str
    cursor: int
    beat: int


@dataclass
class Talk:
    """What one websocket is told; ``network`` is the client's address."""

    world: World
    bound: Bound
    network: str
    lines: dict[str, Line] = field(default_factory=dict)
    _epoch: int = -1
    _by: World | None = None

    async def messages(self) -> AsyncIterator[str]:
        """Everything that it is told, as long as its access lasts and one of its Subscriptions lives."""
        for id_ in self.bound.ids:
            target = await self._target(id_)
            if target is not None:
                self.lines[id_] = Line(id_, target.progress.sent, self.world.clock())
                yield await self._said(target, "handshake", NOTHING)
        async with HUB.waiting(self.world, self.bound.ids) as event:
            while self.lines:
                event.clear()
                for line in list(self.lines.values()):
                    async for message in self._news(line):
                        yield message
                # Not wait_for: until Python 3.12 it loses a cancellation that comes with the event.
                with suppress(TimeoutError):
                    async with asyncio.timeout(CHECK_SECONDS):
                        await event.wait()

    async def _news(self, line: Line) -> AsyncIterator[str]:
        while True:
            target = await self._target(line.id)
            if target is None:
                del self.lines[line.id]
                return
            progress, terms = target.progress, target.terms
            first = line.cursor + 1
            events = []
            if progress.n >= first:
                events = await self.world.store.subscriptions.events(progress.line, first, progress.n, terms.most)
            if not events:
                if terms.heartbeat and line.beat + terms.heartbeat * 1000 <= self.world.clock():
                    line.beat = self.world.clock()
                    yield await self._said(target, "heartbeat", NOTHING)
                return
            assert self._by is not None
            found = await prepared(self._by, events, terms.content)
            yield await self._said(target, "event-notification", found)
            line.cursor, line.beat = events[-1].number, self.world.clock()
            await self.world.store.subscriptions.delivered(None, line.id, progress.line, line.cursor, line.beat)
            if found.narrowed:
                await turn(self.world.own(), target.stored, "error", error=("access-ended", ACCESS_ENDED))

    async def _target(self, id_: str) -> Target | None:
        """A Subscription that may be told to this websocket now; None for one that is over."""
        epoch = await self.world.store.access_epoch.leased()
        if epoch != self._epoch or self._by is None:
            self._by, self._epoch = await self.bound.world(self.world), epoch
        if self._by is None:
            return None
        stored = await self.world.store.resources.get(TYPE, id_)
        progress = await self.world.store.subscriptions.get(id_)
        if stored is None or stored.deleted or progress is None or not await self._by.policy.may(self._by, stored):
            return None
        resource = parse(stored.body)
        try:
            terms = terms_of(self.world, resource)
        except Problem:
            return None
        over = resource["status"] in {"off", "error"} or bool(terms.end and terms.end <= self.world.clock())
        if over or terms.channel != "websocket" or not all(self._by.policy.permits(one) for one in terms.types):
            return None
        return Target(stored, terms, progress, self._by.policy)

    async def _said(self, target: Target, kind: Kind, found: Prepared) -> str:
        """One message, recorded before it leaves."""
        message = written(
            target.terms.payload, bundle(target.standing(self.world), kind, found.told, self.world.clock())
        )
        await record(self.world, target, found, SENT, network=self.network)
        return message.decode()

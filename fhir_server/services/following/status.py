"""How far behind what follows is: for operators and for their monitoring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fhir_server.services.world import World


@dataclass(frozen=True, slots=True)
class Status:
    """``untold``: versions to tell (counted to 10,000), ``lag``: how long the oldest waits (ms), ``work``: by kind and
    state (due, running, waiting, dead).
    """

    untold: int
    lag: int
    work: Mapping[tuple[str, str], int]


async def status(world: World) -> Status:
    """How things are now."""
    count, oldest = await world.store.outbox.lag()
    now = world.clock()
    return Status(count, max(0, now - oldest) if oldest is not None else 0, await world.store.work.counts(now))

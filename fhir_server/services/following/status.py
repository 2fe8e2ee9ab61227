"""How far behind what follows is: for operators and for their monitoring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fhir_server.services.world import World


@dataclass(frozen=True, slots=True)
class Status:
    """``first`` and ``second``: versions that the stages are to tell (each counted to 10,000), ``lag``: how long the
    oldest waits (ms), ``work``: by kind and state (due, running, waiting, dead).
    """

    first: int
    second: int
    lag: int
    work: Mapping[tuple[str, str], int]

    @property
    def untold(self) -> int:
        """Versions to tell in both stages, counted to 10,000."""
        return min(self.first + self.second, 10_000)


async def status(world: World) -> Status:
    """How things are now."""
    first, second, oldest = await world.store.outbox.lag()
    now = world.clock()
    return Status(first, second, max(0, now - oldest) if oldest is not None else 0, await world.store.work.counts(now))

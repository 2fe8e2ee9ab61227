"""Everything that is due, in this process and now: for tests and for commands that want to see the end of it."""

from __future__ import annotations

from fhir_server.services.following.performing import perform
from fhir_server.services.following.relay import STAGES
from fhir_server.services.upkeep import settle
from fhir_server.services.world import World

ROUNDS = 1000


async def tell(world: World) -> int:
    """One transaction of each stage of the relay; of how many versions something was told."""
    return sum([(await one.tell(world, one.collections)).versions for one in STAGES])


async def drain(world: World) -> int:
    """Relay and perform until nothing is left that is due by the world's clock; how many pieces of work were done.

    :raises RuntimeError: it does not come to an end.
    """
    done = 0
    for _ in range(ROUNDS):
        await settle(world)
        told = await tell(world)
        due = await world.store.work.hand_out(world.clock())
        for kind, key in due:
            done += await perform(world, kind, key) is not None
        if not told and not due:
            return done
    msg = "work makes work without end"
    raise RuntimeError(msg)

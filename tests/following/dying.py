"""A process that relays and performs, and stops at a named seam, where it is killed: ``python -m …dying SEAM LEASE``,
for a follower of the stage with that lease.

``between`` the relay's first stage has told, the second has not
``commit``  everything is written, the relay's transaction is not committed yet
``told``    it is committed, nothing was handed out
``claimed`` a worker has the work, nothing was done
``done``    what goes outside was done (counted in ``outside``), it is not settled yet
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from fhir_server.bootstrap import open_world
from fhir_server.services.following.fact import Fact, Following
from fhir_server.services.following.leading import hand_out
from fhir_server.services.following.performance import Again
from fhir_server.services.following.performing import perform
from fhir_server.services.following.relay import FIRST, LATER, STAGES, Stage
from fhir_server.services.following.table import FOLLOWERS, PERFORMERS
from fhir_server.services.world import World
from fhir_server.settings import Settings
from fhir_server.store.unit import Unit
from fhir_server.store.work import Task

SEAMS = ("between", "commit", "told", "claimed", "done")
INSIDE, OUTSIDE = "seam_inside", "seam_outside"


async def stop(here: str, seam: str) -> None:
    """Say that the seam is reached, and wait for the end."""
    if here == seam:
        sys.stdout.write("here\n")
        sys.stdout.flush()
        await asyncio.sleep(3600)


def deeds(seam: str, stage: Stage) -> None:
    """Who follows Patients: each version is counted inside (in the relay's transaction) and outside (by the work)."""

    async def follow(world: World, unit: Unit, facts: Sequence[Fact]) -> None:
        for fact in facts:
            await unit.put_document(INSIDE, {"fact": fact.id})
            await world.store.work.plan(unit, "seam", fact.id, fact.at)
        await stop("commit", seam)

    async def do(world: World, task: Task) -> Again | None:
        await stop("claimed", seam)
        outside = world.store.connection.collection(OUTSIDE)
        await outside.update_one({"_id": task.key}, {"$inc": {"times": 1}}, upsert=True)
        await stop("done", seam)
        return None

    FOLLOWERS["seam"] = Following(follow, frozenset({"Patient"}), later=stage.later)
    PERFORMERS["seam"] = do


async def main(seam: str, stage: Stage) -> None:
    deeds(seam, stage)

    async def give(due: object) -> None:
        for kind, key in due:  # type: ignore[attr-defined]
            await perform(opened.world, kind, key)

    async with open_world(Settings()) as opened:
        await FIRST.tell(opened.world, FIRST.collections)
        await stop("between", seam)
        await LATER.tell(opened.world, LATER.collections)
        await stop("told", seam)
        await hand_out(opened.world.own(), give)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], next(one for one in STAGES if one.lease == sys.argv[2])))

"""A process of the waitlist that stops at a named seam, where it is killed: ``python -m …dying SEAM ENTRY``.

``freed``     a round is planned, the relay's transaction is not committed yet
``claimed``   a worker has the round, nothing was done
``offered``   the time is held and the message planned, nothing of it is committed
``done``      the offer is committed, the round is not settled
``expired``   the entry waits again, nothing of it is committed (the clock says that the offer is over)
``accepted``  the visit is booked for a patient who said yes, nothing of it is committed
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from fhir_server import log
from fhir_server.bootstrap import open_world
from fhir_server.services.access.policy import OWN
from fhir_server.services.following.drain import drain
from fhir_server.services.following.fact import Following
from fhir_server.services.following.table import FOLLOWERS, PERFORMERS
from fhir_server.services.waitlist import answer, offering
from fhir_server.services.waitlist.rounds import ROUND
from fhir_server.settings import Settings

SEAMS = ("freed", "claimed", "offered", "done", "expired", "accepted")


async def stop() -> None:
    """Say that the seam is reached, and wait for the end."""
    sys.stdout.write("here\n")
    sys.stdout.flush()
    await asyncio.sleep(3600)


def after(act: Any) -> Any:
    """The act, and then the seam."""

    async def done(*arguments: Any, **more: Any) -> Any:
        found = await act(*arguments, **more)
        await stop()
        return found

    return done


def before(act: Any) -> Any:
    """The seam, and then the act."""

    async def done(*arguments: Any, **more: Any) -> Any:
        await stop()
        return await act(*arguments, **more)

    return done


async def main(seam: str, entry: str) -> None:
    if seam == "freed":
        waitlist = FOLLOWERS["waitlist"]
        FOLLOWERS["waitlist"] = Following(after(waitlist.follow), waitlist.types)
    elif seam == "claimed":
        PERFORMERS[ROUND] = before(PERFORMERS[ROUND])
    elif seam == "done":
        PERFORMERS[ROUND] = after(PERFORMERS[ROUND])
    elif seam == "offered":
        offering.tell = after(offering.tell)
    else:
        answer.unsay = after(answer.unsay)
    settings = Settings()
    log.configure(settings.log_level)
    async with open_world(settings) as opened:
        if seam == "accepted":
            await answer.accept(opened.world.own(), OWN.caller, entry)
        await drain(opened.world)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

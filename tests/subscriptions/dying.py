"""A process that relays and delivers, and stops at a named seam, where it is killed: ``python -m …dying SEAM``.

``numbered``  events are numbered, the relay's transaction is not committed yet
``told``      it is committed, nothing was sent
``sent``      the receiver took it, that is not noted yet
``noted``     it is noted, the work is not settled yet
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from fhir_server import log
from fhir_server.bootstrap import open_world
from fhir_server.services.following.drain import tell
from fhir_server.services.following.leading import hand_out
from fhir_server.services.following.performing import perform
from fhir_server.settings import Settings
from fhir_server.store.subscriptions import Subscriptions
from fhir_server.store.unit import Unit

SEAMS = ("numbered", "told", "sent", "noted")


async def stop() -> None:
    """Say that the seam is reached, and wait for the end."""
    sys.stdout.write("here\n")
    sys.stdout.flush()
    await asyncio.sleep(3600)


class Dying(Subscriptions):
    """The store, which stops where it is told to."""

    seam = ""

    async def number(self, unit: Unit, *more: Any) -> None:
        await super().number(unit, *more)
        if self.seam == "numbered":
            await stop()

    async def delivered(self, *more: Any) -> None:
        if self.seam == "sent":
            await stop()
        await super().delivered(*more)
        if self.seam == "noted":
            await stop()


async def main(seam: str) -> None:
    async def give(due: Any) -> None:
        for kind, key in due:
            await perform(opened.world, kind, key)

    settings = Settings()
    log.configure(settings.log_level)
    async with open_world(settings) as opened:
        store = opened.world.store.subscriptions
        store.__class__ = Dying
        Dying.seam = seam
        await tell(opened.world)
        if seam == "told":
            await stop()
        await hand_out(opened.world.own(), give)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

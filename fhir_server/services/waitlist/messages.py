"""What patients on the waitlist are told: a piece of work of kind ``message``, in the transaction of what it tells of.

kind                   says
---------------------  --------------------------------------------------
waitlist-offer         a time is held for you until …; answer yes or no
waitlist-offer-ended   it is not held any more

``about`` is ``{kind, appointment, version}``: the version is that in which the time was offered, which answers name.
"""

from __future__ import annotations

from typing import Literal

from fhir_server.services.world import World
from fhir_server.store.resources import Stored
from fhir_server.store.unit import Unit

MESSAGE = "message"
Kind = Literal["waitlist-offer", "waitlist-offer-ended"]


async def tell(world: World, unit: Unit, kind: Kind, offer: Stored, due: int) -> None:
    """Let the patient of an offer be told at ``due`` (ms), once.

    :param offer: the Appointment in the version in which it was offered.
    """
    about = {"kind": kind, "appointment": offer.id, "version": offer.version}
    await world.store.work.plan(unit, MESSAGE, _key(kind, offer), due, about)


async def unsay(world: World, unit: Unit, offer: Stored) -> bool:
    """Let an offer that is over not be told any more; whether it was told already."""
    key = _key("waitlist-offer", offer)
    waits = await world.store.work.planned(MESSAGE, key)
    if waits:
        await world.store.work.withdraw(unit, MESSAGE, key)
    return waits is None


def _key(kind: Kind, offer: Stored) -> str:
    return f"{kind}/{offer.id}/{offer.version}"

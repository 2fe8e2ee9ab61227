"""Upkeep: what is held for too long is freed, whoever notices first. Correctness never needs it: readers compare.

A hold becomes cancelled; an entry of the waitlist that was offered a time waits again.
"""

from __future__ import annotations

from collections.abc import Sequence

from fhir_server.services import slot_faces
from fhir_server.services.hold import free_hold
from fhir_server.services.slots import free_block
from fhir_server.services.waitlist.answer import expire
from fhir_server.services.waitlist.records import is_offer
from fhir_server.services.world import World
from fhir_server.store.resources import Stored, stored

AT_ONCE = 200


async def settle(world: World, types: Sequence[str] = ("Appointment", "Slot")) -> int:
    """Cancel expired holds and free their Slots; how many there were. Run before a search that could show them."""
    settled = 0
    for type_ in types:
        documents = await world.store.resources.find(
            type_, {"expires": {"$lte": world.now()}}, limit=AT_ONCE, fields={"idx": 0}
        )
        for document in documents:
            await settled_read(world, stored(type_, document))
            settled += 1
    return settled


async def settle_this_second(world: World, type_: str) -> None:
    """:func:`settle` for a search; once a second is enough, for a hold ends on a whole second."""
    swept = world.store.swept
    now = world.now()
    if swept.get(type_) == now:
        return
    if await settle(world, (type_,)) < AT_ONCE:
        swept[type_] = now


async def settled_read(world: World, found: Stored) -> Stored | None:
    """The current version of a resource after a hold that is over was written as over."""
    if found.deleted or (found.extra.get("expires") or 0) > world.now():
        return found
    world = world.own()  # nobody's act: the time is over, whoever notices
    if is_offer(found.extra):
        return await expire(world, found)
    if found.type == "Appointment":
        return await free_hold(world, found, {"text": "the hold expired"}, expired=True)
    if found.extra.get("claim"):
        await free_block(world, found)
    else:
        await slot_faces.free_expired(world, found)
    return await world.store.resources.get(found.type, found.id)

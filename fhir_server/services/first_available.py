"""``$book`` with ``first-available``: the best free time of a pool, and the next one when somebody was faster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fhir_server.errors import Category, Problem
from fhir_server.services.assignment import assigned
from fhir_server.services.book import Booking, book_now
from fhir_server.services.booking import Wish
from fhir_server.services.candidates import Criteria
from fhir_server.services.find import find
from fhir_server.services.keyed import Keyed, once
from fhir_server.services.wishes import patient_required
from fhir_server.services.world import Caller, World
from fhir_server.store.resources import Stored
from fhir_server.store.unit import unavailable

TRIES = 300
POOL = 1000
"""Providers that one request chooses from."""


async def book_first(
    world: World, caller: Caller, asked: Criteria, sent: Mapping[str, Any], keyed: Keyed | None = None
) -> Stored:
    """``$book`` with ``first-available``: the best free time of the pool; the next one when somebody was faster.

    :raises Problem: 409 when the pool has nothing, with the reasons that ``$find`` gives; 503 when others were faster
        every time.
    """
    if not asked.patients:
        raise patient_required()

    async def work() -> Stored:
        # Who wants the best of one pool wants the same time as everybody else: one after the other, nobody is too late.
        pool = repr((asked.services, asked.service_types, asked.schedules, asked.practitioners, asked.locations))
        async with world.store.units.turns.take([f"first|{pool}"]):
            return await best()

    async def best() -> Stored:
        tries = 0
        while tries < TRIES:
            found = await find(world, replace(asked, first_available=True), count=POOL)
            if not found.times:
                raise Problem(Category.CONFLICT, tuple(replace(one, severity="error") for one in found.reasons))
            for time in await assigned(world, asked, found.times):
                tries += 1
                wish = Wish(
                    time.start, time.end, time.candidate.schedules, time.candidate.service, asked.patients,
                    published={time.candidate.schedules[0].id: time.slot} if time.slot else None,
                    modality=asked.modality, channel=asked.channel,
                )  # fmt: skip
                try:
                    return await book_now(world, caller, Booking(wish, sent, offer=False), keyed)
                except Problem as refused:
                    if refused.category is not Category.CONFLICT:
                        raise
        # Times are left: to say that they are taken would be false.
        raise unavailable("too many callers want the best of this pool at the same moment")

    written: Stored = await once(world, keyed, work)
    return written

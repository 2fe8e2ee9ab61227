"""Which time a fact makes free: by Schedule, as intervals in epoch seconds.

fact                                              free is
------------------------------------------------  ------------------------------------------------------------------
an Appointment gives up its time or moves         what it held before and does not hold now, with the service's buffers
an offer ends                                     what it held of the time that was free in the first place
a Slot that blocked or held becomes free, or      its time
a free one is published
a Schedule opens, widens its hours or offers      what is open now and was not before, in the next days
more
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from fhir_server.errors import Problem
from fhir_server.fhir.temporal import instant_seconds
from fhir_server.scheduling.availability import day_spans
from fhir_server.scheduling.civil import local_day
from fhir_server.scheduling.interval import Interval, merge, overlaps, subtract
from fhir_server.scheduling.lifecycle import takes_time
from fhir_server.services import terms
from fhir_server.services.actors import reference_of, with_own_references
from fhir_server.services.facts import ScheduleFacts
from fhir_server.services.following.fact import Fact
from fhir_server.services.slot_faces import BUSY
from fhir_server.services.waitlist.records import freed_by
from fhir_server.services.wishes import of_appointment
from fhir_server.services.world import World

Freed = list[tuple[str, Interval]]
"""``Schedule/1`` and when."""

KEEPS_TIME = frozenset({"fulfilled", "noshow"})
DAYS_AHEAD = 60
"""How far ahead new hours are offered to those who wait."""


async def freed(world: World, fact: Fact) -> Freed:
    """What became free by a fact, later than now."""
    if fact.type == "Appointment":
        found = await _of_appointment(world, fact)
    elif fact.type == "Slot":
        found = _of_slot(world, fact)
    else:
        found = await _of_schedule(world, fact)
    return [(schedule, interval) for schedule, interval in found if interval.end > world.now()]


async def _of_appointment(world: World, fact: Fact) -> Freed:
    old, new = fact.old, fact.new
    if old is None or not takes_time(old["status"]) or (new and new["status"] in KEEPS_TIME):
        return []
    before = await _held(world, old)
    if not before or new is None or not takes_time(new["status"]):
        return _handed_on(before, freed_by(old))
    after = await _held(world, new)
    return [one for one in before if one not in after]


def _handed_on(held: Freed, freed: Interval | None) -> Freed:
    """What an offer held of the time that had become free; all that anything else held.

    Whoever could have had some of that time but for the offer can have some of this part: what they take meets the
    freed time, the offer did, and they met each other, so the three have a moment in common.
    """
    if freed is None:
        return held
    return [
        (schedule, Interval(max(one.start, freed.start), min(one.end, freed.end)))
        for schedule, one in held
        if overlaps(one, freed)
    ]


async def _held(world: World, resource: Mapping[str, Any]) -> Freed:
    """The time that an Appointment takes of its Schedules; nothing where what it was booked on is gone."""
    try:
        wish = await of_appointment(world, with_own_references(resource, world.bases))
    except Problem:
        return []
    buffers = (wish.service.terms.buffer_before, wish.service.terms.buffer_after) if wish.service else (0, 0)
    return [(facts.id, Interval(wish.start - buffers[0], wish.end + buffers[1])) for facts in wish.schedules]


def _of_slot(world: World, fact: Fact) -> Freed:
    old, new = fact.old, fact.new
    if old is None:
        opened = new if new and new["status"] == "free" else None
    else:
        # Of a Slot that a booking filled (it is about a patient) the Appointment tells.
        blocked = old["status"] in BUSY and not (fact.before and fact.before.extra.get("patients"))
        opened = old if blocked and (new is None or new["status"] == "free") else None
    if opened is None:
        return []
    start, end = instant_seconds(opened["start"]), instant_seconds(opened["end"], floor=False)
    schedule = reference_of(opened.get("schedule"), world.bases)
    return [(schedule, Interval(start, end))] if start < end else []


async def _of_schedule(world: World, fact: Fact) -> Freed:
    facts = (await world.catalogue.schedules([fact.reference])).get(fact.reference)
    if fact.new is None or facts is None or not facts.active or facts.opening is None:
        return []
    old = with_own_references(fact.old, world.bases) if fact.old else {}
    added = set(facts.offers) - set(terms.offers(old)) if terms.offers(old) else set(facts.offers)
    more = bool(added) and bool(old)
    was_open = bool(old) and old.get("active", True) and terms.has_rules(old) and not more
    opening = terms.opening(old, facts.zone) if was_open else None
    first = local_day(facts.zone, world.now())
    gained: list[Interval] = []
    for ahead in range(DAYS_AHEAD):
        day = first + timedelta(days=ahead)
        for service in facts.offers or (None,):
            now = [Interval(one.start, one.end) for one in facts.spans_on(day, service, None)]
            before = [
                Interval(one.start, one.end) for one in day_spans(opening, day, service, None)
            ] if opening else []  # fmt: skip
            gained += subtract(now, before)
    return [(facts.id, one) for one in _by_day(facts, gained)]


def _by_day(facts: ScheduleFacts, gained: list[Interval]) -> list[Interval]:
    """One interval a local day in which something opens: a round looks at what is free in it."""
    days: dict[Any, list[Interval]] = {}
    for one in merge(gained):
        days.setdefault(local_day(facts.zone, one.start), []).append(one)
    return [Interval(several[0].start, max(one.end for one in several)) for several in days.values()]

"""What the waitlist makes of facts: rounds for time that became free, timers for time that is held, a look for whoever
begins to wait. All of it is work planned in the unit that tells the facts; several facts of one time are one round.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from fhir_server.fhir.json import parse
from fhir_server.scheduling.interval import Interval
from fhir_server.scheduling.waitlist import barred, fits
from fhir_server.services.book import cancel_in
from fhir_server.services.following.fact import Fact, Following
from fhir_server.services.following.performance import Again, Performer
from fhir_server.services.upkeep import settled_read
from fhir_server.services.waitlist import rounds
from fhir_server.services.waitlist.answer import expire
from fhir_server.services.waitlist.entries import FOREVER, WAITING, status_of, waiting, windows_of
from fhir_server.services.waitlist.offering import TIMER
from fhir_server.services.waitlist.opened import DAYS_AHEAD, freed
from fhir_server.services.waitlist.records import WAITS, freed_by, is_offer
from fhir_server.services.waitlist.rounds import ROUND, hold_round, terms_of
from fhir_server.services.waitlist.times import free_times, services_of, waits_for
from fhir_server.services.world import World
from fhir_server.store.unit import Unit
from fhir_server.store.work import Plan, Task

HOLD_END = "hold-end"
"""Kind of work: the end of a hold, under ``Type/id``."""

LOOK = "waitlist-look"
"""Kind of work: whether something is free for an entry, under its id."""

PERIOD_END = "waitlist-end"
"""Kind of work: the end of the period for which somebody waits, under the entry's id."""

TOO_LATE = {"text": "the requested period is over"}

LOOKS = 20


async def follow(world: World, unit: Unit, facts: Sequence[Fact]) -> None:
    """Plan what follows from facts about Appointments, Slots and Schedules."""
    plans: dict[str, Plan] = {}
    waits = await _somebody_waits(world, {"$exists": True})
    for fact in facts:
        for one in [*(await _rounds(world, fact) if waits else ()), *_timers(fact), *_looks(world, fact)]:
            plans[f"{one.kind}/{one.key}"] = one
    await world.store.work.plan_all(unit, list(plans.values()))


async def _rounds(world: World, fact: Fact) -> list[Plan]:
    found = []
    of = freed_by(fact.old) if fact.type == "Appointment" and fact.old else None
    for schedule, interval in await freed(world, fact):
        facts = (await world.catalogue.schedules([schedule])).get(schedule)
        waits = waits_for(facts, await services_of(world, facts)) if facts else []
        if await _somebody_waits(world, {"$in": waits}):
            key = f"{schedule}|{interval.start}|{interval.end}"
            about = {"schedule": schedule, "start": interval.start, "end": interval.end}
            if of:
                key += f"|{of.start}|{of.end}"
                about["freed"] = [of.start, of.end]
            found.append(Plan(ROUND, key, world.clock(), about))
    return found


async def _somebody_waits(world: World, waits: Mapping[str, Any]) -> bool:
    """Whether a round is worth its work: for most time that becomes free nobody waits."""
    return bool(await world.store.resources.find("Appointment", {WAITS: waits}, limit=1, fields={"_id": 1}))


def _timers(fact: Fact) -> Iterable[Plan]:
    """A hold ends although nobody looks; an offer has its timer since it was made."""
    until = fact.after.extra.get("expires")
    if until is None or is_offer(fact.after.extra) or not fact.after.extra.get("claim"):
        return ()
    return (Plan(HOLD_END, fact.reference, until * 1000),)


def _looks(world: World, fact: Fact) -> Iterator[Plan]:
    """Whoever begins to wait, waits for something else, or waits again; and until when."""
    if fact.type != "Appointment" or not fact.new or fact.new["status"] != WAITING:
        return
    yield Plan(LOOK, fact.after.id, world.clock())
    until = _last(fact.new, world)
    if until is not None:
        yield Plan(PERIOD_END, fact.after.id, until * 1000)


def _last(entry: Mapping[str, Any], world: World) -> int | None:
    """The end of the last requested period in epoch seconds, None where it is open."""
    until = max((one.end for one in windows_of(entry, world.zone)), default=FOREVER)
    return None if until >= FOREVER else until


async def end_hold(world: World, task: Task) -> Again | None:
    """Performer of ``hold-end``: what is held for too long is freed."""
    type_, _, id_ = task.key.partition("/")
    found = await world.store.resources.get(type_, id_)
    until = found.extra.get("expires") if found and not found.deleted else None
    if found is None or until is None:
        return None
    if until > world.now():
        return Again(until * 1000)
    await settled_read(world, found)
    return None


async def end_offer(world: World, task: Task) -> Again | None:
    """Performer of ``waitlist-offer``: an offer that nobody answered is over, and the entry waits again."""
    found = await world.store.resources.get("Appointment", task.key)
    if found is None or found.deleted or not is_offer(found.extra):
        return None
    if found.extra["expires"] > world.now():
        return Again(found.extra["expires"] * 1000)
    await expire(world, found)
    return None


async def end_period(world: World, task: Task) -> Again | None:
    """Performer of ``waitlist-end``: nobody waits for a time that cannot come any more."""

    async def work(unit: Unit) -> Again | None:
        found = await unit.get("Appointment", task.key)
        if found is None or found.deleted or status_of(found) != WAITING:
            return None
        until = _last(parse(found.body), world)
        if until is None or until > world.now():
            return Again(until * 1000) if until else None
        await cancel_in(world, unit, found, world.clock(), TOO_LATE)
        return None

    return await world.store.units.run(work, now=world.now())


async def look(world: World, task: Task) -> Again | None:
    """Performer of ``waitlist-look``: where the policy says so, an entry is offered what is free already.

    What is free is offered to the first who waits for it, who may be another one; then it looks for the next.
    """
    passed: set[tuple[str, int]] = set()
    for _ in range(LOOKS):
        found = await world.store.resources.get("Appointment", task.key)
        if found is None or found.deleted or status_of(found) != WAITING:
            return None
        first = await _first_free(world, found.id, found.extra.get(WAITS) or (), passed)
        if first is None:
            return None
        schedule, interval = first
        passed.add((schedule, interval.start))
        await hold_round(world, schedule, interval)
    return None


async def _first_free(
    world: World, id_: str, waits: Sequence[str], passed: set[tuple[str, int]]
) -> tuple[str, Interval] | None:
    """The earliest free time of any Schedule that fits an entry, where the policy offers free time."""
    entry = next((entry for stored, entry in await waiting(world, waits) if stored.id == id_), None)
    if entry is None:
        return None
    services = [one for one in waits if one.startswith("HealthcareService/")]
    ways = [{"idx.offers": {"$in": services}}, {"idx.actor": {"$in": services}}] if services else []
    ways += [{"idx.service-type": {"$in": [one for one in waits if one not in services]}}]
    references = await world.catalogue.matching("Schedule", {"$or": ways})
    best: tuple[int, str, int] | None = None
    for facts in (await world.catalogue.schedules(references)).values():
        given = await services_of(world, facts)
        terms = terms_of(facts, given)
        if not facts.active or not terms.offer_free_time or barred(entry, terms):
            continue
        ahead = Interval(world.now(), world.now() + DAYS_AHEAD * 86400)
        for window in entry.windows or (ahead,):
            within = Interval(max(window.start, ahead.start), min(window.end, ahead.end))
            if within.start >= within.end:
                continue
            for one in await free_times(world, facts, given, [entry], within):
                time = one.time
                if (facts.id, time.start) not in passed and fits(entry, time, world.now()) is None:
                    found = (time.start, facts.id, time.end)
                    best = min(best, found) if best else found
                    break
    return (best[1], Interval(best[0], best[2])) if best else None


FOLLOWING = Following(follow, frozenset({"Appointment", "Slot", "Schedule"}))
PERFORMING: dict[str, Performer] = {
    ROUND: rounds.perform, TIMER: end_offer, HOLD_END: end_hold, LOOK: look, PERIOD_END: end_period,
}  # fmt: skip

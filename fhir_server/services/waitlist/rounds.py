"""A round: free time of a Schedule is offered to the first who waits for it, then what is left to the next.

It looks at the state and at nothing else, so that it may be run again whenever it was interrupted: time that is held by
an offer is not free any more, and an entry that is offered a time is not asked again. Between the look and the offer
somebody may be faster; the engine says so, and the round looks again.
"""

from __future__ import annotations

from dataclasses import replace

from fhir_server.errors import Problem
from fhir_server.fhir.json import parse
from fhir_server.log import get_logger
from fhir_server.scheduling.interval import Interval, overlaps, subtract
from fhir_server.scheduling.waitlist import Entry, Offer, Ranked, barred, declined, fits, rank
from fhir_server.scheduling.waitlist_terms import Deadline, WaitlistTerms, completed, deadline
from fhir_server.services.booking import Changed, Refused
from fhir_server.services.facts import ScheduleFacts, ServiceFacts
from fhir_server.services.following.performance import Again
from fhir_server.services.free_time import NOMINAL_SECONDS
from fhir_server.services.waitlist.entries import Known, established, waiting
from fhir_server.services.waitlist.offering import Chosen, offer
from fhir_server.services.waitlist.records import WAITS, offers_of
from fhir_server.services.waitlist.times import Found, free_times, services_of, taken, waits_for
from fhir_server.services.world import World
from fhir_server.store.resources import Stored
from fhir_server.store.work import Task

ROUND = "waitlist-round"
MOST = 200
"""Looks of one round."""

log = get_logger("waitlist")


async def perform(world: World, task: Task) -> Again | None:
    """Performer of ``waitlist-round``; ``about`` is ``{schedule, start, end}``, epoch seconds, and ``freed``
    (``[start, end]``) in a round that an offer's end started. It looks once more when an offer of other freed time is
    over that reaches into its neighbourhood: the round after that offer keeps to the time that it was made for.
    """
    about = task.about
    schedule, interval = about["schedule"], Interval(about["start"], about["end"])
    freed = Interval(*about["freed"]) if "freed" in about else interval
    await hold_round(world, schedule, interval, freed)
    until = await _reached_into(world, schedule, interval, freed)
    return None if until is None else Again(until * 1000)


async def _reached_into(world: World, schedule: str, interval: Interval, freed: Interval) -> int | None:
    """When the first open offer is over that holds time beside its own freed time and near the interval."""
    facts = (await world.catalogue.schedules([schedule])).get(schedule)
    if facts is None or not facts.active or interval.end <= world.now():
        return None
    services = await services_of(world, facts)
    where = {WAITS: {"$in": sorted(waits_for(facts, services))}, "expires": {"$exists": True}}
    rows = await world.store.resources.find("Appointment", where, fields={"_id": 1})
    reach = max((_longest(one) for one in services), default=NOMINAL_SECONDS)
    near = Interval(interval.start - reach, interval.end + reach)
    ends = []
    for one in await world.store.resources.get_many("Appointment", [row["_id"] for row in rows]):
        last = next(reversed(offers_of(parse(one.body), world.bases)), None)
        if last is None or last.outcome != "open" or last.schedule != schedule or last.freed is None:
            continue
        held = Interval(last.start, last.end)
        if last.freed != freed and overlaps(held, near) and subtract((held,), (last.freed,)):
            ends.append(max(one.extra["expires"], world.now()) + 1)
    return min(ends, default=None)


def _longest(service: ServiceFacts | None) -> int:
    """Seconds of the longest visit with its buffers."""
    if service is None:
        return NOMINAL_SECONDS
    found = taken(0, max(service.terms.durations), service)
    return found.end - found.start


async def hold_round(world: World, schedule: str, interval: Interval, freed: Interval | None = None) -> int:
    """Offer what is free in an interval; how many offers were made.

    :param freed: the time that became free in the first place, where an offer of it ended and the interval is what
        that offer held of it. Times that use none of it were free all the while and are offered to nobody: else each
        offer that reaches beyond would start a round that reaches further. None: the interval itself.
    """
    freed = freed or interval
    made = 0
    known: Known = {}
    passed: set[tuple[str, int, int, str]] = set()
    for _ in range(MOST):
        facts = (await world.catalogue.schedules([schedule])).get(schedule)
        if facts is None or not facts.active or interval.end <= world.now():
            return made
        chosen = await _next(world, facts, (interval, freed), passed, known)
        if chosen is None:
            return made
        try:
            await offer(world, chosen)
            made += 1
        except Changed:
            continue
        except (Refused, Problem) as refused:
            if isinstance(refused, Problem) and refused.category.status >= 500:
                raise
            codes = [one.code for one in (refused.refusals if isinstance(refused, Refused) else refused.issues)]
            log.info("an entry cannot have a time", entry=chosen.entry.id, codes=codes)
            wish = chosen.wish
            passed.add((chosen.entry.id, wish.start, wish.end, wish.service.id if wish.service else ""))
    return made


async def _next(
    world: World,
    facts: ScheduleFacts,
    within: tuple[Interval, Interval],
    passed: set[tuple[str, int, int, str]],
    known: Known,
) -> Chosen | None:
    """The first who may be offered a time, with the one that fits and uses least of what was free before, of those the
    earliest; None when nobody is left.
    """
    interval, freed = within
    services = await services_of(world, facts)
    everybody = await waiting(world, waits_for(facts, services), known)
    ready = {stored.id: stored for stored, entry in everybody if not entry.is_offered}
    asked = {entry.patient for _, entry in everybody if entry.is_offered}
    entries = [entry for _, entry in everybody if entry.id in ready and entry.patient not in asked]
    if not entries:
        return None
    found = await free_times(world, facts, services, entries, interval, freed)
    found.sort(key=lambda one: one.outside(freed))
    had: dict[str, list[Offer]] = {}
    for _, entry in everybody:
        had.setdefault(entry.patient, []).extend(entry.offers)
    terms = terms_of(facts, services)
    times: list[tuple[Found, Deadline]] = []
    for one in found:
        until = deadline(world.now(), one.time.start, _of_service(facts, one.service), facts.zone)
        if until is not None:
            times.append((one, until))
    if not times:
        return None
    for ranked in await ranking(world, facts, terms, entries):
        if barred(ranked.entry, terms) is None:
            for one, until in times:
                key = (ranked.entry.id, one.time.start, one.time.end, one.time.service)
                if key in passed or declined(had[ranked.entry.patient], one.time):
                    continue
                if fits(ranked.entry, one.time, world.now()) is None:
                    return _chosen(ready[ranked.entry.id], ranked, one, until, freed)
    return None


async def ranking(world: World, facts: ScheduleFacts, terms: WaitlistTerms, entries: list[Entry]) -> tuple[Ranked, ...]:
    """The entries in the order of the clinic, as it is for the time of this Schedule."""
    keys = facts.keys if terms.established_with != "clinic" else ()
    seen = await established(world, entries, keys, facts.organizations)
    return rank((replace(one, established=one.patient in seen) for one in entries), terms.ordering)


def terms_of(facts: ScheduleFacts, services: tuple[ServiceFacts | None, ...]) -> WaitlistTerms:
    """The settings by which those who wait for time of a Schedule are ordered.

    Those of the one service that it gives; of a Schedule with several services, whose entries stand in one line, those
    that the Schedule and the Organization state.
    """
    return _of_service(facts, services[0] if len(services) == 1 else None)


def _of_service(facts: ScheduleFacts, service: ServiceFacts | None) -> WaitlistTerms:
    return completed(facts.policy_for(service).waitlist)


def _chosen(entry: Stored, ranked: Ranked, found: Found, until: Deadline, freed: Interval) -> Chosen:
    return Chosen(entry, found.wish(ranked.entry.patient), until, "rank", ranked.reason, freed)

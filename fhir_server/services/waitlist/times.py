"""Free times of a Schedule as the waitlist looks at them: with the service, the length and the way that entries ask."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from fhir_server.fhir.parameters import Moment
from fhir_server.scheduling.interval import Interval, overlaps
from fhir_server.scheduling.waitlist import Entry, Time
from fhir_server.services.booking import Wish, refusals, request_of
from fhir_server.services.candidates import Candidate, Criteria
from fhir_server.services.facts import ScheduleFacts, ServiceFacts
from fhir_server.services.free_time import NOMINAL_SECONDS, calendars, free
from fhir_server.services.published import Published
from fhir_server.services.world import World

CHANNEL = "waitlist"


@dataclass(frozen=True, slots=True)
class Found:
    """A free time with what is needed to take it."""

    time: Time
    facts: ScheduleFacts
    service: ServiceFacts | None
    slot: Published | None

    @property
    def taken(self) -> Interval:
        """What it takes of the Schedule: the visit with its buffers."""
        return taken(self.time.start, self.time.end, self.service)

    def outside(self, freed: Interval) -> int:
        """Seconds of what it takes that were free before."""
        mine = self.taken
        return mine.end - mine.start - max(min(mine.end, freed.end) - max(mine.start, freed.start), 0)

    def wish(self, patient: str) -> Wish:
        return Wish(
            self.time.start, self.time.end, (self.facts,), self.service, (patient,),
            published={self.facts.id: self.slot} if self.slot else None, modality=self.time.modality, channel=CHANNEL,
        )  # fmt: skip


def taken(start: int, end: int, service: ServiceFacts | None) -> Interval:
    """A visit with the buffers of its service."""
    before, after = (service.terms.buffer_before, service.terms.buffer_after) if service else (0, 0)
    return Interval(start - before, end + after)


async def services_of(world: World, facts: ScheduleFacts) -> tuple[ServiceFacts | None, ...]:
    """What can be booked on a Schedule; None stands for time of a Schedule that names no service."""
    if not facts.offers:
        return (None,)
    return tuple(one for one in (await world.catalogue.services(facts.offers)).values() if one.active)


def waits_for(facts: ScheduleFacts, services: Iterable[ServiceFacts | None]) -> list[str]:
    """What entries wait for that a Schedule may serve: references of services and tokens of codes."""
    found = [each for one in services for each in ((one.id, *sorted(one.tokens)) if one else sorted(facts.tokens))]
    return list(dict.fromkeys(found))


async def free_times(
    world: World,
    facts: ScheduleFacts,
    services: Sequence[ServiceFacts | None],
    entries: Sequence[Entry],
    interval: Interval,
    freed: Interval | None = None,
) -> list[Found]:
    """Free times that use some of an interval, for the services, lengths and ways that the entries ask, the earliest
    first. A time uses what it takes with its buffers: that is what could not be had before.

    :param freed: the time that became free, of which the interval is a part; the times use some of it too.
    Time that was freed may be off the grid of the rules, where somebody had it by a wish of their own: it is looked at
    as it is, too.
    """
    found: dict[tuple[int, int, str, str], Found] = {}
    known = calendars(world)
    for service in services:
        wanted = {(one.duration, one.modality) for one in entries if _may_serve(one, facts, service)}
        for duration, modality in sorted(wanted, key=lambda one: (one[0] or 0, one[1])):
            length = duration or (service.terms.durations[0] if service else NOMINAL_SECONDS)
            if service and length not in service.terms.durations:
                continue
            candidate = Candidate((facts,), service, 0)
            around = taken(interval.start - length, interval.end + length, service)
            window = Interval(max(around.start, world.now()), around.end)
            if window.end <= window.start:
                continue
            asked = Criteria(
                Moment("", window.start, None), Moment("", window.end, None), modality=modality,
                duration=duration, channel=CHANNEL,
            )  # fmt: skip
            for one in await free(world, asked, [candidate], {candidate.id: window}, known):
                made = _found(facts, service, one.start, one.end, modality, one.slot, one.location)
                found.setdefault(_key(made), made)
            exact = _found(facts, service, interval.start, interval.start + length, modality, None, None)
            if _key(exact) not in found and await _is_free(world, exact):
                found[_key(exact)] = exact
    within = (interval, freed) if freed else (interval,)
    using = [
        replace(one, time=replace(one.time, freed=freed))
        for one in found.values()
        if all(overlaps(one.taken, each) for each in within)
    ]
    return sorted(using, key=lambda one: (one.time.start, one.time.end, one.time.service, one.time.modality))


def _key(found: Found) -> tuple[int, int, str, str]:
    return found.time.start, found.time.end, found.time.service, found.time.modality


def _may_serve(entry: Entry, facts: ScheduleFacts, service: ServiceFacts | None) -> bool:
    if service is None:
        return bool(entry.types & facts.tokens)
    return service.id in entry.services or bool(entry.types & service.tokens)


def _found(
    facts: ScheduleFacts,
    service: ServiceFacts | None,
    start: int,
    end: int,
    modality: str,
    slot: Published | None,
    location: str | None,
) -> Found:
    time = Time(
        facts.id, start, end, facts.zone, service.id if service else "", service.tokens if service else facts.tokens,
        facts.actors, facts.locations | ({location} if location else set()), facts.organizations, modality,
    )  # fmt: skip
    return Found(time, facts, service, slot)


async def _is_free(world: World, found: Found) -> bool:
    """Whether the engine would give the time to somebody; asked for nobody in particular."""
    if found.facts.opening is None or found.time.start < world.now():
        return False
    refused = await refusals(world, request_of(replace(found.wish(""), patients=()), "", "booked"))
    return not any(one.code not in {"referral-required", "not-eligible"} for one in refused)

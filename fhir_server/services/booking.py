"""The one engine: every path that makes, moves or frees busy time goes through here.

A wish is resolved to facts before the transaction; inside it the calendar days are read, ``scheduling.booking.decide``
decides, and the days, the Slots' faces and the Appointment are written together.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from fhir_server.errors import Category, problem
from fhir_server.scheduling.availability import Span
from fhir_server.scheduling.booking import BookingRequest, Decision, Refusal, ScheduleWish, days_of, decide, keys_of
from fhir_server.scheduling.calendar_day import Entry, utc_days
from fhir_server.scheduling.civil import local_day
from fhir_server.scheduling.policy import limit_window
from fhir_server.scheduling.proposal import ProposalKey, encode
from fhir_server.scheduling.seats import share_key
from fhir_server.scheduling.terms import Policy
from fhir_server.services.access.about import clinics_of
from fhir_server.services.facts import ScheduleFacts, ServiceFacts
from fhir_server.services.published import Published
from fhir_server.services.versions import version_of
from fhir_server.services.world import World
from fhir_server.store.calendar_days import Days, from_document, to_document
from fhir_server.store.resources import Stored
from fhir_server.store.unit import Unit, pause, unavailable

T = TypeVar("T")

ONE_DAY = timedelta(days=1)
READINGS = 12


Already = Callable[[Unit], Awaitable[Stored | None]]
"""Asked first in a transaction; what it finds is the answer (a conditional create)."""


class Changed(Exception):  # noqa: N818  a state of the world, answered by reading again
    """The resource that a use case read before its transaction is another one inside it."""


async def afresh(work: Callable[[], Awaitable[T]]) -> T:
    """Run a use case from its first reading on, again while somebody changes what it read.

    :raises Problem: what ``work`` raises; UNAVAILABLE when somebody was faster every time.
    """
    for attempt in range(READINGS):
        try:
            return await work()
        except Changed:
            await pause(attempt)
    raise unavailable("too many callers change this resource at the same moment")


async def unchanged(unit: Unit, before: Stored) -> None:
    """:raises Changed: ``before`` is no longer current."""
    current = await unit.get(before.type, before.id)
    if current is None or current.version != before.version:
        raise Changed


async def keep(
    world: World, before: Stored, after: Mapping[str, Any], clinics: Sequence[str] | None = None
) -> Stored | None:
    """The next version with the same busy time: one document, no transaction. None if somebody was faster.

    :param clinics: None for those of ``before``.
    """
    written, index = version_of(
        world, after, id_=before.id, version=before.version + 1, at=world.clock(), method="PUT",
        clinics=(before.extra.get("clinics") or ()) if clinics is None else clinics,
        extra={**before.extra, "method": "PUT"},
    )  # fmt: skip
    return written if await world.store.resources.replace(before, written, index) else None


async def clinics_of_booking(
    world: World, wish: Wish, appointment: Mapping[str, Any], shown: Iterable[str]
) -> tuple[str, ...]:
    """The clinics of what a wish becomes: those of the Schedules whose Slots show it, and of who else takes part.

    :param shown: these Slots; they may not be stored yet.
    """
    showing = [facts for facts in wish.schedules if facts.id not in wish.anytime]
    organizations = sorted({one for facts in showing for one in facts.organizations})
    return await clinics_of(world, appointment, wish.clinics, dict.fromkeys(shown, organizations))


def last_shown(before: Stored, after: Mapping[str, Any]) -> dict[str, Any]:
    """The Slots beside an Appointment that loses its time and names none: its clinics stay those of these."""
    if after.get("slot"):
        return {}
    return {"shown": before.extra.get("slots") or before.extra.get("shown")}


class Refused(Exception):  # noqa: N818  the domain's word; the use case turns it into a Problem with alternatives
    """The engine refuses; all reasons together."""

    def __init__(self, refusals: tuple[Refusal, ...]) -> None:
        super().__init__(", ".join(one.code for one in refusals))
        self.refusals = refusals

    @property
    def taken(self) -> bool:
        """Whether only the time is the matter, so that another time may do."""
        return all(one.conflict for one in self.refusals)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a caller wants, resolved: seconds since the epoch, facts, calendar keys.

    ``published``: by Schedule, the stored Slot that is booked. ``anytime``: Schedules that state no hours at all.
    ``flagged``: a patient has missed too many visits at one of the clinics; ``moving``: the visit is booked already.
    ``actors``: busy participants without a Schedule. ``based_on``: ServiceRequest references. ``clinics``:
    Organizations inside whose walls the booking is; ``strangers``: patients whom these do not know yet.
    """

    start: int
    end: int
    schedules: tuple[ScheduleFacts, ...] = ()
    service: ServiceFacts | None = None
    patients: tuple[str, ...] = ()
    actors: tuple[str, ...] = ()
    published: Mapping[str, Published] | None = None
    anytime: frozenset[str] = frozenset()
    modality: str = ""
    channel: str = "online"
    override_reason: str = ""
    based_on: tuple[str, ...] = ()
    new_patient: bool = False
    referral: bool = False
    clinics: tuple[str, ...] = ()
    flagged: bool = False
    moving: bool = False
    strangers: tuple[str, ...] = ()
    pools: tuple[tuple[str, ...], ...] = ()

    def slot_id(self, schedule: ScheduleFacts) -> str:
        """The id of the Slot that shows this booking on a Schedule."""
        found = (self.published or {}).get(schedule.id)
        if found:
            return found.id
        key = ProposalKey(
            self.start, self.end - self.start, self.service.key if self.service else "", "", (schedule.key,)
        )
        return encode(key)


LONGEST_VISIT = 31 * 86400
FIRST_INSTANT, LAST_INSTANT = -2_208_988_800, 7_258_118_400
"""1900-01-01 and 2200-01-01: outside of them nobody books, and calendars end."""


def check_years(start: int, end: int, place: str) -> None:
    """:raises Problem: 422 for a time that no calendar has, and for one that lasts longer than a month."""
    if end - start > LONGEST_VISIT:
        raise problem(Category.RULE, "nobody is busy for more than 31 days on end", place, "not-offered")
    if start < FIRST_INSTANT or end > LAST_INSTANT:
        raise problem(Category.RULE, "the time lies before 1900 or after 2199", place, "out-of-horizon")


def policy_of(wish: Wish) -> Policy:
    """The policy of the first Schedule, which speaks for the booking as a whole."""
    return wish.schedules[0].policy_for(wish.service) if wish.schedules else Policy()


def request_of(
    wish: Wish, owner: str, kind: str, *, expires: int | None = None, ignore: Iterable[str] = ()
) -> BookingRequest:
    """The wish in the words of the pure domain."""
    terms = wish.service.terms if wish.service else None
    return BookingRequest(
        owner=owner,
        kind="hold" if kind == "hold" else "booked",
        start=wish.start,
        end=wish.end,
        patients=wish.patients,
        channel=wish.channel,
        service=terms,
        schedules=tuple(_schedule_wish(wish, facts) for facts in wish.schedules),
        actors=wish.actors,
        pools=wish.pools,
        new_patient=wish.new_patient,
        referral=wish.referral,
        flagged=wish.flagged,
        moving=wish.moving,
        override_reason=wish.override_reason,
        expires=expires,
        ignore=frozenset(ignore),
    )


def _schedule_wish(wish: Wish, facts: ScheduleFacts) -> ScheduleWish:
    published = (wish.published or {}).get(facts.id)
    service = wish.service
    share, capacity = "", 1
    if published:
        spans: tuple[Span, ...] = (Span(published.start, published.end, None),)
        capacity = published.capacity
        share = f"Slot/{published.id}" if capacity > 1 else ""
    else:
        first = local_day(facts.zone, wish.start) - ONE_DAY
        spans = tuple(
            span
            for offset in range(3)
            for span in facts.spans_on(first + offset * ONE_DAY, service.id if service else None, wish.modality or None)
        )
        if service and service.terms.capacity > 1:
            capacity = service.terms.capacity
            share = share_key(facts.id, service.id, wish.start, wish.end)
    return ScheduleWish(
        id=facts.id,
        keys=facts.keys,
        zone=facts.zone,
        policy=facts.policy_for(service),
        spans=spans,
        offers=service is None or not facts.offers or service.id in facts.offers,
        computed=facts.opening is not None and published is None,
        anytime=facts.id in wish.anytime,
        share=share,
        capacity=capacity,
    )


async def take(
    world: World, unit: Unit, request: BookingRequest, *, freed: Iterable[Stored] = ()
) -> tuple[Decision, Days]:
    """Decide on the calendar days as they are in this transaction, and enter the booking.

    :param freed: resources whose time is given back in the same transaction; they do not stand in the way.
    :raises Refused: with every reason.
    """
    wanted = {(key, day) for key in keys_of(request) for day in days_of(request)}
    freed = list(freed)
    for one in freed:
        wanted.update(claimed_days(one))
    days = await unit.days(wanted)
    for one in freed:
        days.remove(one.reference)
    decision = decide(request, days.calendars(), world.now())
    if decision.refusals:
        raise Refused(decision.refusals)
    for key, entry in decision.entries.items():
        days.put(key, entry)
    for schedule in request.schedules:
        # Bookings that count against one limit on different days meet on the first day of its period. Each period has
        # a day of its own: two days of one week may lie in two months.
        for limit in {one.per: one for one in schedule.policy.limits or ()}.values():
            window = limit_window([limit], request.start, schedule.zone)
            if window:
                for key in schedule.keys:
                    days.touch(key, window.start // 86400)
    return decision, days


async def refusals(world: World, request: BookingRequest) -> tuple[Refusal, ...]:
    """Whether the time could be booked now; nothing is written and nothing is promised."""
    wanted = [(key, day) for key in keys_of(request) for day in days_of(request)]
    return decide(request, await world.store.calendar.on(wanted), world.now()).refusals


async def give_back(unit: Unit, freed: Iterable[Stored]) -> Days:
    """Free what these resources hold."""
    freed = list(freed)
    days = await unit.days({one for stored in freed for one in claimed_days(stored)})
    for one in freed:
        days.remove(one.reference)
    return days


def claim_of(entries: Mapping[str, Entry]) -> list[dict[str, Any]]:
    """What a resource keeps busy, as it is stored beside it: the calendar is rebuilt from this."""
    return [{"key": key, **to_document(entry)} for key, entry in sorted(entries.items())]


def claimed(stored: Stored) -> dict[str, Entry]:
    """Calendar entries by key that a resource holds."""
    return {one["key"]: from_document(one) for one in stored.extra.get("claim") or ()}


def claimed_days(stored: Stored) -> set[tuple[str, int]]:
    return {(key, day) for key, entry in claimed(stored).items() for day in utc_days(entry.busy_start, entry.busy_end)}

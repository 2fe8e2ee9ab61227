"""The decision to hold or book a time: pure, on one consistent picture of every calendar concerned.

check                              code                 element      not asked of staff with a reason
---------------------------------  -------------------  -----------  --------------------------------
the Schedule offers the service    not-offered          serviceType
the service has this duration      not-offered          start
online booking allowed             not-eligible         serviceType  (its channel is never online)
new patients accepted              not-eligible         serviceType
a referral where one is needed     referral-required    basedOn
inside an opening                  closed               start, slot
on the alignment                   not-offered          start
minimum notice, not in the past    min-notice           start        x
horizon                            out-of-horizon       start
limits                             booking-limit        start        x
missed visits: the near future     no-show-restricted   start        x
missed visits: payment first       prepayment-required  participant  x
a seat in each Schedule's calendar slot-taken           start, slot  extra seats by policy
a seat with each other actor       slot-taken           participant  extra seats by policy
a free member of each pool         slot-taken           participant  extra seats by policy
the patients are nowhere else      patient-conflict     participant
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fhir_server.scheduling.attendance import Attendance, busy_time, entry_of, overriding
from fhir_server.scheduling.calendar_day import utc_days
from fhir_server.scheduling.no_show import DEFAULT, denials
from fhir_server.scheduling.policy import (
    Refusal,
    horizon_refusal,
    limit_refusals,
    limit_window,
    notice_refusal,
)
from fhir_server.scheduling.starts import aligned, fits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from zoneinfo import ZoneInfo

    from fhir_server.scheduling.availability import Span
    from fhir_server.scheduling.calendar_day import Entry
    from fhir_server.scheduling.terms import Policy, ServiceTerms

__all__ = ["BookingRequest", "Decision", "Refusal", "ScheduleWish", "days_of", "decide", "keys_of"]


@dataclass(frozen=True, slots=True)
class ScheduleWish:
    """One Schedule that the booking takes time of.

    ``keys``: the calendars kept busy (practitioner, device, room, or the Schedule itself). ``spans``: openings around
    the wish, from rules (``computed``) or from published Slots. ``anytime``: the Schedule states no hours at all, so
    there is nothing to check against. ``share`` and ``capacity`` as in :class:`Entry`.
    """

    id: str
    keys: tuple[str, ...]
    zone: ZoneInfo
    policy: Policy
    spans: tuple[Span, ...]
    offers: bool
    computed: bool
    anytime: bool = False
    share: str = ""
    capacity: int = 1


@dataclass(frozen=True, slots=True)
class BookingRequest:
    """What is to be held or booked.

    ``start`` and ``end`` bound the visit; the service adds buffers. ``actors`` are calendar keys without a Schedule,
    of each of ``pools`` one member is needed, ``patients`` are calendar keys too. ``override_reason`` counts for the
    channels ``staff`` and ``phone`` only. ``flagged``: a patient has missed too many visits (``no_show.py``);
    ``moving``: the visit is booked already. ``ignore``: owners whose entries this request replaces.
    """

    owner: str
    kind: Literal["hold", "booked"]
    start: int
    end: int
    patients: tuple[str, ...]
    channel: str
    service: ServiceTerms | None
    schedules: tuple[ScheduleWish, ...]
    actors: tuple[str, ...] = ()
    pools: tuple[tuple[str, ...], ...] = ()
    new_patient: bool = False
    referral: bool = False
    flagged: bool = False
    moving: bool = False
    override_reason: str = ""
    expires: int | None = None
    ignore: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Decision:
    """All refusals together, or one entry for every calendar key taken; ``chosen``: the member taken of each pool."""

    refusals: tuple[Refusal, ...]
    entries: Mapping[str, Entry]
    chosen: tuple[str, ...]


def decide(request: BookingRequest, calendars: Mapping[str, Sequence[Entry]], now: int) -> Decision:
    """Whether ``request`` may be done at ``now``, and what it writes.

    ``calendars`` holds the entries of ``keys_of(request)`` on ``days_of(request)``; a key that is absent is free. With
    refusals there are no entries.
    """
    refusals = [*_service_refusals(request)]
    for wish in request.schedules:
        refusals += _schedule_refusals(request, wish, calendars, now)
    seats = Attendance(request, calendars, now)
    for wish in request.schedules:
        if not all(seats.take(key, wish) for key in wish.keys):
            element = "start" if wish.computed else "slot"
            refusals.append(Refusal("slot-taken", f"The time is taken at {wish.id}.", element, conflict=True))
    if not all(seats.take(actor) for actor in request.actors):
        refusals.append(Refusal("slot-taken", "A participant is busy at that time.", "participant", conflict=True))
    chosen = seats.choose(request.pools)
    if chosen is None:
        refusals.append(Refusal("slot-taken", "Nothing that is also needed is free.", "participant", conflict=True))
    for patient in request.patients:
        if not seats.visit(patient):
            text = "A patient has another appointment at that time."
            refusals.append(Refusal("patient-conflict", text, "participant", conflict=True))
    if refusals:
        return Decision(tuple(dict.fromkeys(refusals)), {}, ())
    return Decision((), seats.entries, chosen or ())


def keys_of(request: BookingRequest) -> tuple[str, ...]:
    """Every calendar key that ``decide`` reads, sorted and unique."""
    keys = {*request.actors, *request.patients}
    keys.update(*(wish.keys for wish in request.schedules), *request.pools)
    return tuple(sorted(keys))


def days_of(request: BookingRequest) -> range:
    """UTC day numbers that ``decide`` reads: the visit with its buffers, and the periods that limits count."""
    start, end = busy_time(request)
    if not overriding(request):
        for wish in request.schedules:
            window = limit_window(wish.policy.limits or (), request.start, wish.zone)
            if window is not None:
                start, end = min(start, window.start), max(end, window.end)
    return utc_days(start, end)


def _service_refusals(request: BookingRequest) -> Iterator[Refusal]:
    service = request.service
    if service is None:
        return
    if request.end - request.start not in service.durations:
        yield Refusal("not-offered", "The service is not offered with this duration.", "start")
    if request.channel == "online" and not service.online_booking:
        yield Refusal("not-eligible", "The service cannot be booked online.", "serviceType")
    if request.new_patient and not service.new_patients:
        yield Refusal("not-eligible", "The service does not take new patients.", "serviceType")
    if service.referral_required and not request.referral:
        yield Refusal("referral-required", "The service needs a referral.", "basedOn")


def _schedule_refusals(
    request: BookingRequest, wish: ScheduleWish, calendars: Mapping[str, Sequence[Entry]], now: int
) -> Iterator[Refusal]:
    start, policy, freely = request.start, wish.policy, overriding(request)
    if not wish.offers:
        yield Refusal("not-offered", f"{wish.id} does not offer the service.", "serviceType")
    if not wish.anytime and not fits(start, wish.spans, request.end - start):
        yield Refusal("closed", f"{wish.id} is not open for the whole visit.", "start" if wish.computed else "slot")
    if wish.computed and not aligned(start, request.service, wish.zone):
        yield Refusal("not-offered", "The service does not start at this time of day.", "start")
    if not freely:
        notice = notice_refusal(policy, start, now)
        if notice is not None:
            yield notice
        elif wish.computed and start < now:
            yield Refusal("min-notice", "The start lies in the past.", "start")
    if request.flagged and not freely:
        for one in denials(policy.no_show or DEFAULT, start, now, moving=request.moving):
            yield Refusal(one.code, one.text, one.element)
    horizon = horizon_refusal(policy, start, now)
    if horizon is not None:
        yield horizon
    if policy.limits and not freely:
        entries = [entry for key in wish.keys for entry in calendars.get(key, ())]
        yield from limit_refusals(policy.limits, entries, entry_of(request, wish), wish.zone, now, request.ignore)

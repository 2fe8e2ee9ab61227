"""Booking rules: how they combine, and what they refuse."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from fhir_server.scheduling import waitlist_terms
from fhir_server.scheduling.civil import day_interval, local_day, month_interval, week_interval
from fhir_server.scheduling.interval import Interval
from fhir_server.scheduling.seats import live
from fhir_server.scheduling.terms import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import date
    from zoneinfo import ZoneInfo

    from fhir_server.scheduling.calendar_day import Entry
    from fhir_server.scheduling.terms import Limit

_PERIODS: Mapping[str, Callable[[ZoneInfo, date], Interval]] = {
    "day": day_interval,
    "week": week_interval,
    "month": month_interval,
}
_SCOPES = {
    "all": "bookings",
    "online": "online bookings",
    "new-patient": "bookings of new patients",
    "service": "bookings of this service",
    "patient": "bookings of one patient",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a booking is refused.

    ``code`` is a code of the CodeSystem *scheduling-issue*, ``text`` holds no patient data, ``element`` is the place:
    ``start``, ``participant``, ``serviceType``, ``basedOn`` or ``slot``. ``conflict``: somebody else has the time (HTTP
    409), else a rule says no (422).
    """

    code: str
    text: str
    element: str
    conflict: bool = False


def merge(*policies: Policy) -> Policy:
    """One policy of several, the most specific last: field by field the last that says something wins.

    The settings of the waitlist are fields of their own.
    """
    said: dict[str, object] = {}
    for policy in policies:
        for name in _FIELDS:
            if (value := getattr(policy, name)) is not None:
                said[name] = value
    waiting = [policy.waitlist for policy in policies if policy.waitlist is not None]
    if waiting:
        said["waitlist"] = waitlist_terms.merge(*waiting)
    return Policy(**said)  # type: ignore[arg-type]  # the names and values come from policies


def window_refusals(policy: Policy, start: int, now: int) -> tuple[Refusal, ...]:
    """Refusals of a visit at ``start`` because it is too soon or too far ahead of ``now``."""
    return tuple(refusal for rule in (notice_refusal, horizon_refusal) if (refusal := rule(policy, start, now)))


def notice_refusal(policy: Policy, start: int, now: int) -> Refusal | None:
    """``min-notice`` if less than the minimum notice is left."""
    if policy.minimum_notice is None or start >= now + policy.minimum_notice:
        return None
    notice = f"sooner than the minimum notice of {_length(policy.minimum_notice)}" if policy.minimum_notice else "past"
    text = f"The start is {notice}."
    return Refusal("min-notice", text, "start")


def horizon_refusal(policy: Policy, start: int, now: int) -> Refusal | None:
    """``out-of-horizon`` if the start lies further ahead than may be booked."""
    if policy.horizon is None or start <= now + policy.horizon:
        return None
    return Refusal("out-of-horizon", f"The start is more than {_length(policy.horizon)} ahead.", "start")


def limit_window(limits: Iterable[Limit], start: int, zone: ZoneInfo) -> Interval | None:
    """The time whose bookings the limits count: the local day, ISO week and month around ``start`` as far as used."""
    day = local_day(zone, start)
    used = [_PERIODS[per](zone, day) for per in sorted({limit.per for limit in limits})]
    if not used:
        return None
    return Interval(min(period.start for period in used), max(period.end for period in used))


def limit_refusals(
    limits: Iterable[Limit],
    entries: Sequence[Entry],
    wanted: Entry,
    zone: ZoneInfo,
    now: int,
    ignore: frozenset[str] = frozenset(),
) -> tuple[Refusal, ...]:
    """``booking-limit`` for every limit that ``wanted`` would exceed.

    Counted are the owners of live holds and bookings of the same Schedule that start in the same local day, ISO week
    or month. A limit ``online`` or ``new-patient`` concerns only such a booking; ``patient`` counts each patient apart.
    """
    limits = tuple(limits)
    if not limits:
        return ()
    day = local_day(zone, wanted.start)
    counted = [
        entry
        for entry in entries
        if entry.schedule == wanted.schedule and entry.kind != "blocked" and live(entry, now, ignore)
    ]
    refusals: list[Refusal] = []
    for limit in limits:
        period = _PERIODS[limit.per](zone, day)
        near = [entry for entry in counted if period.start <= entry.start < period.end]
        if _most(limit, near, wanted) > limit.count:
            text = f"{wanted.schedule} takes at most {limit.count} {_SCOPES[limit.scope]} a {limit.per}."
            refusals.append(Refusal("booking-limit", text, "start"))
    return tuple(refusals)


def cutoff_passed(cutoff: int | None, start: int, now: int) -> bool:
    """Whether less than ``cutoff`` seconds are left before ``start``; never without a cut-off."""
    return cutoff is not None and now > start - cutoff


_FIELDS = tuple(field.name for field in fields(Policy))


def _most(limit: Limit, near: Iterable[Entry], wanted: Entry) -> int:
    """How many bookings the limit would count with ``wanted`` among them; 0 if it does not concern it."""
    if limit.scope == "patient":
        return max(
            (_owners((e for e in near if patient in e.patients), wanted) for patient in wanted.patients), default=0
        )
    if limit.scope == "online":
        return _owners((e for e in near if e.channel == "online"), wanted) if wanted.channel == "online" else 0
    if limit.scope == "new-patient":
        return _owners((e for e in near if e.new_patient), wanted) if wanted.new_patient else 0
    if limit.scope == "service":
        return _owners((e for e in near if e.service == wanted.service), wanted)
    return _owners(near, wanted)


def _owners(entries: Iterable[Entry], wanted: Entry) -> int:
    return len({wanted.owner, *(entry.owner for entry in entries)})


def _length(seconds: int) -> str:
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds % size == 0 and seconds >= size:
            count = seconds // size
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    return f"{seconds} seconds"

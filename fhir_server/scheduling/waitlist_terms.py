"""How a clinic runs its waitlist: settings in the booking policy, and when an offer may be made. Values only.

setting           default                          what it says
----------------  -------------------------------  ----------------------------------------------------------------
ordering          urgency, established, since      who comes first; what is equal follows the time of entry
offer_duration    30 minutes                       how long a time is held for the patient to whom it is offered
stop_before       1 hour                           no offer ends later than so long before the visit
quiet hours       21:00 to 08:00                   an offer made in them is told, and runs, from their end on
max_offers        none                             so many unanswered or declined offers, then only staff offer
established_with  provider                         whose patient is an established one: the provider's, the clinic's
show_position     no                               whether patients see how many are before them
offer_free_time   no                               whether a new entry is offered what is free already

A time is offered to one patient at once; that is no setting.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from fhir_server.scheduling.civil import local_day, wall_intervals

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

Criterion = Literal["urgency", "established", "since", "fewest-offers", "without-appointment"]

HOUR = 3600


@dataclass(frozen=True, slots=True)
class WaitlistTerms:
    """Settings; None = not said here. Lengths in seconds, ``quiet_start`` and ``quiet_end`` seconds from midnight."""

    ordering: tuple[Criterion, ...] | None = None
    offer_duration: int | None = None
    stop_before: int | None = None
    quiet_start: int | None = None
    quiet_end: int | None = None
    max_offers: int | None = None
    established_with: Literal["provider", "clinic"] | None = None
    show_position: bool | None = None
    offer_free_time: bool | None = None


DEFAULT_ORDERING: tuple[Criterion, ...] = ("urgency", "established", "since")

DEFAULTS = WaitlistTerms(DEFAULT_ORDERING, HOUR // 2, HOUR, 21 * HOUR, 8 * HOUR, None, "provider", False, False)
"""What holds where no policy says anything."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """When an offer is told to the patient, and when it ends: epoch seconds."""

    tell: int
    until: int


def merge(*terms: WaitlistTerms) -> WaitlistTerms:
    """One of several, the most specific last: field by field the last that says something wins."""
    said: dict[str, object] = {}
    for one in terms:
        for name in _FIELDS:
            if (value := getattr(one, name)) is not None:
                said[name] = value
    return WaitlistTerms(**said)  # type: ignore[arg-type]  # the names and values come from terms


def completed(terms: WaitlistTerms | None) -> WaitlistTerms:
    """The settings with the defaults where nothing is said."""
    return merge(DEFAULTS, terms) if terms else DEFAULTS


def deadline(now: int, start: int, terms: WaitlistTerms, zone: ZoneInfo, length: int | None = None) -> Deadline | None:
    """When an offer of a visit at ``start`` would end; None where that is too short before the visit.

    :param zone: in which the quiet hours are read.
    :param length: seconds that staff give instead of the policy's.
    """
    whole = completed(terms)
    tell = quiet_until(now, whole, zone)
    until = tell + (length or whole.offer_duration or 0)
    return None if until > start - (whole.stop_before or 0) else Deadline(tell, until)


def quiet_until(now: int, terms: WaitlistTerms, zone: ZoneInfo) -> int:
    """The end of the quiet hours around ``now``; ``now`` itself outside of them. Equal ends are no quiet hours."""
    start, end = terms.quiet_start, terms.quiet_end
    if start is None or end is None or start == end:
        return now
    today = local_day(zone, now)
    for day in (today - timedelta(days=1), today):
        for quiet in wall_intervals(zone, day, start, end):
            if quiet.start <= now < quiet.end:
                return quiet.end
    return now


_FIELDS = tuple(field.name for field in fields(WaitlistTerms))

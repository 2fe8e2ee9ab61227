"""The terms on which time is offered: weekly rules, overrides, a service's parameters, a policy. Values only.

Times of day are seconds from local midnight; lengths are seconds; dates are local dates in the Schedule's zone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal
from zoneinfo import ZoneInfo

from fhir_server.scheduling.no_show import NoShowTerms
from fhir_server.scheduling.reminders import Confirming, Quiet
from fhir_server.scheduling.reminders import Rule as ReminderRule
from fhir_server.scheduling.waitlist_terms import WaitlistTerms

Modality = Literal["in-person", "video", "phone"]
Channel = Literal["online", "phone", "staff", "referral", "waitlist", "interface"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One recurring opening (Schedule extension ``availability``).

    ``days``: 0 = Monday … 6 = Sunday, empty = every day. ``end <= start`` means that it ends on the next day
    (``start == end`` is a full 24 hours). ``week_interval``: every n-th week counted from ``effective_from``'s week
    (Monday-based). Empty ``services`` / ``modalities`` = all.
    """

    days: frozenset[int]
    start: int
    end: int
    effective_from: date | None = None
    effective_until: date | None = None
    week_interval: int = 1
    services: frozenset[str] = frozenset()
    modalities: frozenset[str] = frozenset()
    location: str | None = None


@dataclass(frozen=True, slots=True)
class Override:
    """An exception that beats the rules on the days it touches (Schedule extension ``availability-override``).

    Either whole local days (``first`` … ``last``, inclusive dates) or an exact period (``period_start`` …
    ``period_end`` in epoch seconds, half-open). ``start``/``end``: times of day on each of the days; absent = the
    whole period. ``closed`` removes, ``open`` adds, ``replace`` lets only this count for what starts on these days.
    """

    kind: Literal["closed", "open", "replace"]
    first: date | None = None
    last: date | None = None
    period_start: int | None = None
    period_end: int | None = None
    start: int | None = None
    end: int | None = None
    services: frozenset[str] = frozenset()
    modalities: frozenset[str] = frozenset()
    location: str | None = None


@dataclass(frozen=True, slots=True)
class ServiceTerms:
    """What one appointment type needs (HealthcareService extension ``service-parameters``); lengths in seconds.

    ``durations[0]`` is the default. ``alignment`` None = any start is bookable and listings step by the duration from
    the start of each opening; else starts lie on multiples of it from local midnight plus ``alignment_offset``.
    """

    id: str
    durations: tuple[int, ...]
    buffer_before: int = 0
    buffer_after: int = 0
    alignment: int | None = None
    alignment_offset: int = 0
    capacity: int = 1
    referral_required: bool = False
    new_patients: bool = True
    online_booking: bool = True
    confirmation: Literal["automatic", "manual"] = "automatic"


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``count`` bookings of ``scope`` on one Schedule in each local day, ISO week or calendar month."""

    scope: Literal["all", "online", "new-patient", "service", "patient"]
    per: Literal["day", "week", "month"]
    count: int


@dataclass(frozen=True, slots=True)
class Policy:
    """Booking rules; None = not said here. See ``policy.merge`` for most-specific-wins."""

    minimum_notice: int | None = None
    horizon: int | None = None
    limits: tuple[Limit, ...] | None = None
    hold_duration: int | None = None
    max_hold_duration: int | None = None
    max_holds: int | None = None
    cancel_cutoff: int | None = None
    reschedule_cutoff: int | None = None
    max_reschedules: int | None = None
    overbooking: int | None = None
    assignment: Literal["earliest", "established", "round-robin", "least-loaded", "continuity"] | None = None
    reminders: bool | None = None
    reminder_rules: tuple[ReminderRule, ...] | None = None
    quiet: Quiet | None = None
    confirming: Confirming | None = None
    notices: bool | None = None
    message_detail: bool | None = None
    consent_required: frozenset[str] | None = None
    waitlist: WaitlistTerms | None = None
    checkin_opens: int | None = None
    checkin_closes: int | None = None
    undo_window: int | None = None
    no_show: NoShowTerms | None = None


@dataclass(frozen=True, slots=True)
class Opening:
    """When a Schedule is open: rules plus overrides in one zone."""

    rules: tuple[Rule, ...]
    overrides: tuple[Override, ...]
    zone: ZoneInfo

"""The shapes of our extensions as a table, and what is wrong with one that does not fit.

Schedule           availability, availability-override, offers, booking-policy, timezone
HealthcareService  service-parameters, booking-policy
Organization       booking-policy, message-template, timezone
Location           timezone
Patient            communication-preference, push-device, timezone
Communication      delivery-event
Appointment        booking-channel, modality, override-reason, held-until, cancelled-by, reschedule-count,
                   reschedule-reason, waitlist-preference, waitlist-offer, no-show-suspected, no-show-policy
Flag               no-show-policy
Slot               held-until
"""

from __future__ import annotations

import functools
import zoneinfo
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, get_args

from fhir_server.errors import Category, Issue
from fhir_server.fhir.temporal import calendar_date, date_range, duration_seconds, instant_ms, time_seconds
from fhir_server.scheduling.no_show import ACTIONS
from fhir_server.scheduling.terms import Channel, Modality
from fhir_server.scheduling.waitlist import MOST_URGENT, Outcome, PartOfDay
from fhir_server.scheduling.waitlist_terms import Criterion
from fhir_server.services.actors import reference_of
from fhir_server.settings import CANONICAL

OWN = f"{CANONICAL}StructureDefinition/"
"""URL that every extension of ours starts with."""

TIMEZONE = "http://hl7.org/fhir/StructureDefinition/timezone"
"""IANA zone of a resource, http://hl7.org/fhir/R4/extension-timezone.html."""

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

Check = Callable[[Any], object]


@dataclass(frozen=True, slots=True)
class Part:
    """One extension or one part of it: its value types, cardinality and check (raises ``ValueError`` with words)."""

    kinds: tuple[str, ...]
    required: bool = False
    many: bool = False
    check: Check | None = None
    parts: Mapping[str, Part] = field(default_factory=dict)


def value_of(extension: Mapping[str, Any]) -> tuple[str, Any]:
    """``("Duration", {...})`` from ``valueDuration``; ``("", None)`` for an extension that holds parts."""
    return next(((name[5:], value) for name, value in extension.items() if name.startswith("value")), ("", None))


def faults(extension: Mapping[str, Any], shape: Part, place: str) -> list[Issue]:
    """What is wrong with one extension; ``place`` is its FHIRPath."""
    kind, value = value_of(extension)
    if shape.parts:
        return _part_faults(extension, shape, place)
    if kind not in shape.kinds:
        wanted = " or ".join(f"value{name}" for name in shape.kinds)
        return [Issue(f"{wanted} is needed here", place, category=Category.INVALID)]
    if shape.check is not None:
        try:
            shape.check(value)
        except ValueError as fault:
            return [Issue(str(fault), f"{place}.value{kind}", category=Category.INVALID)]
    return []


def _part_faults(extension: Mapping[str, Any], shape: Part, place: str) -> list[Issue]:
    found: list[Issue] = []
    seen: set[str] = set()
    for index, part in enumerate(extension.get("extension", ())):
        name, where = part.get("url", ""), f"{place}.extension[{index}]"
        known = shape.parts.get(name)
        if known is None:
            # Extensions of others are allowed inside ours; a short name that is not ours is a spelling mistake.
            if ":" not in name:
                found.append(Issue("unknown part of this extension", f"{where}.url", category=Category.INVALID))
            continue
        if name in seen and not known.many:
            found.append(Issue(f"{name} occurs more than once", where, category=Category.INVALID))
        seen.add(name)
        found += faults(part, known, where)
    found += [
        Issue(f"{name} is missing", place, category=Category.REQUIRED)
        for name, part in shape.parts.items()
        if part.required and name not in seen
    ]
    return found


def check_zone(name: Any) -> None:
    """Raises ``ValueError`` unless ``name`` is an IANA zone."""
    if name not in _zones():
        msg = "not an IANA time zone"
        raise ValueError(msg)


@functools.cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def _one_of(*codes: str) -> Part:
    return Part(("Code",), check=_code_check(frozenset(codes)))


def _code_check(codes: frozenset[str]) -> Check:
    def check(value: Any) -> None:
        if value not in codes:
            msg = f"not one of {', '.join(sorted(codes))}"
            raise ValueError(msg)

    return check


def _check_urgency(value: Any) -> None:
    if not 0 <= value <= MOST_URGENT:
        msg = f"a number from 0 to {MOST_URGENT} is needed, {MOST_URGENT} the most urgent"
        raise ValueError(msg)


def _check_length(value: Any) -> None:
    if duration_seconds(value) == 0:
        msg = "a Duration of more than zero is needed"
        raise ValueError(msg)


def _check_dates(value: Any) -> None:
    """Dates, partial ones included; of a dateTime the date counts."""
    for bound in _bounds(value):
        date_range(bound, zoneinfo.ZoneInfo("UTC"))


def _check_period(value: Any) -> None:
    """Full dates or dateTimes."""
    for bound in _bounds(value):
        if "T" in bound:
            instant_ms(bound)
        else:
            calendar_date(bound)


def _bounds(period: Any) -> list[str]:
    bounds = [period[name] for name in ("start", "end") if name in period]
    if not bounds:
        msg = "a Period with a start or an end is needed"
        raise ValueError(msg)
    return bounds


def _check_count(value: Any) -> None:
    if value < 1:
        msg = "a number from 1 up is needed"
        raise ValueError(msg)


def _reference_check(*types: str) -> Check:
    def check(value: Any) -> None:
        # requires may hold a CodeableConcept, which has no type to check.
        reference = reference_of(value)
        if "coding" in value or "text" in value:
            return
        literal = bool(reference) and not reference.startswith("#")
        if not reference or (literal and not any(f"{name}/" in f"/{reference}" for name in types)):
            msg = f"a reference to {' or '.join(types)} is needed"
            raise ValueError(msg)

    return check


_MODALITY = _one_of(*get_args(Modality))
_LENGTH = Part(("Duration",), check=_check_length)
_WAIT = Part(("Duration",), check=duration_seconds)
_COUNT = Part(("PositiveInt",), check=_check_count)
_FLAG = Part(("Boolean",))
_TIME = Part(("Time",), check=time_seconds)
_SERVICES = Part(("Reference",), many=True, check=_reference_check("HealthcareService"))
_WHERE = Part(("Reference",), check=_reference_check("Location"))

AVAILABILITY = Part(
    (),
    many=True,
    parts={
        "daysOfWeek": replace(_one_of(*DAYS), many=True),
        "startTime": replace(_TIME, required=True),
        "endTime": replace(_TIME, required=True),
        "effective": Part(("Period",), check=_check_dates),
        "weekInterval": _COUNT,
        "service": _SERVICES,
        "modality": replace(_MODALITY, many=True),
        "location": _WHERE,
    },
)
OVERRIDE = Part(
    (),
    many=True,
    parts={
        "kind": replace(_one_of("closed", "open", "replace"), required=True),
        "period": Part(("Period",), required=True, check=_check_period),
        "startTime": _TIME,
        "endTime": _TIME,
        "service": _SERVICES,
        "modality": replace(_MODALITY, many=True),
        "location": _WHERE,
        "reason": Part(("CodeableConcept",)),
    },
)
SERVICE_PARAMETERS = Part(
    (),
    parts={
        "duration": replace(_LENGTH, required=True, many=True),
        "bufferBefore": _WAIT,
        "bufferAfter": _WAIT,
        "alignment": _LENGTH,
        "alignmentOffset": _WAIT,
        "capacity": _COUNT,
        "referralRequired": _FLAG,
        "newPatients": _FLAG,
        "onlineBooking": _FLAG,
        "confirmation": _one_of("automatic", "manual"),
        "requires": Part(
            ("Reference", "CodeableConcept"), many=True, check=_reference_check("Location", "Device", "Group")
        ),
        "billingCode": Part(("CodeableConcept",), many=True),
        "color": Part(("String",)),
    },
)
LIMIT = Part(
    (),
    many=True,
    parts={
        "scope": replace(_one_of("all", "online", "new-patient", "service", "patient"), required=True),
        "per": replace(_one_of("day", "week", "month"), required=True),
        "count": replace(_COUNT, required=True),
    },
)
_MEDIUM = _one_of("email", "sms", "voice", "push")
REMINDER = Part(
    (),
    many=True,
    parts={
        "kind": replace(_one_of("reminder", "confirmation-request"), required=True),
        "before": replace(_LENGTH, required=True),
        "channel": replace(_MEDIUM, required=True, many=True),
        "modality": replace(_MODALITY, many=True),
    },
)
QUIET_HOURS = Part((), parts={"start": replace(_TIME, required=True), "end": replace(_TIME, required=True)})
CONFIRMATION = Part((), parts={"followUp": _LENGTH, "cutoff": _WAIT, "release": _FLAG})
WAITLIST_POLICY = Part(
    (),
    parts={
        "ordering": replace(_one_of(*get_args(Criterion)), many=True),
        "offerDuration": _LENGTH,
        "stopBefore": _WAIT,
        "quietStart": _TIME,
        "quietEnd": _TIME,
        "maxOffers": _COUNT,
        "establishedWith": _one_of("provider", "clinic"),
        "showPosition": _FLAG,
        "offerFreeTime": _FLAG,
    },
)
WAITLIST_PREFERENCE = Part(
    (),
    parts={
        "service": _SERVICES,
        "actor": Part(
            ("Reference",), many=True, check=_reference_check("Practitioner", "PractitionerRole", "Device", "Location")
        ),
        "location": replace(_WHERE, many=True),
        "daysOfWeek": replace(_one_of(*DAYS), many=True),
        "partOfDay": replace(_one_of(*get_args(PartOfDay)), many=True),
        "earliestTime": _TIME,
        "latestTime": _TIME,
        "duration": _LENGTH,
        "modality": _MODALITY,
        "notice": _WAIT,
        "urgency": Part(("UnsignedInt",), check=_check_urgency),
        "keepAppointment": Part(("Reference",), check=_reference_check("Appointment")),
    },
)
WAITLIST_OFFER = Part(
    (),
    many=True,
    parts={
        "start": Part(("Instant",), required=True, check=instant_ms),
        "end": Part(("Instant",), required=True, check=instant_ms),
        "schedule": Part(("Reference",), required=True, check=_reference_check("Schedule")),
        "made": Part(("Instant",), required=True, check=instant_ms),
        "until": Part(("Instant",), required=True, check=instant_ms),
        "by": replace(_one_of("rank", "staff"), required=True),
        "reason": Part(("String",)),
        "outcome": replace(_one_of(*get_args(Outcome)), required=True),
    },
)
NO_SHOW = Part(
    (),
    parts={
        "flagAfter": _WAIT,
        "most": _COUNT,
        "action": replace(_one_of(*ACTIONS), many=True),
        "advance": _LENGTH,
        "amount": Part(("Money",)),
    },
)
BOOKING_POLICY = Part(
    (),
    parts={
        "minimumNotice": _WAIT,
        "horizon": _LENGTH,
        "limit": LIMIT,
        "holdDuration": _LENGTH,
        "maxHoldDuration": _LENGTH,
        "maxHolds": _COUNT,
        "cancelCutoff": _WAIT,
        "rescheduleCutoff": _WAIT,
        "maxReschedules": _COUNT,
        "overbooking": _COUNT,
        "assignment": _one_of("earliest", "established", "round-robin", "least-loaded", "continuity"),
        "reminders": _FLAG,
        "reminder": REMINDER,
        "quietHours": QUIET_HOURS,
        "confirmation": CONFIRMATION,
        "notices": _FLAG,
        "messageDetail": _FLAG,
        "consentRequired": replace(_MEDIUM, many=True),
        "waitlist": WAITLIST_POLICY,
        "checkInOpens": _WAIT,
        "checkInCloses": _WAIT,
        "undoWindow": _WAIT,
        "noShow": NO_SHOW,
    },
)
NO_SHOW_POLICY = Part(
    (),
    parts={
        "action": replace(_one_of(*ACTIONS), many=True, required=True),
        "amount": Part(("Money",)),
    },
)
COMMUNICATION_PREFERENCE = Part(
    (),
    many=True,
    parts={
        "kind": _one_of("reminder", "confirmation-request", "follow-up", "offer", "notice"),
        "channel": replace(_MEDIUM, many=True),
        "off": _FLAG,
    },
)
PUSH_DEVICE = Part(
    (),
    many=True,
    parts={
        "kind": replace(_one_of("fcm", "apns", "web"), required=True),
        "device": Part(("String",), required=True),
    },
)
DELIVERY_EVENT = Part(
    (),
    many=True,
    parts={
        "event": replace(
            _one_of("sent", "delivered", "failed", "bounced", "opened", "clicked", "unsubscribed"), required=True
        ),
        "at": Part(("Instant",), required=True, check=instant_ms),
    },
)
MESSAGE_TEMPLATE = Part(
    (),
    many=True,
    parts={
        "message": Part(("Code",), required=True),
        "language": Part(("Code",), required=True),
        "part": Part(("Code",), required=True),
        "text": Part(("String",), required=True),
    },
)
_ZONE = Part(("Code",), check=check_zone)
_HELD_UNTIL = Part(("Instant",), check=instant_ms)

EXTENSIONS: Mapping[str, Mapping[str, Part]] = {
    "Schedule": {
        f"{OWN}availability": AVAILABILITY,
        f"{OWN}availability-override": OVERRIDE,
        f"{OWN}offers": _SERVICES,
        f"{OWN}booking-policy": BOOKING_POLICY,
        TIMEZONE: _ZONE,
    },
    "HealthcareService": {f"{OWN}service-parameters": SERVICE_PARAMETERS, f"{OWN}booking-policy": BOOKING_POLICY},
    "Organization": {
        f"{OWN}booking-policy": BOOKING_POLICY,
        f"{OWN}message-template": MESSAGE_TEMPLATE,
        TIMEZONE: _ZONE,
    },
    "Location": {TIMEZONE: _ZONE},
    "Patient": {
        f"{OWN}communication-preference": COMMUNICATION_PREFERENCE,
        f"{OWN}push-device": PUSH_DEVICE,
        TIMEZONE: _ZONE,
    },
    "Communication": {f"{OWN}delivery-event": DELIVERY_EVENT},
    "Appointment": {
        f"{OWN}booking-channel": _one_of(*get_args(Channel)),
        f"{OWN}modality": _MODALITY,
        f"{OWN}override-reason": Part(("String",)),
        f"{OWN}held-until": _HELD_UNTIL,
        f"{OWN}cancelled-by": _one_of(*get_args(Channel)),
        f"{OWN}reschedule-count": Part(("PositiveInt",)),
        f"{OWN}reschedule-reason": Part(("CodeableConcept",)),
        f"{OWN}waitlist-preference": WAITLIST_PREFERENCE,
        f"{OWN}waitlist-offer": WAITLIST_OFFER,
        f"{OWN}no-show-suspected": Part(("Instant",), check=instant_ms),
        f"{OWN}no-show-policy": NO_SHOW_POLICY,
    },
    "Flag": {f"{OWN}no-show-policy": NO_SHOW_POLICY},
    "Slot": {f"{OWN}held-until": _HELD_UNTIL},
}
"""The extensions that each resource type may carry at its top, by URL."""

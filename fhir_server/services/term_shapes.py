"""The shapes of our extensions as a table.

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

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

from fhir_server.fhir.temporal import duration_seconds, instant_ms
from fhir_server.scheduling.no_show import ACTIONS
from fhir_server.scheduling.terms import Channel
from fhir_server.scheduling.waitlist import Outcome, PartOfDay
from fhir_server.scheduling.waitlist_terms import Criterion
from fhir_server.services.shapes import (
    COUNT,
    DAYS,
    FLAG,
    LENGTH,
    MODALITY,
    OWN,
    SERVICES,
    TIME,
    TIMEZONE,
    WAIT,
    WHERE,
    Part,
    check_dates,
    check_length,
    check_period,
    check_urgency,
    check_zone,
    one_of,
    reference_check,
)

AVAILABILITY = Part(
    (),
    many=True,
    parts={
        "daysOfWeek": replace(one_of(*DAYS), many=True),
        "startTime": replace(TIME, required=True),
        "endTime": replace(TIME, required=True),
        "effective": Part(("Period",), check=check_dates),
        "weekInterval": COUNT,
        "service": SERVICES,
        "modality": replace(MODALITY, many=True),
        "location": WHERE,
    },
)
OVERRIDE = Part(
    (),
    many=True,
    parts={
        "kind": replace(one_of("closed", "open", "replace"), required=True),
        "period": Part(("Period",), required=True, check=check_period),
        "startTime": TIME,
        "endTime": TIME,
        "service": SERVICES,
        "modality": replace(MODALITY, many=True),
        "location": WHERE,
        "reason": Part(("CodeableConcept",)),
    },
)
SERVICE_PARAMETERS = Part(
    (),
    parts={
        "duration": replace(LENGTH, required=True, many=True),
        "bufferBefore": WAIT,
        "bufferAfter": WAIT,
        "alignment": LENGTH,
        "alignmentOffset": WAIT,
        "capacity": COUNT,
        "referralRequired": FLAG,
        "newPatients": FLAG,
        "onlineBooking": FLAG,
        "confirmation": one_of("automatic", "manual"),
        "requires": Part(
            ("Reference", "CodeableConcept"), many=True, check=reference_check("Location", "Device", "Group")
        ),
        "billingCode": Part(("CodeableConcept",), many=True),
        "color": Part(("String",)),
    },
)
LIMIT = Part(
    (),
    many=True,
    parts={
        "scope": replace(one_of("all", "online", "new-patient", "service", "patient"), required=True),
        "per": replace(one_of("day", "week", "month"), required=True),
        "count": replace(COUNT, required=True),
    },
)
_MEDIUM = one_of("email", "sms", "voice", "push")
REMINDER = Part(
    (),
    many=True,
    parts={
        "kind": replace(one_of("reminder", "confirmation-request"), required=True),
        "before": replace(LENGTH, required=True),
        "channel": replace(_MEDIUM, required=True, many=True),
        "modality": replace(MODALITY, many=True),
    },
)
QUIET_HOURS = Part((), parts={"start": replace(TIME, required=True), "end": replace(TIME, required=True)})
CONFIRMATION = Part((), parts={"followUp": LENGTH, "cutoff": WAIT, "release": FLAG})
WAITLIST_POLICY = Part(
    (),
    parts={
        "ordering": replace(one_of(*get_args(Criterion)), many=True),
        "offerDuration": LENGTH,
        "stopBefore": WAIT,
        "quietStart": TIME,
        "quietEnd": TIME,
        "maxOffers": COUNT,
        "establishedWith": one_of("provider", "clinic"),
        "showPosition": FLAG,
        "offerFreeTime": FLAG,
    },
)
LONGEST_VISIT = 86_400
"""Seconds of the longest visit that somebody may wait for: a day."""


def check_visit(value: Any) -> None:
    """:raises ValueError: no length of a visit."""
    check_length(value)
    if duration_seconds(value) > LONGEST_VISIT:
        msg = "a visit of at most 24 hours is needed"
        raise ValueError(msg)


WAITLIST_PREFERENCE = Part(
    (),
    parts={
        "service": SERVICES,
        "actor": Part(
            ("Reference",), many=True, check=reference_check("Practitioner", "PractitionerRole", "Device", "Location")
        ),
        "location": replace(WHERE, many=True),
        "daysOfWeek": replace(one_of(*DAYS), many=True),
        "partOfDay": replace(one_of(*get_args(PartOfDay)), many=True),
        "earliestTime": TIME,
        "latestTime": TIME,
        "duration": replace(LENGTH, check=check_visit),
        "modality": MODALITY,
        "notice": WAIT,
        "urgency": Part(("UnsignedInt",), check=check_urgency),
        "keepAppointment": Part(("Reference",), check=reference_check("Appointment")),
    },
)
WAITLIST_OFFER = Part(
    (),
    many=True,
    parts={
        "start": Part(("Instant",), required=True, check=instant_ms),
        "end": Part(("Instant",), required=True, check=instant_ms),
        "schedule": Part(("Reference",), required=True, check=reference_check("Schedule")),
        "freed": Part(("Period",)),
        "made": Part(("Instant",), required=True, check=instant_ms),
        "until": Part(("Instant",), required=True, check=instant_ms),
        "by": replace(one_of("rank", "staff"), required=True),
        "reason": Part(("String",)),
        "outcome": replace(one_of(*get_args(Outcome)), required=True),
    },
)
NO_SHOW = Part(
    (),
    parts={
        "flagAfter": WAIT,
        "most": COUNT,
        "action": replace(one_of(*ACTIONS), many=True),
        "advance": LENGTH,
        "amount": Part(("Money",)),
    },
)
BOOKING_POLICY = Part(
    (),
    parts={
        "minimumNotice": WAIT,
        "horizon": LENGTH,
        "limit": LIMIT,
        "holdDuration": LENGTH,
        "maxHoldDuration": LENGTH,
        "maxHolds": COUNT,
        "cancelCutoff": WAIT,
        "rescheduleCutoff": WAIT,
        "maxReschedules": COUNT,
        "overbooking": COUNT,
        "assignment": one_of("earliest", "established", "round-robin", "least-loaded", "continuity"),
        "reminders": FLAG,
        "reminder": REMINDER,
        "quietHours": QUIET_HOURS,
        "confirmation": CONFIRMATION,
        "notices": FLAG,
        "messageDetail": FLAG,
        "consentRequired": replace(_MEDIUM, many=True),
        "waitlist": WAITLIST_POLICY,
        "checkInOpens": WAIT,
        "checkInCloses": WAIT,
        "undoWindow": WAIT,
        "noShow": NO_SHOW,
    },
)
NO_SHOW_POLICY = Part(
    (),
    parts={
        "action": replace(one_of(*ACTIONS), many=True, required=True),
        "amount": Part(("Money",)),
    },
)
COMMUNICATION_PREFERENCE = Part(
    (),
    many=True,
    parts={
        "kind": one_of("reminder", "confirmation-request", "follow-up", "offer", "notice"),
        "channel": replace(_MEDIUM, many=True),
        "off": FLAG,
    },
)
PUSH_DEVICE = Part(
    (),
    many=True,
    parts={
        "kind": replace(one_of("fcm", "apns", "web"), required=True),
        "device": Part(("String",), required=True),
    },
)
DELIVERY_EVENT = Part(
    (),
    many=True,
    parts={
        "event": replace(
            one_of("sent", "delivered", "failed", "bounced", "opened", "clicked", "unsubscribed"), required=True
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
        f"{OWN}offers": SERVICES,
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
        f"{OWN}booking-channel": one_of(*get_args(Channel)),
        f"{OWN}modality": MODALITY,
        f"{OWN}override-reason": Part(("String",)),
        f"{OWN}held-until": _HELD_UNTIL,
        f"{OWN}cancelled-by": one_of(*get_args(Channel)),
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

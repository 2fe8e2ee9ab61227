"""From FHIR to the scheduling domain: the terms that Schedules, HealthcareServices and Organizations state.

The shapes are those of ``term_shapes``; a resource that is read here has passed :func:`problems`.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from fhir_server.errors import Category, Issue
from fhir_server.fhir.temporal import (
    calendar_date,
    date_range,
    duration_seconds,
    instant_seconds,
    time_seconds,
)
from fhir_server.scheduling.civil import DAY
from fhir_server.scheduling.contradiction import Contradiction, contradictions
from fhir_server.scheduling.no_show import ADVANCE, NoShowTerms
from fhir_server.scheduling.reminders import Confirming, Quiet
from fhir_server.scheduling.reminders import Rule as ReminderRule
from fhir_server.scheduling.terms import Limit, Opening, Override, Policy, Rule, ServiceTerms
from fhir_server.scheduling.waitlist_terms import WaitlistTerms
from fhir_server.services import message_texts
from fhir_server.services.actors import reference_of
from fhir_server.services.message_texts import TEMPLATE_URL
from fhir_server.services.shapes import DAYS, OWN, TIMEZONE, check_zone, faults, value_of
from fhir_server.services.term_shapes import EXTENSIONS

Resource = Mapping[str, Any]
Parts = Mapping[str, list[Any]]

DEFAULT_DURATION = 30 * 60
"""Seconds of a visit where a HealthcareService has no ``service-parameters``."""

_RULE = f"{OWN}availability"
_OVERRIDE = f"{OWN}availability-override"
_WEEKDAYS = {name: number for number, name in enumerate(DAYS)}


def zone(resource: Resource) -> ZoneInfo | None:
    """The zone that a resource states, else None; raises ``ValueError`` for an unknown one."""
    for extension in resource.get("extension", ()):
        if extension.get("url") == TIMEZONE:
            check_zone(extension.get("valueCode"))
            return ZoneInfo(extension["valueCode"])
    return None


def has_rules(schedule: Resource) -> bool:
    """Whether a Schedule states hours: availability or an override."""
    return any(extension.get("url") in {_RULE, _OVERRIDE} for extension in schedule.get("extension", ()))


def opening(schedule: Resource, default_zone: ZoneInfo | None = None) -> Opening:
    """When a Schedule is open, in its own zone, else in ``default_zone``; raises ``ValueError`` if there is neither."""
    own = zone(schedule) or default_zone
    if own is None:
        msg = "a Schedule with rules needs a time zone"
        raise ValueError(msg)
    return Opening(
        tuple(_rule(parts) for _, parts in _stated(schedule, _RULE)),
        tuple(_override(parts, own) for _, parts in _stated(schedule, _OVERRIDE)),
        own,
    )


def locations(schedule: Resource) -> tuple[str, ...]:
    """Places that a Schedule's rules and overrides name, each once: ``Location/1``."""
    return tuple(
        dict.fromkeys(
            reference_of(where)
            for url in (_RULE, _OVERRIDE)
            for _, parts in _stated(schedule, url)
            for where in parts.get("location", ())
        )
    )


def offers(schedule: Resource) -> tuple[str, ...]:
    """What can be booked on a Schedule: ``HealthcareService/1``; empty when it does not say."""
    return tuple(
        reference_of(extension.get("valueReference"))
        for extension in schedule.get("extension", ())
        if extension.get("url") == f"{OWN}offers"
    )


def planning_horizon(schedule: Resource, default_zone: ZoneInfo | None = None) -> tuple[int | None, int | None]:
    """``planningHorizon`` in epoch seconds, half-open, None where it is open.

    Dates are read in the Schedule's zone, else in ``default_zone``, else in UTC.
    """
    period = schedule.get("planningHorizon", {})
    where = zone(schedule) or default_zone or ZoneInfo("UTC")
    return (
        date_range(period["start"], where)[0] // 1000 if "start" in period else None,
        -(-date_range(period["end"], where)[1] // 1000) if "end" in period else None,
    )


def service_terms(service: Resource) -> ServiceTerms:
    """What one appointment type needs; without ``service-parameters`` one visit of 30 minutes."""
    stated = next((parts for _, parts in _stated(service, f"{OWN}service-parameters")), {})
    confirmation = _one(stated, "confirmation")
    return ServiceTerms(
        id=f"HealthcareService/{service['id']}",
        durations=tuple(map(duration_seconds, stated.get("duration", ()))) or (DEFAULT_DURATION,),
        buffer_before=_length(stated, "bufferBefore") or 0,
        buffer_after=_length(stated, "bufferAfter") or 0,
        alignment=_length(stated, "alignment"),
        alignment_offset=_length(stated, "alignmentOffset") or 0,
        capacity=_one(stated, "capacity") or 1,
        referral_required=_one(stated, "referralRequired") is True,
        new_patients=_one(stated, "newPatients") is not False,
        online_booking=_one(stated, "onlineBooking") is not False,
        confirmation="manual" if confirmation == "manual" else "automatic",
    )


def requirements(service: Resource) -> tuple[dict[str, Any], ...]:
    """What else must be free, each a Reference or a CodeableConcept as it was written."""
    return tuple(
        wanted for _, parts in _stated(service, f"{OWN}service-parameters") for wanted in parts.get("requires", ())
    )


def policy(resource: Resource) -> Policy:
    """The ``booking-policy`` of an Organization, HealthcareService or Schedule; what it does not say is None."""
    stated = next((parts for _, parts in _stated(resource, f"{OWN}booking-policy")), {})
    limits = tuple(
        Limit(scope=limit["scope"][0], per=limit["per"][0], count=limit["count"][0])
        for limit in map(_parts, stated.get("limit", ()))
    )
    return Policy(
        minimum_notice=_length(stated, "minimumNotice"),
        horizon=_length(stated, "horizon"),
        limits=limits or None,
        hold_duration=_length(stated, "holdDuration"),
        max_hold_duration=_length(stated, "maxHoldDuration"),
        max_holds=_one(stated, "maxHolds"),
        cancel_cutoff=_length(stated, "cancelCutoff"),
        reschedule_cutoff=_length(stated, "rescheduleCutoff"),
        max_reschedules=_one(stated, "maxReschedules"),
        overbooking=_one(stated, "overbooking"),
        assignment=_one(stated, "assignment"),
        reminders=_one(stated, "reminders"),
        reminder_rules=tuple(map(_reminder, map(_parts, stated.get("reminder", ())))) or None,
        quiet=_quiet(_parts(stated["quietHours"][0])) if "quietHours" in stated else None,
        confirming=_confirming(_parts(stated["confirmation"][0])) if "confirmation" in stated else None,
        notices=_one(stated, "notices"),
        message_detail=_one(stated, "messageDetail"),
        consent_required=frozenset(stated["consentRequired"]) if "consentRequired" in stated else None,
        waitlist=_waitlist(_parts(stated["waitlist"][0])) if "waitlist" in stated else None,
        checkin_opens=_length(stated, "checkInOpens"),
        checkin_closes=_length(stated, "checkInCloses"),
        undo_window=_length(stated, "undoWindow"),
        no_show=_no_show(stated),
    )


def _no_show(stated: Parts) -> NoShowTerms | None:
    """The part ``noShow``, a statement of its own: the most specific one counts as a whole."""
    if "noShow" not in stated:
        return None
    said, usual = _parts(stated["noShow"][0]), NoShowTerms()
    flag_after, advance = _length(said, "flagAfter"), _length(said, "advance")
    return NoShowTerms(
        flag_after=usual.flag_after if flag_after is None else flag_after,
        most=_one(said, "most") or usual.most,
        actions=tuple(said.get("action", usual.actions)),
        advance=ADVANCE if advance is None else advance,
        amount=_one(said, "amount"),
    )


def _reminder(parts: Parts) -> ReminderRule:
    before = duration_seconds(parts["before"][0])
    return ReminderRule(parts["kind"][0], before, tuple(parts["channel"]), frozenset(parts.get("modality", ())))


def _quiet(parts: Parts) -> Quiet:
    return Quiet(time_seconds(parts["start"][0]), time_seconds(parts["end"][0]))


def _confirming(parts: Parts) -> Confirming:
    cutoff = _length(parts, "cutoff")
    return Confirming(
        _length(parts, "followUp"), DAY if cutoff is None else cutoff, release=_one(parts, "release") is True
    )


def _waitlist(stated: Parts) -> WaitlistTerms:
    """The settings of the waitlist, a part of the policy with parts of its own."""
    return WaitlistTerms(
        ordering=tuple(stated.get("ordering", ())) or None,
        offer_duration=_length(stated, "offerDuration"),
        stop_before=_length(stated, "stopBefore"),
        quiet_start=_time(stated, "quietStart"),
        quiet_end=_time(stated, "quietEnd"),
        max_offers=_one(stated, "maxOffers"),
        established_with=_one(stated, "establishedWith"),
        show_position=_one(stated, "showPosition"),
        offer_free_time=_one(stated, "offerFreeTime"),
    )


def stated(resource: Resource, url: str) -> list[Parts]:
    """The parts of each extension with this URL, values by name."""
    return [parts for _, parts in _stated(resource, url)]


def problems(resource: Resource) -> list[Issue]:
    """What is wrong with the extensions of ours that a resource carries at its top; for the validator's hook.

    Shapes first (INVALID, REQUIRED); hours that contradict themselves (RULE) once the shapes are right.
    """
    kind = resource["resourceType"]
    known = EXTENSIONS.get(kind, {})
    found: list[Issue] = []
    seen: set[str] = set()
    for index, extension in enumerate(resource.get("extension", ())):
        url, place = extension.get("url", ""), f"{kind}.extension[{index}]"
        shape = known.get(url)
        if shape is None:
            if url.startswith(OWN):
                found.append(Issue(f"{kind} has no such extension", f"{place}.url", category=Category.INVALID))
            continue
        if url in seen and not shape.many:
            found.append(Issue("this extension occurs more than once", place, category=Category.INVALID))
        seen.add(url)
        found += faults(extension, shape, place)
    if not found and TEMPLATE_URL in seen:
        found += message_texts.problems(resource)
    if not found and not seen.isdisjoint((_RULE, _OVERRIDE)):
        found += (
            Issue(fault.text, _place(resource, fault), category=Category.RULE)
            for fault in contradictions(opening(resource, ZoneInfo("UTC")))
        )
    return found


def _place(resource: Resource, fault: Contradiction) -> str:
    """FHIRPath of the part that a contradiction names, else of its extension."""
    index, _ = list(_stated(resource, _RULE if fault.kind == "rule" else _OVERRIDE))[fault.index]
    place = f"{resource['resourceType']}.extension[{index}]"
    for number, part in enumerate(resource["extension"][index].get("extension", ())):
        if part.get("url") == fault.element:
            return f"{place}.extension[{number}].value{value_of(part)[0]}"
    return place


def _stated(resource: Resource, url: str) -> Iterator[tuple[int, Parts]]:
    """Index and parts of each extension with this URL."""
    for index, extension in enumerate(resource.get("extension", ())):
        if extension.get("url") == url:
            yield index, _parts(extension)


def _parts(extension: Resource) -> Parts:
    """Values by part; a part with parts of its own (``limit``) stays an extension."""
    found: dict[str, list[Any]] = {}
    for part in extension.get("extension", ()):
        value = value_of(part)[1]
        found.setdefault(part["url"], []).append(part if value is None else value)
    return found


def _one(parts: Parts, name: str) -> Any:
    return parts[name][0] if name in parts else None


def _length(parts: Parts, name: str) -> int | None:
    return duration_seconds(parts[name][0]) if name in parts else None


def _time(parts: Parts, name: str) -> int | None:
    return time_seconds(parts[name][0]) if name in parts else None


def _rule(parts: Parts) -> Rule:
    effective = _one(parts, "effective") or {}
    return Rule(
        days=frozenset(_WEEKDAYS[day] for day in parts.get("daysOfWeek", ())),
        start=_time(parts, "startTime") or 0,
        end=_time(parts, "endTime") or 0,
        effective_from=_day(effective["start"]) if "start" in effective else None,
        effective_until=_day(effective["end"], last=True) if "end" in effective else None,
        week_interval=_one(parts, "weekInterval") or 1,
        services=frozenset(map(reference_of, parts.get("service", ()))),
        modalities=frozenset(parts.get("modality", ())),
        location=reference_of(_one(parts, "location")) or None,
    )


def _override(parts: Parts, where: ZoneInfo) -> Override:
    """Whole days when the period is of dates; an exact period as soon as one side is a dateTime."""
    period = _one(parts, "period") or {}
    start, end = period.get("start"), period.get("end")
    exact = "T" in (start or "") or "T" in (end or "")
    return Override(
        kind=_one(parts, "kind"),
        first=None if exact or start is None else calendar_date(start),
        last=None if exact or end is None else calendar_date(end),
        period_start=_instant(start, where) if exact and start is not None else None,
        period_end=_instant(end, where, last=True) if exact and end is not None else None,
        start=_time(parts, "startTime"),
        end=_time(parts, "endTime"),
        services=frozenset(map(reference_of, parts.get("service", ()))),
        modalities=frozenset(parts.get("modality", ())),
        location=reference_of(_one(parts, "location")) or None,
    )


def _instant(text: str, where: ZoneInfo, *, last: bool = False) -> int:
    """A dateTime as it is; a date as its first or, half-open, its last moment in the zone."""
    if "T" in text:
        return instant_seconds(text, floor=not last)
    return date_range(text, where)[last] // 1000


def _day(text: str, *, last: bool = False) -> date:
    """The first or last day of a date of any precision; of a dateTime its date as written."""
    if len(text) >= 10:
        return calendar_date(text[:10])
    year, month = int(text[:4]), int(text[5:7] or (12 if last else 1))
    return date(year, month, calendar.monthrange(year, month)[1] if last else 1)

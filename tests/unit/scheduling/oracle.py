"""What the domain should say, worked out moment by moment with datetime and without any of its code but the values.

Every moment is a multiple of ``STEP``, and so is every time, length and date in the data that is compared.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from zoneinfo import ZoneInfo

    from fhir_server.scheduling.calendar_day import Entry
    from fhir_server.scheduling.terms import Limit, Opening, Override, Rule, ServiceTerms

STEP = 900


def wall(zone: ZoneInfo, instant: int) -> datetime:
    return datetime.fromtimestamp(instant, zone).replace(tzinfo=None)


def moments(low: int, high: int) -> range:
    return range(-(-low // STEP) * STEP, high, STEP)


def epoch(zone: ZoneInfo, day: date, hour: int = 0, minute: int = 0) -> int:
    return int(datetime.combine(day, time(hour, minute), zone).timestamp())


def _in_window(clock: datetime, day: date, start: int | None, end: int | None) -> bool:
    first, last = timedelta(seconds=start or 0), timedelta(seconds=end or 0)
    if last <= first:
        last += timedelta(days=1)
    midnight = datetime.combine(day, time())
    return midnight + first <= clock < midnight + last


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _rule_on(rule: Rule, day: date) -> bool:
    if rule.days and day.weekday() not in rule.days:
        return False
    if rule.effective_from and day < rule.effective_from:
        return False
    if rule.effective_until and day > rule.effective_until:
        return False
    weeks = (_monday(day) - _monday(rule.effective_from or date(1, 1, 1))).days // 7
    return weeks % rule.week_interval == 0


def _override_on(override: Override, zone: ZoneInfo, day: date) -> bool:
    if override.first and day < override.first:
        return False
    if override.last and day > override.last:
        return False
    if override.period_start is not None and day < wall(zone, override.period_start).date():
        return False
    return override.period_end is None or day <= wall(zone, override.period_end - 1).date()


def _override_holds(override: Override, zone: ZoneInfo, instant: int, day: date) -> bool:
    """Whether the override's window of ``day`` contains the instant."""
    if override.period_start is not None and instant < override.period_start:
        return False
    if override.period_end is not None and instant >= override.period_end:
        return False
    return _override_on(override, zone, day) and _in_window(wall(zone, instant), day, override.start, override.end)


def _about(term: Rule | Override, service: str, modality: str) -> bool:
    return (not term.services or service in term.services) and (not term.modalities or modality in term.modalities)


def places(opening: Opening, instant: int, service: str, modality: str) -> set[str | None]:
    """Where the Schedule is open at an instant for one service and modality."""
    clock = wall(opening.zone, instant)
    days = (clock.date(), clock.date() - timedelta(days=1))
    overrides = [override for override in opening.overrides if _about(override, service, modality)]
    found: set[str | None] = set()
    for day in days:
        replaced = any(o.kind == "replace" and _override_on(o, opening.zone, day) for o in overrides)
        for rule in opening.rules:
            if not replaced and _about(rule, service, modality) and _rule_on(rule, day):
                found |= {rule.location} if _in_window(clock, day, rule.start, rule.end) else set()
        for override in overrides:
            if override.kind != "closed" and _override_holds(override, opening.zone, instant, day):
                found.add(override.location)
    for override in overrides:
        if override.kind == "closed" and any(_override_holds(override, opening.zone, instant, day) for day in days):
            found -= {place for place in found if override.location is None or place in (None, override.location)}
    return found


def open_places(opening: Opening, instant: int, service: str | None, modality: str | None) -> set[str | None]:
    """As ``places``; None = for at least one service, one modality, named or not."""
    terms = (*opening.rules, *opening.overrides)
    services = [service] if service else sorted({name for term in terms for name in term.services} | {"unnamed"})
    modalities = [modality] if modality else ["in-person", "video", "phone"]
    found: set[str | None] = set()
    for one in services:
        for other in modalities:
            found |= places(opening, instant, one, other)
    return found


def lives(entry: Entry, now: int, ignore: Iterable[str] = ()) -> bool:
    return entry.owner not in ignore and not (entry.expires is not None and entry.expires <= now)


def seated(entries: Iterable[Entry], wanted: Entry, now: int, ignore: Iterable[str] = (), extra: int = 0) -> bool:
    """Whether ``wanted`` has a seat at every moment of its busy time."""
    for moment in moments(wanted.busy_start, wanted.busy_end):
        there = [e for e in set(entries) if lives(e, now, ignore) and e.busy_start <= moment < e.busy_end]
        together = [e for e in there if wanted.share and e.share == wanted.share]
        apart = [e for e in there if e not in together]
        if extra and any(e.kind == "blocked" for e in apart):
            return False
        beyond = max(0, len(together) + 1 - wanted.capacity)
        if len(apart) + beyond > extra:
            return False
    return True


def on_alignment(service: ServiceTerms, zone: ZoneInfo, start: int) -> bool:
    clock = wall(zone, start)
    seconds = clock.hour * 3600 + clock.minute * 60 + clock.second
    return (seconds - service.alignment_offset) % (service.alignment or 1) == 0


def limited(
    limits: Iterable[Limit], entries: Sequence[Entry], wanted: Entry, zone: ZoneInfo, now: int, ignore: Iterable[str]
) -> int:
    """How many of the limits ``wanted`` would exceed."""

    def period(per: str, start: int) -> object:
        day = wall(zone, start).date()
        return {"day": day, "week": day.isocalendar()[:2], "month": (day.year, day.month)}[per]

    def owners(limit: Limit, patient: str | None) -> set[str]:
        return {
            e.owner
            for e in entries
            if lives(e, now, ignore)
            and e.kind in ("hold", "booked")
            and e.schedule == wanted.schedule
            and period(limit.per, e.start) == period(limit.per, wanted.start)
            and (limit.scope != "online" or e.channel == "online")
            and (limit.scope != "new-patient" or e.new_patient)
            and (limit.scope != "service" or e.service == wanted.service)
            and (limit.scope != "patient" or patient in e.patients)
        } - {wanted.owner}

    exceeded = 0
    for limit in limits:
        if limit.scope == "online" and wanted.channel != "online":
            continue
        if limit.scope == "new-patient" and not wanted.new_patient:
            continue
        who = wanted.patients if limit.scope == "patient" else (None,)
        exceeded += any(len(owners(limit, patient)) + 1 > limit.count for patient in who)
    return exceeded

"""When a Schedule is open: weekly rules after overrides, as spans of instants.

An override beats the rules of the days it touches:

    kind      rules that start on the day   its own window   closes
    --------  ----------------------------  ---------------  -------------------------------------
    open      stay                          added            nothing
    replace   dropped                       added            nothing
    closed    stay                          —                its window, whatever day it began on
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from fhir_server.scheduling.civil import day_interval, local_day, wall_intervals
from fhir_server.scheduling.contradiction import Contradiction, contradictions
from fhir_server.scheduling.hours import (
    LAST_ORDINAL,
    around,
    concerns,
    override_intervals,
    override_touches,
    reaches,
    rule_starts_on,
)
from fhir_server.scheduling.interval import Interval, merge, subtract

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from zoneinfo import ZoneInfo

    from fhir_server.scheduling.terms import Opening, Override, Rule

__all__ = ["CHAIN_DAYS", "MODALITIES", "Contradiction", "Span", "contradictions", "day_spans", "join", "spans"]

MODALITIES = ("in-person", "phone", "video")
CHAIN_DAYS = 3  # how far openings that touch over midnight are followed on either side of a window


class Span(NamedTuple):
    """Open time ``[start, end)`` in seconds since the epoch; ``location`` None = the Schedule's own place."""

    start: int
    end: int
    location: str | None


def day_spans(
    opening: Opening,
    day: date,
    service: str | None = None,
    modality: str | None = None,
    location: str | None = None,
) -> tuple[Span, ...]:
    """The open spans whose window starts on a local day, sorted; they may end on the next day.

    ``service`` and ``modality`` None = open for at least one. ``location`` keeps the spans there and those without a
    stated place. Spans of one place that touch or overlap are one.
    """
    touching = [override for override in opening.overrides if reaches(override, opening.zone, day)]
    found: list[Span] = []
    for one_service, one_modality in _aspects(opening.rules, touching, service, modality):
        found += _spans_of(opening, touching, day, one_service, one_modality)
    if location is not None:
        found = [span for span in found if span.location is None or span.location == location]
    return join(found)


def spans(
    opening: Opening,
    window: Interval,
    service: str | None = None,
    modality: str | None = None,
    location: str | None = None,
) -> tuple[Span, ...]:
    """All open spans that overlap ``window``, sorted and not clipped; joined over midnight where they touch.

    Openings that touch day after day are followed for ``CHAIN_DAYS`` beyond the window on either side.
    """
    zone = opening.zone
    first = max(local_day(zone, window.start).toordinal() - 1, 1)
    last = local_day(zone, window.end - 1).toordinal()

    def of_day(ordinal: int) -> tuple[Span, ...]:
        return day_spans(opening, date.fromordinal(ordinal), service, modality, location)

    found: list[Span] = []
    for ordinal in range(first, last + 1):
        found += of_day(ordinal)
    joined = join(found)
    for ordinal in range(last + 1, min(last + CHAIN_DAYS, LAST_ORDINAL) + 1):
        midnight = day_interval(zone, date.fromordinal(ordinal)).start
        if not any(span.end >= midnight and span.start < window.end for span in joined):
            break
        joined = join([*joined, *of_day(ordinal)])
    for ordinal in range(first - 1, max(first - 1 - CHAIN_DAYS, 0), -1):
        midnight = day_interval(zone, date.fromordinal(ordinal + 1)).start
        if not any(span.start <= midnight and span.end > window.start for span in joined):
            break
        joined = join([*joined, *of_day(ordinal)])
    return tuple(span for span in joined if span.start < window.end and span.end > window.start)


def join(found: Iterable[Span]) -> tuple[Span, ...]:
    """The same spans sorted by start, those of one place that touch or overlap joined."""
    ordered = sorted(found, key=lambda span: (span.location or "", span.start, span.end))
    if len(ordered) < 2:
        return tuple(ordered)
    joined: list[Span] = []
    current = ordered[0]
    for span in ordered:
        if span.location == current.location and span.start <= current.end:
            if span.end > current.end:
                current = Span(current.start, span.end, current.location)
        else:
            joined.append(current)
            current = span
    joined.append(current)
    joined.sort(key=lambda span: (span.start, span.end, span.location or ""))
    return tuple(joined)


def _aspects(
    rules: tuple[Rule, ...], overrides: list[Override], service: str | None, modality: str | None
) -> Iterator[tuple[str | None, str | None]]:
    """The (service, modality) pairs to unite: one, unless an override singles some out of "any"."""
    services: Iterable[str | None] = (service,)
    modalities: Iterable[str | None] = (modality,)
    if service is None and any(override.services for override in overrides):
        # "" stands for every service that nobody names.
        services = {""}.union(*(rule.services for rule in rules), *(override.services for override in overrides))
    if modality is None and any(override.modalities for override in overrides):
        modalities = MODALITIES
    for one in services:
        for other in modalities:
            yield one, other


def _spans_of(
    opening: Opening, overrides: list[Override], day: date, service: str | None, modality: str | None
) -> list[Span]:
    zone = opening.zone
    closing: list[Override] = []
    replaced = False
    found: list[Span] = []
    for override in overrides:
        if not concerns(override, service, modality):
            continue
        if override.kind == "closed":
            closing.append(override)
        elif override_touches(override, zone, day):
            replaced = replaced or override.kind == "replace"
            found += (Span(*piece, override.location) for piece in override_intervals(override, zone, day))
    if not replaced:
        for rule in opening.rules:
            if rule_starts_on(rule, day) and concerns(rule, service, modality):
                found += (Span(*piece, rule.location) for piece in wall_intervals(zone, day, rule.start, rule.end))
    return _without(found, closing, zone, day) if found and closing else found


def _without(found: list[Span], closing: list[Override], zone: ZoneInfo, day: date) -> list[Span]:
    """``found`` less what is closed. A closure with a place leaves time at other stated places open."""
    cuts = [
        (override.location, piece)
        for override in closing
        for near in around(day)
        if override_touches(override, zone, near)
        for piece in override_intervals(override, zone, near)
    ]
    left: list[Span] = []
    for span in found:
        closed = merge(piece for place, piece in cuts if place is None or span.location in (None, place))
        left += (Span(*piece, span.location) for piece in subtract((Interval(span.start, span.end),), closed))
    return left

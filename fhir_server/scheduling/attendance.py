"""Who takes part in a visit: a seat in every calendar that it needs, and one member of every pool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_server.scheduling.calendar_day import Entry
from fhir_server.scheduling.seats import clashes, live

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fhir_server.scheduling.booking import BookingRequest, ScheduleWish


class Attendance:
    """The calendars that a request has taken so far: ``entries`` by key."""

    def __init__(self, request: BookingRequest, calendars: Mapping[str, Sequence[Entry]], now: int) -> None:
        self.entries: dict[str, Entry] = {}
        self._request, self._calendars, self._now = request, calendars, now
        first = request.schedules[0] if request.schedules else None
        extra = [wish.policy.overbooking or 0 for wish in request.schedules] if overriding(request) else []
        self._extra = min(extra, default=0)  # others follow what every Schedule permits
        self._common = entry_of(request, first)
        for wish in request.schedules:
            if wish.share:
                self._common = self._common._replace(share=wish.share, capacity=wish.capacity)
                break

    def take(self, key: str, wish: ScheduleWish | None = None) -> bool:
        """Take a calendar for the visit with its buffers; False if it has no seat."""
        if key in self.entries:
            return True
        if wish is None:
            entry = self._seated(key, self._common, self._extra)
        else:
            extra = (wish.policy.overbooking or 0) if overriding(self._request) else 0
            entry = self._seated(key, entry_of(self._request, wish), extra)
        if entry is not None:
            self.entries[key] = entry
        return entry is not None

    def visit(self, patient: str) -> bool:
        """Take a patient's calendar for the visit alone; False if the patient is elsewhere."""
        own = self._common._replace(
            busy_start=self._request.start,
            busy_end=self._request.end,
            patients=(patient,),
            share="",
            capacity=1,
        )
        entry = self._seated(patient, own, 0)
        if entry is not None:
            self.entries[patient] = entry
        return entry is not None

    def choose(self, pools: Sequence[Sequence[str]]) -> tuple[str, ...] | None:
        """Take a different member of each pool; None if that cannot be done.

        Somebody who takes part anyway comes first, then the member that serves the same group, then whoever is free
        in the order of the pool, then extra seats.
        """
        offers = [[*self._ranked(pool)] for pool in pools]
        holder: dict[str, int] = {}
        for at in range(len(offers)):
            if not _match(at, offers, holder, set()):
                return None
        chosen = {at: member for member, at in holder.items()}
        for member in chosen.values():
            self.take(member)
        return tuple(chosen[at] for at in range(len(offers)))

    def _ranked(self, pool: Sequence[str]) -> list[str]:
        ranked: list[tuple[int, int, str]] = []
        for place, member in enumerate(dict.fromkeys(pool)):
            if member in self.entries:
                ranked.append((0, place, member))
                continue
            entry = self._seated(member, self._common, self._extra)
            if entry is not None:
                group = self._common.share and any(
                    other.share == self._common.share and live(other, self._now, self._request.ignore)
                    for other in self._calendars.get(member, ())
                )
                ranked.append((3 if entry.over else 1 if group else 2, place, member))
        return [member for _, _, member in sorted(ranked)]

    def _seated(self, key: str, wanted: Entry, extra: int) -> Entry | None:
        entries = self._calendars.get(key, ())
        ignore = self._request.ignore
        if not clashes(entries, wanted, self._now, ignore):
            return wanted
        if extra and not clashes(entries, wanted, self._now, ignore, extra):
            return wanted._replace(over=True)
        return None


def overriding(request: BookingRequest) -> bool:
    """Whether staff go beyond the rules, with a reason."""
    return bool(request.override_reason) and request.channel in {"staff", "phone"}


def busy_time(request: BookingRequest) -> tuple[int, int]:
    """The visit with the service's buffers."""
    service = request.service
    before, after = (0, 0) if service is None else (service.buffer_before, service.buffer_after)
    return request.start - before, request.end + after


def entry_of(request: BookingRequest, wish: ScheduleWish | None) -> Entry:
    """What the request writes into a calendar of a Schedule, or of somebody without one if there is none."""
    busy_start, busy_end = busy_time(request)
    return Entry(
        owner=request.owner,
        kind=request.kind,
        start=request.start,
        end=request.end,
        busy_start=busy_start,
        busy_end=busy_end,
        expires=request.expires,
        schedule="" if wish is None else wish.id,
        service="" if request.service is None else request.service.id,
        patients=request.patients,
        channel=request.channel,
        new_patient=request.new_patient,
        share="" if wish is None else wish.share,
        capacity=1 if wish is None else wish.capacity,
    )


def _match(at: int, offers: Sequence[Sequence[str]], holder: dict[str, int], tried: set[str]) -> bool:
    """Give pool ``at`` a member, moving earlier pools to another of theirs where that helps (Kuhn's matching)."""
    for member in offers[at]:
        if member not in holder:
            holder[member] = at
            return True
    for member in offers[at]:
        if member not in tried:
            tried.add(member)
            if _match(holder[member], offers, holder, tried):
                holder[member] = at
                return True
    return False

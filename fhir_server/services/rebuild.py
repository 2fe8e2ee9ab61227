"""Rebuild what is derived: calendar days from what resources hold, search values from their bodies.

Both compare first and say what differs; only without ``verify`` they also mend it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fhir_server.fhir.json import parse
from fhir_server.fhir.temporal import instant_seconds
from fhir_server.fhir.types import RESOURCE_TYPES
from fhir_server.scheduling.calendar_day import Entry, utc_days
from fhir_server.scheduling.lifecycle import takes_time
from fhir_server.services.access.about import clinics_now
from fhir_server.services.booking import claimed
from fhir_server.services.versions import version_of
from fhir_server.services.world import World
from fhir_server.store.calendar_days import day_id
from fhir_server.store.resources import Stored, stored

Progress = Callable[[int], None]
PASSES = 5


@dataclass(slots=True)
class Report:
    """How much was looked at, and each difference as one line without patient data."""

    looked_at: int = 0
    differences: list[str] = field(default_factory=list)
    mended: int = 0


def _silent(_: int) -> None:
    return


async def rebuild_calendar(world: World, *, verify: bool, progress: Progress = _silent) -> Report:
    """Compare every calendar day with the claims of Appointments and Slots; expired holds count as absent.

    Everything is read at one moment, so bookings may go on meanwhile. A day is mended where nobody changed it since;
    what others changed is compared once more.

    :param verify: only report.
    """
    report = Report()
    mended = 0
    for attempt in range(PASSES):
        found = await _compare(world, progress if attempt == 0 else _silent)
        if attempt == 0:
            report.looked_at, report.differences = found.looked_at, found.differences
        if verify:
            return report
        done = [await world.store.calendar.mend(*day) for day in found.days]
        mended += sum(done)
        if all(done):
            break
    report.mended = mended
    return report


@dataclass(slots=True)
class _Found:
    """One comparison: the days that differ as ``(id, version, entries that it should have)``."""

    looked_at: int = 0
    differences: list[str] = field(default_factory=list)
    days: list[tuple[str, int, list[Entry]]] = field(default_factory=list)


async def _compare(world: World, progress: Progress) -> _Found:
    found = _Found()
    wanted: dict[str, set[Entry]] = defaultdict(set)
    now = world.now()
    async with world.store.connection.snapshot() as session:
        for type_ in ("Appointment", "Slot"):
            async for one in world.store.resources.every(type_, session, {"idx": 0}):
                found.looked_at += 1
                progress(1)
                holder = stored(type_, one)
                entries = claimed(holder)
                found.differences += _faults(holder, entries)
                for key, entry in entries.items():
                    if entry.expires is None or entry.expires > now:
                        for day in utc_days(entry.busy_start, entry.busy_end):
                            wanted[day_id(key, day)].add(entry)
        present = await world.store.calendar.every(session)
    for id_ in sorted(wanted.keys() | present.keys()):
        version, entries_there = present.get(id_, (0, []))
        have = {one for one in entries_there if one.expires is None or one.expires > now}
        should = wanted.get(id_, set())
        if have == should:
            continue
        for missing in sorted(should - have, key=_order):
            found.differences.append(f"calendar day {id_}: {missing.owner} is missing")
        for extra in sorted(have - should, key=_order):
            found.differences.append(f"calendar day {id_}: {extra.owner} holds no such time")
        found.days.append((id_, version, sorted(should, key=_order)))
    return found


def _order(entry: Entry) -> tuple[int, str]:
    return entry.busy_start, entry.owner


def _faults(holder: Stored, entries: dict[str, Entry]) -> list[str]:
    """What a resource says about its time against what it holds."""
    if holder.deleted or holder.type != "Appointment":
        return []
    resource = parse(holder.body)
    if takes_time(resource["status"]) and not entries:
        return [f"{holder.reference}: takes time but holds none"]
    if entries and "start" in resource:
        said = (instant_seconds(resource["start"]), instant_seconds(resource["end"], floor=False))
        held = {(one.start, one.end) for one in entries.values()}
        if held != {said}:
            return [f"{holder.reference}: holds another time than its start and end"]
    return []


async def rebuild_index(world: World, *, verify: bool, progress: Progress = _silent) -> Report:
    """Compare the search values of every resource with what its body gives.

    :param verify: only report.
    """
    report = Report()
    for type_ in RESOURCE_TYPES:
        async for one in world.store.resources.every(type_):
            report.looked_at += 1
            progress(1)
            current = stored(type_, one)
            if current.deleted:
                continue
            resource = parse(current.body)
            again, index = version_of(
                world, resource, id_=current.id, version=current.version, at=current.at,
                method=str(current.extra.get("method", "PUT")), extra=current.extra,
                clinics=await clinics_now(world, current, resource),
                patients=current.extra.get("patients") or () if type_ == "Slot" else (),
            )  # fmt: skip
            beside = {name: again.extra.get(name) for name in ("key", "patients", "clinics", "waits")}
            same = world.store.resources.searched(type_, index) == one.get("idx")
            if same and all(_same(current.extra.get(name), value) for name, value in beside.items()):
                continue
            report.differences.append(f"{current.reference}: search values differ")
            if not verify and await world.store.resources.reindex(current, index, beside):
                report.mended += 1
                await _show_people(world, again)
    return report


def _same(before: Any, after: Any) -> bool:
    """Whether two values beside a body say the same; those of a list have no order."""
    return set(before) == set(after) if isinstance(before, list) and isinstance(after, list) else before == after


async def _show_people(world: World, appointment: Stored) -> None:
    """A Slot that a booking fills is about its patients; layouts before 4 did not say so."""
    slots = appointment.extra.get("slots") or ()
    if appointment.type == "Appointment" and slots and appointment.extra.get("claim"):
        await world.store.resources.fill([one.partition("/")[2] for one in slots], appointment.extra["patients"] or ())


async def count(world: World) -> int:
    """Resources that a rebuild of the index looks at."""
    return sum([await world.store.resources.count_all(type_) for type_ in RESOURCE_TYPES])

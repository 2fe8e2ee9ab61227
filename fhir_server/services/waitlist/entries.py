"""From Appointments with status ``waitlist`` to entries, and what of an entry a client cannot say.

The time of entry (``created``) and the offers are the server's to say; urgency and priority are the clinicians'
(``access.urgency``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

from fhir_server.access.caller import Role
from fhir_server.errors import Category, problem
from fhir_server.fhir.json import parse
from fhir_server.fhir.temporal import date_range, duration_seconds, instant_ms, instant_seconds, time_seconds
from fhir_server.scheduling.interval import Interval
from fhir_server.scheduling.lifecycle import takes_time
from fhir_server.scheduling.waitlist import MOST_URGENT, Entry
from fhir_server.services.actors import reference_of
from fhir_server.services.shapes import DAYS
from fhir_server.services.versions import instant
from fhir_server.services.waitlist.records import WAITS, codes_of, kept, offers_of, preferred
from fhir_server.services.wishes import ESTABLISHED_SECONDS, seen_by
from fhir_server.services.world import Caller, World
from fhir_server.store.resources import Stored
from fhir_server.store.unit import Unit

WAITING = "waitlist"
FOREVER = 1 << 62
MOST = 20
"""Entries of one patient that wait at the same time, those that are offered something included."""


def entry_of(found: Stored, zone: ZoneInfo, bases: Sequence[str] = ()) -> Entry | None:
    """The entry that an Appointment is; None for one of no patient, or of several.

    :param zone: in which dates of the requested period are read.
    """
    resource = parse(found.body)
    patients = patients_of(resource, bases)
    if len(patients) != 1:
        return None
    wish = preferred(resource)

    def references(name: str) -> frozenset[str]:
        return frozenset(one for one in (reference_of(each, bases) for each in wish.get(name, ())) if one)

    def one(name: str) -> Any:
        return next(iter(wish.get(name, ())), None)

    earliest, latest, length, notice = (one(each) for each in ("earliestTime", "latestTime", "duration", "notice"))
    services = references("service")
    return Entry(
        found.id,
        patients[0],
        _since(resource, found.at),
        services=services,
        types=frozenset() if services else frozenset(codes_of(resource)),
        actors=references("actor"),
        places=references("location"),
        clinics=frozenset(found.extra.get("clinics") or ()),
        windows=windows_of(resource, zone),
        days=frozenset(DAYS.index(day) for day in wish.get("daysOfWeek", ())),
        parts=frozenset(wish.get("partOfDay", ())),
        earliest=time_seconds(earliest) if earliest else None,
        latest=time_seconds(latest) if latest else None,
        duration=duration_seconds(length) if length else None,
        modality=one("modality") or "",
        notice=duration_seconds(notice) if notice else 0,
        urgency=urgency_of(resource),
        kept=reference_of(one("keepAppointment"), bases),
        offers=offers_of(resource, bases),
    )


def patients_of(resource: Mapping[str, Any], bases: Sequence[str] = ()) -> list[str]:
    """The Patients that take part."""
    named = (reference_of(one.get("actor"), bases) for one in resource.get("participant", ()))
    return list(dict.fromkeys(one for one in named if one.startswith("Patient/")))


def urgency_of(resource: Mapping[str, Any]) -> int:
    """0 to 10: as stated, else from ``priority``, of which 1 is the highest and 9 the lowest (iCalendar), 0 is none."""
    stated = preferred(resource).get("urgency")
    if stated:
        return int(stated[0])
    priority = int(resource.get("priority") or 0)
    return max(MOST_URGENT - priority, 0) if priority else 0


def windows_of(resource: Mapping[str, Any], zone: ZoneInfo) -> tuple[Interval, ...]:
    """The requested periods; an open end is open, a date includes its day."""
    found = []
    for period in resource.get("requestedPeriod", ()):
        start, end = period.get("start"), period.get("end")
        low = date_range(start, zone)[0] // 1000 if start else -FOREVER
        high = FOREVER if not end else -(-date_range(end, zone)[0 if "T" in end else 1] // 1000)
        if low < high:
            found.append(Interval(low, high))
    return tuple(found)


def _since(resource: Mapping[str, Any], at: int) -> int:
    created = str(resource.get("created", ""))
    return instant_ms(created) if "T" in created else at


def prepared(world: World, caller: Caller, resource: dict[str, Any], before: Stored | None = None) -> dict[str, Any]:
    """What a caller writes of an Appointment, with what the waitlist's server alone says as it was.

    Patients do not say since when they wait; whoever waits already keeps their place.
    """
    old = parse(before.body) if before and not before.deleted else {}
    found = kept(old, resource)
    if found.get("status") != WAITING:
        return found
    if old.get("status") in {WAITING, "pending"} and "created" in old:
        return {**found, "created": old["created"]}
    if caller.role is Role.PATIENT or "created" not in found:
        found["created"] = instant(world.clock())
    return found


async def check_room(unit: Unit, patient: str, place: str) -> None:
    """Whether a patient may wait for one thing more, as it is when the unit commits.

    :param place: where the refusal points.
    :raises Problem: 422 ``waitlist-limit``.
    """
    await unit.guard(f"waitlist|{patient}")
    rows = await unit.find("Appointment", {"patients": patient, WAITS: {"$exists": True}}, fields={"_id": 1})
    if len(rows) >= MOST:
        text = f"the patient waits for {MOST} things already; leave one of them first"
        raise problem(Category.RULE, text, place, "waitlist-limit")


Known = dict[tuple[str, int], tuple[Stored, Entry | None]]
"""Entries that were read, by id and version: whoever looks several times reads what changed meanwhile."""


async def waiting(world: World, waits: Iterable[str], known: Known | None = None) -> list[tuple[Stored, Entry]]:
    """Everybody who waits for one of these services or codes, those who are offered something too."""
    return await _read(world, {WAITS: {"$in": sorted(waits)}}, known)


async def waiting_in(
    world: World, clinics: Iterable[str] | None, patients: Iterable[str] | None
) -> list[tuple[Stored, Entry]]:
    """Everybody who waits in these clinics; None = in all.

    :param patients: where a patient asks, those whom they act for: the others who wait for the same count too.
    """
    if patients is None:
        where: dict[str, Any] = {WAITS: {"$exists": True}}
        return await _read(world, where | ({} if clinics is None else {"clinics": {"$in": sorted(clinics)}}), None)
    own = await world.store.resources.find(
        "Appointment", {"patients": {"$in": sorted(patients)}, WAITS: {"$exists": True}}, fields={WAITS: 1}
    )
    return await waiting(world, {one for row in own for one in row[WAITS]})


async def _read(world: World, where: Mapping[str, Any], known: Known | None) -> list[tuple[Stored, Entry]]:
    """Entries by a filter.

    The appointment that somebody keeps counts as it is now; one that takes no time any more is kept no more.
    """
    known = {} if known is None else known
    rows = await world.store.resources.find("Appointment", where, fields={"v": 1})
    current = {row["_id"]: row["v"] for row in rows}
    changed = [id_ for id_, version in current.items() if (id_, version) not in known]
    for one in await world.store.resources.get_many("Appointment", changed):
        current[one.id] = one.version
        known[one.id, one.version] = one, entry_of(one, world.zone, world.bases)
    found = [(each, entry) for each, entry in (known[key] for key in current.items() if key in known) if entry]
    names = {entry.kept.partition("/")[2] for _, entry in found if entry.kept}
    starts = {
        one.reference: instant_seconds(resource["start"])
        for one in await world.store.resources.get_many("Appointment", sorted(names))
        if takes_time((resource := parse(one.body))["status"]) and "start" in resource
    }
    return [
        (one, replace(entry, kept=entry.kept if entry.kept in starts else "", kept_start=starts.get(entry.kept)))
        for one, entry in found
    ]


async def established(
    world: World, entries: Sequence[Entry], keys: Sequence[str], clinics: Iterable[str]
) -> frozenset[str]:
    """Those of the patients who were seen in three years: by who has these calendars, else in these clinics."""
    patients = sorted({one.patient for one in entries})
    if not patients:
        return frozenset()
    where: dict[str, Any] = {
        "idx.patient": {"$in": patients},
        "idx.status": "=fulfilled",
        "idx.date.l": {"$gte": (world.now() - ESTABLISHED_SECONDS) * 1000},
    }
    where |= seen_by(world, keys) if keys else {"clinics": {"$in": sorted(clinics)}}
    rows = await world.store.resources.find("Appointment", where, fields={"patients": 1})
    return frozenset(one for row in rows for one in row.get("patients") or ()) & frozenset(patients)


def status_of(found: Stored) -> str:
    """``Appointment.status``."""
    return str(parse(found.body)["status"])

"""Calendar days in MongoDB: at most one small document for each actor and UTC day, changed only where its version is
still the one read.

``{_id: "Practitioner/1|2026-11-02", v, e: [entry …]}``. An entry that runs over midnight stands in both days.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from pymongo import UpdateOne

from fhir_server.scheduling.calendar_day import Entry, utc_days
from fhir_server.store.driver import Connection, Document, DuplicateKeyError

CALENDAR = "calendar"

_NAMES = {
    "o": "owner",
    "k": "kind",
    "s": "start",
    "e": "end",
    "bs": "busy_start",
    "be": "busy_end",
    "x": "expires",
    "sc": "schedule",
    "sv": "service",
    "p": "patients",
    "ch": "channel",
    "n": "new_patient",
    "sh": "share",
    "c": "capacity",
    "ov": "over",
}
_ALWAYS = ("o", "k", "s", "e", "bs", "be")
_DEFAULTS: dict[str, Any] = {
    "x": None, "sc": "", "sv": "", "p": (), "ch": "", "n": False, "sh": "", "c": 1, "ov": False,
}  # fmt: skip


class StaleCalendar(Exception):  # noqa: N818  it is a state of the world, answered by reading again
    """Somebody changed a calendar day after it was read."""


def day_id(key: str, day: int) -> str:
    """``key|YYYY-MM-DD`` for a day number since the epoch."""
    return f"{key}|{_day_text(day)}"


@lru_cache(maxsize=4096)
def _day_text(day: int) -> str:
    return f"{datetime.fromtimestamp(day * 86400, UTC):%Y-%m-%d}"


def to_document(entry: Entry) -> Document:
    """An entry with short names, defaults left out."""
    written = {short: getattr(entry, _NAMES[short]) for short in _ALWAYS}
    for short, default in _DEFAULTS.items():
        value = getattr(entry, _NAMES[short])
        if value != default:
            written[short] = list(value) if short == "p" else value
    return written


def from_document(written: Mapping[str, Any]) -> Entry:
    get = written.get
    return Entry(
        written["o"], written["k"], written["s"], written["e"], written["bs"], written["be"],
        get("x"), get("sc", ""), get("sv", ""), tuple(get("p", ())), get("ch", ""), get("n", False),
        get("sh", ""), get("c", 1), get("ov", False),
    )  # fmt: skip


class Days:
    """The calendar days of one decision: what was read, and the changes that it leads to."""

    def __init__(self, read: Mapping[str, Document], asked: Iterable[str]) -> None:
        self._version: dict[str, int | None] = {id_: read[id_]["v"] if id_ in read else None for id_ in asked}
        self._entries = {id_: [from_document(one) for one in found["e"]] for id_, found in read.items()}
        self._changed: set[str] = set()

    def copy(self) -> Days:
        """The same days and changes, to be changed apart."""
        other = Days({}, ())
        other._version = dict(self._version)
        other._entries = {id_: list(entries) for id_, entries in self._entries.items()}
        other._changed = set(self._changed)
        return other

    def unread(self, wanted: Iterable[tuple[str, int]]) -> list[str]:
        """Which of these days were not read yet."""
        return sorted({id_ for key, day in wanted if (id_ := day_id(key, day)) not in self._version})

    def add(self, read: Mapping[str, Document], asked: Iterable[str]) -> None:
        """Days that were read later in the same transaction."""
        more = Days(read, asked)
        self._version.update(more._version)
        self._entries.update(more._entries)

    def calendars(self) -> dict[str, list[Entry]]:
        """Entries by calendar key, each owner's entry once, in order of start."""
        return self._calendars(self._entries)

    def calendars_of(self, wanted: Iterable[tuple[str, int]]) -> dict[str, list[Entry]]:
        """As :meth:`calendars`, of these days alone."""
        return self._calendars(id_ for key, day in wanted if (id_ := day_id(key, day)) in self._entries)

    def _calendars(self, ids: Iterable[str]) -> dict[str, list[Entry]]:
        by_key: dict[str, dict[tuple[str, int], Entry]] = {}
        for id_ in ids:
            entries = self._entries[id_]
            found = by_key.setdefault(id_.rsplit("|", 1)[0], {})
            for entry in entries:
                found[(entry.owner, entry.start)] = entry
        return {key: sorted(found.values(), key=lambda one: one.busy_start) for key, found in by_key.items()}

    def put(self, key: str, entry: Entry) -> None:
        """Add an entry to each day that it touches; the days must have been read."""
        for day in utc_days(entry.busy_start, entry.busy_end):
            id_ = day_id(key, day)
            if id_ not in self._version:
                msg = f"calendar day {id_} was not read"
                raise LookupError(msg)
            self._entries.setdefault(id_, []).append(entry)
            self._changed.add(id_)

    def remove(self, owner: str) -> bool:
        """Take out everything that one resource holds in the days read; False if there was nothing."""
        found = False
        for id_, entries in self._entries.items():
            kept = [entry for entry in entries if entry.owner != owner]
            if len(kept) != len(entries):
                self._entries[id_] = kept
                self._changed.add(id_)
                found = True
        return found

    def touch(self, key: str, day: int) -> None:
        """Make a day part of the decision although nothing in it changes (the guard of a weekly limit)."""
        id_ = day_id(key, day)
        if id_ in self._version:
            self._changed.add(id_)

    def forget_expired(self, now: int) -> None:
        """Drop holds that no reader sees any more from the days that are written anyway."""
        for id_ in self._changed:
            self._entries[id_] = [
                entry for entry in self._entries.get(id_, []) if entry.expires is None or entry.expires > now
            ]

    def writes(self) -> list[Any]:
        """One conditional write a changed day, in the order of their keys."""
        operations: list[Any] = []
        for id_ in sorted(self._changed):
            entries = [to_document(entry) for entry in self._entries.get(id_, [])]
            version = self._version[id_]
            if version is None:
                # An upsert and not an insert, so that all writes of a booking are one command.
                absent = {"_id": id_, "v": {"$exists": False}}
                operations.append(UpdateOne(absent, {"$set": {"e": entries, "v": 1}}, upsert=True))
            else:
                operations.append(UpdateOne({"_id": id_, "v": version}, {"$set": {"e": entries, "v": version + 1}}))
        return operations


class CalendarDays:
    """The ``calendar`` collection."""

    def __init__(self, connection: Connection) -> None:
        self._collection = connection.collection(CALENDAR)

    async def read(self, wanted: Iterable[tuple[str, int]], session: Any = None) -> Days:
        """The days of ``(calendar key, day number)`` pairs; absent days are empty."""
        asked = sorted({day_id(key, day) for key, day in wanted})
        return Days(await self._fetch(asked, session), asked)

    async def widen(self, days: Days, wanted: Iterable[tuple[str, int]], session: Any = None) -> None:
        """Read what ``days`` lacks of the wanted days into it."""
        asked = days.unread(wanted)
        days.add(await self._fetch(asked, session), asked)

    async def on(self, wanted: Iterable[tuple[str, int]]) -> dict[str, list[Entry]]:
        """Entries by calendar key on some ``(key, day number)`` pairs, for free time; reads only."""
        return Days(await self._fetch([day_id(key, day) for key, day in wanted], None), ()).calendars()

    async def _fetch(self, asked: Sequence[str], session: Any) -> dict[str, Document]:
        if not asked:
            return {}
        where = {"_id": asked[0]} if len(asked) == 1 else {"_id": {"$in": list(asked)}}
        # One reply for all of them: the driver's default would fetch the rest after the first hundred.
        cursor = self._collection.find(where, session=session, batch_size=len(asked) + 1)
        return {found["_id"]: found for found in await cursor.to_list(None)}

    async def write(self, days: Days, session: Any) -> None:
        """Write the changed days inside a transaction.

        :raises StaleCalendar: a day is no longer the one read.
        """
        operations = days.writes()
        if not operations:
            return
        result = await self._collection.bulk_write(operations, session=session, ordered=True)
        if result.matched_count + result.upserted_count != len(operations):
            raise StaleCalendar

    async def every(self, session: Any = None) -> dict[str, tuple[int, list[Entry]]]:
        """Version and entries of every calendar day, by document id; for verification."""
        cursor = self._collection.find({}, session=session)
        return {found["_id"]: (found["v"], [from_document(one) for one in found["e"]]) async for found in cursor}

    async def mend(self, id_: str, version: int, entries: Sequence[Entry]) -> bool:
        """Overwrite one day where its version is still the one read (0: it was not there); False if it is not."""
        written = [to_document(entry) for entry in entries]
        if version:
            change = {"$set": {"e": written, "v": version + 1}}
            return bool((await self._collection.update_one({"_id": id_, "v": version}, change)).matched_count)
        try:
            await self._collection.insert_one({"_id": id_, "v": 1, "e": written})
        except DuplicateKeyError:
            return False
        return True

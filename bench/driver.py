"""The second floor: the same reads and writes with the bare driver, in its own process; ``python -m bench.driver``.

case                 per call
-------------------  ------------------------------------------------------------------------------------------------
read                 find_one
read-patient         find_one
search-visits        find, 21 rows by index, bodies only
search               find, 51 rows by index, bodies only
search-chained       find the Schedule of the provider, then as search
search-include       as search with the index values, find_one Schedule, find_one Practitioner
search-computed      find the calendar days of the fortnight, find the stored Slots in it
create-patient       insert_one
create-appointment   transaction: find 2 calendar days, find_one Slot, bulk_write 2 calendar days, insert Slot, insert
                     Appointment, commit
transaction          transaction: insert 10 Patients, insert 10 RelatedPersons, commit
bundle-book          as create-appointment
update               find_one, upsert the old version into the history, replace_one where the version is still the same
find                 find the calendar days of the fortnight
first-available      find one calendar day of each of the 200 providers
find-book            as find, then as create-appointment
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from pymongo import InsertOne, UpdateOne  # noqa: TID251  the floor is the bare driver

from bench.calls import VISITS
from bench.clinic import (
    PAGE,
    PATIENTS,
    PUBLISHED_SCHEDULES,
    RULED,
    SLOTS_EACH,
    WINDOW_DAYS,
    ZONE,
    Clinic,
    epoch,
    slot_name,
)
from bench.crew import Crew, Order, Work, serve
from fhir_server.store.driver import Connection, connect

ALIVE = {"deleted": False}
Floor = Callable[[int, int], Awaitable[None]]


class Driver:
    """Floors by case, on one client with the server's own options."""

    def __init__(self, uri: str, database: str) -> None:
        self._db: Connection = connect(uri, database)
        self._clinic = Clinic.now()
        self._names = itertools.count()
        self._run = f"{os.getpid():x}"
        self._patient: dict[str, Any] = {}
        self._booking: dict[str, Any] = {}
        self._household: dict[str, list[dict[str, Any]]] = {}

    async def open(self, order: Order) -> tuple[Work, Callable[[], Awaitable[None]]]:
        self._clinic = Clinic(date.fromisoformat(order["first"]))
        floor: Floor = getattr(self, "_" + order["case"].replace("-", "_"))
        if order["case"] == "create-patient":
            self._patient = await self._one("Patient", self._written(order))
        if order["case"] in {"create-appointment", "find-book"}:
            await self._learn_booking(self._written(order), order["callers"])
        if order["case"] == "bundle-book":
            await self._learn_booking(self._entries(order)[1][1], order["callers"])
        if order["case"] == "transaction":
            entries = [(type_, await self._one(type_, id_)) for type_, id_ in self._entries(order)]
            self._household = {
                type_: [one for kind, one in entries if kind == type_] for type_ in ("Patient", "RelatedPerson")
            }
        if order["case"] == "update":
            await self._learn_slots(self._written(order), order["callers"])

        async def close() -> None:
            return

        return floor, close

    def _written(self, order: Order) -> str:
        """The id of what the recorded call wrote last."""
        id_: str = json.loads(b64decode(order["exchanges"][-1]["body"]))["id"]
        return id_

    def _entries(self, order: Order) -> list[tuple[str, str]]:
        """Type and id of what each entry of the recorded Bundle wrote."""
        bundle = json.loads(b64decode(order["exchanges"][-1]["body"]))
        places = [one["response"]["location"].partition("/_history")[0] for one in bundle["entry"]]
        return [(place.rsplit("/", 2)[-2], place.rsplit("/", 2)[-1]) for place in places]

    async def _one(self, type_: str, id_: str) -> dict[str, Any]:
        found: dict[str, Any] = await self._db.collection(type_).find_one({"_id": id_})
        return found

    async def _learn_booking(self, id_: str, callers: int) -> None:
        """The documents that the recorded booking wrote, and for each caller a provider's day that is half full."""
        appointment = await self._one("Appointment", id_)
        slot = await self._one("Slot", appointment["slots"][0].partition("/")[2])
        entry = {name: value for name, value in appointment["claim"][0].items() if name != "key"}
        self._booking = {"appointment": appointment, "slot": slot, "entry": entry, "entries": [entry] * 10}
        days = self._db.collection("calendar")
        for caller in range(callers):
            await days.replace_one(
                {"_id": f"Practitioner/floor-{caller:03d}|2030-01-01"},
                {"v": 1, "e": self._booking["entries"][:-1]}, upsert=True,
            )  # fmt: skip

    async def _learn_slots(self, id_: str, callers: int) -> None:
        """For each caller a Slot of its own like the recorded one."""
        slot = await self._one("Slot", id_)
        slot["idx"]["schedule"] = "Schedule/floor"
        for caller in range(callers):
            await self._db.collection("Slot").update_one(
                {"_id": _own_slot(caller)}, {"$setOnInsert": {**slot, "_id": _own_slot(caller)}}, upsert=True
            )

    async def _read(self, _: int, n: int) -> None:
        id_ = slot_name(n % PUBLISHED_SCHEDULES, n // PUBLISHED_SCHEDULES % SLOTS_EACH)
        await self._db.collection("Slot").find_one({"_id": id_}, {"idx": 0})

    async def _read_patient(self, _: int, n: int) -> None:
        await self._db.collection("Patient").find_one({"_id": f"patient-{n % PATIENTS:04d}"}, {"idx": 0})

    async def _search_visits(self, _: int, n: int) -> None:
        where = {"idx.actor": f"Practitioner/doctor-{n % RULED:03d}", "idx.date.l": {"$gte": self._low * 1000}, **ALIVE}
        fields = {"body": 1, "at": 1, "idx.date.l": 1}
        order = [("idx.date.l", 1), ("_id", 1)]
        await self._db.collection("Appointment").find(where, fields, sort=order, limit=VISITS + 1).to_list(None)

    async def _search(self, _: int, n: int) -> None:
        where = {
            "idx.schedule": f"Schedule/published-{n % PUBLISHED_SCHEDULES:02d}",
            "idx.start.l": {"$gte": self._low * 1000}, **ALIVE,
        }  # fmt: skip
        await self._rows(where, PAGE + 1, {"body": 1, "at": 1, "idx.start.l": 1})

    async def _search_chained(self, caller: int, n: int) -> None:
        actor = f"Practitioner/locum-{n % PUBLISHED_SCHEDULES:02d}"
        await self._db.collection("Schedule").find({"idx.actor": actor, **ALIVE}, {"_id": 1}).to_list(None)
        await self._search(caller, n)

    async def _search_include(self, caller: int, n: int) -> None:
        await self._search(caller, n)
        number = n % PUBLISHED_SCHEDULES
        await self._db.collection("Schedule").find_one({"_id": f"published-{number:02d}"}, {"body": 1, "idx": 1})
        await self._db.collection("Practitioner").find_one({"_id": f"locum-{number:02d}"}, {"body": 1, "idx": 1})

    async def _search_computed(self, caller: int, n: int) -> None:
        await self._find(caller, n)
        low, high = self._low * 1000, (self._low + WINDOW_DAYS * 86400) * 1000
        where = {
            "idx.schedule": f"Schedule/ruled-{n % RULED:03d}", "idx.start.l": {"$gte": low, "$lt": high}, **ALIVE,
        }  # fmt: skip
        await self._rows(where, 0, {"body": 1, "at": 1, "idx": 1})

    @property
    def _low(self) -> int:
        return epoch(datetime.combine(self._clinic.first, datetime.min.time(), ZONE))

    async def _rows(self, where: Mapping[str, Any], limit: int, fields: Mapping[str, int]) -> None:
        order = [("idx.start.l", 1), ("_id", 1)]
        await self._db.collection("Slot").find(where, fields, sort=order, limit=limit).to_list(None)

    async def _create_patient(self, _: int, __: int) -> None:
        await self._db.collection("Patient").insert_one({**self._patient, "_id": self._fresh()})

    async def _transaction(self, _: int, __: int) -> None:
        people = {type_: [{**one, "_id": self._fresh()} for one in each] for type_, each in self._household.items()}
        async with self._db.transaction() as session:
            for type_, documents in people.items():
                await self._db.collection(type_).insert_many(documents, session=session)
            await session.commit_transaction()

    async def _bundle_book(self, caller: int, n: int) -> None:
        await self._create_appointment(caller, n)

    def _fresh(self) -> str:
        """A new id as long as the server's."""
        return f"floor-{self._run}-{next(self._names)}".ljust(26, "x")

    async def _create_appointment(self, caller: int, _: int) -> None:
        name, known = self._fresh(), self._booking
        provider, patient = f"Practitioner/floor-{caller:03d}|2030-01-01", f"Patient/{name}|2030-01-01"
        appointment = {**known["appointment"], "_id": name, "slots": [f"Slot/{name}"]}
        slot = {**known["slot"], "_id": name, "wall": f"Schedule/floor|{name}"}
        days, slots = self._db.collection("calendar"), self._db.collection("Slot")
        async with self._db.transaction() as session:
            asked = {"_id": {"$in": [provider, patient]}}
            found = await days.find(asked, session=session).to_list(None)
            await slots.find_one({"_id": name}, {"idx": 0}, session=session)
            version = found[0]["v"]
            change = {"$set": {"e": known["entries"], "v": version + 1}}
            writes = [
                InsertOne({"_id": patient, "v": 1, "e": [known["entry"]]}),
                UpdateOne({"_id": provider, "v": version}, change),
            ]
            await days.bulk_write(writes, session=session, ordered=True)
            await slots.insert_one(slot, session=session)
            await self._db.collection("Appointment").insert_one(appointment, session=session)
            await session.commit_transaction()

    async def _update(self, caller: int, _: int) -> None:
        id_ = _own_slot(caller)
        slots = self._db.collection("Slot")
        before = await slots.find_one({"_id": id_})
        key = f"Slot/{id_}/{before['v']:010d}"
        old = {"_id": key, **{name: before[name] for name in ("v", "at", "deleted", "body", "method")}}
        old |= {"type": "Slot", "id": id_, "until": before["at"]}
        await self._db.collection("history").replace_one({"_id": key}, old, upsert=True)
        await slots.replace_one({"_id": id_, "v": before["v"]}, {**before, "v": before["v"] + 1})

    async def _find(self, _: int, n: int) -> None:
        await self._days([f"Practitioner/doctor-{n % RULED:03d}"], WINDOW_DAYS + 2)

    async def _first_available(self, _: int, __: int) -> None:
        await self._days([f"Practitioner/doctor-{one:03d}" for one in range(RULED)], 1)

    async def _days(self, keys: list[str], count: int) -> None:
        dates = [(self._clinic.first + timedelta(days=one)).isoformat() for one in range(count)]
        asked = {"_id": {"$in": [f"{key}|{day}" for key in keys for day in dates]}}
        await self._db.collection("calendar").find(asked).to_list(None)

    async def _find_book(self, caller: int, n: int) -> None:
        await self._find(caller, n)
        await self._create_appointment(caller, n)


def _own_slot(caller: int) -> str:
    return f"floor-slot-{caller:03d}"


def _make() -> Crew:
    return Crew(Driver(sys.argv[1], sys.argv[2]).open)


if __name__ == "__main__":
    serve(_make)

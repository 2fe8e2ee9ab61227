"""A clinic that lives for some days: people cancel, wait, answer late or never, and workers die at every seam.

The clock is the simulation's own: it moves between events, and a millisecond each time somebody looks at it, so that
the times of versions are an order. Everything random comes from one seed.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from fhir_server.errors import Category, Problem
from fhir_server.fhir.json import parse
from fhir_server.services import resources
from fhir_server.services.access.policy import OWN
from fhir_server.services.cancel import Cancellation, cancel
from fhir_server.services.following.drain import tell
from fhir_server.services.following.performing import perform
from fhir_server.services.waitlist import answer, joining
from fhir_server.services.world import World
from fhir_server.store.work import WORK, Task
from tests.builders.clinic import OWN as EXTENSION
from tests.builders.clinic import TIMEZONE, availability, duration, part
from tests.builders.waiting import waitlist_policy

MINUTE = 60_000
DAY = 24 * 60 * MINUTE
ZONE = ZoneInfo("Europe/Berlin")
BEGIN = int(datetime(2027, 3, 1, 8, 0, tzinfo=UTC).timestamp()) * 1000
HOURS = [f"{hour:02}:{minute:02}" for hour in (9, 10, 11, 13, 14, 15, 16) for minute in (0, 30)]
MOST_OFFERS = 5
EXPECTED = frozenset({Category.CONFLICT, Category.RULE, Category.GONE, Category.NOT_FOUND, Category.PRECONDITION})


def expected(refused: Problem) -> None:
    """:raises Problem: for what nobody who comes too late is told."""
    if refused.category not in EXPECTED:
        raise refused


class Killed(BaseException):
    """The process died here: nothing after this line runs, and nobody cleans up."""


@dataclass
class Clock:
    """Milliseconds since the epoch; each look is a moment of its own."""

    at: int = BEGIN

    def __call__(self) -> int:
        self.at += 1
        return self.at


@dataclass
class Plan:
    """How large the clinic is, and how much happens."""

    patients: int
    providers: int
    cancellations: int
    days: int = 6
    deaths: float = 0.03
    asleep: float = 0.15
    seed: int = 1


@dataclass
class Simulation:
    """The clinic, its people and what they are about to do."""

    world: World
    plan: Plan
    clock: Clock
    chance: random.Random
    deaths: int = 0
    cancelled: int = 0
    answers: dict[str, int] = field(default_factory=dict)
    told: list[tuple[str, str, int]] = field(default_factory=list)
    booked: list[str] = field(default_factory=list)
    _replies: list[tuple[int, int, str, int, str]] = field(default_factory=list)
    _number: int = 0
    lively: bool = True
    ending: bool = False

    @classmethod
    def of(cls, world: World, plan: Plan) -> Simulation:
        clock = Clock()
        return cls(replace(world.own(), clock=clock), plan, clock, random.Random(plan.seed))

    # -- the clinic --------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Staff, hours, patients, some of whom were here before, and full books."""
        policy = waitlist_policy(maxOffers=MOST_OFFERS)
        zone = {"url": TIMEZONE, "valueCode": str(ZONE)}
        await self._put({"resourceType": "Organization", "id": "clinic", "name": "clinic", "extension": [zone, policy]})
        for name, minutes in (("visit", 30), ("long", 60)):
            parameters = [part("duration", "Duration", duration(minutes)), part("alignment", "Duration", duration(30))]
            await self._put({
                "resourceType": "HealthcareService", "id": name, "active": True,
                "providedBy": {"reference": "Organization/clinic"},
                "extension": [{"url": f"{EXTENSION}service-parameters", "extension": parameters}],
                "type": [{"coding": [{"system": "urn:service", "code": name}]}],
            })  # fmt: skip
        offers = [part(f"{EXTENSION}offers", "Reference", {"reference": f"HealthcareService/{one}"}) for one in
                  ("visit", "long")]  # fmt: skip
        hours = [availability("09:00:00", "12:00:00"), availability("13:00:00", "17:00:00")]
        for doc in self.docs:
            await self._put({"resourceType": "Practitioner", "id": doc})
            await self._put({
                "resourceType": "PractitionerRole", "id": f"role-{doc}",
                "practitioner": {"reference": f"Practitioner/{doc}"},
                "organization": {"reference": "Organization/clinic"},
            })  # fmt: skip
            await self._put({
                "resourceType": "Schedule", "id": f"s-{doc}", "extension": [zone, *offers, *hours],
                "actor": [{"reference": f"PractitionerRole/role-{doc}"}],
            })  # fmt: skip
        for patient in self.patients:
            await self._put({"resourceType": "Patient", "id": patient})
            if self.chance.random() < 0.3:
                before = datetime.fromtimestamp(BEGIN / 1000, ZONE) - timedelta(days=self.chance.randint(30, 300))
                await self._store(self._visit(patient, self.chance.choice(self.docs), before, "fulfilled"))
        for day in range(1, self.plan.days + 1):
            for doc in self.docs:
                for clock in HOURS:
                    await self._walk_in(doc, self._local(day, clock))

    @property
    def docs(self) -> list[str]:
        return [f"doc{number}" for number in range(self.plan.providers)]

    @property
    def patients(self) -> list[str]:
        return [f"pat{number}" for number in range(self.plan.patients)]

    def _local(self, day: int, clock: str) -> datetime:
        first = datetime.fromtimestamp(BEGIN / 1000, ZONE).date() + timedelta(days=day)
        return datetime.fromisoformat(f"{first}T{clock}:00").replace(tzinfo=ZONE)

    @staticmethod
    def _visit(patient: str, doc: str, start: datetime, status: str) -> dict[str, Any]:
        return {
            "resourceType": "Appointment", "status": status,
            "start": start.isoformat(), "end": (start + timedelta(minutes=30)).isoformat(),
            "serviceType": [{"coding": [{"system": "urn:service", "code": "visit"}]}],
            "participant": [
                {"actor": {"reference": f"{type_}/{one}"}, "required": "required", "status": "accepted"}
                for type_, one in (("Patient", patient), ("Practitioner", doc))
            ],
        }  # fmt: skip

    async def _put(self, resource: dict[str, Any]) -> None:
        await resources.put(self.world, resource)

    async def _store(self, resource: dict[str, Any]) -> str:
        return (await resources.create(self.world, OWN.caller, resource)).stored.id

    async def _walk_in(self, doc: str, start: datetime) -> None:
        """Somebody books a time if it is free."""
        if start.timestamp() * 1000 < self.clock.at:
            return
        for patient in self.chance.sample(self.patients, 3):
            try:
                self.booked.append(await self._store(self._visit(patient, doc, start, "booked")))
            except Problem as refused:
                expected(refused)
                if refused.issues[0].code != "patient-conflict":
                    return
            else:
                return

    # -- what happens ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Live until so many appointments were cancelled, then let everything come to its end."""
        for _ in range(self.plan.patients // 2):
            await self._join()
        day = self.plan.days
        while self.cancelled < self.plan.cancellations:
            await self._advance(self.chance.randint(1, 10))
            passed = (self.clock.at - BEGIN) // DAY
            if passed + self.plan.days > day:
                day += 1
                for doc in self.docs:
                    for clock in HOURS:
                        await self._walk_in(doc, self._local(day, clock))
            await self._event()
            if self.chance.random() > self.plan.asleep:
                await self.work()
        await self._end()

    async def _event(self) -> None:
        what = self.chance.random()
        if what < 0.62:
            await self._cancel()
        elif what < 0.9:
            await self._join()
        elif what < 0.93:
            await self._leave()
        else:
            ahead = self.chance.randint(1, self.plan.days) + (self.clock.at - BEGIN) // DAY
            await self._walk_in(self.chance.choice(self.docs), self._local(ahead, self.chance.choice(HOURS)))

    async def _cancel(self) -> None:
        """One of those who have an appointment ahead does not come."""
        while self.booked:
            id_ = self.booked.pop(self.chance.randrange(len(self.booked)))
            found = parse((await resources.read(self.world, "Appointment", id_)).body)
            ahead = datetime.fromisoformat(found["start"]).timestamp() * 1000 > self.clock.at
            if found["status"] == "booked" and ahead:
                await cancel(self.world, OWN.caller, id_, Cancellation())
                self.cancelled += 1
                return

    async def _join(self) -> None:
        patient = self.chance.choice(self.patients)
        if await self._entries(patient):
            return
        kept = ""
        if self.booked and self.chance.random() < 0.2:
            candidate = self.chance.choice(self.booked)
            held = parse((await resources.read(self.world, "Appointment", candidate)).body)
            mine = [one["actor"]["reference"].partition("/")[2] for one in held["participant"]]
            if held["status"] == "booked" and datetime.fromisoformat(held["start"]).timestamp() * 1000 > self.clock.at:
                patient = next(one for one in mine if one.startswith("pat"))
                kept = "" if await self._entries(patient) else f"Appointment/{candidate}"
        if await self._entries(patient):
            return
        parts: list[dict[str, Any]] = []
        if self.chance.random() < 0.3:
            days = self.chance.sample(("mon", "tue", "wed", "thu", "fri", "sat", "sun"), 4)
            parts += [part("daysOfWeek", "Code", one) for one in days]
        if self.chance.random() < 0.3:
            parts.append(part("partOfDay", "Code", self.chance.choice(("morning", "afternoon"))))
        if self.chance.random() < 0.3:
            parts.append(part("urgency", "UnsignedInt", self.chance.randint(1, 10)))
        services = self.chance.choice((("visit",), ("visit",), ("visit", "long")))
        wished = joining.Wished(
            f"Patient/{patient}",
            tuple(f"HealthcareService/{one}" for one in services),
            actors=tuple(f"Practitioner/{self.chance.choice(self.docs)}" for _ in range(self.chance.random() < 0.3)),
            parts=tuple(parts),
            keep=kept,
        )  # fmt: skip
        await joining.join(self.world, OWN.caller, await joining.entry(self.world, wished), "")

    async def _entries(self, patient: str) -> list[str]:
        where = {"patients": f"Patient/{patient}", "waits": {"$exists": True}}
        rows = await self.world.store.resources.find("Appointment", where, fields={"_id": 1})
        return [one["_id"] for one in rows]

    async def _leave(self) -> None:
        if entries := await self._entries(self.chance.choice(self.patients)):
            await cancel(self.world, OWN.caller, entries[0], Cancellation())

    async def _advance(self, minutes: int) -> None:
        """Time passes; those whose moment comes answer."""
        until = self.clock.at + minutes * MINUTE
        while self._replies and self._replies[0][0] <= until:
            at, _, id_, version, said = heapq.heappop(self._replies)
            self.clock.at = max(self.clock.at, at)
            await self._answer(id_, version, said)
            await self.work()
        self.clock.at = max(self.clock.at, until)

    async def hear(self, world: World, task: Task) -> None:
        """Performer of ``message``: the patient is told, and makes up their mind."""
        kind, id_, version = task.about["kind"], task.about["appointment"], task.about["version"]
        self.told.append((kind, id_, version))
        if kind != "waitlist-offer":
            return
        said = self.chance.choices(("accepted", "declined", "silent", "late"), (45, 20, 20, 15))[0]
        if self.ending:
            said = "accepted"
        if said == "silent":
            return
        delay = self.chance.randint(31, 90) if said == "late" else self.chance.randint(0, 1 if self.ending else 28)
        self._number += 1
        said = "accepted" if said == "late" else said
        heapq.heappush(self._replies, (self.clock.at + delay * MINUTE, self._number, id_, version, said))

    async def _answer(self, id_: str, version: int, said: str) -> None:
        """An answer that names the offer; by the use case, or as an AppointmentResponse."""
        named = answer.Named(version=version)
        try:
            if self.chance.random() < 0.5:
                act = answer.accept if said == "accepted" else answer.decline
                await act(self.world, OWN.caller, id_, named)
            else:
                found = parse((await resources.read(self.world, "Appointment", id_)).body)
                patient = next(one["actor"] for one in found["participant"] if "Patient" in one["actor"]["reference"])
                response = {
                    "resourceType": "AppointmentResponse", "participantStatus": said, "actor": patient,
                    "appointment": {"reference": f"Appointment/{id_}/_history/{version}"},
                }  # fmt: skip
                await resources.create(self.world, OWN.caller, response)
        except Problem as refused:
            expected(refused)
            self.answers["too late"] = self.answers.get("too late", 0) + 1
        else:
            self.answers[said] = self.answers.get(said, 0) + 1
            if said == "accepted":
                self.booked.append(id_)

    async def _end(self) -> None:
        """Everybody who is still asked says yes, nobody dies any more, and time goes on until nothing is open."""
        self.lively, self.ending = False, True
        for _ in range(400):
            await self.work()
            await self._advance(5)
            open_ = await self.world.store.resources.find("Appointment", {"expires": {"$gt": 0}}, fields={"_id": 1})
            if not open_ and not self._replies and not await self.world.store.outbox.marked(("Appointment", "Slot")):
                await self.work()
                return
        msg = "offers without end"
        raise AssertionError(msg)

    # -- workers -----------------------------------------------------------------------------------------------------

    def dies(self) -> None:
        """A seam: the process may die here."""
        if self.lively and self.chance.random() < self.plan.deaths:
            raise Killed

    def deadly(self, act: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """An act before and after which the process may die."""

        async def done(*arguments: Any, **more: Any) -> Any:
            self.dies()
            found = await act(*arguments, **more)
            self.dies()
            return found

        return done

    async def work(self) -> None:
        """Relay and perform what is due, with processes that die and are started again."""
        for _ in range(1000):
            try:
                told = await tell(self.world)
                self.dies()
                due = await self.world.store.work.hand_out(self.clock())
                for kind, key in due:
                    came = await perform(self.world, kind, key)
                    assert came not in {"failed", "dead"}, (kind, key, came)
                if not told and not due:
                    return
            except Killed:
                self.deaths += 1
                await self._revive()
        msg = "work makes work without end"
        raise AssertionError(msg)

    async def _revive(self) -> None:
        """The leases of the dead are over, and what was handed to them is handed out again."""
        past = datetime(2000, 1, 1, tzinfo=UTC)
        collection = self.world.store.connection.collection(WORK)
        await collection.update_many({"state": "running"}, {"$set": {"lease": past}})
        await collection.update_many({}, {"$unset": {"sent": ""}})

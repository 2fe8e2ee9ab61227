"""An EMR keeps its own copy of Appointments by a Subscription alone, whatever goes wrong on the way."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.builders.subscriber import Subscriber
from tests.builders.visits import Visits
from tests.subscriptions.emr import Emr, running

PATIENTS = ("pat", "other")


class Changes:
    """Random changes of random Appointments, each through the front door."""

    def __init__(self, clinic: Visits, dice: random.Random) -> None:
        self.clinic, self.dice = clinic, dice
        self.ids = [clinic.id(f"emr{number}") for number in range(40)]
        self.there: set[str] = set()
        self.booked: list[str] = []
        self.clocks = [f"{hour:02}:{half}" for hour in range(9, 17) for half in ("00", "30")]

    async def one(self) -> None:
        act = self.dice.choice(("put", "put", "put", "delete", "book", "cancel", "patch"))
        await getattr(self, f"_{act}")()

    async def _put(self) -> None:
        id_ = self.dice.choice(self.ids)
        resource = {
            "resourceType": "Appointment", "id": id_, "status": self.dice.choice(("proposed", "proposed", "cancelled")),
            "comment": f"c{self.dice.randrange(10**9)}",
            "participant": [{"actor": self.clinic.who(self.dice.choice(PATIENTS)), "status": "needs-action"}],
        }  # fmt: skip
        answer = await self.clinic.client.put(f"Appointment/{id_}", json=resource)
        assert answer.status_code in {200, 201, 422}, answer.text
        self.there.add(id_)

    async def _delete(self) -> None:
        id_ = self.dice.choice(self.ids)
        assert (await self.clinic.client.delete(f"Appointment/{id_}")).status_code == 204
        self.there.discard(id_)

    async def _book(self) -> None:
        if not self.clocks:
            return
        made = await self.clinic.booked(self.clocks.pop(), self.dice.choice(PATIENTS))
        self.booked.append(made["id"])

    async def _cancel(self) -> None:
        if self.booked:
            answer = await self.clinic.act(self.booked.pop(), "$cancel")
            assert answer.status_code in {200, 410, 422}, answer.text

    async def _patch(self) -> None:
        if self.there:
            id_ = self.dice.choice(sorted(self.there))
            patch = [{"op": "add", "path": "/description", "value": f"d{self.dice.randrange(10**9)}"}]
            headers = {"Content-Type": "application/json-patch+json"}
            answer = await self.clinic.client.patch(f"Appointment/{id_}", json=patch, headers=headers)
            assert answer.status_code in {200, 404, 410, 422}, answer.text


async def kept_in_step(subscriber: Subscriber, clinic: Visits, count: int, seed: int) -> Emr:
    """An EMR that went through so many changes with faults, and then has what the server has."""
    dice = random.Random(seed)

    async def events(since: int, until: int) -> dict[str, Any]:
        query = f"eventsSinceNumber={since}&eventsUntilNumber={until}"
        answer = await subscriber.ask("GET", f"Subscription/{made['id']}/$events?{query}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async with running(Emr(events, dice)) as emr:
        patients = ",".join(f"Patient/{clinic.id(one)}" for one in PATIENTS)
        made = await subscriber.subscribe(
            "appointment-changed", emr.url, content="full-resource", most=dice.choice((1, 5, 20)), timeout=1,
            filters=(f"Appointment?patient={patients}",),
        )  # fmt: skip
        await subscriber.settle()
        changes, time = Changes(clinic, dice), 0.0
        for number in range(count):
            await changes.one()
            if number % 10 == 9:
                # Time goes by in leaps, so that a receiver that failed is tried again.
                time += dice.choice((1, 10, 100, 4000))
                await subscriber.later(time)
        emr.bad = 0
        await subscriber.later(time + 40_000)
        status = await subscriber.status(made["id"])
        assert status.said("status") == "active"
        await emr.settle(int(status.said("events-since-subscription-start")))
        answer = await subscriber.ask("GET", f"Appointment?patient={patients}&_count=1000")
        ours = {one["resource"]["id"]: one["resource"] for one in answer.json().get("entry", ())}
        assert emr.copy == ours
        assert len(ours) > 10
    return emr


async def test_it_holds_exactly_our_state(emr: Subscriber, clinic: Visits) -> None:
    found = await kept_in_step(emr, clinic, 150, 7)
    assert sum(found.faults.values()) > 2
    assert found.known > 100


@pytest.mark.soak
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_it_holds_exactly_our_state_after_a_thousand_changes(emr: Subscriber, clinic: Visits, seed: int) -> None:
    found = await kept_in_step(emr, clinic, 1000, seed)
    assert set(found.faults) == {"500", "break", "lost-answer", "late", "forget"}
    assert found.asked > 0

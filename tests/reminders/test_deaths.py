"""A week of a clinic whose workers die at every seam: nothing is lost, and nothing goes out that is not noted."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from fhir_server.services.reminders import delivery, send
from tests.builders.messages import Practice, confirmation, rule

DIES = 0.15
"""How often a worker dies at a seam."""


class Death(BaseException):
    """What ends a process."""


class Deaths:
    """Lets workers die before or after what they do."""

    def __init__(self, chance: random.Random) -> None:
        self.chance, self.count = chance, 0

    def around(self, kept: Any) -> Any:
        async def dies(*arguments: Any, **named: Any) -> Any:
            where = self.chance.random()
            if where < DIES / 2:
                self.count += 1
                raise Death
            found = await kept(*arguments, **named)
            if where < DIES:
                self.count += 1
                raise Death
            return found

        return dies


async def _survived(practice: Practice, text: str) -> None:
    """On to an instant; whoever died is replaced."""
    for _ in range(400):
        try:
            await practice.until(text)
        except Death:
            await practice.world.store.connection.collection("work").update_many(
                {"state": {"$in": ["running", "waiting"]}},
                [{"$set": {"lease": {"$subtract": ["$$NOW", 1000]}}}, {"$unset": "sent"}],
            )
        else:
            return
    pytest.fail("it does not come to an end")


@pytest.mark.parametrize("seed", [1, 2])
async def test_workers_that_die(practice: Practice, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    chance = random.Random(seed)
    await practice.opened(
        rule("reminder", 2, "d", "email", "sms"), rule("confirmation-request", 3, "d", "sms", "email"),
        rule("reminder", 3, "h", "sms"), confirmation(follow_up=1440, cutoff=720, release=True),
    )  # fmt: skip
    people = [await practice.person(name) for name in ("one", "two", "three")]
    visits = [
        await practice.booked(f"{10 + number // 3}:00", people[number % 3], day=6 + number % 4) for number in range(9)
    ]
    deaths = Deaths(chance)
    for module, name in ((send, "_intend"), (send, "_done"), (send, "_failed"), (delivery, "hand_over")):
        monkeypatch.setattr(module, name, deaths.around(getattr(module, name)))
    gone: set[str] = set()
    for day in range(3, 11):
        await _survived(practice, practice.at("09:30", day))
        left = [one for one in visits if one["id"] not in gone and one["start"] > practice.at("23:00", day)]
        for visit in chance.sample(left, min(2, len(left))):
            current = (await practice.client.get(f"Appointment/{visit['id']}")).json()
            if current["status"] != "booked":
                continue
            if chance.random() < 0.5:
                gone.add(visit["id"])
                await practice.act(visit["id"], "$cancel")
            else:
                people_ = [{**one, "status": "accepted"} for one in current["participant"]]
                await practice.put({**current, "participant": people_})
    await _survived(practice, practice.at("23:00", 11))
    assert deaths.count > 5, "they died"

    given = Counter(one.id for one in [*practice.sent("sms"), *practice.sent("email")])
    bodies = {one.id: one for one in [*practice.sent("sms"), *practice.sent("email")]}
    for visit in visits:
        requests = {one["id"]: one for one in await practice.requests(visit["id"])}
        assert {one["status"] for one in requests.values()} <= {"completed", "revoked"}, "nothing is left hanging"
        tries = await practice.communications(visit["id"])
        assert {one["status"] for one in tries} <= {"completed", "unknown"}
        done = [one["basedOn"][0]["reference"].partition("/")[2] for one in tries if one["status"] == "completed"]
        assert len(done) == len(set(done)), "one channel a message"
        assert set(done) == {id_ for id_, one in requests.items() if one["status"] == "completed"}
        for one in tries:
            # Who was noted as sent was sent; whoever was sent is noted, at least as a try.
            assert one["status"] == "unknown" or given[one["id"]] >= 1
            bodies.pop(one["id"], None)
    assert not [one for one in bodies.values() if practice.name in str(one)], "nothing goes out that is not noted"
    for visit in visits:
        status = (await practice.client.get(f"Appointment/{visit['id']}")).json()["status"]
        assert (status == "cancelled") or visit["id"] not in gone

"""Each topic is told when the clinic does what it names, by the operations that people use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from tests.builders.subscriber import Subscriber
from tests.builders.visits import Visits
from tests.builders.waiting import Waiting
from tests.tokens import Issuer

PATCH = {"Content-Type": "application/json-patch+json"}


@dataclass
class Ears:
    """A subscriber to several topics, each with a path of its own."""

    emr: Subscriber
    topics: tuple[str, ...]
    ids: dict[str, str] = field(default_factory=dict)

    async def open(self) -> Ears:
        for one in self.topics:
            made = await self.emr.subscribe(one, endpoint=self.emr.hook.url(path=f"/{one}"))
            self.ids[one] = made["id"]
        await self.emr.settle()
        self.emr.hook.seen.clear()
        return self

    async def heard(self, seconds: float = 0) -> dict[str, list[str]]:
        """Topic → foci told since the last time."""
        await (self.emr.later(seconds) if seconds else self.emr.settle())
        found: dict[str, list[str]] = {}
        for request, note in zip(self.emr.hook.seen, self.emr.notes, strict=True):
            found.setdefault(request.line.split()[1].removeprefix("/"), []).extend(note.foci)
        self.emr.hook.seen.clear()
        return found


async def _patch(clinic: Visits, id_: str, *changes: tuple[str, Any]) -> None:
    patch = [{"op": "add", "path": path, "value": value} for path, value in changes]
    answer = await clinic.client.patch(f"Appointment/{id_}", json=patch, headers=PATCH)
    assert answer.status_code == 200, answer.text


async def test_the_life_of_a_visit(emr: Subscriber, clinic: Visits, go: Callable[[str], None]) -> None:
    ears = await Ears(emr, tuple(
        f"appointment-{one}" for one in
        ("booked", "rescheduled", "cancelled", "confirmed", "checked-in", "fulfilled", "no-show")
    )).open()  # fmt: skip
    booked = await clinic.booked("09:00")
    name = f"Appointment/{booked['id']}"
    assert (await ears.heard()) == {"appointment-booked": [name]}
    await _patch(clinic, booked["id"], ("/comment", "x"))
    assert await ears.heard() == {}
    moved = await clinic.act(booked["id"], "$reschedule", start=("Instant", clinic.at("10:00")))
    assert moved.status_code == 200, moved.text
    assert await ears.heard() == {"appointment-rescheduled": [name]}
    for status in ("arrived", "checked-in"):
        go(clinic.at("10:05"))
        await _patch(clinic, booked["id"], ("/status", status))
        go("")
    assert await ears.heard() == {"appointment-checked-in": [name]}
    go(clinic.at("10:05"))
    await _patch(clinic, booked["id"], ("/status", "fulfilled"))
    go("")
    assert await ears.heard() == {"appointment-fulfilled": [name]}
    other = await clinic.booked("11:00", "other")
    assert (await clinic.act(other["id"], "$cancel")).status_code == 200
    assert (await clinic.act(other["id"], "$cancel")).status_code == 200
    third = f"Appointment/{other['id']}"
    assert await ears.heard() == {"appointment-booked": [third], "appointment-cancelled": [third]}
    missed = await clinic.booked("12:00", "other")
    go(clinic.at("12:20"))
    await _patch(clinic, missed["id"], ("/status", "noshow"))
    go("")
    assert (await ears.heard())["appointment-no-show"] == [f"Appointment/{missed['id']}"]
    gone = await clinic.booked("13:00", "other")
    await ears.heard()
    assert (await clinic.client.delete(f"Appointment/{gone['id']}")).status_code == 204
    assert await ears.heard() == {"appointment-cancelled": [f"Appointment/{gone['id']}"]}


async def test_a_patient_confirms(emr: Subscriber, clinic: Visits) -> None:
    ears = await Ears(emr, ("appointment-confirmed",)).open()
    booked = await clinic.booked()
    index = next(n for n, one in enumerate(booked["participant"]) if "Patient/" in one["actor"]["reference"])
    if booked["participant"][index]["status"] == "accepted":
        await _patch(clinic, booked["id"], (f"/participant/{index}/status", "needs-action"))
    assert await ears.heard() == {}
    await _patch(clinic, booked["id"], (f"/participant/{index}/status", "accepted"))
    assert await ears.heard() == {"appointment-confirmed": [f"Appointment/{booked['id']}"]}


async def test_holds_and_what_becomes_of_their_time(emr: Subscriber, clinic: Visits) -> None:
    ears = await Ears(emr, ("hold-expired", "slot-freed", "appointment-cancelled", "appointment-booked")).open()
    held = await clinic.held("09:00")
    assert await ears.heard() == {}
    heard = await ears.heard(3600)
    freed = heard.pop("slot-freed")
    assert [one.partition("/")[0] for one in freed] == ["Slot"]
    assert heard == {"hold-expired": [f"Appointment/{held['id']}"]}
    released = await clinic.held("10:00")
    assert (await clinic.act(released["id"], "$release")).status_code == 200
    assert set(await ears.heard()) == {"slot-freed"}
    booked = await clinic.booked("11:00")
    assert set(await ears.heard()) == {"appointment-booked"}
    await clinic.act(booked["id"], "$cancel")
    heard = await ears.heard()
    assert heard["slot-freed"] == [booked["slot"][0]["reference"]]


async def test_a_schedule_that_changes(emr: Subscriber, clinic: Visits) -> None:
    doctor = f"Practitioner/{clinic.id('doc')}"
    emr_ = replace(emr)
    made = await emr_.active("schedule-changed", filters=(f"Schedule?actor={doctor}",))
    url = f"Schedule/{clinic.id('s')}"
    schedule = (await clinic.client.get(url)).json()
    assert (await clinic.client.put(url, json={**schedule, "comment": "closed at noon"})).status_code == 200
    await emr_.settle()
    assert [one.foci for one in emr_.told] == [[url]]
    assert (await emr_.status(made["id"])).said("events-since-subscription-start") == "1"


async def test_the_waitlist(emr: Subscriber, issuer: Issuer) -> None:
    waiting = Waiting(emr.client)
    waiting.issuer, waiting.world = issuer, emr.world
    await waiting.opened()
    ears = await Ears(emr, (
        "waitlist-offered", "waitlist-accepted", "appointment-booked", "appointment-cancelled", "hold-expired"
    )).open()  # fmt: skip
    first, second = await waiting.joined("pat"), await waiting.joined("other")
    await waiting.patient("third")
    await ears.heard()
    await waiting.freed("09:00", patient="third")
    heard = await ears.heard()
    assert heard["waitlist-offered"] == [f"Appointment/{first['id']}"]
    assert "waitlist-accepted" not in heard
    answer = await waiting.act(first["id"], "$book")
    assert answer.status_code == 201, answer.text
    name = f"Appointment/{first['id']}"
    assert await ears.heard() == {"waitlist-accepted": [name], "appointment-booked": [name]}
    # One that nobody answers waits again: it was no hold of theirs that ended, and no visit that was cancelled.
    await waiting.freed("10:00", patient="third")
    assert (await ears.heard())["waitlist-offered"] == [f"Appointment/{second['id']}"]
    assert await ears.heard(3600) == {}
    assert (await waiting.entry(second))["status"] == "waitlist"

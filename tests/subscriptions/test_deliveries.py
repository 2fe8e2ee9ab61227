"""Handshake, events and their order, failures and what becomes of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import bson
import pytest

from fhir_server.remote.sending import NotSent, Recording
from fhir_server.services.following.performing import perform
from fhir_server.services.subscriptions import checks, deliver
from fhir_server.services.subscriptions.writing import DELIVERY
from tests.builders.answers import refused
from tests.builders.persistence import until
from tests.builders.receivers import receiver
from tests.builders.subscriber import Subscriber, reply
from tests.builders.subscriptions import subscription
from tests.builders.visits import Visits


async def test_a_booking_is_told(emr: Subscriber, clinic: Visits) -> None:
    made = await emr.subscribe()
    assert made["status"] == "requested"
    await emr.settle()
    (handshake,) = emr.notes
    assert (handshake.kind, handshake.said("status"), handshake.events) == ("handshake", "requested", [])
    assert (await emr.read(made["id"]))["status"] == "active"
    booked = await clinic.booked()
    await emr.settle()
    (note,) = emr.told
    assert note.numbers == [1]
    assert note.foci == [f"Appointment/{booked['id']}"]
    assert note.said("events-since-subscription-start") == "1"
    assert [one["response"]["status"] for one in note.shown] == ["201"]
    assert "resource" not in note.shown[0]
    # Nothing more is sent, for nothing more happened.
    await emr.settle()
    assert len(emr.notes) == 2


async def test_a_handshake_that_fails_is_an_error_and_nothing_is_sent(emr: Subscriber, clinic: Visits) -> None:
    """N1, and N8: only the subscriber asks for another."""
    for answer in ((500,), (302, "Location: http://127.0.0.1:1/")):
        emr.answers(*answer)
        made = await emr.subscribe()
        await emr.settle()
        found = await emr.read(made["id"])
        assert (found["status"], found["error"]) == ("error", found["error"])
        assert str(answer[0]) in found["error"]
    await clinic.booked()
    await emr.later(86_400)
    assert {one.kind for one in emr.notes} == {"handshake"}
    assert len(emr.notes) == 2
    status = await emr.status(made["id"])
    assert status.said("error")["coding"][0]["code"] == "handshake-failed"
    # It is asked for again, and what happened meanwhile is not told: it had not begun.
    emr.answers()
    again = await emr.ask("PUT", f"Subscription/{made['id']}", json={**found, "status": "requested"})
    assert (again.status_code, again.json()["status"]) == (200, "requested")
    assert "error" not in again.json()
    await emr.settle()
    assert (await emr.read(made["id"]))["status"] == "active"
    assert emr.told == []


async def test_nobody_there_says_nothing_of_ports(emr: Subscriber) -> None:
    """N21: the words are the same whether a port is closed, silent or no web server."""
    said = set()
    for endpoint in ("http://127.0.0.1:9/", "http://localhost:1/x"):
        made = await emr.subscribe(endpoint=endpoint)
        await emr.settle()
        said.add((await emr.read(made["id"]))["error"])
    emr.hook.parts = [b"nonsense\r\n\r\n"]
    made = await emr.subscribe()
    await emr.settle()
    said.add((await emr.read(made["id"]))["error"])
    assert len(said) == 1


async def test_failures_are_repeated_with_the_same_number(emr: Subscriber, clinic: Visits) -> None:
    """N6: at least once, whatever the receiver does meanwhile."""
    made = await emr.active()
    emr.answers(500)
    await clinic.booked("09:00")
    await emr.settle()
    assert [one.numbers for one in emr.told] == [[1]]
    await clinic.booked("10:00", "other")
    # The receiver rests: what happens meanwhile does not wake it.
    await emr.settle()
    assert len(emr.told) == 1
    assert (await emr.status(made["id"])).said("error")["coding"][0]["code"] == "not-delivered"
    for seconds in (10, 100):
        await emr.later(seconds)
    assert [one.numbers for one in emr.told] == [[1], [1, 2], [1, 2]]
    emr.answers()
    await emr.later(1000)
    assert emr.told[-1].numbers == [1, 2]
    assert {one.bundle["id"] for one in emr.told[1:]} == {emr.told[1].bundle["id"]}
    standing = await emr.status(made["id"])
    assert standing.said("error") is None
    assert standing.said("events-since-subscription-start") == "2"
    await emr.later(5000)
    assert len(emr.told) == 4


async def test_a_receiver_says_when_to_come_again(emr: Subscriber, clinic: Visits) -> None:
    """N24: Retry-After."""
    await emr.active()
    emr.answers(429, "Retry-After: 7200")
    await clinic.booked()
    await emr.settle()
    emr.answers()
    await emr.later(7100)
    assert len(emr.told) == 1
    await emr.later(7300)
    assert len(emr.told) == 2


async def test_after_the_last_attempt_it_is_an_error_until_the_subscriber_asks(emr: Subscriber, clinic: Visits) -> None:
    """N8: and nothing of it is lost."""
    made = await emr.active()
    emr.answers(503)
    await clinic.booked("09:00")
    for day in range(1, 15):
        await emr.later(day * 86_400)
    found = await emr.read(made["id"])
    assert (found["status"], found["error"]) == ("error", "the receiver answered with status 503")
    assert len(emr.told) == emr.world.settings.delivery_attempts
    emr.answers()
    await clinic.booked("10:00", "other")
    await emr.later(20 * 86_400)
    assert len(emr.told) == emr.world.settings.delivery_attempts
    again = await emr.ask("PUT", f"Subscription/{made['id']}", json={**found, "status": "requested"})
    assert again.status_code == 200
    emr.hook.seen.clear()
    await emr.settle()
    assert [one.kind for one in emr.notes] == ["handshake", "event-notification"]
    assert emr.told[0].numbers == [1, 2]
    assert emr.notes[0].said("events-since-subscription-start") == "2"


async def test_a_receiver_that_is_gone_turns_it_off(emr: Subscriber, clinic: Visits) -> None:
    """N24: 410."""
    made = await emr.active()
    emr.answers(410)
    await clinic.booked()
    await emr.settle()
    found = await emr.read(made["id"])
    assert (found["status"], found["error"]) == ("off", "the receiver answered with status 410")
    await emr.later(86_400)
    assert len(emr.told) == 1


async def test_several_events_are_one_notification_up_to_its_limit(emr: Subscriber, clinic: Visits) -> None:
    """N4."""
    await emr.active(most=2)
    for clock in ("09:00", "10:00", "11:00", "12:00", "13:00"):
        await clinic.booked(clock)
    await emr.settle()
    assert [one.numbers for one in emr.told] == [[1, 2], [3, 4], [5]]
    assert [one.said("events-since-subscription-start") for one in emr.told] == ["5"] * 3
    assert all(len(one.shown) == len(one.numbers) for one in emr.told)


async def test_heartbeats_are_sent_and_count_nothing(emr: Subscriber, clinic: Visits) -> None:
    """N3, N9, N27."""
    made = await emr.active(heartbeat=60)
    await emr.later(50)
    assert emr.notes == []
    await emr.later(61)
    (beat,) = emr.notes
    assert (beat.kind, beat.events, beat.said("events-since-subscription-start")) == ("heartbeat", [], "0")
    assert beat.said("status") == "active"
    assert beat.shown == []
    await emr.later(100)
    assert len(emr.notes) == 1
    await clinic.booked()
    await emr.settle()
    assert emr.notes[-1].numbers == [1]
    await emr.later(1000)
    assert (await emr.status(made["id"])).said("events-since-subscription-start") == "1"


async def test_none_is_sent_that_was_not_asked_for(emr: Subscriber) -> None:
    await emr.active()
    await emr.later(86_400)
    assert emr.notes == []


async def test_the_end_turns_it_off(emr: Subscriber, clinic: Visits) -> None:
    """N16."""
    at = (emr.world.clock() + 3_600_000) // 1000
    made = await emr.active(end=_instant(at))
    await emr.later(3000)
    assert (await emr.read(made["id"]))["status"] == "active"
    await emr.later(3700)
    assert (await emr.read(made["id"]))["status"] == "off"
    await clinic.booked()
    await emr.settle()
    assert emr.told == []


async def test_deletion_stops_at_once(emr: Subscriber, clinic: Visits) -> None:
    """N25."""
    made = await emr.active()
    emr.answers(500)
    await clinic.booked()
    await emr.settle()
    assert (await emr.ask("DELETE", f"Subscription/{made['id']}")).status_code == 204
    emr.answers()
    await clinic.booked("10:00", "other")
    await emr.later(86_400)
    assert len(emr.told) == 1


async def test_one_dead_receiver_delays_nobody(emr: Subscriber, clinic: Visits) -> None:
    """N24: each has a queue of its own."""
    dead = await emr.active()
    alive = [await emr.active() for _ in range(3)]
    moved = await emr.ask("PUT", f"Subscription/{dead['id']}", json={
        **dead, "channel": {**dead["channel"], "endpoint": "http://127.0.0.1:9/"}, "status": "requested"})  # fmt: skip
    assert moved.status_code == 200
    await emr.settle()
    await clinic.booked()
    await emr.settle()
    assert len(emr.told) == len(alive)


def _instant(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


async def test_email(emr: Subscriber, clinic: Visits, monkeypatch: pytest.MonkeyPatch) -> None:
    """The notification as text, with an id that is the same whenever it is sent; contents never go by mail."""
    mail: Recording[Any] = Recording()
    emr.world = replace(emr.world, channels=replace(emr.world.channels, email=mail))
    monkeypatch.setattr(checks, "mail_of", lambda _: mail)
    made = await emr.subscribe(channel="email", endpoint="mailto:desk@clinic.example")
    await emr.settle()
    assert (await emr.read(made["id"]))["status"] == "active"
    booked = await clinic.booked()
    mail.faults.append(NotSent("unavailable", permanent=False))
    await emr.settle()
    await emr.later(60)
    handshake, note = mail.given
    assert {handshake.to, note.to} == {"desk@clinic.example"}
    assert booked["id"] in note.text
    assert clinic.id("pat") not in note.text
    assert handshake.id != note.id
    wrong = subscription(endpoint="mailto:desk@clinic.example", channel="email", content="full-resource")
    refused(await emr.post(wrong), 422)
    refused(await emr.post(subscription(endpoint="not an address", channel="email")), 422)


async def test_an_address_that_wants_nothing_turns_it_off(
    emr: Subscriber, clinic: Visits, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail: Recording[Any] = Recording()
    emr.world = replace(emr.world, channels=replace(emr.world.channels, email=mail))
    monkeypatch.setattr(checks, "mail_of", lambda _: mail)
    made = await emr.active(channel="email", endpoint="desk@clinic.example")
    mail.faults.append(NotSent("unsubscribed", permanent=True))
    await clinic.booked()
    await emr.settle()
    assert (await emr.read(made["id"]))["status"] == "off"


async def test_without_a_channel_for_email_there_is_none(emr: Subscriber, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "mail_of", lambda _: None)
    refused(await emr.post(subscription(endpoint="mailto:x@clinic.example", channel="email")), 422)


async def test_nothing_of_it_lies_open(emr: Subscriber, clinic: Visits) -> None:
    """Endpoint, headers, secrets and the owner's scopes are sealed in every collection."""
    header, path = f"Authorization: Bearer {clinic.id('s3cret')}", f"/{clinic.id('endpoint')}"
    made = await emr.active(endpoint=emr.hook.url(path=path), headers=(header,))
    answer = await emr.ask("POST", f"Subscription/{made['id']}/$rotate-secret")
    secret = answer.json()["parameter"][0]["valueString"]
    await emr.ask("PUT", f"Subscription/{made['id']}", json={**made, "reason": clinic.id("reason")})
    await clinic.booked()
    await emr.settle()
    words = [one.encode() for one in (header, path, secret, clinic.id("reason"), "system/*.cruds")]
    for name in ("Subscription", "history", "subscriptions", "numbers", "events", "work", "told"):
        async for one in emr.world.store.connection.collection(name).find({}):
            raw = bson.encode(one)
            assert not [word for word in words if word in raw], name


async def test_another_address_need_not_wait_for_the_first_ones_pause(emr: Subscriber, clinic: Visits) -> None:
    made = await emr.active()
    emr.answers(500)
    await clinic.booked()
    await emr.settle()
    # As when the change comes while a message is under way, whose failure is noted after it.
    changed = {**made, "channel": {**made["channel"], "endpoint": emr.hook.url(path="/new")}}
    assert (await emr.ask("PUT", f"Subscription/{made['id']}", json=changed)).status_code == 200
    later = emr.world.clock() + 3_600_000
    await emr.world.store.subscriptions.change(None, made["id"], failures=5, rest=later)
    emr.answers()
    emr.hook.seen.clear()
    await emr.settle()
    assert [one.kind for one in emr.notes] == ["handshake", "event-notification"]
    assert all(one.line.startswith("POST /new ") for one in emr.hook.seen)


async def test_failing_receivers_leave_most_hands_to_the_others(emr: Subscriber, clinic: Visits) -> None:
    now = emr.world.clock() + 10_000
    settings = emr.world.settings.model_copy(update={"worker_concurrency": 4})
    soon = replace(emr.world, settings=settings, clock=lambda: now)
    async with receiver() as other:
        first, second = await emr.active(endpoint=other.url()), await emr.active()
        other.parts = [reply(500)]
        emr.answers(500)
        await clinic.booked()
        await emr.settle()
        other.silent = True
        emr.answers()
        emr.hook.seen.clear()
        waiting = asyncio.create_task(perform(soon, DELIVERY, first["id"]))

        async def at_it() -> bool:
            return deliver.TROUBLED.count == 1

        await until(at_it)
        assert await perform(soon, DELIVERY, second["id"]) == "again"
        assert emr.hook.seen == [], "it waits for a hand"
    await waiting
    assert deliver.TROUBLED.count == 0
    await emr.later(60)
    assert [one.numbers for one in emr.told] == [[1]]

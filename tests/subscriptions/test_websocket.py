"""Websockets: bound by a token that is good once, told what the owner may see, closed when that ends (N12)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fhir_server.app import Server
from fhir_server.rest.websocket import PATH
from fhir_server.services.subscriptions import asking
from tests.builders.answers import refused
from tests.builders.subscriber import Subscriber
from tests.builders.visits import Visits
from tests.builders.websockets import Socket, socket


async def token(emr: Subscriber, *ids: str) -> dict[str, Any]:
    query = "&".join(f"id={one}" for one in ids)
    answer = await emr.ask("GET", f"Subscription/$get-ws-binding-token?{query}")
    assert answer.status_code == 200, answer.text
    given = answer.json()["parameter"]
    assert [one["valueString"] for one in given if one["name"] == "subscription"] == list(ids)
    return {one["name"]: next(v for k, v in one.items() if k != "name") for one in given}


async def bound(emr: Subscriber, made: Socket, *ids: str) -> None:
    await made.say(f"bind-with-token {(await token(emr, *ids))['token']}")
    for one in ids:
        note = await made.note()
        assert (note.kind, note.said("subscription")["reference"].rpartition("/")[2]) == ("handshake", one)


async def test_a_booking_is_told_at_once(emr: Subscriber, clinic: Visits, app: Server) -> None:
    one = await emr.active(channel="websocket")
    two = await emr.active("appointment-cancelled", channel="websocket", content="full-resource")
    url = (await token(emr, one["id"]))["websocket-url"]
    assert url == f"ws://fhir.test{PATH}"
    async with socket(app, PATH) as made:
        await bound(emr, made, one["id"], two["id"])
        booked = await clinic.booked()
        await emr.settle()
        note = await made.note()
        assert (note.kind, note.numbers, note.foci) == ("event-notification", [1], [f"Appointment/{booked['id']}"])
        await clinic.act(booked["id"], "$cancel")
        await emr.settle()
        note = await made.note()
        assert note.shown[0]["resource"]["status"] == "cancelled"
    assert emr.notes == []


async def test_what_was_missed_comes_after_the_next_handshake(emr: Subscriber, clinic: Visits, app: Server) -> None:
    made = await emr.active(channel="websocket")
    async with socket(app, PATH) as first:
        await bound(emr, first, made["id"])
        await clinic.booked("09:00")
        await emr.settle()
        assert (await first.note()).numbers == [1]
    await clinic.booked("10:00")
    await clinic.booked("11:00")
    await emr.settle()
    async with socket(app, PATH) as again:
        await bound(emr, again, made["id"])
        assert (await again.note()).numbers == [2, 3]


async def test_a_token_is_good_once_and_for_what_it_names(emr: Subscriber, app: Server) -> None:
    made = await emr.active(channel="websocket")
    text = (await token(emr, made["id"]))["token"]
    async with socket(app, PATH) as first:
        await first.say(f"bind-with-token: {text}")
        assert (await first.note()).kind == "handshake"
        async with socket(app, PATH) as second:
            await second.say(f"bind-with-token {text}")
            assert await second.closed() == 1008
    for said in ("bind-with-token", "bind-with-token nonsense", f"bind {made['id']}", "x" * 10_000):
        async with socket(app, PATH) as other:
            await other.say(said)
            assert await other.closed() == 1008


async def test_a_token_expires(emr: Subscriber, app: Server) -> None:
    made = await emr.active(channel="websocket")
    text = (await token(emr, made["id"]))["token"]
    now = emr.world.clock()
    later = replace(emr.world, clock=lambda: now + 61_000)
    assert await asking.bind(later, text) is None
    assert await asking.bind(emr.world, text) is not None


async def test_who_may_not_gets_no_token(emr: Subscriber) -> None:
    made = await emr.active(channel="websocket")
    hook = await emr.active()
    other = replace(emr, name=f"{emr.name}-other")
    refused(await other.ask("GET", f"Subscription/$get-ws-binding-token?id={made['id']}"), 404)
    refused(await emr.ask("GET", "Subscription/$get-ws-binding-token"), 400)
    refused(await emr.ask("GET", f"Subscription/{hook['id']}/$get-ws-binding-token"), 422)


async def test_another_host_is_not_let_in(emr: Subscriber, app: Server) -> None:
    async with socket(app, PATH, host="evil.example") as made:
        assert await made.closed() == 1008


async def test_it_is_closed_when_the_subscription_ends(emr: Subscriber, app: Server) -> None:
    made = await emr.active(channel="websocket")
    async with socket(app, PATH) as one:
        await bound(emr, one, made["id"])
        assert (await emr.ask("DELETE", f"Subscription/{made['id']}")).status_code == 204
        assert await one.closed() == 1008


async def test_it_is_closed_when_access_is_revoked(emr: Subscriber, clinic: Visits, app: Server) -> None:
    """V31: mid-stream."""
    made = await emr.active(channel="websocket")
    async with socket(app, PATH) as one:
        await bound(emr, one, made["id"])
        progress = await emr.world.store.subscriptions.get(made["id"])
        assert progress is not None
        client = await emr.world.store.authorization.clients.get(progress.owner["client"])
        assert client is not None
        await emr.world.store.authorization.clients.replace(replace(client, disabled=True))
        await emr.world.store.access_epoch.moved()
        await clinic.booked()
        await emr.settle()
        assert await one.closed() == 1008
        await emr.world.store.authorization.clients.replace(client)
        await emr.world.store.access_epoch.moved()


async def test_a_heartbeat_keeps_it_warm(emr: Subscriber, app: Server, monkeypatch: Any) -> None:
    monkeypatch.setattr(emr.world.settings, "min_heartbeat_seconds", 1)
    made = await emr.active(channel="websocket", heartbeat=1)
    async with socket(app, PATH) as one:
        await bound(emr, one, made["id"])
        note = await one.note()
        assert (note.kind, note.events) == ("heartbeat", [])

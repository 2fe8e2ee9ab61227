"""What a client may write, and what the server makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders.answers import expressions, refused
from tests.builders.subscriber import Subscriber
from tests.builders.subscriptions import BACKPORT, subscription
from tests.builders.visits import Visits


async def test_the_client_says_neither_active_nor_what_is_wrong(emr: Subscriber) -> None:
    """N2."""
    wrong = subscription(endpoint=emr.hook.url(), status="active", error="x")
    made = (await emr.post(wrong)).json()
    assert made["status"] == "requested"
    assert "error" not in made
    await emr.settle()
    active = await emr.read(made["id"])
    again = await emr.ask("PUT", f"Subscription/{made['id']}", json={**active, "reason": "another", "error": "x"})
    assert again.json()["status"] == "requested"
    assert "error" not in again.json()


async def test_an_update_that_changes_nothing_changes_nothing(emr: Subscriber) -> None:
    made = await emr.active()
    again = await emr.ask("PUT", f"Subscription/{made['id']}", json=made)
    assert again.json()["status"] == "active"
    assert again.json()["meta"]["versionId"] == made["meta"]["versionId"]
    await emr.settle()
    assert emr.notes == []


@pytest.mark.parametrize("what", ["topic", "endpoint", "patch"])
async def test_a_change_needs_another_handshake(emr: Subscriber, clinic: Visits, what: str) -> None:
    """N25."""
    made = await emr.active()
    if what == "patch":
        patch = [{"op": "replace", "path": "/reason", "value": "another"}]
        headers = {"Content-Type": "application/json-patch+json"}
        answer = await emr.ask("PATCH", f"Subscription/{made['id']}", json=patch, headers=headers)
    else:
        other = (
            subscription("appointment-cancelled") if what == "topic" else subscription(endpoint=emr.hook.url(path="/b"))
        )
        changed = {"criteria": other["criteria"]} if what == "topic" else {
            "channel": {**made["channel"], "endpoint": other["channel"]["endpoint"]}}  # fmt: skip
        answer = await emr.ask("PUT", f"Subscription/{made['id']}", json={**made, **changed})
    assert answer.json()["status"] == "requested", answer.text
    # What happens between is not lost: it had begun before.
    booked = await clinic.booked()
    if what == "topic":
        await clinic.act(booked["id"], "$cancel")
    await emr.settle()
    assert emr.notes[0].kind == "handshake"
    assert (await emr.read(made["id"]))["status"] == "active"
    assert [one.numbers for one in emr.told] == [[1]]
    if what == "endpoint":
        assert all(one.line.startswith("POST /b ") for one in emr.hook.seen)


async def test_off_and_on_again(emr: Subscriber, clinic: Visits) -> None:
    made = await emr.active()
    off = await emr.ask("PUT", f"Subscription/{made['id']}", json={**made, "status": "off"})
    assert off.json()["status"] == "off"
    await clinic.booked("09:00")
    await emr.settle()
    assert emr.notes == []
    on = await emr.ask("PUT", f"Subscription/{made['id']}", json={**off.json(), "status": "requested"})
    assert on.json()["status"] == "requested"
    await emr.settle()
    await clinic.booked("10:00", "other")
    await emr.settle()
    assert [one.kind for one in emr.notes] == ["handshake", "event-notification"]
    assert emr.told[0].numbers == [1]


@pytest.mark.parametrize(
    ("change", "status", "place"),
    [
        ({"end": "2020-01-01T00:00:00Z"}, 422, "Subscription.end"),
        ({"channel": {"payload": None, "_payload": None}}, 400, "Subscription.channel.payload"),
        ({"channel": {"_payload": None}}, 400, "Subscription.channel.payload.extension"),
        ({"channel": {"header": ["X: a\r\nHost: evil.example"]}}, 400, "Subscription.channel.header[0]"),
        ({"channel": {"header": ["Host: evil.example"]}}, 400, "Subscription.channel.header[0]"),
        ({"channel": {"header": ["A: b", "Content-Length: 3"]}}, 400, "Subscription.channel.header[1]"),
        ({"channel": {"header": ["Transfer-Encoding: chunked"]}}, 400, "Subscription.channel.header[0]"),
        ({"channel": {"extension": [
            {"url": f"{BACKPORT}backport-heartbeat-period", "valueUnsignedInt": 1}]}}, 422,
         "Subscription.channel.extension"),
    ],
)  # fmt: skip
async def test_what_is_refused(emr: Subscriber, change: dict[str, Any], status: int, place: str) -> None:
    """N13, N16, N20, N28."""
    wrong = subscription(endpoint=emr.hook.url())
    for name, value in change.items():
        wrong[name] = {**wrong[name], **value} if name == "channel" else value
    wrong["channel"] = {name: value for name, value in wrong["channel"].items() if value is not None}
    assert place in expressions(refused(await emr.post(wrong), status))


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1/", "http://192.168.1.1/", "http://172.16.0.1/", "http://169.254.169.254/latest/meta-data",
        "http://100.64.0.1/", "http://[fd00::1]/", "http://[fe80::1]/", "http://[::ffff:10.0.0.1]/", "http://0.0.0.0/",
        "http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/", "http://user@emr.example/",
        "file:///etc/passwd", "gopher://emr.example/",
    ],
)  # fmt: skip
async def test_addresses_inside_are_refused(emr: Subscriber, url: str) -> None:
    """N21."""
    assert expressions(refused(await emr.post(subscription(endpoint=url)), 422)) == ["Subscription.channel.endpoint"]


async def test_a_client_has_so_many(emr: Subscriber, monkeypatch: pytest.MonkeyPatch) -> None:
    """N28."""
    monkeypatch.setattr(emr.world.settings, "max_subscriptions", 2)
    one, _ = [await emr.subscribe() for _ in range(2)]
    refused(await emr.post(subscription(endpoint=emr.hook.url())), 429)
    off = await emr.ask("PUT", f"Subscription/{one['id']}", json={**one, "status": "off"})
    assert off.status_code == 200
    await emr.subscribe()
    refused(await emr.ask("PUT", f"Subscription/{one['id']}", json={**off.json(), "status": "requested"}), 429)


async def test_search_by_url_and_status(emr: Subscriber) -> None:
    """N25."""
    made = await emr.subscribe(endpoint=emr.hook.url(path="/one"))
    await emr.subscribe(endpoint=emr.hook.url(path="/two"))
    url = {"url": emr.hook.url(path="/one")}
    for query in (
        url,
        {"status": "requested", **url},
        {"criteria:exact": made["criteria"], "type": "rest-hook", **url},
    ):
        found = (await emr.ask("GET", "Subscription", params=query)).json()
        assert [one["resource"]["id"] for one in found["entry"]] == [made["id"]]
    assert (await emr.ask("GET", "Subscription", params={"status": "active"})).json()["total"] == 0


async def test_in_a_transaction(emr: Subscriber, clinic: Visits) -> None:
    """N5: a Subscription is a part of the whole, and what the whole did not do is told to nobody."""
    wanted = subscription(endpoint=emr.hook.url())

    def bundle(*entries: dict[str, Any]) -> dict[str, Any]:
        asked = [{"resource": one, "request": {"method": "POST", "url": one["resourceType"]}} for one in entries]
        return {"resourceType": "Bundle", "type": "transaction", "entry": asked}

    refused(await emr.ask("POST", "", json=bundle(wanted, {"resourceType": "Patient", "gender": "none"})), 400)
    await emr.settle()
    assert emr.notes == []
    answer = await emr.ask("POST", "", json=bundle(wanted, wanted))
    assert answer.status_code == 200, answer.text
    emr.made += [one["resource"]["id"] for one in answer.json()["entry"] if "resource" in one] or [
        one["response"]["location"].split("/Subscription/")[1].split("/")[0] for one in answer.json()["entry"]
    ]
    await emr.settle()
    assert [one.kind for one in emr.notes] == ["handshake"] * 2
    wrong = bundle({**wanted, "criteria": "http://example.org/none"})
    refused(await emr.ask("POST", "", json=wrong), 422)


async def test_conditional_create_and_idempotency(emr: Subscriber) -> None:
    wanted = subscription(endpoint=emr.hook.url(path="/once"))
    key = {"Idempotency-Key": f'"{emr.name}"'}
    first = await emr.post(wanted, headers=key)
    again = await emr.post(wanted, headers=key)
    assert first.json()["id"] == again.json()["id"]
    found = await emr.ask("POST", "Subscription", json=wanted,
                          headers={"If-None-Exist": f"url={emr.hook.url(path='/once')}"})  # fmt: skip
    assert (found.status_code, found.json()["id"]) == (200, first.json()["id"])


async def test_what_it_would_wake_itself_by(emr: Subscriber) -> None:
    """N25: neither on Subscriptions nor on the record of access."""
    for criteria in ("Subscription?status=active", "AuditEvent?action=R"):
        refused(await emr.post(subscription(criteria, emr.hook.url())), 422)


async def test_classic_criteria(emr: Subscriber, clinic: Visits) -> None:
    made = await emr.active("Appointment?status=booked", content="id-only")
    booked = await clinic.booked()
    await emr.settle()
    assert [one.foci for one in emr.told] == [[f"Appointment/{booked['id']}"]]
    assert emr.told[0].said("topic") is None
    await clinic.act(booked["id"], "$cancel")
    await emr.settle()
    assert len(emr.told) == 1
    assert (await emr.status(made["id"])).said("events-since-subscription-start") == "1"


async def test_filters_are_met_together(emr: Subscriber, clinic: Visits) -> None:
    """N14."""
    pat, doc = clinic.id("pat"), clinic.id("doc")
    await emr.active(filters=(f"Appointment?patient=Patient/{pat}", f"Appointment.practitioner=Practitioner/{doc}"))
    await clinic.booked("09:00", "other")
    await emr.settle()
    assert emr.told == []
    booked = await clinic.booked("10:00")
    await emr.settle()
    assert [one.foci for one in emr.told] == [[f"Appointment/{booked['id']}"]]
    await emr.active(filters=(f"Appointment?patient=Patient/{pat}", "Appointment?practitioner=Practitioner/nobody"))
    await clinic.booked("11:00")
    await emr.settle()
    assert len(emr.told) == 1


async def test_xml_payload(emr: Subscriber, clinic: Visits) -> None:
    await emr.subscribe(payload="application/fhir+xml")
    await emr.settle()
    (one,) = emr.hook.seen
    assert one.header("Content-Type") == ["application/fhir+xml"]
    assert one.body.startswith(b"<")
    assert b'<type value="history"/>' in one.body

"""Inferno's checks of a Backport server on R4, one test each, named as they are (conformance §3.1)."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from fhir_server.conformance.validator import Validator
from tests.builders.answers import refused
from tests.builders.subscriber import Note, Subscriber
from tests.builders.subscriptions import BACKPORT, subscription, topic
from tests.builders.visits import Visits

R4_STATUS = f"{BACKPORT}backport-subscription-status-r4"
TOPIC = (
    "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/capabilitystatement-subscriptiontopic-canonical"
)
VALIDATOR = Validator()
PARTS = {
    "subscription": ("Reference", 1, 1), "topic": ("Canonical", 0, 1), "status": ("Code", 1, 1),
    "type": ("Code", 1, 1), "events-since-subscription-start": ("String", 0, 1), "error": ("CodeableConcept", 0, 99),
}  # fmt: skip
EVENT = {"event-number": ("String", 1, 1), "timestamp": ("Instant", 1, 1), "focus": ("Reference", 0, 1)}


def conforms(parameters: dict[str, Any]) -> None:
    """Against backport-subscription-status-r4."""
    assert parameters["resourceType"] == "Parameters"
    assert parameters["meta"]["profile"] == [R4_STATUS]
    given = [one for one in parameters["parameter"] if one["name"] != "notification-event"]
    _parts(given, PARTS)
    for one in parameters["parameter"]:
        if one["name"] == "notification-event":
            _parts(one["part"], EVENT)


def _parts(given: list[dict[str, Any]], known: dict[str, tuple[str, int, int]]) -> None:
    assert {one["name"] for one in given} <= set(known)
    for name, (kind, least, most) in known.items():
        found = [one for one in given if one["name"] == name]
        assert least <= len(found) <= most, name
        assert all(set(one) == {"name", f"value{kind}"} for one in found), name


async def resources(client: Any) -> dict[str, Any]:
    statement = (await client.get("metadata")).json()
    (rest,) = statement["rest"]
    assert rest["mode"] == "server"
    return {one["type"]: one for one in rest["resource"]}


async def test_cs_conformance(client: Any) -> None:
    """1."""
    found = (await resources(client))["Subscription"]
    assert f"{BACKPORT}backport-subscription" in found["supportedProfile"]


async def test_topic_discovery(client: Any, emr: Subscriber) -> None:
    """2: every topic is discovered, and each that is discovered can be had."""
    found = (await resources(client))["Subscription"]
    named = [one["valueCanonical"] for one in found["extension"] if one["url"] == TOPIC]
    assert topic("appointment-booked") in named
    assert len(named) == 13
    for one in named:
        await emr.subscribe(one)


async def test_creation_and_its_response(emr: Subscriber) -> None:
    """3, 4, 5."""
    answer = await emr.post(subscription(endpoint=emr.hook.url()))
    assert answer.status_code == 201
    assert answer.json()["status"] == "requested"
    assert f"Subscription/{answer.json()['id']}" in answer.headers["Location"]


async def test_handshake_conformance(emr: Subscriber) -> None:
    """6, 7: one for every rest-hook Subscription."""
    made = [await emr.subscribe(), await emr.subscribe("appointment-cancelled")]
    await emr.settle()
    assert len(emr.notes) == len(made)
    for one in emr.notes:
        assert (one.kind, one.said("status")) == ("handshake", "requested")
        conforms(one.bundle["entry"][0]["resource"])
    assert {one.said("subscription")["reference"].rpartition("/")[2] for one in emr.notes} == {m["id"] for m in made}


async def test_heartbeat_conformance(emr: Subscriber) -> None:
    """8: there where it is asked for, and nowhere else."""
    await emr.active()
    await emr.later(3600)
    assert emr.notes == []
    await emr.active(heartbeat=60)
    await emr.later(61)
    (beat,) = emr.notes
    assert beat.kind == "heartbeat"
    conforms(beat.bundle["entry"][0]["resource"])


async def notification(emr: Subscriber, clinic: Visits, **more: Any) -> tuple[Note, dict[str, Any]]:
    await emr.active(**more)
    booked = await clinic.booked()
    await emr.settle()
    (note,) = emr.told
    return note, booked


@pytest.mark.parametrize("content", ["empty", "id-only", "full-resource"])
async def test_notification_conformance(emr: Subscriber, clinic: Visits, content: str) -> None:
    """9."""
    note, _ = await notification(emr, clinic, content=content)
    bundle = note.bundle
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "history")
    assert bundle["entry"]
    first = bundle["entry"][0]
    conforms(first["resource"])
    assert first["request"]["url"].endswith(f"Subscription/{emr.made[0]}/$status")
    assert all("request" in one and "response" in one for one in bundle["entry"])
    assert (note.kind, note.said("status")) == ("event-notification", "active")
    assert uuid.UUID(first["fullUrl"].removeprefix("urn:uuid:"))


async def test_notification_headers(emr: Subscriber, clinic: Visits) -> None:
    """10, N20: values with colons stay whole."""
    headers = ("Authorization: Bearer a:b", "X-From: http://emr.example:8080/x", "X-Empty:")
    await notification(emr, clinic, headers=headers)
    for one in emr.hook.seen:
        assert one.header("Content-Type")[0].startswith("application/fhir+json")
        assert one.header("Authorization") == ["Bearer a:b"]
        assert one.header("X-From") == ["http://emr.example:8080/x"]
        assert one.header("X-Empty") == [""]


async def test_empty_content(emr: Subscriber, clinic: Visits) -> None:
    """11, N27: no id anywhere, in headers neither."""
    note, booked = await notification(emr, clinic, content="empty")
    assert len(note.bundle["entry"]) == 1
    assert note.numbers == [1]
    assert note.foci == []
    assert note.said("topic") is None
    said = note.raw.decode() + str(note.headers)
    assert booked["id"] not in said
    assert clinic.id("pat") not in said


async def test_id_only_content(emr: Subscriber, clinic: Visits) -> None:
    """12."""
    note, booked = await notification(emr, clinic, content="id-only")
    assert note.foci == [f"Appointment/{booked['id']}"]
    assert note.shown
    assert all(one["fullUrl"] and "resource" not in one for one in note.shown)
    assert clinic.id("pat") not in note.raw.decode()


async def test_full_resource_content(emr: Subscriber, clinic: Visits) -> None:
    """13: each focus resolves to an entry that is valid."""
    note, booked = await notification(emr, clinic, content="full-resource")
    assert note.said("topic") == topic("appointment-booked")
    by_url = {one["fullUrl"]: one["resource"] for one in note.shown}
    for one in note.events:
        assert VALIDATOR.issues(by_url[one["focus"]["reference"]], "Appointment") == []
    assert note.shown[0]["resource"] == booked


async def test_status_invocation(emr: Subscriber) -> None:
    """14."""
    made = await emr.active()
    answer = await emr.ask("GET", f"Subscription/{made['id']}/$status")
    assert answer.status_code == 200
    bundle = answer.json()
    assert (bundle["resourceType"], bundle["type"], bundle["total"]) == ("Bundle", "searchset", 1)
    (entry,) = bundle["entry"]
    conforms(entry["resource"])
    said = Note(bundle)
    assert said.said("subscription")["reference"].endswith(f"Subscription/{made['id']}")
    assert said.kind == "query-status"


@pytest.mark.parametrize(
    "wrong",
    [
        subscription("http://fhirserver.org/topics/unsupported"),
        subscription(filters=("Patient?unsupported=x",)),
        subscription(channel="message"),
        subscription(endpoint="ftp://emr.example/in"),
        subscription(payload="application/unsupported"),
        subscription(endpoint="http://93.184.216.34/in", content="full-resource"),
        {**subscription(), "extension": [{
            "url": "http://hl7.org/fhir/5.0/StructureDefinition/extension-Subscription.topic", "valueUri": "urn:x"}]},
    ],
    ids=["topic", "filter", "channel", "endpoint", "mime", "combination", "cross-version"],
)  # fmt: skip
async def test_rejection(emr: Subscriber, wrong: dict[str, Any]) -> None:
    """15."""
    refused(await emr.post(wrong), 422)
    assert emr.made == []

"""``$status``, ``$events``, ``$resend`` and ``$rotate-secret``."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from fhir_server.remote import webhook
from tests.builders.answers import refused
from tests.builders.subscriber import Note, Subscriber
from tests.builders.visits import Visits
from tests.tokens import Issuer

CLOCKS = ("09:00", "10:00", "11:00")


async def happened(emr: Subscriber, clinic: Visits, **more: Any) -> dict[str, Any]:
    """A Subscription with three events."""
    made = await emr.active(**more)
    for clock in CLOCKS:
        await clinic.booked(clock)
    await emr.settle()
    return made


async def events(emr: Subscriber, id_: str, **query: Any) -> Note:
    answer = await emr.ask("GET", f"Subscription/{id_}/$events", params=query)
    assert answer.status_code == 200, answer.text
    return Note(answer.json())


async def test_status_of_several(emr: Subscriber) -> None:
    """N10."""
    one, two = await emr.active(), await emr.active()
    off = await emr.ask("PUT", f"Subscription/{two['id']}", json={**two, "status": "off"})
    assert off.status_code == 200

    async def asked(query: str) -> list[str]:
        answer = await emr.ask("GET", f"Subscription/$status{query}")
        assert answer.status_code == 200, answer.text
        found = [Note({"entry": [entry]}) for entry in answer.json().get("entry", ())]
        return sorted(each.said("subscription")["reference"].rpartition("/")[2] for each in found)

    both = sorted([one["id"], two["id"]])
    assert await asked("") == both
    assert await asked(f"?id={one['id']}") == [one["id"]]
    assert await asked(f"?id={one['id']}&id={two['id']}") == await asked(f"?id={one['id']},{two['id']}") == both
    assert await asked("?status=off") == [two["id"]]
    assert await asked("?status=off&status=active") == both
    assert await asked(f"?id={one['id']}&status=off") == []
    # At an instance they mean nothing.
    body = {"resourceType": "Parameters", "parameter": [{"name": "id", "valueId": two["id"]}]}
    answer = await emr.ask("POST", f"Subscription/{one['id']}/$status", json=body)
    assert Note(answer.json()).said("subscription")["reference"].endswith(one["id"])


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ({}, [1, 2, 3]), ({"eventsSinceNumber": 2}, [2, 3]), ({"eventsUntilNumber": 2}, [1, 2]),
        ({"eventsSinceNumber": 2, "eventsUntilNumber": 2}, [2]), ({"eventsSinceNumber": 4}, []),
        ({"eventsSinceNumber": 0, "eventsUntilNumber": 99}, [1, 2, 3]),
    ],
)  # fmt: skip
async def test_events_by_their_numbers(emr: Subscriber, clinic: Visits, query: Any, numbers: list[int]) -> None:
    """N11: both bounds are included."""
    made = await happened(emr, clinic)
    note = await events(emr, made["id"], **query)
    assert note.bundle["type"] == "history"
    assert note.kind == "query-event"
    assert note.numbers == numbers
    assert len(note.shown) == len(numbers)
    assert note.said("events-since-subscription-start") == "3"


async def test_content_narrows_and_never_widens(emr: Subscriber, clinic: Visits) -> None:
    """N11."""
    made = await happened(emr, clinic, content="id-only")
    assert all("resource" not in one for one in (await events(emr, made["id"], content="full-resource")).shown)
    assert (await events(emr, made["id"], content="empty")).foci == []
    full = await emr.active(content="full-resource")
    await clinic.booked("13:00")
    await emr.settle()
    assert (await events(emr, full["id"])).shown[0]["resource"]["resourceType"] == "Appointment"
    assert "resource" not in (await events(emr, full["id"], content="id-only")).shown[0]
    refused(await emr.ask("GET", f"Subscription/{full['id']}/$events?content=all"), 400)
    refused(await emr.ask("GET", f"Subscription/{full['id']}/$events?eventsSinceNumber=x"), 400)
    refused(await emr.ask("GET", f"Subscription/{full['id']}/$events?eventsSinceNumber=5&eventsUntilNumber=2"), 400)
    refused(await emr.ask("GET", f"Subscription/{full['id']}/$events?since=5"), 400)


async def test_events_that_are_no_longer_kept(emr: Subscriber, clinic: Visits) -> None:
    """N11: said, and not passed over."""
    made = await happened(emr, clinic)
    progress = await emr.world.store.subscriptions.get(made["id"])
    assert progress is not None
    collection = emr.world.store.connection.collection("events")
    await collection.delete_one({"_id": f"{progress.line}/{1:010d}"})
    outcome = refused(await emr.ask("GET", f"Subscription/{made['id']}/$events?eventsSinceNumber=1"), 410)
    assert "before number 2 are no longer kept" in json.dumps(outcome)
    assert (await events(emr, made["id"], eventsSinceNumber=2)).numbers == [2, 3]
    # Who says no number gets what there is.
    assert (await events(emr, made["id"])).numbers == [2, 3]


async def test_resend(emr: Subscriber, clinic: Visits) -> None:
    made = await happened(emr, clinic, most=2)
    emr.hook.seen.clear()
    url = f"Subscription/{made['id']}/$resend"
    bounds = [{"name": "eventsSinceNumber", "valueString": "1"}, {"name": "eventsUntilNumber", "valueString": "3"}]
    answer = await emr.ask("POST", url, json={"resourceType": "Parameters", "parameter": bounds})
    assert answer.status_code == 202, answer.text
    await emr.settle()
    assert [one.numbers for one in emr.told] == [[1, 2], [3]]
    assert (await emr.status(made["id"])).said("events-since-subscription-start") == "3"
    refused(await emr.ask("POST", f"{url}?eventsSinceNumber=9"), 422)
    assert (await emr.ask("GET", url)).status_code == 405


async def test_signatures_and_their_rotation(emr: Subscriber, clinic: Visits) -> None:
    """N23."""
    made = await emr.active()
    url = f"Subscription/{made['id']}/$rotate-secret"

    async def rotated() -> dict[str, Any]:
        answer = await emr.ask("POST", url)
        assert answer.status_code == 200, answer.text
        return {one["name"]: next(v for k, v in one.items() if k != "name") for one in answer.json()["parameter"]}

    async def told(clock: str) -> tuple[str, bytes]:
        emr.hook.seen.clear()
        await clinic.booked(clock)
        await emr.settle()
        (request,) = emr.hook.seen
        return next(iter(request.header("Signature-256")), ""), request.body

    assert (await told("09:00"))[0] == ""
    first = await rotated()
    assert "former-until" not in first
    now = emr.world.unmoved().now()
    signature, body = await told("10:00")
    assert webhook.verify(signature, [first["secret"]], body, now)
    assert not webhook.verify(signature, [first["secret"]], body + b" ", now)
    assert not webhook.verify(signature, ["another"], body, now)
    assert not webhook.verify(signature, [first["secret"]], body, now + 3600)
    second = await rotated()
    assert second["secret"] != first["secret"]
    assert "former-until" in second
    signature, body = await told("11:00")
    for one in (first, second):
        assert webhook.verify(signature, [one["secret"]], body, now)
    third = await rotated()
    signature, body = await told("12:00")
    assert [webhook.verify(signature, [one["secret"]], body, now) for one in (first, second, third)] == [
        False, True, True]  # fmt: skip
    # It is told once: nothing that is read holds it.
    for where in ("", "/$status", "/_history"):
        assert third["secret"] not in (await emr.ask("GET", f"Subscription/{made['id']}{where}")).text


async def test_every_attempt_is_in_the_access_record(emr: Subscriber, clinic: Visits, issuer: Issuer) -> None:
    """N26, N20: to whom what was disclosed, and neither contents nor headers."""
    made = await emr.active(content="full-resource", headers=("Authorization: Bearer s3cret",))
    emr.answers(500)
    booked = await clinic.booked()
    await emr.settle()
    emr.answers()
    await emr.later(60)
    auditor = {"Authorization": f"Bearer {await issuer.backend(clinic.id('auditor'), 'system/AuditEvent.rs')}"}
    query = {"patient": clinic.id("pat"), "_count": 100}
    answer = await emr.client.get("AuditEvent", params=query, headers=auditor)
    found = [one["resource"] for one in answer.json()["entry"] if one["search"]["mode"] == "match"]
    told = [one for one in found if one["type"]["code"] == "110106"]
    assert [one["outcome"] for one in told] == ["0", "4"]
    for one in told:
        assert one["action"] == "R"
        named = {each["what"].get("reference", "") for each in one["entity"]}
        assert f"Appointment/{booked['id']}/_history/1" in named
        assert any(each.startswith(f"Subscription/{made['id']}/_history/") for each in named)
        receiver = one["agent"][0]
        assert receiver["network"]["address"] == "127.0.0.1"
        assert receiver["type"]["coding"][0]["code"] == "110152"
    assert "s3cret" not in answer.text


async def test_the_progress_of_another_life_is_not_told(emr: Subscriber, clinic: Visits) -> None:
    """One that is deleted and made again under the same id begins at nothing."""
    made = await happened(emr, clinic)
    assert (await emr.ask("DELETE", f"Subscription/{made['id']}")).status_code == 204
    refused(await emr.ask("GET", f"Subscription/{made['id']}/$events"), 410)
    other = replace(emr, name=f"{emr.name}-next")
    again = await other.ask("PUT", f"Subscription/{made['id']}", json=made)
    assert again.status_code == 201, again.text
    await other.settle()
    assert (await events(other, made["id"])).numbers == []
    assert (await other.status(made["id"])).said("events-since-subscription-start") == "0"
    await clinic.booked("13:00")
    await other.settle()
    assert (await events(other, made["id"])).numbers == [1]
    await other.ask("DELETE", f"Subscription/{made['id']}")

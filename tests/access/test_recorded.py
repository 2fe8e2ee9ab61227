"""Every request is in the access record, refused ones too (A1); break-glass and what it leaves there (A11)."""

from __future__ import annotations

import asyncio
import base64
from datetime import datetime
from typing import Any

import pytest

from fhir_server.access.caller import Role
from fhir_server.services.world import World
from fhir_server.store.emergencies import EMERGENCIES
from tests.access.callers import ALL_USER, Asker, Callers
from tests.builders.town import Town
from tests.tokens import account

WHY = "unconscious in the waiting room"


async def entries(callers: Callers, query: str) -> list[dict[str, Any]]:
    """What an auditor finds, the newest first."""
    auditor = await callers("auditor")
    auditor = Asker("auditor", callers.town, callers.http, auditor.token)
    return [one["resource"] for one in (await auditor.found(f"AuditEvent?{query}&_count=100")).get("entry", ())]


def told(event: dict[str, Any]) -> tuple[str, str]:
    """Interaction or operation, and outcome."""
    return event["subtype"][0]["code"], event["outcome"]


async def test_every_interaction_is_recorded_whatever_comes_of_it(callers: Callers, town: Town) -> None:
    staff = await callers("unlimited")
    who = town.own("cia")
    made = await staff.put({"resourceType": "Patient", "id": town.id("told"), "active": True})
    assert made.status_code == 201
    url = f"Patient/{town.id('told')}"
    asked = [
        ("GET", url, {}), ("GET", f"{url}/_history/1", {}), ("GET", f"{url}/_history", {}),
        ("GET", f"{url}/$everything", {}),
        ("PATCH", url, {"json": [{"op": "replace", "path": "/active", "value": False}],
                        "headers": {"Content-Type": "application/json-patch+json"}}),
        ("POST", "Patient/_search", {"content": f"_id={town.id('told')}",
                                     "headers": {"Content-Type": "application/x-www-form-urlencoded"}}),
        ("DELETE", url, {}),
    ]  # fmt: skip
    for method, path, more in asked:
        await staff.ask(method, path, **more)
    stranger = await callers("app")
    assert (await stranger.get(who)).status_code == 404
    here = [told(one) for one in await entries(callers, f"patient={town.id('told')}")][::-1]
    assert [name for name, _ in here] == [
        "update", "read", "vread", "history-instance", "operation", "patch", "search", "delete",
    ]  # fmt: skip
    assert {outcome for _, outcome in here} == {"0"}
    assert ("read", "4") in [told(one) for one in await entries(callers, f"patient={who}")]


async def test_each_entry_of_a_bundle_is_recorded(callers: Callers, town: Town) -> None:
    staff = await callers("unlimited")
    bundle = {
        "resourceType": "Bundle", "type": "batch",
        "entry": [{"request": {"method": "GET", "url": town.own(one)}} for one in ("ann", "ben")]
        + [{"request": {"method": "GET", "url": "Patient/nobody-of-that-name"}}],
    }  # fmt: skip
    before = {one: len(await entries(callers, f"patient={town.own(one)}")) for one in ("ann", "ben")}
    assert (await staff.post("", bundle)).status_code == 200
    for one, number in before.items():
        assert len(await entries(callers, f"patient={town.own(one)}")) == number + 1


async def test_the_record_itself_is_read_under_record_and_metadata_is_not(callers: Callers, town: Town) -> None:
    del town
    await entries(callers, "action=E")
    asked = [base64.b64decode(one) for one in _queries(await entries(callers, "_count=5"))]
    assert any(b"AuditEvent?action=E" in one for one in asked)
    staff = await callers("unlimited")
    newest = (await entries(callers, "_count=1"))[0]["id"]
    for _ in range(3):
        await staff.get("metadata")
    found = await entries(callers, "_count=10")
    since = [one["id"] for one in found].index(newest)
    assert not any("capabilities" in told(one) for one in found[:since])


async def test_what_could_not_be_recorded_is_not_answered(
    callers: Callers, town: Town, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    staff = await callers("unlimited")
    url = town.own("ann")
    assert (await staff.get(url)).status_code == 200

    async def fails(*_: Any) -> Any:
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr(world.store.audit.journal, "_put", fails)
        answer = await staff.get(url)
    assert answer.status_code == 503
    assert town.word("ann") not in answer.text
    assert (await staff.get(url)).status_code == 200


async def test_a_clinician_opens_a_record_in_an_emergency(callers: Callers, town: Town, world: World) -> None:
    token = await _clinician(callers, town)
    doctor = Asker("in an emergency", town, callers.http, token)
    url = town.own("cia")
    opening = f"{url}/$break-glass"
    assert (await doctor.get(url)).status_code == 404
    assert (await doctor.call(opening)).status_code == 422
    assert (await doctor.call(opening, reason=("String", "help"))).status_code == 422
    assert (await doctor.call("Patient/nobody/$break-glass", reason=("String", WHY))).status_code == 404
    assert (await doctor.get(url)).status_code == 404

    answer = await doctor.call(opening, reason=("String", WHY), minutes=("Integer", 600))
    assert answer.status_code == 200, answer.text
    until = datetime.fromisoformat(answer.json()["parameter"][0]["valueInstant"]).timestamp()
    assert 0 < until - world.now() <= 3600
    assert (await doctor.get(url)).status_code == 200
    assert town.own("cia", "Flag") in await doctor.ids(f"Flag?patient={url}")
    assert (await doctor.get(town.own("ben"))).status_code == 404, "it opens one record"

    marked = [one for one in await entries(callers, f"patient={url}") if "BTG" in str(one.get("purposeOfEvent"))]
    assert {told(one)[0] for one in marked} >= {"operation", "read", "search"}
    listed = [one for one in await world.store.emergencies.since(0) if one.patient == url]
    assert [one.reason for one in listed] == [WHY]

    ended = {"$set": {"until": world.now()}}
    await world.store.connection.collection(EMERGENCIES).update_many({"patient": url}, ended)
    assert (await doctor.get(url)).status_code == 404


@pytest.mark.parametrize("name", ["app", "user", "parent", "desk", "auditor", "walled", "unlimited"])
async def test_nobody_else_breaks_the_glass(callers: Callers, town: Town, name: str) -> None:
    caller = await callers(name)
    answer = await caller.call(f"{town.own('cia')}/$break-glass", reason=("String", WHY))
    assert answer.status_code == 403, answer.text


async def test_many_requests_at_once_are_each_recorded(callers: Callers, town: Town) -> None:
    staff = await callers("unlimited")
    before = len(await entries(callers, f"patient={town.own('ben')}&_count=1000"))
    await asyncio.gather(*(staff.get(town.own("ben")) for _ in range(30)))
    assert len(await entries(callers, f"patient={town.own('ben')}&_count=1000")) == min(before + 30, 100)


def _queries(events: list[dict[str, Any]]) -> list[str]:
    return [entity["query"] for one in events for entity in one.get("entity", ()) if "query" in entity]


async def _clinician(callers: Callers, town: Town) -> str:
    who = account(
        Role.PRACTITIONER, f"Practitioner/{town.id('adams')}", clinics=frozenset({f"Organization/{town.id('north')}"})
    )
    return await callers.issuer.person(who, ALL_USER)

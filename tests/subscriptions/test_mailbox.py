"""Whom a Subscription reaches is not flooded: e-mail of persons goes to themselves, and handshakes are few."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from fhir_server.access.caller import Role
from fhir_server.remote.sending import Recording
from fhir_server.services.subscriptions import checks, deliver
from tests.builders.answers import expressions, refused
from tests.builders.subscriber import Subscriber
from tests.builders.subscriptions import subscription
from tests.builders.visits import Visits
from tests.tokens import Issuer, account

ENDPOINT = "Subscription.channel.endpoint"


@pytest_asyncio.fixture
async def mail(emr: Subscriber, monkeypatch: pytest.MonkeyPatch) -> Recording[Any]:
    found: Recording[Any] = Recording()
    emr.world = replace(emr.world, channels=replace(emr.world.channels, email=found))
    monkeypatch.setattr(checks, "mail_of", lambda _: found)
    return found


def telecom(*addresses: str, **more: str) -> list[dict[str, Any]]:
    return [{"system": "email", "value": one, **more} for one in addresses]


async def patients(emr: Subscriber, clinic: Visits, issuer: Issuer) -> Subscriber:
    name = f"Patient/{clinic.id('pat')}"
    token = await issuer.person(account(Role.PATIENT, name), "patient/*.cruds launch/patient", name)
    return replace(emr, token=token, made=[])


async def test_patients_have_mail_sent_to_themselves(
    emr: Subscriber, clinic: Visits, issuer: Issuer, mail: Recording[Any]
) -> None:
    record = {"resourceType": "Patient", "id": clinic.id("pat"), "name": [{"family": "Pat"}]}
    other = telecom("former@clinic.example", use="old")
    await clinic.put({**record, "telecom": [*telecom("Pat@Clinic.example"), *other]})
    app = await patients(emr, clinic, issuer)
    for address in ("mailto:anyone@example.org", "anyone@example.org", "mailto:former@clinic.example"):
        answer = await app.post(subscription(endpoint=address, channel="email"))
        assert expressions(refused(answer, 422)) == [ENDPOINT]
    made = await app.active(channel="email", endpoint="mailto:pat@clinic.example")
    assert [one.to for one in mail.given] == ["pat@clinic.example"]
    changed = {**made, "channel": {**made["channel"], "endpoint": "mailto:anyone@example.org"}}
    refused(await app.ask("PUT", f"Subscription/{made['id']}", json=changed), 422)
    # An address that left the record gets nothing more; turning it off is always possible.
    await clinic.put({**record, "telecom": telecom("new@clinic.example")})
    await clinic.booked()
    await app.settle()
    assert "pat@clinic.example" not in [one.to for one in list(mail.given)[1:]]
    found = await app.read(made["id"])
    assert found["status"] == "error"
    off = await app.ask("PUT", f"Subscription/{made['id']}", json={**found, "status": "off"})
    assert (off.status_code, off.json()["status"]) == (200, "off")
    await app.off()


async def test_staff_have_mail_sent_to_themselves(
    emr: Subscriber, clinic: Visits, issuer: Issuer, mail: Recording[Any]
) -> None:
    name = f"Practitioner/{clinic.id('doc')}"
    await clinic.put({"resourceType": "Practitioner", "id": clinic.id("doc"), "telecom": telecom("doc@clinic.example")})
    walls = frozenset({f"Organization/{clinic.id('org')}"})
    await clinic.put({"resourceType": "Organization", "id": clinic.id("org"), "name": "x"})
    who = account(Role.PRACTITIONER, name, clinics=walls)
    doctor = replace(emr, token=await issuer.person(who, "openid fhirUser user/*.cruds"), made=[])
    refused(await doctor.post(subscription(endpoint="mailto:anyone@example.org", channel="email")), 422)
    await doctor.active(channel="email", endpoint="mailto:doc@clinic.example")
    assert [one.to for one in mail.given] == ["doc@clinic.example"]
    await doctor.off()


async def test_writing_over_and_over_sends_few_handshakes(emr: Subscriber) -> None:
    made = await emr.active()
    for number in range(6):
        changed = await emr.ask("PUT", f"Subscription/{made['id']}", json={**made, "reason": str(number)})
        assert changed.status_code == 200, changed.text
        await emr.settle()
    assert [one.kind for one in emr.notes] == ["handshake"] * (deliver.HANDSHAKES - 1)
    assert (await emr.read(made["id"]))["status"] == "requested"
    await emr.later(60)
    assert len(emr.notes) == deliver.HANDSHAKES - 1
    await emr.later(deliver.HANDSHAKES_MS / 1000 + 60)
    assert len(emr.notes) == deliver.HANDSHAKES
    assert (await emr.read(made["id"]))["status"] == "active"


async def test_making_others_does_not_help(
    emr: Subscriber, clinic: Visits, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "OF_PERSON", 2)
    app = await patients(emr, clinic, issuer)
    for _ in range(4):
        made = await app.subscribe()
        await app.settle()
        assert (await app.ask("DELETE", f"Subscription/{made['id']}")).status_code == 204
    assert [one.kind for one in app.notes] == ["handshake"] * 2
    last = await app.subscribe()
    await app.later(deliver.OF_OWNER_MS / 1000 + 60)
    assert len(app.notes) == 3
    assert (await app.read(last["id"]))["status"] == "active"
    await app.off()


async def test_a_handshake_that_is_sent_again_is_the_same(emr: Subscriber, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker dies after the receiver took it."""
    made = await emr.subscribe()
    turned = deliver.turn

    async def dies(*_: Any, **__: Any) -> bool:
        monkeypatch.setattr(deliver, "turn", turned)
        msg = "the worker dies"
        raise RuntimeError(msg)

    monkeypatch.setattr(deliver, "turn", dies)
    await emr.settle()
    await emr.later(600)
    assert [one.kind for one in emr.notes] == ["handshake"] * 2
    assert len({one.bundle["id"] for one in emr.notes}) == 1
    active = await emr.read(made["id"])
    await emr.ask("PUT", f"Subscription/{made['id']}", json={**active, "reason": "another"})
    await emr.later(600)
    assert len({one.bundle["id"] for one in emr.notes}) == 2


@pytest.mark.parametrize("more", [{"timeout": 31}, {"most": 101}])
async def test_more_than_there_is_is_refused(emr: Subscriber, more: dict[str, int]) -> None:
    """N15."""
    outcome = refused(await emr.post(subscription(endpoint=emr.hook.url(), **more)), 422)
    assert expressions(outcome) == ["Subscription.channel.extension[0]"]
    assert (await emr.post(subscription(endpoint=emr.hook.url(), timeout=30, most=100))).status_code == 201

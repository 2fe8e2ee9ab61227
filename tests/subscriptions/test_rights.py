"""Whose a Subscription is, what its owner may be told, and what becomes of it when that ends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhir_server.access.account import Account
from fhir_server.access.caller import Role
from fhir_server.access.scopes import parse
from fhir_server.services import resources
from fhir_server.services.authorization import tokens
from fhir_server.services.world import World
from fhir_server.store.accounts import Record
from fhir_server.store.authorization.grants import Grant
from fhir_server.store.sessions import Session
from tests.builders.answers import refused
from tests.builders.subscriber import Subscriber
from tests.builders.subscriptions import subscription
from tests.builders.visits import Visits
from tests.tokens import Issuer, account

APP = "patient/*.cruds launch/patient"


async def patients_app(emr: Subscriber, issuer: Issuer, patient: str, scopes: str = APP) -> tuple[Subscriber, Account]:
    who = account(Role.PATIENT, f"Patient/{patient}")
    token = await issuer.person(who, scopes, f"Patient/{patient}")
    return replace(emr, token=token, made=[]), who


async def test_others_are_told_that_it_is_not_there(emr: Subscriber, issuer: Issuer) -> None:
    """N10, N25, C6."""
    some = "system/Subscription.cruds system/Organization.rs"
    emr.token, other_token = [await issuer.backend(emr.name + end, some) for end in ("", "-other")]
    made = await emr.active("Organization?active=true", headers=("Authorization: Bearer secret",))
    other = replace(emr, token=other_token, made=[])
    for method, url in (
        ("GET", ""), ("GET", "/_history"), ("GET", "/_history/1"), ("DELETE", ""), ("GET", "/$status"),
        ("GET", "/$events"), ("POST", "/$resend"), ("POST", "/$rotate-secret"), ("GET", "/$get-ws-binding-token"),
    ):  # fmt: skip
        answer = await other.ask(method, f"Subscription/{made['id']}{url}")
        if method == "DELETE":
            assert answer.status_code == 204
            continue
        refused(answer, 404)
    refused(await other.ask("PATCH", f"Subscription/{made['id']}", json=[
        {"op": "replace", "path": "/status", "value": "off"}], headers={"Content-Type": "application/json-patch+json"}),
        404)  # fmt: skip
    for url in (
        "Subscription",
        f"Subscription?_id={made['id']}",
        "Subscription/_history",
        "_history?_count=50",
        "Subscription/$status",
        f"Subscription/$status?id={made['id']}",
        "?_type=Subscription,Organization&_count=5",
    ):
        answer = await other.ask("GET", url)
        assert answer.status_code == 200, answer.text
        assert made["id"] not in answer.text.replace(f"_id={made['id']}", "")
        assert "secret" not in answer.text
    assert (await emr.read(made["id"]))["channel"]["header"] == ["Authorization: Bearer secret"]
    for url in ("Subscription", "Subscription/_history", "Subscription/$status", "_history?_count=50"):
        assert made["id"] in (await emr.ask("GET", url)).text


async def test_an_app_is_told_of_its_patient_alone(emr: Subscriber, clinic: Visits, issuer: Issuer) -> None:
    app, _ = await patients_app(emr, issuer, clinic.id("pat"))
    await app.active(content="full-resource")
    await clinic.booked("09:00", "other")
    await app.settle()
    assert app.told == []
    mine = await clinic.booked("10:00")
    await app.settle()
    assert [one.foci for one in app.told] == [[f"Appointment/{mine['id']}"]]
    await app.off()


async def test_nobody_else_rides_along(emr: Subscriber, clinic: Visits, issuer: Issuer) -> None:
    """N18: a group visit is told to each without the others."""
    app, _ = await patients_app(emr, issuer, clinic.id("pat"))
    await app.active("appointment-changed", content="full-resource")
    together = {
        "resourceType": "Appointment", "status": "proposed", "comment": f"with {clinic.id('other')}",
        "participant": [{"actor": clinic.who(one), "status": "needs-action"} for one in ("pat", "other")],
    }  # fmt: skip
    assert (await emr.client.post("Appointment", json=together)).status_code == 201
    await app.settle()
    (note,) = app.told
    assert clinic.id("pat") in note.raw.decode()
    assert clinic.id("other") not in note.raw.decode()
    await app.off()


async def test_a_filter_beyond_the_scopes_is_refused(emr: Subscriber, clinic: Visits, issuer: Issuer) -> None:
    """N17."""
    other = f"Appointment?patient=Patient/{clinic.id('other')}"
    app, _ = await patients_app(emr, issuer, clinic.id("pat"))
    refused(await app.post(subscription(endpoint=emr.hook.url(), filters=(other,))), 403)
    refused(await app.post(subscription(other, emr.hook.url())), 403)
    blind, _ = await patients_app(emr, issuer, clinic.id("pat"), "patient/Subscription.cruds patient/Slot.rs")
    refused(await blind.post(subscription(endpoint=emr.hook.url())), 403)
    assert (await blind.post(subscription("slot-freed", emr.hook.url()))).status_code == 201
    mute, _ = await patients_app(emr, issuer, clinic.id("pat"), "patient/Appointment.rs")
    refused(await mute.post(subscription(endpoint=emr.hook.url())), 403)
    narrow = replace(emr, token=await issuer.backend(
        clinic.id("narrow"), "system/Subscription.cruds system/Appointment.rs?status=booked"), made=[])  # fmt: skip
    refused(
        await narrow.post(
            subscription("appointment-changed", emr.hook.url(), filters=("Appointment?status=cancelled",))
        ),
        403,
    )
    assert (
        await narrow.post(subscription("appointment-changed", emr.hook.url(), filters=("Appointment?status=booked",)))
    ).status_code == 201
    for one in (blind, narrow):
        await one.off()


async def test_criteria_of_a_scope_cut_what_is_told(emr: Subscriber, clinic: Visits, issuer: Issuer) -> None:
    token = await issuer.backend(
        clinic.id("booked"), "system/Subscription.cruds system/Appointment.rs?status=booked"
    )  # fmt: skip
    narrow = replace(emr, token=token, made=[])
    await narrow.active("appointment-changed")
    booked = await clinic.booked()
    await clinic.act(booked["id"], "$cancel")
    await narrow.settle()
    assert [one.numbers for one in narrow.told] == [[1]]
    await narrow.off()


@pytest.mark.parametrize("how", ["client", "account", "grant", "session"])
async def test_the_end_of_access_is_the_end_of_telling(
    emr: Subscriber, clinic: Visits, issuer: Issuer, world: World, how: str
) -> None:
    """N17, V31: at the next sending, whatever is owed."""
    store = world.store
    who = account(Role.PATIENT, f"Patient/{clinic.id('pat')}")
    await store.accounts.insert(Record(who, "no password"))
    known = await issuer.person(who, APP, f"Patient/{clinic.id('pat')}")
    client = await store.authorization.clients.get((await tokens.read(world, known, world.now()))["client_id"])
    assert client is not None
    own = replace(client, id=clinic.id("app"))
    await store.authorization.clients.insert(own)
    grant = Grant(clinic.id("grant"), own.id, who.id, parse(APP), offline=how != "session", issued=True)
    await store.authorization.grants.add(grant)
    now = world.now()
    session = clinic.id("session") if how == "session" else ""
    await store.sessions.insert(Session(clinic.id("session"), who.id, now, True, "", now, now + 900, now + 9000))
    issued = await tokens.issue(
        world, client=own, scopes=parse(APP), account=who, patient=f"Patient/{clinic.id('pat')}", grant=grant.id,
        session=session,
    )  # fmt: skip
    app = replace(emr, token=issued.token, made=[])
    made = await app.active(content="full-resource")
    emr.answers(500)
    await clinic.booked("09:00")
    await app.settle()
    assert len(app.told) == 1
    emr.answers()
    app.hook.seen.clear()
    if how == "client":
        await store.authorization.clients.replace(replace(own, disabled=True))
    elif how == "account":
        await _disable(world, who)
    elif how == "session":
        await store.sessions.remove(session)
    else:
        await store.authorization.grants.revoke(grant.id)
    await store.access_epoch.moved()
    await clinic.booked("10:00")
    await app.later(60)
    assert app.notes == []
    stored = await resources.read(world, "Subscription", made["id"])
    assert b'"status":"error"' in stored.body
    progress = await store.subscriptions.get(made["id"])
    assert progress is not None
    assert progress.error is not None
    assert progress.error[0] == "access-ended"
    if how in {"grant", "session"}:
        # The app is allowed again: it is told what it was owed, not what happened while it had no access.
        await store.authorization.grants.add(replace(grant, id=clinic.id("again"), offline=True))
        again = await tokens.issue(
            world, client=own, scopes=parse(APP), account=who, patient=f"Patient/{clinic.id('pat')}",
            grant=clinic.id("again"),
        )  # fmt: skip
        app.token = again.token
        asked = await app.ask("PUT", f"Subscription/{made['id']}", json={**made, "status": "requested"})
        assert asked.status_code == 200, asked.text
        await app.later(60)
        assert [one.numbers for one in app.told] == [[1]]
    await resources.delete(world, world.policy.caller, "Subscription", made["id"])


async def _disable(world: World, who: Account) -> None:
    found = await world.store.accounts.get(who.id)
    assert found is not None
    await world.store.accounts.replace(replace(found, account=replace(found.account, disabled=True)))


async def test_what_is_no_longer_seen_is_told_without_it(
    emr: Subscriber, clinic: Visits, issuer: Issuer, world: World
) -> None:
    """N17: the event is numbered, so it is told; what it is about is not."""
    mother = {"resourceType": "RelatedPerson", "id": clinic.id("mother"), "active": True, "patient": clinic.who()}
    await clinic.put(mother)
    who = account(Role.PATIENT, f"RelatedPerson/{clinic.id('mother')}")
    app = replace(emr, token=await issuer.person(who, "openid fhirUser user/*.cruds"), made=[])
    made = await app.active(content="full-resource")
    emr.answers(500)
    booked = await clinic.booked("09:00")
    await app.settle()
    assert app.told[0].foci == [f"Appointment/{booked['id']}"]
    emr.answers()
    app.hook.seen.clear()
    await clinic.put({**mother, "active": False})
    await app.later(60)
    (note,) = app.told
    assert note.numbers == [1]
    assert note.foci == []
    assert booked["id"] not in note.raw.decode()
    assert clinic.id("pat") not in note.raw.decode()
    stored = await resources.read(world, "Subscription", made["id"])
    assert b'"status":"error"' in stored.body
    await app.off()


async def test_the_version_that_triggered_is_told(emr: Subscriber, clinic: Visits) -> None:
    """N19."""
    await emr.active(content="full-resource")
    booked = await clinic.booked()
    patch = [{"op": "add", "path": "/comment", "value": "later"}]
    headers = {"Content-Type": "application/json-patch+json"}
    assert (await emr.client.patch(f"Appointment/{booked['id']}", json=patch, headers=headers)).status_code == 200
    await emr.settle()
    (note,) = emr.told
    assert note.shown[0]["resource"]["meta"]["versionId"] == "1"
    assert "comment" not in note.shown[0]["resource"]


async def test_what_was_deleted_since_is_not_told(emr: Subscriber, clinic: Visits) -> None:
    """N19."""
    await emr.active(content="full-resource")
    booked = await clinic.booked()
    assert (await emr.client.delete(f"Appointment/{booked['id']}")).status_code == 204
    await emr.settle()
    (note,) = emr.told
    assert note.foci == [f"Appointment/{booked['id']}"]
    assert "resource" not in note.shown[0]
    assert note.shown[0]["response"]["status"] == "410"
    assert clinic.id("pat") not in note.raw.decode()


async def test_administrators_see_those_of_their_clinic_without_secrets(
    emr: Subscriber, clinic: Visits, issuer: Issuer
) -> None:
    """N20."""
    walls = frozenset({f"Organization/{clinic.id('org')}"})
    await clinic.put({"resourceType": "Organization", "id": clinic.id("org"), "name": "x"})
    system = replace(emr, token=await issuer.backend(clinic.id("walled"), "system/*.cruds", clinics=walls), made=[])
    made = await system.active(headers=("Authorization: Bearer s3cret",))
    boss = account(Role.ADMINISTRATOR, f"Practitioner/{clinic.id('boss')}", clinics=walls)
    admin = replace(emr, token=await issuer.person(boss, "openid fhirUser user/*.cruds"), made=[])
    elsewhere = account(Role.ADMINISTRATOR, f"Practitioner/{clinic.id('b')}", clinics=frozenset({"Organization/none"}))
    stranger = replace(emr, token=await issuer.person(elsewhere, "openid fhirUser user/*.cruds"), made=[])
    refused(await stranger.ask("GET", f"Subscription/{made['id']}"), 404)
    url = f"Subscription/{made['id']}"
    for one in (url, "Subscription", f"{url}/_history", f"{url}/_history/1", "Subscription/_history", f"{url}/$status"):
        answer = await admin.ask("GET", one)
        assert answer.status_code == 200, answer.text
        assert made["id"] in answer.text
        assert "s3cret" not in answer.text
    masked = await admin.read(made["id"])
    assert masked["channel"]["header"] == ["Authorization: ***"]
    refused(await admin.ask("GET", f"{url}/$events"), 403)
    refused(await admin.ask("POST", f"{url}/$rotate-secret"), 403)
    other = {**masked, "channel": {**masked["channel"], "endpoint": "https://elsewhere.example/"}}
    refused(await admin.ask("PUT", url, json=other), 403)
    off = await admin.ask("PUT", url, json={**masked, "status": "off"})
    assert (off.status_code, off.json()["status"]) == (200, "off")
    assert "s3cret" not in off.text
    assert (await system.read(made["id"]))["channel"]["header"] == ["Authorization: Bearer s3cret"]
    assert (await admin.ask("DELETE", url)).status_code == 204
    refused(await system.ask("GET", url), 410)

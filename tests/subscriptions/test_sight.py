"""A Subscription tells its owner nothing that they could not find out by looking: not by whether it speaks, either."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from fhir_server.access.caller import Role
from fhir_server.services.world import World
from tests.builders.answers import refused
from tests.builders.subscriber import Subscriber
from tests.builders.subscriptions import subscription
from tests.builders.visits import Visits
from tests.tokens import Issuer, account

REASON = {"coding": [{"system": "http://snomed.info/sct", "code": "36971009"}]}
PATCH = {"Content-Type": "application/json-patch+json"}


@pytest_asyncio.fixture
async def pats(emr: Subscriber, clinic: Visits, issuer: Issuer) -> AsyncIterator[Subscriber]:
    """The app of ``pat``."""
    who = account(Role.PATIENT, f"Patient/{clinic.id('pat')}")
    token = await issuer.person(who, "patient/*.cruds launch/patient", f"Patient/{clinic.id('pat')}")
    made = replace(emr, token=token, made=[])
    yield made
    await made.off()


async def together(clinic: Visits, status: str = "proposed", **more: Any) -> str:
    """The id of an Appointment of both patients."""
    answers = [{"actor": clinic.who(one), "status": "needs-action"} for one in ("pat", "other")]
    if status == "booked":
        times = clinic.appointment()
        answers.append(times["participant"][1])
        more |= {"start": times["start"], "end": times["end"]}
    made = await clinic.client.post(
        "Appointment", json={"resourceType": "Appointment", "status": status, "participant": answers, **more}
    )
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


async def patched(clinic: Visits, id_: str, *operations: dict[str, Any]) -> None:
    answer = await clinic.client.patch(f"Appointment/{id_}", json=list(operations), headers=PATCH)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("query", ["reason-code=36971009", "reason-code:missing=false", "reason-code:not=1"])
async def test_a_reason_that_is_withheld_is_not_told_by_firing(
    pats: Subscriber, emr: Subscriber, clinic: Visits, query: str
) -> None:
    visit = await together(clinic)
    asked = f"Appointment?{query}"
    whole = await emr.active(asked, content="id-only")
    made = await pats.active(asked, content="id-only")
    await emr.settle()
    before = (await pats.status(made["id"])).said("events-since-subscription-start")
    emr.hook.seen.clear()
    await patched(clinic, visit, {"op": "add", "path": "/reasonCode", "value": [REASON]})
    await emr.settle()
    assert (await emr.status(whole["id"])).said("events-since-subscription-start") == "1"
    told = int((await pats.status(made["id"])).said("events-since-subscription-start")) - int(before)
    # Whom it does not show the reason it looks the same to, whatever the reason is.
    assert told == (1 if ":not" in query else 0)
    if told:
        await patched(clinic, visit, {"op": "replace", "path": "/reasonCode/0/coding/0/code", "value": "1"})
        await emr.settle()
        assert (await pats.status(made["id"])).said("events-since-subscription-start") == "2"


async def test_of_their_own_visit_patients_may_ask_by_the_reason(pats: Subscriber, clinic: Visits) -> None:
    visit = await clinic.booked()
    await pats.active("Appointment?reason-code=36971009")
    await patched(clinic, visit["id"], {"op": "add", "path": "/reasonCode", "value": [REASON]})
    await pats.settle()
    assert [one.foci for one in pats.told] == [[f"Appointment/{visit['id']}"]]


async def test_what_another_patient_answered_is_not_told(pats: Subscriber, clinic: Visits) -> None:
    visit = await together(clinic)
    await pats.active("Appointment?part-status=tentative")
    await patched(clinic, visit, {"op": "replace", "path": "/participant/1/status", "value": "tentative"})
    await pats.settle()
    assert pats.told == []
    await patched(clinic, visit, {"op": "replace", "path": "/participant/0/status", "value": "tentative"})
    await pats.settle()
    assert [one.foci for one in pats.told] == [[f"Appointment/{visit}"]]


async def test_a_topic_looks_at_what_its_owner_sees(pats: Subscriber, emr: Subscriber, clinic: Visits) -> None:
    """That the other patient confirmed is theirs; the system that sees both is told of the first who does."""
    visit = await together(clinic, "booked")
    own = await pats.active("appointment-confirmed")
    whole = await emr.active("appointment-confirmed")

    async def counts() -> list[str]:
        await emr.settle()
        said = [await one.status(made["id"]) for one, made in ((pats, own), (emr, whole))]
        return [one.said("events-since-subscription-start") for one in said]

    await patched(clinic, visit, {"op": "replace", "path": "/participant/1/status", "value": "accepted"})
    assert await counts() == ["0", "1"]
    await patched(clinic, visit, {"op": "replace", "path": "/participant/0/status", "value": "accepted"})
    assert await counts() == ["1", "1"]


async def test_what_comes_into_sight_is_new(pats: Subscriber, clinic: Visits) -> None:
    """Whoever is added to a booked visit is told of a booking, and not what the visit was before."""
    visit = clinic.appointment(patient="other")
    made = await clinic.client.post("Appointment", json=visit)
    assert made.status_code == 201, made.text
    booked, moved = await pats.active("appointment-booked"), await pats.active("appointment-confirmed")
    member = {"actor": clinic.who(), "status": "accepted"}
    await patched(clinic, made.json()["id"], {"op": "add", "path": "/participant/-", "value": member})
    await pats.settle()
    assert [one.said("subscription")["reference"].rpartition("/")[2] for one in pats.told] == [booked["id"]]
    assert (await pats.status(moved["id"])).said("events-since-subscription-start") == "0"


async def test_a_slot_that_was_taken_is_told_though_nobody_saw_it(pats: Subscriber, clinic: Visits) -> None:
    slot = {
        "resourceType": "Slot", "status": "busy", "start": clinic.at("15:00"), "end": clinic.at("15:30"),
        "schedule": {"reference": f"Schedule/{clinic.id('s')}"},
    }  # fmt: skip
    made = await clinic.client.post("Slot", json=slot)
    assert made.status_code == 201, made.text
    await pats.active("slot-freed")
    answer = await clinic.client.put(f"Slot/{made.json()['id']}", json={**made.json(), "status": "free"})
    assert answer.status_code == 200, answer.text
    await pats.settle()
    assert [one.foci for one in pats.told] == [[f"Slot/{made.json()['id']}"]]


async def test_the_front_desk_does_not_ask_by_the_reason(emr: Subscriber, clinic: Visits, issuer: Issuer) -> None:
    walls = frozenset({f"Organization/{clinic.id('org')}"})
    who = account(Role.FRONT_DESK, f"Practitioner/{clinic.id('desk')}", clinics=walls)
    desk = replace(emr, token=await issuer.person(who, "openid fhirUser user/*.cruds"), made=[])
    for query in ("reason-code=36971009", "reason-code:missing=false", "status=booked&reason-code:not=36971009"):
        refused(await desk.post(subscription(f"Appointment?{query}", emr.hook.url())), 403)


async def test_who_sees_less_than_before_is_told_less(
    emr: Subscriber, clinic: Visits, issuer: Issuer, world: World
) -> None:
    """A clinician asked by the reason, and works at the front desk now: from then on it is withheld from them."""
    org = f"Organization/{clinic.id('org')}"
    await clinic.put({"resourceType": "Organization", "id": clinic.id("org"), "name": "x"})
    room = {"resourceType": "Location", "id": clinic.id("room"), "managingOrganization": {"reference": org}}
    await clinic.put(room)
    who = account(Role.PRACTITIONER, f"Practitioner/{clinic.id('doc')}", clinics=frozenset({org}))
    doctor = replace(emr, token=await issuer.person(who, "openid fhirUser user/*.cruds"), made=[])
    by_reason = await doctor.active("Appointment?reason-code=36971009")
    by_status = await doctor.active("Appointment?status=booked")
    visit = clinic.appointment()
    place = {"actor": {"reference": f"Location/{clinic.id('room')}"}, "status": "accepted"}

    async def told(clock: str, end: str) -> list[int]:
        sent = {**clinic.appointment(clock, end), "participant": [*visit["participant"], place], "reasonCode": [REASON]}
        made = await clinic.client.post("Appointment", json=sent)
        assert made.status_code == 201, made.text
        await doctor.settle()
        progress = await world.store.subscriptions.get_many([by_reason["id"], by_status["id"]])
        return [progress[one["id"]].n for one in (by_reason, by_status)]

    assert await told("09:00", "09:30") == [1, 1]
    found = await world.store.accounts.get(who.id)
    assert found is not None
    await world.store.accounts.replace(replace(found, account=replace(found.account, role=Role.FRONT_DESK)))
    await world.store.access_epoch.moved()
    assert await told("10:00", "10:30") == [1, 2]
    await doctor.off()

"""``/auth/launch``: an EMR starts an app in a context (S10)."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from fhir_server.access.caller import Role
from fhir_server.access.client import Client
from fhir_server.access.scopes import parse
from fhir_server.services import resources
from fhir_server.services.authorization import pending, tokens
from fhir_server.services.world import World
from tests.builders.people import People
from tests.builders.smart import Flow, app, ask, backend, person


async def _post(auth: Any, token: str, body: Any) -> Any:
    return await auth.post("/auth/launch", json=body, headers={"Authorization": f"Bearer {token}"})


async def _emr(world: World, auth: Any, **more: Any) -> str:
    client = await backend(world, "launch system/*.cruds", **more)
    return str((await ask(auth, client, scope="launch system/*.rs")).json()["access_token"])


async def test_an_emr_starts_an_app(world: World, auth: Any) -> None:
    client, _ = await app(world)
    id_ = secrets.token_hex(8)
    await resources.put(world, {"resourceType": "Patient", "id": id_})
    body = {"client_id": client.id, "patient": f"Patient/{id_}", "intent": "x", "need_patient_banner": False}
    answer = await _post(auth, await _emr(world, auth), body)
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    found = answer.json()
    assert (found["expires_in"], found["iss"]) == (300, "http://fhir.test/fhir")
    waiting = await Flow(world, auth, client).waiting("launch patient/*.rs", launch=found["launch"])
    assert waiting.launch == pending.Launch(patient=f"Patient/{id_}", intent="x", need_patient_banner=False)


async def _token(world: World, role: Role, fhir_user: str, scopes: str = "user/*.rs", **more: Any) -> str:
    client, _ = await app(world)
    account = await person(world, role, fhir_user, **more)
    issued = await tokens.issue(world, client=client, scopes=parse(scopes), account=account)
    return issued.token


async def test_staff_start_apps_for_themselves(world: World, auth: Any) -> None:
    client, _ = await app(world)
    answer = await _post(
        auth, await _token(world, Role.FRONT_DESK, "Practitioner/1"), {"client_id": client.id, "account": "other"}
    )
    assert answer.status_code == 201
    waiting = await Flow(world, auth, client).waiting("launch user/*.rs", launch=answer.json()["launch"])
    assert waiting.launch is not None
    assert waiting.launch.account not in {"", "other"}


async def test_others_start_nothing(world: World, auth: Any) -> None:
    client, _ = await app(world)
    body = {"client_id": client.id, "patient": "1"}
    assert (await auth.post("/auth/launch", json=body)).status_code == 401
    assert (await _post(auth, "nope", body)).status_code == 401
    machine = await backend(world)
    for token in (
        (await ask(auth, machine)).json()["access_token"],
        await _token(world, Role.PATIENT, "Patient/1"),
        await _token(world, Role.AUDITOR, "Practitioner/1"),
    ):
        answer = await _post(auth, token, body)
        assert (answer.status_code, answer.json()["error"]) == (403, "insufficient_scope")


async def test_staff_need_a_scope_that_starts_apps_or_reads_patients(world: World, auth: Any) -> None:
    client, _ = await app(world)
    for scopes, status in (
        ("openid", 403), ("openid user/Slot.rs", 403), ("openid launch", 201), ("user/Patient.s", 201),
    ):  # fmt: skip
        token = await _token(world, Role.FRONT_DESK, "Practitioner/1", scopes)
        assert (await _post(auth, token, {"client_id": client.id})).status_code == status, scopes


async def test_a_context_is_one_that_the_caller_sees(world: World, auth: Any, clinic: People) -> None:
    client, _ = await app(world)
    inside = await clinic.patient("inside", managingOrganization={"reference": clinic.clinic})
    outside = await clinic.patient("outside")
    visit, strange = await clinic.appointment(inside), await clinic.appointment(outside)
    walls = frozenset({clinic.clinic})
    desks = [
        await _token(world, Role.FRONT_DESK, "Practitioner/1", scopes, clinics=walls)
        for scopes in ("openid launch", "user/Patient.rs user/Appointment.rs")
    ]
    for token in (*desks, await _emr(world, auth, clinics=walls)):
        for body, status in (
            ({"patient": inside, "appointment": visit}, 201),
            ({"patient": outside}, 400),
            ({"patient": "Patient/absent"}, 400),
            ({"patient": inside, "appointment": strange}, 400),
            ({"patient": inside, "encounter": "Encounter/absent"}, 400),
        ):
            answer = await _post(auth, token, {"client_id": client.id, **body})
            assert answer.status_code == status, body
            if status == 400:
                assert "not known here" in answer.json()["error_description"]


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "nobody"}, {"client_id": None}, {"client_id": {"$gt": ""}}, {"patient": "Group/1"},
        {"patient": "Patient/1/2"}, {"patient": 7}, {"encounter": "Patient/1"}, {"need_patient_banner": "true"},
        {"unknown": "x"}, {"intent": "x" * 300},
    ],
    ids=str,
)  # fmt: skip
async def test_contexts_that_are_none(world: World, auth: Any, change: dict[str, Any]) -> None:
    client, _ = await app(world)
    answer = await _post(auth, await _emr(world, auth), {"client_id": client.id, "patient": "1", **change})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_an_app_that_is_not_launched_has_no_launch(world: World, auth: Any) -> None:
    client: Client
    client, _ = await app(world, scopes=parse("patient/*.rs"))
    assert (await _post(auth, await _emr(world, auth), {"client_id": client.id})).status_code == 400

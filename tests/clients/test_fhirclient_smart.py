"""fhirclient (SMART's Python client): the app flow with the pages, an EHR launch, and a backend, against a process."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

import pytest
from fhirclient import client as smart
from fhirclient.models.appointment import Appointment
from fhirclient.models.patient import Patient
from fhirclient.server import FHIRNotFoundException

from fhir_server.access.account import Account
from fhir_server.access.caller import Role
from fhir_server.access.client import Kind
from fhir_server.app import Server
from fhir_server.remote.http import httpx
from fhir_server.services.authorization.authentication import BEARER_ASSERTION
from fhir_server.services.world import World
from tests.builders.browser import Browser
from tests.builders.people import PASSWORD, People, people
from tests.builders.smart import REDIRECT, app, assertion, backend
from tests.tokens import issuer_for

SCOPE = "openid fhirUser offline_access patient/Patient.rs patient/Appointment.rs"


@pytest.fixture
async def clinic(world: World) -> People:
    return await people(world)


async def _app(world: World, base: str, kind: Kind, scope: str = SCOPE, **more: Any) -> smart.FHIRClient:
    """An app that is registered, and its client."""
    client, secret = await app(world, kind)
    settings = {"app_id": client.id, "api_base": base, "redirect_uri": REDIRECT, "scope": scope, **more}
    made = smart.FHIRClient(settings=settings | ({"app_secret": secret} if secret else {}))
    made.server.session.trust_env = False
    return made


class Elsewhere(Browser):
    """A browser that reaches a server process."""

    def __init__(self, base: str) -> None:
        self.http = httpx.AsyncClient(base_url=base.removesuffix("/fhir"), timeout=30, trust_env=False)


async def _allowed(url: str, base: str, clinic: People, account: Account) -> str:
    """A person logs in, staff with a one-time code, and allows everything; the URL with the app's answer."""
    browser = Elsewhere(base)
    place = urlsplit(url)
    async with browser.http:
        page = await browser.get(f"{place.path}?{place.query}")
        page = await browser.log_in(page, account.username, PASSWORD)
        if page.url.path == "/auth/second-factor":
            page = await clinic.second_factor(browser, page)
        answer = await browser.submit(page, "consent", decision="allow")
    back: str = answer.headers["location"]
    assert back.startswith(REDIRECT), back
    return back


async def _visit(clinic: People, *actors: str) -> str:
    participant = [{"actor": {"reference": one}, "status": "accepted"} for one in actors]
    times = {"start": "2021-03-01T09:00:00Z", "end": "2021-03-01T09:30:00Z"}
    return await clinic.put(
        "Appointment", f"visit{len(actors[0])}", status="fulfilled", participant=participant, **times
    )


@pytest.mark.parametrize("kind", [Kind.PUBLIC, Kind.SYMMETRIC])
async def test_a_patient_uses_an_app(kind: Kind, two_servers: tuple[str, str], world: World, clinic: People) -> None:
    """Authorize by one process, the rest by it too; read, search, refresh, and nothing of anybody else."""
    base = two_servers[0]
    patient, other = await clinic.patient("ann"), await clinic.patient("someone")
    visit, _ = await _visit(clinic, patient), await _visit(clinic, other)
    mine = await _app(world, base, kind)
    assert await asyncio.to_thread(mine.prepare) is False
    back = await _allowed(mine.authorize_url, base, clinic, await clinic.account(Role.PATIENT, patient))
    await asyncio.to_thread(mine.handle_callback, back)
    assert mine.ready
    assert mine.patient_id == patient.partition("/")[2]
    seen = await asyncio.to_thread(lambda: mine.patient)
    assert seen.name[0].family == clinic.id("ann")
    search = Appointment.where(struct={"patient": mine.patient_id})
    found = await asyncio.to_thread(lambda: list(search.perform_resources_iter(mine.server)))
    assert [one.id for one in found] == [visit.partition("/")[2]]
    with pytest.raises(FHIRNotFoundException):
        await asyncio.to_thread(Patient.read, other.partition("/")[2], mine.server)

    before = mine.server.auth.access_token, mine.server.auth.refresh_token
    assert await asyncio.to_thread(mine.reauthorize)
    after = mine.server.auth.access_token, mine.server.auth.refresh_token
    assert set(before).isdisjoint(after)
    again = await asyncio.to_thread(Patient.read, mine.patient_id, mine.server)
    assert again.id == mine.patient_id
    kept = smart.FHIRClient(state=mine.state)
    kept.server.session.trust_env = False
    assert (await asyncio.to_thread(Patient.read, mine.patient_id, kept.server)).id == mine.patient_id


async def test_a_callback_of_another_login_is_not_taken(
    two_servers: tuple[str, str], world: World, clinic: People
) -> None:
    base = two_servers[0]
    mine = await _app(world, base, Kind.PUBLIC)
    await asyncio.to_thread(mine.prepare)
    back = await _allowed(mine.authorize_url, base, clinic, await clinic.account())
    with pytest.raises(Exception, match="Invalid state"):
        mine.handle_callback(back.replace("state=", "state=x"))
    mine.handle_callback(back)
    with pytest.raises(Exception, match="400"):
        mine.handle_callback(back)  # a code is good once, and its second use ends what the first gave
    with pytest.raises(Exception, match="401"):
        Patient.read(mine.patient_id, mine.server)


async def test_an_emr_starts_an_app(two_servers: tuple[str, str], world: World, clinic: People, app: Server) -> None:
    first = two_servers[0]
    doctor = await clinic.practitioner()
    patient = await clinic.patient("ann", managingOrganization={"reference": clinic.clinic})
    visit = await _visit(clinic, patient, doctor)
    scope = "openid fhirUser online_access user/Patient.rs user/Appointment.rs"
    emr = await issuer_for(app, first).backend("emr", "launch system/*.rs")
    mine = await _app(world, first, Kind.PUBLIC, scope)
    body = {"client_id": mine.app_id, "patient": patient, "appointment": visit}
    async with httpx.AsyncClient(trust_env=False) as http:
        url = f"{first.removesuffix('/fhir')}/auth/launch"
        started = await http.post(url, json=body, headers={"Authorization": f"Bearer {emr}"})
    assert started.status_code == 201, started.text
    mine.launch_token = started.json()["launch"]
    await asyncio.to_thread(mine.prepare)
    back = await _allowed(mine.authorize_url, first, clinic, await clinic.account(Role.PRACTITIONER, doctor))
    await asyncio.to_thread(mine.handle_callback, back)
    assert mine.patient_id == patient.partition("/")[2]
    assert mine.launch_context["fhirContext"] == [{"reference": visit}]
    assert mine.launch_context["need_patient_banner"] is True
    assert (await asyncio.to_thread(lambda: mine.patient)).id == mine.patient_id


async def test_a_backend(two_servers: tuple[str, str], world: World, clinic: People) -> None:
    """fhirclient has no backend flow of its own: the token is fetched with a signed assertion and handed over."""
    base = two_servers[1]
    patient = await clinic.patient("ann", managingOrganization={"reference": clinic.clinic})
    foreign = await clinic.patient("outside", managingOrganization={"reference": "Organization/elsewhere"})
    client = await backend(world, "system/Patient.rs", clinics=frozenset({clinic.clinic}))
    token_url = f"{base.removesuffix('/fhir')}/auth/token"
    form = {"grant_type": "client_credentials", "scope": "system/Patient.rs", "client_assertion_type": BEARER_ASSERTION,
            "client_assertion": assertion(client, token_url)}  # fmt: skip
    async with httpx.AsyncClient(trust_env=False) as http:
        said = await http.post(token_url, data=form)
    assert said.status_code == 200, said.text
    mine = smart.FHIRClient(settings={"app_id": client.id, "api_base": base})
    mine.server.session.trust_env = False
    mine.server.session.headers["Authorization"] = f"Bearer {said.json()['access_token']}"
    read = await asyncio.to_thread(Patient.read, patient.partition("/")[2], mine.server)
    assert read.name[0].family == clinic.id("ann")
    with pytest.raises(FHIRNotFoundException):
        await asyncio.to_thread(Patient.read, foreign.partition("/")[2], mine.server)
    with pytest.raises(Exception, match="403"):
        await asyncio.to_thread(Appointment.read, "x", mine.server)

"""The SMART JavaScript client in a real browser: a standalone launch and an EHR launch, from another origin."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio
from playwright.async_api import Browser as Chromium
from playwright.async_api import Page

from fhir_server.access.caller import Role
from fhir_server.app import Server
from fhir_server.remote.http import httpx
from fhir_server.services.world import World
from tests.builders.people import PASSWORD, People
from tests.builders.smart import app as registered
from tests.tokens import issuer_for

VERSION = "2.6.3"
PAGES = Path(__file__).parent / "smart_app"
STANDALONE = "openid fhirUser launch/patient offline_access patient/Patient.rs patient/Appointment.rs"
EHR = "openid fhirUser launch online_access user/Patient.rs user/Appointment.rs user/Practitioner.rs"
IN_APP = "() => document.getElementById('seen').textContent"


@dataclass
class SmartApp:
    """The origin of the app; ``settings`` is what its launch page is told."""

    origin: str
    settings: dict[str, str] = field(default_factory=dict)

    async def seen(self, page: Page) -> dict[str, Any]:
        """What the app shows when it has done everything."""
        await page.wait_for_url(f"{self.origin}/index.html*")
        await page.wait_for_function(f"({IN_APP})() !== ''")
        found: dict[str, Any] = json.loads(await page.evaluate(IN_APP))
        return found


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The browser bundle of fhirclient in the pinned version."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("Node is not installed")
    folder = tmp_path_factory.mktemp("smart-js")
    done = subprocess.run(
        ["npm", "pack", "--silent", f"fhirclient@{VERSION}"],
        cwd=folder, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"fhirclient cannot be had: {done.stderr[-200:]}")
    with tarfile.open(folder / done.stdout.strip()) as packed:
        script = packed.extractfile("package/build/fhir-client.js")
        assert script
        return script.read()


@pytest.fixture(scope="session")
def smart_app(bundle: bytes) -> Iterator[SmartApp]:
    made = SmartApp("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.partition("?")[0]
            if name == "/fhir-client.js":
                self._say(bundle, "text/javascript")
            elif name == "/settings.js":
                self._say(f"window.settings = {json.dumps(made.settings)};".encode(), "text/javascript")
            elif name in {"/launch.html", "/index.html"}:
                self._say((PAGES / name[1:]).read_bytes(), "text/html")
            else:
                self.send_error(404)

        def _say(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.origin = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield made
        server.shutdown()
        thread.join()


@pytest_asyncio.fixture(loop_scope="session")
async def page(chromium: Chromium) -> AsyncIterator[Page]:
    """A page of a new browser window; what a browser blocks for its origin is a complaint."""
    context = await chromium.new_context()
    made = await context.new_page()
    complaints: list[str] = []
    made.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    yield made
    await context.close()
    assert [one for one in complaints if "CORS" in one or "Content Security" in one] == []


async def _registered(world: World, app: SmartApp, scope: str) -> str:
    client, _ = await registered(
        world, name="An app of the test", redirect_uris=(f"{app.origin}/index.html",),
        launch_uri=f"{app.origin}/launch.html",
    )  # fmt: skip
    app.settings = {"clientId": client.id, "scope": scope}
    return client.id


async def _log_in(page: Page, username: str) -> None:
    await page.get_by_label("Username").fill(username)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()


async def _visit(clinic: People, patient: str, doctor: str) -> str:
    """A visit that has been."""
    actors = [{"actor": {"reference": one}, "status": "accepted"} for one in (patient, doctor)]
    return await clinic.put(
        "Appointment", f"visit-{patient[-8:]}", status="fulfilled", start="2021-03-01T09:00:00Z",
        end="2021-03-01T09:30:00Z", participant=actors,
    )  # fmt: skip


async def test_a_patient_starts_the_app(
    page: Page, world: World, root: str, smart_app: SmartApp, clinic: People
) -> None:
    patient, other = await clinic.patient("ann"), await clinic.patient("ben")
    doctor = await clinic.practitioner()
    visits = [await _visit(clinic, one, doctor) for one in (patient, other)]
    account = await clinic.account(Role.PATIENT, patient)
    await _registered(world, smart_app, STANDALONE)

    await page.goto(f"{smart_app.origin}/launch.html?iss={quote(f'{root}/fhir', safe='')}")
    await page.wait_for_url(f"{root}/auth/login*")
    await _log_in(page, account.username)
    await page.get_by_role("button", name="Allow").click()
    seen = await smart_app.seen(page)
    assert (seen.get("fault"), seen["patient"], seen["user"]) == (None, patient.partition("/")[2], patient)
    assert seen["appointments"] == [visits[0].partition("/")[2]]
    assert set(seen["scope"].split()) == set(STANDALONE.split())
    assert seen["refresh"] is True

    refreshed = await page.evaluate("""async () => {
        const before = { ...client.state.tokenResponse };
        await client.refresh();
        const after = client.state.tokenResponse;
        const patient = await client.patient.read();
        return [before.access_token !== after.access_token, before.refresh_token !== after.refresh_token, patient.id];
    }""")
    assert refreshed == [True, True, patient.partition("/")[2]]
    refused = await page.evaluate(
        "async (other) => client.request(other).then(() => 'seen', (fault) => fault.statusCode)", other
    )
    assert refused == 404
    heard = await page.evaluate("""async () => {
        const { access_token: token } = client.state.tokenResponse;
        const answer = await fetch(`${client.state.serverUrl}/Patient/${client.patient.id}`,
          { headers: { Authorization: `Bearer ${token}`, 'If-None-Match': 'W/"0"', Prefer: 'handling=strict' } });
        return [answer.status, answer.headers.get('ETag'), Boolean(answer.headers.get('X-Request-Id'))];
    }""")
    assert heard == [200, 'W/"1"', True]


async def test_a_patient_says_no(page: Page, world: World, root: str, smart_app: SmartApp, clinic: People) -> None:
    account = await clinic.account(Role.PATIENT)
    await _registered(world, smart_app, STANDALONE)
    await page.goto(f"{smart_app.origin}/launch.html?iss={quote(f'{root}/fhir', safe='')}")
    await _log_in(page, account.username)
    await page.get_by_role("button", name="Deny").click()
    assert "access_denied" in (await smart_app.seen(page))["fault"]


async def test_an_emr_starts_the_app_for_a_clinician(
    page: Page, world: World, root: str, smart_app: SmartApp, clinic: People, app: Server
) -> None:
    patient = await clinic.patient("ann", managingOrganization={"reference": clinic.clinic})
    hidden = await clinic.patient("ben", managingOrganization={"reference": clinic.clinic})
    doctor = await clinic.practitioner()
    visit = await _visit(clinic, patient, doctor)
    account = await clinic.account(Role.PRACTITIONER, doctor)
    client = await _registered(world, smart_app, EHR)

    emr = await issuer_for(app, f"{root}/fhir").backend("emr", "launch system/*.rs")
    context = {"client_id": client, "patient": patient, "appointment": visit, "intent": "check-in",
               "need_patient_banner": False}  # fmt: skip
    async with httpx.AsyncClient(trust_env=False) as http:
        started = await http.post(f"{root}/auth/launch", json=context, headers={"Authorization": f"Bearer {emr}"})
    assert started.status_code == 201, started.text
    launch = started.json()["launch"]

    url = f"{smart_app.origin}/launch.html?iss={quote(f'{root}/fhir', safe='')}&launch={launch}"
    await page.goto(url)
    await page.wait_for_url(f"{root}/auth/login*")
    await _log_in(page, account.username)
    await page.get_by_role("button", name="Allow").click()
    seen = await smart_app.seen(page)
    assert (seen.get("fault"), seen["patient"], seen["user"]) == (None, patient.partition("/")[2], doctor)
    assert (seen["banner"], seen["context"], seen["intent"]) == (False, [{"reference": visit}], "check-in")
    assert seen["appointments"] == [visit.partition("/")[2]]
    style = await page.evaluate("async (url) => (await fetch(url)).status", seen["style"])
    assert style == 200
    refused = await page.evaluate(
        "async (other) => client.request(other).then(() => 'seen', (fault) => fault.statusCode)", hidden
    )
    assert refused == 404

    await page.goto(url)
    assert "fault" in await smart_app.seen(page)  # a launch is good for one consent

"""What the tests of the pages share: people of one clinic, a browser, and requests of apps."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.access.caller import Caller
from fhir_server.access.record import Access
from fhir_server.access.scopes import parse
from fhir_server.app import Server
from fhir_server.services.audit.recorder import Recorder
from fhir_server.services.authorization import launches, pending
from fhir_server.services.authorization.pending import Pending
from fhir_server.services.world import World
from tests.builders.asking import Ask
from tests.builders.browser import Browser
from tests.builders.smart import REDIRECT
from tests.builders.smart import app as registered
from tests.scans import no_scans

__all__ = ["no_scans"]


@pytest.fixture
def browser(app: Server) -> Browser:
    return Browser(app)


@pytest.fixture
def told(world: World, monkeypatch: pytest.MonkeyPatch) -> list[Access]:
    """What is added to the access record from now on."""
    found: list[Access] = []
    add = Recorder.add

    async def heard(recorder: Recorder, access: Access) -> None:
        await add(recorder, access)
        found.append(access)

    monkeypatch.setattr(Recorder, "add", heard)
    return found


@pytest.fixture
def ask(world: World) -> Ask:
    """Begin an authorize request; keyword arguments are its parameters, ``client`` a registered one.

    ``launched`` is a patient of whom an EHR launches the app.
    """

    async def begun(
        scope: str = "openid launch/patient patient/Appointment.rs",
        *,
        client: Any = None,
        launched: str = "",
        **more: str,
    ) -> Pending:
        if client is None:
            client, _ = await registered(world)
        said = {
            "response_type": "code", "client_id": client.id, "redirect_uri": REDIRECT, "scope": scope,
            "state": "st4te", "aud": world.settings.bases[0].rstrip("/"),
            "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "code_challenge_method": "S256", **more,
        }  # fmt: skip
        if launched:
            ehr = Caller(scopes=parse("launch system/*.rs"))
            said["launch"], _ = await launches.register(world, ehr, {"client_id": client.id, "patient": launched})
        return await pending.begin(world, list(said.items()))

    return begun

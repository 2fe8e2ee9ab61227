"""`fhir-server token`: a token of the demo clinic, got from the running ``fhir-server dev`` as an app gets it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhir_server.access.caller import Role
from fhir_server.cli.dev_settings import data_folder
from fhir_server.cli.start import require_loopback, root_of
from fhir_server.embedded.refused import Refused

if TYPE_CHECKING:
    from fhir_server.cli.running import Granted

_OF_ONE_PATIENT = "openid fhirUser launch/patient patient/*.cruds"
_OF_STAFF = "openid fhirUser user/*.cruds"
_OF_AUDITOR = "openid fhirUser user/AuditEvent.rs"


def token(
    *,
    client: Annotated[str, typer.Option(help="demo-ehr: the clinic's own EHR, a backend.")] = "",
    user: Annotated[str, typer.Option(help="patient1, parent1, dr-adams, frontdesk1, admin1, auditor1 …")] = "",
    scope: Annotated[str, typer.Option(help="Scopes, separated by spaces; else what suits the role.")] = "",
    patient: Annotated[str, typer.Option(help="The patient that the token is about, e.g. Patient/patient-1.")] = "",
    host: Annotated[str, typer.Option(envvar="FHIR_HOST", help="Address of fhir-server dev.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="FHIR_PORT", min=1, max=65535, help="Port of fhir-server dev.")] = 8080,
    data: Annotated[Path | None, typer.Option(help="Data folder of fhir-server dev: the client's key.")] = None,
) -> None:
    """Print an access token of a demo client or user, and nothing else. The server must run: fhir-server dev."""
    from fhir_server.services.authorization.demo import EHR

    require_loopback(host)
    if bool(client) == bool(user):
        raise Refused("A token is of one --client or of one --user.", f"--client {EHR}", "--user patient1")
    if client and (client != EHR or patient):
        raise Refused(f"{EHR} is the one client that gets tokens on its own behalf, and about no patient.")
    root = root_of(host, port)
    wanted = " ".join(scope.split())
    if client:
        print(asyncio.run(_of_client(root, data or data_folder(), wanted)))
    else:
        print(asyncio.run(_of_user(root, user, wanted, patient)))


async def _of_client(root: str, folder: Path, scopes: str) -> str:
    from fhir_server.cli.backend import SCOPES, ask
    from fhir_server.cli.running import browser, check_scopes

    async with browser() as http:
        granted = await ask(http, root, folder, scopes or SCOPES)
    return check_scopes(granted, (scopes or SCOPES).split())


async def _of_user(root: str, username: str, scopes: str, patient: str) -> str:
    from fhir_server.cli.running import check_scopes

    reference = patient if not patient or "/" in patient else f"Patient/{patient}"
    asked = scopes or usual_scopes(username, about_one=bool(patient))
    return check_scopes(await granted_to(root, username, asked, reference), asked.split())


async def granted_to(root: str, username: str, scopes: str = "", patient: str = "") -> Granted:
    """What the server at ``root`` grants to a demo user.

    :raises Refused: no server, no such user, or scopes that it does not grant.
    """
    from fhir_server.cli.login import Person, log_in
    from fhir_server.cli.running import browser, find
    from fhir_server.remote.http import httpx
    from fhir_server.services.authorization.demo_accounts import PASSWORD

    async with browser() as http:
        server = await find(http, root)
        try:
            person = Person(username, PASSWORD, patient)
            return await log_in(http, server, person, scopes or usual_scopes(username))
        except httpx.HTTPError as fault:
            raise Refused(f"The server at {root} no longer answers ({type(fault).__name__}).") from None


def usual_scopes(username: str, *, about_one: bool = False) -> str:
    """What a demo user's role asks for; ``about_one`` patient, whom staff choose."""
    from fhir_server.services.authorization.demo_accounts import role_of

    role = role_of(username)
    if role is Role.PATIENT or about_one:
        return _OF_ONE_PATIENT
    return _OF_AUDITOR if role is Role.AUDITOR else _OF_STAFF

"""The routes of the pages.

path                    shows                          takes
----------------------  -----------------------------  -----------------------------------
/auth/login             username and password          them; cancel
/auth/second-factor     one-time code, or setting up   the code
/auth/patient           patients to choose, a search   a patient; find; cancel
/auth/consent           what an app wants              allow with what is left; deny
/auth/apps              what was allowed               what to take back
/auth/logout            whether to log out             that
/auth/access-report     who used one's data
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from fhir_server.smart.pages.apps import revoke_app, show_apps
from fhir_server.smart.pages.consent import decide, show_consent
from fhir_server.smart.pages.login import log_in, log_out, show_login, show_logout
from fhir_server.smart.pages.patient import choose_patient, show_patients
from fhir_server.smart.pages.rendering import style
from fhir_server.smart.pages.report import show_report
from fhir_server.smart.pages.second_factor import prove_second_factor, show_second_factor
from fhir_server.smart.pages.visit import Door, Handler, visited

PAGES: dict[str, tuple[Handler, Handler]] = {
    "login": (show_login, log_in),
    "second-factor": (show_second_factor, prove_second_factor),
    "patient": (show_patients, choose_patient),
    "consent": (show_consent, decide),
    "apps": (show_apps, revoke_app),
    "logout": (show_logout, log_out),
}
"""Below ``/auth/``: what GET and what POST do."""


def router(door: Door) -> APIRouter:
    """The pages of the authorization server."""
    made = APIRouter(include_in_schema=False)
    for name, (show, take) in PAGES.items():
        made.add_route(f"/auth/{name}", visited(door, show), ["GET"])
        made.add_route(f"/auth/{name}", visited(door, take), ["POST"])
    made.add_route("/auth/access-report", visited(door, show_report), ["GET"])
    made.add_route("/auth/static/style.css", _style, ["GET"])
    return made


async def _style(_: Request) -> Response:
    return style()

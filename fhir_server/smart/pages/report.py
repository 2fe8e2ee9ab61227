"""``/auth/access-report``: who used the data of a person, for whoever is logged in and acts for them."""

from __future__ import annotations

from fastapi.responses import HTMLResponse, Response

from fhir_server.access.caller import Role
from fhir_server.services import page_tokens
from fhir_server.services.access import relations
from fhir_server.services.audit.report import names, report
from fhir_server.services.audit.report_page import POLICY, page_of
from fhir_server.services.audit.search import Place
from fhir_server.smart.pages.error import error_page
from fhir_server.smart.pages.flow import address
from fhir_server.smart.pages.rendering import LANGUAGE
from fhir_server.smart.pages.texts import TEXTS
from fhir_server.smart.pages.visit import Visit, go

PAGE = 50
HEADERS = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


async def show_report(visit: Visit) -> Response:
    """The person's own report, or with ``?patient=Patient/1`` that of somebody they act for."""
    person, world, query = visit.person, visit.world, visit.request.query_params
    if person is None:
        return go(address("login"))
    people = sorted(await relations.acts_for(world, person.persons)) if person.role is Role.PATIENT else []
    own = person.fhir_user if person.fhir_user in people else next(iter(people), "")
    patient = query.get("patient", "") or own
    if patient not in people:
        t = TEXTS[LANGUAGE]
        return error_page(t["no_report_title"], t["no_report"], 403)
    used = [("patient", patient)]
    bound = page_tokens.binding("access-report-page", person.id, patient, used)
    token = query.get("_page", "")
    after = Place(*await page_tokens.read(world, bound, token)) if token else None
    page = await report(world, patient, (None, None), PAGE, after)
    following = await page_tokens.write(world, bound, page.next) if page.next else ""
    known = await names(world, [event.access for event in page.events])
    await visit.tell("access-report", person, patients=(patient,))
    return HTMLResponse(page_of(patient, page.events, known, used, following, world.zone), headers=HEADERS)

"""``/auth/apps``: what somebody has allowed, and taking it back. SMART calls it the management endpoint."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi.responses import Response

from fhir_server.access.caller import Role
from fhir_server.services.authorization import clients, grants, patients
from fhir_server.smart.pages.flow import address
from fhir_server.smart.pages.visit import Visit, go
from fhir_server.smart.pages.wordings import offered

REPORT = "/auth/access-report"


async def show_apps(visit: Visit) -> Response:
    return await _list(visit, revoked=False)


async def revoke_app(visit: Visit) -> Response:
    if visit.person is None:
        return go(address("login"))
    await grants.revoke(visit.world, visit.form.get("grant", ""), visit.person.id)
    await visit.tell("revoke", visit.person)
    return await _list(visit, revoked=True)


async def _list(visit: Visit, *, revoked: bool) -> Response:
    person = visit.person
    if person is None:
        return go(address("login"))
    allowed = await grants.apps_of(visit.world, person.id)
    found = [
        {
            "id": one.id,
            "client": client.name if (client := await clients.get(visit.world, one.client)) else one.client,
            "may": [words for _, words in offered(one.scopes, yours=one.patient == person.fhir_user)],
            "patient": await patients.label(visit.world, person, one.patient) if one.patient else "",
            "created": _day(visit, one.created),
            "last_used": _day(visit, one.last_used) if one.last_used else "",
        }
        for one in allowed
    ]
    if named := tuple(
        dict.fromkeys(one.patient for one, shown in zip(allowed, found, strict=True) if shown["patient"])
    ):
        await visit.tell("search-type", person, patients=named, query=b"GET /Patient")
    report = REPORT if person.role is Role.PATIENT else ""
    return await visit.page("apps.html", apps=found, revoked=revoked, report=report)


def _day(visit: Visit, second: int) -> str:
    return datetime.fromtimestamp(second, UTC).astimezone(visit.world.zone).strftime("%Y-%m-%d")

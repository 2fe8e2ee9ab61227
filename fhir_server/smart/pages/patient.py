"""``/auth/patient``: which patient an app is to work with. Whoever is shown or sought is in the access record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fastapi.responses import Response

from fhir_server.access.account import Account
from fhir_server.access.caller import STAFF
from fhir_server.errors import Problem
from fhir_server.remote import throttle
from fhir_server.services.authorization import patients, pending, sessions
from fhir_server.services.authorization.patients import Choice, Sought
from fhir_server.services.authorization.pending import Pending
from fhir_server.smart.pages.error import error_page
from fhir_server.smart.pages.flow import is_fresh, onward, required_request
from fhir_server.smart.pages.login import too_many, waiting
from fhir_server.smart.pages.rendering import LANGUAGE
from fhir_server.smart.pages.texts import TEXTS
from fhir_server.smart.pages.visit import Visit, go

FINDS = "60/hour"
"""Finds of one account."""
_LONGEST = 100


async def show_patients(visit: Visit) -> Response:
    asked = await required_request(visit)
    if visit.person is None or not is_fresh(visit, asked) or not asked.needs_patient:
        return await onward(visit, asked)
    found = await patients.choices(visit.world, visit.person, Sought())
    if found:
        await _tell(visit, visit.person, asked, found)
    return await _form(visit, asked, visit.person, found)


async def choose_patient(visit: Visit) -> Response:
    asked = await required_request(visit)
    world, session, person = visit.world, visit.session, visit.person
    if person is None or session is None or not is_fresh(visit, asked):
        return await onward(visit, asked)
    if "cancel" in visit.form:
        return go(await pending.deny(world, asked))
    if "find" in visit.form:
        return await _seek(visit, asked, person)
    reference, t = visit.form.get("patient", ""), TEXTS[LANGUAGE]
    if not await patients.may_choose(world, person, reference):
        if patients.is_patient(reference):
            await visit.tell("read", person, client=asked.client.id, patients=(reference,), reason="forbidden")
        return error_page(t["forbidden_title"], t["forbidden_patient"], 403, secure=visit.secure)
    await sessions.choose(world, session, asked.id, reference)
    chosen = {**session.chosen, sessions.digest(asked.id): reference}
    return await onward(replace(visit, session=replace(session, chosen=chosen)), asked)


async def _seek(visit: Visit, asked: Pending, person: Account) -> Response:
    t = TEXTS[LANGUAGE]
    said = {name: visit.form.get(name, "").strip()[:_LONGEST] for name in ("name", "birth_date", "identifier")}
    sought = Sought(**said)
    if not sought.enough:
        return await _form(visit, asked, person, [], t["patient_more"], 400)
    wait = await throttle.allow(visit.world.settings, f"patient-find:{person.id}", FINDS)
    if wait:
        return await too_many(await _form(visit, asked, person, [], waiting(wait, "too_many_finds"), 429), wait)
    try:
        found = await patients.choices(visit.world, person, sought)
    except Problem as refused:
        text = refused.issues[0].text
        return await _form(visit, asked, person, [], f"{text[:1].upper()}{text[1:]}.", 400)
    await _tell(visit, person, asked, found, sought.query)
    return await _form(visit, asked, person, found, "" if found else t["patient_not_found"])


async def _tell(visit: Visit, person: Account, asked: Pending, found: Sequence[Choice], query: bytes = b"") -> None:
    """Record whom the page shows, also that it is nobody.

    :raises Problem: UNAVAILABLE when it could not be recorded.
    """
    shown = tuple(one.reference for one in found)
    await visit.tell("search-type", person, client=asked.client.id, patients=shown, query=query or b"GET /Patient")


async def _form(
    visit: Visit, asked: Pending, person: Account, found: Sequence[Choice], fault: str = "", status: int = 200
) -> Response:
    said = {name: visit.form.get(name, "")[:_LONGEST] for name in ("name", "birth_date", "identifier")}
    return await visit.page(
        "patient.html",
        status,
        redirect_uri=asked.redirect_uri,
        client=asked.client.name,
        choices=found,
        seeks=person.role in STAFF,
        said=said,
        fault=fault,
    )

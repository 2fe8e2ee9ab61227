"""``/auth/consent``: what an app wants, in plain words; each part can be taken away."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi.responses import Response

from fhir_server.services.authorization import patients, pending
from fhir_server.services.authorization.pending import Pending
from fhir_server.smart.pages.flow import is_fresh, onward, patient_of, required_request
from fhir_server.smart.pages.rendering import LANGUAGE
from fhir_server.smart.pages.texts import TEXTS
from fhir_server.smart.pages.visit import Visit, go
from fhir_server.smart.pages.wordings import OTHERS, kept, offered


async def show_consent(visit: Visit) -> Response:
    asked = await required_request(visit)
    patient = await _patient(visit, asked)
    if patient is None:
        return await onward(visit, asked)
    return await _form(visit, asked, patient)


async def decide(visit: Visit) -> Response:
    asked = await required_request(visit)
    if visit.form.get("decision") == "deny":
        await visit.tell("authorize", visit.person, reason="access_denied", client=asked.client.id)
        return go(await pending.deny(visit.world, asked))
    patient = await _patient(visit, asked)
    session, person = visit.session, visit.person
    if patient is None or session is None or person is None:
        return await onward(visit, asked)
    chosen = [text for name, text in visit.fields if name == "scope"]
    scopes = kept(asked.scopes, chosen)
    if not scopes.resources and not scopes.others & OTHERS.keys():
        return await _form(visit, asked, patient, TEXTS[LANGUAGE]["consent_empty"], 400)
    await visit.tell("authorize", person, client=asked.client.id, patients=(patient,) if patient else ())
    return go(
        await pending.approve(
            visit.world,
            asked,
            person,
            scopes=scopes,
            patient=patient,
            session=session.id,
            authenticated=session.authenticated,
        )
    )


async def _patient(visit: Visit, asked: Pending) -> str | None:
    """The patient whom the decision is about, empty for none; None: something else comes first."""
    if visit.session is None or visit.person is None or not is_fresh(visit, asked):
        return None
    return await patient_of(visit, asked, visit.person, visit.session)


async def _form(visit: Visit, asked: Pending, patient: str, fault: str = "", status: int = 200) -> Response:
    target, person = urlsplit(asked.redirect_uri), visit.person
    name = await patients.label(visit.world, person, patient) if person and patient else ""
    if name:
        await visit.tell("read", person, client=asked.client.id, patients=(patient,))
    return await visit.page(
        "consent.html",
        status,
        redirect_uri=asked.redirect_uri,
        client=asked.client.name,
        patient=name,
        offered=offered(asked.scopes, yours=visit.account is not None and patient == visit.account.fhir_user),
        back=target.netloc or f"{target.scheme}:",
        fault=fault,
    )

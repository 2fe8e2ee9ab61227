"""``Appointment/[id]/$checkin-link``: a link by which the patient checks in, for a kiosk or a QR code."""

from __future__ import annotations

from email.utils import formatdate

from fhir_server.fhir.json import dump
from fhir_server.fhir.parameters import parameters
from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.operations.arguments import arguments
from fhir_server.services import kiosk


async def handle(context: Context) -> Answer:
    """200 with the URL; the header ``Expires`` says when it ends."""
    given = await arguments(context)
    named = given.reference("patient", "Patient")
    who = named.local(context.world.bases) if named else ""
    text, patient, expires = await kiosk.make(context.world, context.caller, context.segments[1], who)
    url = f"{context.world.settings.issuer}/checkin/{text}"
    headers = {"Expires": formatdate(expires, usegmt=True)}
    return Answer(200, dump(parameters(("return", "url", url))), headers, patients=(patient,))

"""The answer to a write, as the client prefers it. https://hl7.org/fhir/R4/http.html#ops"""

from __future__ import annotations

from fhir_server.errors import Issue
from fhir_server.fhir.json import dump
from fhir_server.fhir.outcome import informational
from fhir_server.rest.answer import Answer, location, version_headers
from fhir_server.rest.context import Context
from fhir_server.store.resources import Stored


def written(context: Context, stored: Stored, status: int) -> Answer:
    """Status, Location where something was created, ETag, and the body that ``Prefer: return`` asks for."""
    stored = context.world.view.shown(stored)
    headers = version_headers(stored)
    if status == 201 or context.method == "POST":
        headers["Location"] = location(context.base, stored)
    preference = context.prefers("return")
    if preference == "minimal":
        return Answer(status, b"", headers)
    if preference == "OperationOutcome":
        text = f"{stored.reference} is version {stored.version}"
        return Answer(status, dump(informational([Issue(text, severity="information")])), headers)
    return Answer(status, stored.body, headers)

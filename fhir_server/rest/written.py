"""The answer to a write, as the client prefers it. https://hl7.org/fhir/R4/http.html#ops"""

from __future__ import annotations

from fhir_server.errors import Issue
from fhir_server.fhir.json import dump
from fhir_server.fhir.outcome import informational
from fhir_server.rest.answer import Answer, accessed, location, version_headers
from fhir_server.rest.context import Context
from fhir_server.store.resources import Stored


def written(context: Context, stored: Stored, status: int) -> Answer:
    """Status, Location where something was created, ETag, and the body that ``Prefer: return`` asks for."""
    stored = context.world.view.shown(stored)
    headers = version_headers(stored)
    if status == 201 or context.method == "POST":
        headers["Location"] = location(context.base, stored)
    preference = context.prefers("return")
    shown = accessed(stored, written=True)
    if preference == "minimal":
        return Answer(status, b"", headers, accessed=shown)
    if preference == "OperationOutcome":
        text = f"{stored.reference} is version {stored.version}"
        body = dump(informational([Issue(text, severity="information")]))
        return Answer(status, body, headers, accessed=shown)
    return Answer(status, stored.body, headers, accessed=shown)

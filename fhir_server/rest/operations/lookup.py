"""``CodeSystem/$lookup``, https://hl7.org/fhir/R4/codesystem-operation-lookup.html."""

from __future__ import annotations

from fhir_server.rest.unbuilt import unbuilt

handle = unbuilt

"""read and search of the server's own conformance and terminology resources, https://hl7.org/fhir/R4/conformance-module.html."""

from __future__ import annotations

from fhir_server.rest.unbuilt import unbuilt

read = unbuilt
search = unbuilt

"""``batch`` and ``transaction``, https://hl7.org/fhir/R4/http.html#transaction."""

from __future__ import annotations

from fhir_server.rest.unbuilt import unbuilt

bundle = unbuilt

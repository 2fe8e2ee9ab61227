"""``ValueSet/$validate-code`` and ``CodeSystem/$validate-code``, https://hl7.org/fhir/R4/valueset-operation-validate-code.html."""

from __future__ import annotations

from fhir_server.rest.unbuilt import unbuilt

handle = unbuilt

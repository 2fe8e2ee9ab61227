"""``$validate``, https://hl7.org/fhir/R4/resource-operation-validate.html."""

from __future__ import annotations

from fhir_server.rest.unbuilt import unbuilt

handle = unbuilt

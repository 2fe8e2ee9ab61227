"""``ValueSet/$expand``, https://hl7.org/fhir/R4/valueset-operation-expand.html."""

from __future__ import annotations

from fhir_server.rest.unbuilt import unbuilt

handle = unbuilt

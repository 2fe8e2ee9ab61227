"""``Patient/$everything``, https://hl7.org/fhir/R4/patient-operation-everything.html."""

from __future__ import annotations

from fhir_server.rest.unbuilt import unbuilt

handle = unbuilt

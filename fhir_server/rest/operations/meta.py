"""``$meta``, ``$meta-add`` and ``$meta-delete``, https://hl7.org/fhir/R4/resource-operation-meta.html."""

from __future__ import annotations

from fhir_server.rest.unbuilt import unbuilt

meta = unbuilt
add = unbuilt
delete = unbuilt

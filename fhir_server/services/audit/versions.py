"""Versions with their stamps, for the recovery of the access record."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fhir_server.fhir.types import RESOURCE_TYPES
from fhir_server.services.audit.recovery import Versions, Written
from fhir_server.store.resources import HISTORY, Resources


def versions_of(resources: Resources) -> Versions:
    """Every stamped version since a moment: current ones first, or one that is replaced meanwhile could be missed."""

    async def versions(since: int) -> AsyncIterator[Written]:
        for type_ in RESOURCE_TYPES:
            async for one in resources.stamped(type_, since):
                yield Written(f"{type_}/{one['_id']}/{one['v']}", one["by"], _people(one), one["at"])
        async for one in resources.stamped(HISTORY, since):
            yield Written(f"{one['type']}/{one['id']}/{one['v']}", one["by"], _people(one), one["at"])

    return versions


def _people(one: dict[str, list[str]]) -> tuple[str, ...]:
    return tuple(who for who in one.get("patients", ()) if who.startswith("Patient/"))

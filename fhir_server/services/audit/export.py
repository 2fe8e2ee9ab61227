"""The access record as AuditEvents one after the other, for the archive of an auditor or the accounting of a person."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from fhir_server.services.audit.events import Resource, render
from fhir_server.services.audit.search import Asked, search
from fhir_server.services.world import World

AT_ONCE = 500


async def export(world: World, *, patient: str = "", since: int = 0) -> AsyncIterator[Resource]:
    """AuditEvents, the newest first.

    :param patient: ``Patient/1``: only what concerns this one, and without the texts of searches.
    :param since: recorded at this time (ms) or later.
    """
    asked = Asked(dates=(((since, None),),) if since else (), count=AT_ONCE, about=patient)
    while True:
        page = await search(world.store.audit, asked)
        for event in page.events:
            yield render(event, world.bases[0].rstrip("/"), queries=not patient)
        if page.next is None:
            return
        asked = replace(asked, after=page.next)

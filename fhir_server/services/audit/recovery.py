"""Recovery: what a process had written when it died, and could no longer record, is recorded by another one.

A version carries its :func:`fhir_server.access.record.stamp` in the same atomic write as its body. So a commit is never
without its entry: if the process that made it died before the entry was durable, whoever sees the old marker looks
through the versions of that process since its last clean point and records what is missing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fhir_server.access.record import recovered
from fhir_server.log import get_logger
from fhir_server.store.audit.database import Audit
from fhir_server.store.audit.markers import Markers

AT_ONCE = 500

log = get_logger("audit")


@dataclass(frozen=True, slots=True)
class Written:
    """A version of a resource: ``key`` is ``Type/id/version``, ``by`` its stamp, ``at`` milliseconds."""

    key: str
    by: Mapping[str, Any]
    patients: tuple[str, ...]
    at: int


Versions = Callable[[int], AsyncIterator[Written]]
"""Every version written at a time (ms) or later, deletions and replaced ones included, in any order."""


async def recover(audit: Audit, markers: Markers, versions: Versions, now: int) -> int:
    """Record what dead processes left out; how many accesses that were. Runs in any number of processes."""
    missing = 0
    while (marker := await markers.claim(now)) is not None:
        part: list[Written] = []
        async for one in versions(marker.since):
            if one.by.get("process") != marker.process:
                continue
            part.append(one)
            if len(part) == AT_ONCE:
                missing += await _record(audit, part)
                part = []
        missing += await _record(audit, part)
        await markers.remove(marker.process)
    if missing:
        log.warning("accesses of an ended process recorded", count=missing)
    return missing


async def _record(audit: Audit, part: list[Written]) -> int:
    known = await audit.has_written([one.key for one in part]) if part else set()
    missing = [one for one in part if one.key not in known]
    for one in missing:
        await audit.add(recovered(one.by, one.key, one.patients, one.at))
    return len(missing)

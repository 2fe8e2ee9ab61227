"""What is read for the messages of several facts: each visit and each patient once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fhir_server.services.reminders.people import Person, Record, receiver, records
from fhir_server.services.reminders.visits import Visit, patients_of, visit_of
from fhir_server.services.world import World
from fhir_server.store.resources import Stored
from fhir_server.store.unit import Unit


@dataclass
class Reading:
    """Remembers what it read, as its unit sees it."""

    world: World
    unit: Unit
    _visits: dict[tuple[str, int], Visit | None] = field(default_factory=dict)
    _records: dict[str, Record | None] = field(default_factory=dict)

    async def visit(self, version: Stored) -> Visit | None:
        """:func:`visit_of`."""
        key = (version.id, version.version)
        if key not in self._visits:
            self._visits[key] = await visit_of(self.world, version)
        return self._visits[key]

    async def ahead(self, appointments: Iterable[Mapping[str, Any] | None]) -> None:
        """Read the patients of these Appointments together, before they are asked for one by one."""
        await self._read([who for one in appointments if one for who in patients_of(self.world, one)])

    async def receiver(self, patient: str, visit: Visit) -> Person | None:
        """:func:`receiver`."""
        await self._read([patient])
        return receiver(self.world, patient, self._records[patient], visit)

    async def _read(self, patients: Iterable[str]) -> None:
        new = {one for one in patients if one not in self._records}
        if new:
            found = await records(self.world, self.unit.resources, new)
            self._records |= {one: found.get(one) for one in new}

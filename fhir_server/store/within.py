"""A store inside one open unit of work: it reads what that transaction sees, and what it writes commits with it.

So a use case that opens a unit of its own runs unchanged as a part of a larger one (a transaction Bundle).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

from fhir_server.scheduling.calendar_day import Entry
from fhir_server.store.calendar_days import CalendarDays
from fhir_server.store.driver import Connection
from fhir_server.store.epoch import Epoch
from fhir_server.store.unit import Unit, Units
from fhir_server.store.vault import Vault

T = TypeVar("T")


class UnitsWithin(Units):
    """Runs work in the unit that is open; its trying again, its commit and its turns are those of the whole."""

    def __init__(self, connection: Connection, vault: Vault, unit: Unit) -> None:
        super().__init__(connection, vault)
        self._unit = unit

    async def run(self, work: Callable[[Unit], Awaitable[T]], *, now: int, turns: Iterable[str] = ()) -> T:  # noqa: ARG002
        async with self._unit.attempt_days():
            return await work(self._unit)


class CalendarWithin(CalendarDays):
    """Calendar days with what the open unit has entered so far."""

    def __init__(self, connection: Connection, unit: Unit) -> None:
        super().__init__(connection)
        self._unit = unit

    async def on(self, wanted: Iterable[tuple[str, int]]) -> dict[str, list[Entry]]:
        asked = list(wanted)
        return (await self._unit.days(asked)).calendars_of(asked)


class EpochWithin(Epoch):
    """Nothing is remembered of a catalogue that this transaction may be changing; the whole announces its writes."""

    async def current(self) -> int | None:
        return None

    @asynccontextmanager
    async def moving(self, type_: str) -> AsyncIterator[None]:  # noqa: ARG002
        yield

"""The store as one value: what the use cases hold in hand."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from fhir_server.fhir.types import RESOURCE_TYPES
from fhir_server.settings import Settings
from fhir_server.store import indexes, layout
from fhir_server.store.audit.database import Audit
from fhir_server.store.audit.markers import Markers
from fhir_server.store.calendar_days import CALENDAR, CalendarDays
from fhir_server.store.driver import Connection, PyMongoError, connect
from fhir_server.store.epoch import EPOCH, Epoch
from fhir_server.store.idempotency import IDEMPOTENCY, Idempotency
from fhir_server.store.resources import HISTORY, Resources
from fhir_server.store.secrets import Secrets
from fhir_server.store.unit import GUARDS, Unit, Units
from fhir_server.store.within import CalendarWithin, EpochWithin, UnitsWithin


@dataclass(frozen=True, slots=True)
class Store:
    """Connection and collections of one process.

    ``swept``: by type, the second at which expired holds were last looked for.
    """

    connection: Connection
    resources: Resources
    calendar: CalendarDays
    units: Units
    idempotency: Idempotency
    epoch: Epoch
    secrets: Secrets
    audit: Audit
    markers: Markers
    swept: dict[str, int] = field(default_factory=dict)

    def within(self, unit: Unit) -> Store:
        """The same store inside an open unit of work."""
        connection = self.connection
        return replace(
            self,
            resources=unit.resources,
            calendar=CalendarWithin(connection, unit),
            units=UnitsWithin(connection, unit),
            epoch=EpochWithin(connection),
            swept={},
        )

    async def prepare(self) -> bool:
        """Create collections and indexes where they are missing.

        :returns: whether search values are still those of an older layout.
        :raises NewerDataError: the data was written by a newer server.
        """
        outdated = await layout.settle(self.connection)
        existing = set(await self.connection.database.list_collection_names())
        for name in (*RESOURCE_TYPES, HISTORY, CALENDAR, IDEMPOTENCY, GUARDS, EPOCH):
            if name not in existing:
                await self.connection.create(name)
        await indexes.create(self.connection)
        await self.audit.prepare()
        await self.markers.prepare()
        return outdated

    async def reindexed(self) -> None:
        """Note that search values were made anew after :meth:`prepare` said that they are outdated."""
        await layout.finish(self.connection)

    async def ready(self) -> bool:
        """Whether a writable primary answers."""
        try:
            hello = await self.connection.command("hello")
        except PyMongoError:
            return False
        return bool(hello.get("isWritablePrimary"))

    async def close(self) -> None:
        await self.connection.close()


def open_store(settings: Settings) -> Store:
    """The store that the settings name; nothing is sent yet."""
    connection = connect(settings.mongo_uri, settings.mongo_database, settings.mongo_driver)
    secrets = Secrets(connection)
    record = connection.beside(settings.audit_database or f"{settings.mongo_database}_audit")
    return Store(
        connection,
        Resources(connection),
        CalendarDays(connection),
        Units(connection),
        Idempotency(connection, settings.idempotency_hours),
        Epoch(connection),
        secrets,
        Audit(record, secrets),
        Markers(connection),
    )

"""The store as one value: what the use cases hold in hand."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from zoneinfo import ZoneInfo

from fhir_server.fhir.types import RESOURCE_TYPES
from fhir_server.search.definitions import Definitions
from fhir_server.settings import Settings
from fhir_server.store import indexes, layout
from fhir_server.store.accounts import ACCOUNTS, Accounts
from fhir_server.store.audit.database import Audit
from fhir_server.store.audit.markers import Markers
from fhir_server.store.authorization.collections import INDEXES as AUTHORIZATION
from fhir_server.store.authorization.collections import Authorization
from fhir_server.store.authorization.epoch import AccessEpoch
from fhir_server.store.calendar_days import CALENDAR, CalendarDays
from fhir_server.store.conversations import CONVERSATIONS, Conversations
from fhir_server.store.driver import Connection, PyMongoError, connect
from fhir_server.store.emergencies import EMERGENCIES, Emergencies
from fhir_server.store.epoch import Epoch
from fhir_server.store.idempotency import IDEMPOTENCY, Idempotency
from fhir_server.store.keys import Keys, Kms
from fhir_server.store.links import LINKS, Links
from fhir_server.store.moves import EPOCH, Moves
from fhir_server.store.outbox import LEASES, TOLD, Outbox
from fhir_server.store.resources import HISTORY, Resources
from fhir_server.store.sealing import Sealer
from fhir_server.store.secrets import Secrets
from fhir_server.store.sessions import SESSIONS, Sessions
from fhir_server.store.subscriptions import INDEXES as SUBSCRIBED
from fhir_server.store.subscriptions import Subscriptions
from fhir_server.store.unit import GUARDS, Unit, Units
from fhir_server.store.vault import Vault
from fhir_server.store.within import CalendarWithin, EpochWithin, UnitsWithin
from fhir_server.store.work import WORK, Work


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
    keys: Keys
    vault: Vault
    emergencies: Emergencies
    authorization: Authorization
    accounts: Accounts
    sessions: Sessions
    access_epoch: AccessEpoch
    audit: Audit
    markers: Markers
    outbox: Outbox
    work: Work
    moves: Moves
    subscriptions: Subscriptions
    links: Links
    conversations: Conversations
    swept: dict[str, int] = field(default_factory=dict)

    @property
    def sealer(self) -> Sealer:
        """Seals what others keep: ``seal_bytes``, ``open_bytes``, ``hashed``."""
        return self.keys.sealer

    def within(self, unit: Unit) -> Store:
        """The same store inside an open unit of work."""
        connection = self.connection
        return replace(
            self,
            resources=unit.resources,
            calendar=CalendarWithin(connection, unit),
            units=UnitsWithin(connection, self.vault, unit),
            epoch=EpochWithin(connection),
            swept={},
        )

    async def prepare(self) -> bool:
        """Load the keys; create collections and indexes where they are missing.

        :returns: whether search values are still those of an older layout.
        :raises NewerDataError: the data was written by a newer server.
        :raises KeysError: the keys do not open with the present settings.
        """
        await self.keys.open(sealed=await layout.is_sealed(self.connection))
        outdated = await layout.settle(self.connection, self.vault)
        existing = set(await self.connection.database.list_collection_names())
        own = (HISTORY, CALENDAR, IDEMPOTENCY, GUARDS, EPOCH, EMERGENCIES, ACCOUNTS, SESSIONS, TOLD, LEASES, WORK)
        for name in (*RESOURCE_TYPES, *own, LINKS, CONVERSATIONS, *AUTHORIZATION, *SUBSCRIBED):
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


def open_store(settings: Settings, kms: Kms, definitions: Definitions) -> Store:
    """The store that the settings name, its keys wrapped by ``kms``; nothing is sent yet."""
    connection = connect(settings.mongo_address, settings.mongo_database, settings.mongo_driver)
    keys = Keys(connection, kms)
    vault = Vault(keys, definitions, ZoneInfo(settings.timezone))
    secrets = Secrets(connection, keys.sealer)
    record = connection.beside(settings.audit_database or f"{settings.mongo_database}_audit")
    return Store(
        connection,
        Resources(connection, vault),
        CalendarDays(connection),
        Units(connection, vault),
        Idempotency(connection, keys.sealer, settings.idempotency_hours),
        Epoch(connection),
        secrets,
        keys,
        vault,
        Emergencies(connection, keys.sealer),
        Authorization.over(connection, keys.sealer),
        Accounts(connection, keys.sealer),
        Sessions(connection),
        AccessEpoch(connection),
        Audit(record, secrets, keys.sealer),
        Markers(connection),
        Outbox(connection),
        Work(connection),
        Moves(connection),
        Subscriptions(connection, keys.sealer),
        Links(connection),
        Conversations(connection, keys.sealer),
    )

"""Accesses for tests, and a record of its own for each."""

from __future__ import annotations

import secrets
from typing import Any

from fhir_server.access.record import Access, Accessed
from fhir_server.remote import kms
from fhir_server.settings import Settings
from fhir_server.store.audit.verify import Report, verify
from fhir_server.store.database import Store, open_store
from tests.builders.search import DEFINITIONS

BASE = "http://fhir.test/fhir"
AT = 1_795_338_000_000
"""2026-11-22T09:00:00Z."""


def access(**changes: Any) -> Access:
    """A practitioner who reads an Appointment of a patient."""
    standard: dict[str, Any] = {
        "at": AT, "action": "R", "interaction": "read", "client": "ehr", "subject": "sub-1",
        "issuer": "https://ehr.example", "fhir_user": "Practitioner/dr-adams", "role": "practitioner", "token": "jti-1",
        "network": "10.0.0.7", "request_id": "req-1",
        "objects": (Accessed("Appointment", "a1", 3, ("Patient/p1",)),),
    }  # fmt: skip
    return Access(**{**standard, **changes})


async def fresh(settings: Settings, driver: str = "pymongo") -> Store:
    """A store whose record is empty; the caller closes it."""
    changes = {"mongo_driver": driver, "audit_database": f"{settings.mongo_database}_{secrets.token_hex(4)}_audit"}
    made = open_store(settings.model_copy(update=changes), kms.of(settings.keys), DEFINITIONS)
    await made.keys.open(sealed=False)
    await made.audit.prepare()
    await made.markers.prepare()
    return made


async def close(store: Store) -> None:
    await store.audit.journal.settled()
    await store.connection.client.drop_database(store.audit.connection.database.name)
    await store.close()


async def verified(store: Store, **options: Any) -> Report:
    """A verification with this server's own keys."""
    signer = await store.audit.signer()
    return await verify(store.audit, public=signer.public, secret=await store.audit.mac_secret(), **options)


async def faults(store: Store, **options: Any) -> list[tuple[str, str]]:
    return [(one.place, one.text) for one in (await verified(store, **options)).faults]

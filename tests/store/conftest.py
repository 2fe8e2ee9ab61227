"""The store by itself, on both drivers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from fhir_server.remote import kms
from fhir_server.settings import Settings
from fhir_server.store.database import Store, open_store
from tests.builders.search import DEFINITIONS


@pytest_asyncio.fixture(scope="session", params=["pymongo", "motor"])
async def store(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[Store]:
    database = f"{settings.mongo_database}_{request.param}"
    changed = settings.model_copy(update={"mongo_driver": request.param, "mongo_database": database})
    made = open_store(changed, kms.of(settings.keys), DEFINITIONS)
    await made.prepare()
    yield made
    await made.connection.client.drop_database(database)
    await made.close()

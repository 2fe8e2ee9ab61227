"""The layout of the stored data, as a number: an older server never writes into data of a newer one."""

from __future__ import annotations

from typing import Any

from fhir_server.errors import NewerDataError
from fhir_server.store.driver import Connection

LAYOUT = 1
"""Raised with every change that older servers cannot read; a migration then stands beside it."""

COLLECTION = "layout"


async def settle(connection: Connection) -> None:
    """Note the layout of an empty database; refuse one that is newer.

    :raises NewerDataError: with one sentence.
    """
    collection = connection.collection(COLLECTION)
    found: dict[str, Any] | None = await collection.find_one_and_update(
        {"_id": "layout"}, {"$setOnInsert": {"number": LAYOUT}}, upsert=True
    )
    if found and found["number"] > LAYOUT:
        msg = f"The data has layout {found['number']}, this server knows {LAYOUT}; start the newer server."
        raise NewerDataError(msg)

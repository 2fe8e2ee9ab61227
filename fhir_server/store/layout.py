"""The layout of the stored data, as a number: an older server never writes into data of a newer one.

2  documents of ``history`` name type, id, version and when they were replaced
3  search values have those of ``:text``, ``:of-type``, sorting by lists, and composites
4  resources with patient data, answers and secrets are sealed, search values that identify people are hashes
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fhir_server.errors import NewerDataError
from fhir_server.store import first_sealing, history
from fhir_server.store.driver import Connection
from fhir_server.store.vault import Vault

LAYOUT = 4
"""Raised with every change that older servers cannot read or write; a migration then stands beside it."""

SEARCH_VALUES = 3
"""The last layout that changed search values: they are made from the resources, which is not this room's work."""

SEALED = 4
"""The first layout whose data is sealed."""

MIGRATIONS: Mapping[int, Callable[[Connection, Vault], Awaitable[None]]] = {
    2: lambda connection, _: history.complete(connection),
    4: first_sealing.seal_everything,
}
"""What leads to a layout from the one before; each can be run again."""

COLLECTION = "layout"


async def is_sealed(connection: Connection) -> bool:
    """Whether the data says that it is sealed; what makes the keys comes before this is noted."""
    found = await connection.collection(COLLECTION).find_one({"_id": "layout"})
    return bool(found and found["number"] >= SEALED)


async def settle(connection: Connection, vault: Vault) -> bool:
    """Note the layout of an empty database; migrate one that is older; refuse one that is newer.

    :returns: whether search values are still those of an older layout; :func:`finish` notes that they are made anew.
    :raises NewerDataError: with one sentence.
    """
    collection = connection.collection(COLLECTION)
    found: dict[str, Any] | None = await collection.find_one_and_update(
        {"_id": "layout"}, {"$setOnInsert": {"number": LAYOUT}}, upsert=True
    )
    if found and found["number"] > LAYOUT:
        msg = f"The data has layout {found['number']}, this server knows {LAYOUT}; start the newer server."
        raise NewerDataError(msg)
    before = found["number"] if found else LAYOUT
    for number, migrate in MIGRATIONS.items():
        if number > before:
            await migrate(connection, vault)
    if before < SEARCH_VALUES:
        return True
    await finish(connection)
    return False


async def finish(connection: Connection) -> None:
    """Note that the data has the present layout."""
    await connection.collection(COLLECTION).update_one({"_id": "layout"}, {"$max": {"number": LAYOUT}})

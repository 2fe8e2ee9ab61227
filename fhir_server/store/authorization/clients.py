"""The ``clients`` collection: registered OAuth clients by their id."""

from __future__ import annotations

from typing import Any

from fhir_server.access.client import Client, Kind
from fhir_server.access.scopes import parse
from fhir_server.store.driver import Connection, DuplicateKeyError

CLIENTS = "clients"


class Clients:
    """What was registered, as :class:`~fhir_server.access.client.Client`."""

    def __init__(self, connection: Connection) -> None:
        self._collection = connection.collection(CLIENTS)

    async def get(self, id_: str) -> Client | None:
        found: dict[str, Any] | None = await self._collection.find_one({"_id": id_})
        return _client(found) if found else None

    async def all(self) -> list[Client]:
        return [_client(one) for one in await self._collection.find({}).sort("_id", 1).to_list(None)]

    async def insert(self, client: Client) -> bool:
        """Whether the id was free."""
        try:
            await self._collection.insert_one(_document(client))
        except DuplicateKeyError:
            return False
        return True

    async def replace(self, client: Client) -> bool:
        """Whether there was such a client."""
        done = await self._collection.replace_one({"_id": client.id}, _document(client))
        return bool(done.matched_count)

    async def remove(self, id_: str) -> bool:
        """Whether there was such a client."""
        done = await self._collection.delete_one({"_id": id_})
        return bool(done.deleted_count)

    async def has_origin(self, origin: str) -> bool:
        """Whether an enabled client may call from that web origin."""
        return await self._collection.find_one({"origins": origin, "disabled": False}, {"_id": 1}) is not None


def _document(client: Client) -> dict[str, Any]:
    return {
        "_id": client.id,
        "name": client.name,
        "kind": client.kind.value,
        "scopes": str(client.scopes),
        "grant_types": sorted(client.grant_types),
        "redirect_uris": list(client.redirect_uris),
        "launch_uri": client.launch_uri,
        "secret": client.secret,
        "jwks": dict(client.jwks) if client.jwks is not None else None,
        "jwks_uri": client.jwks_uri,
        "clinics": None if client.clinics is None else sorted(client.clinics),
        "origins": list(client.origins),
        "trusted": client.trusted,
        "introspects": client.introspects,
        "disabled": client.disabled,
    }


def _client(found: dict[str, Any]) -> Client:
    return Client(
        id=found["_id"],
        name=found["name"],
        kind=Kind(found["kind"]),
        scopes=parse(found["scopes"]),
        grant_types=frozenset(found["grant_types"]),
        redirect_uris=tuple(found["redirect_uris"]),
        launch_uri=found["launch_uri"],
        secret=found["secret"],
        jwks=found["jwks"],
        jwks_uri=found["jwks_uri"],
        clinics=None if found["clinics"] is None else frozenset(found["clinics"]),
        origins=tuple(found["origins"]),
        trusted=found["trusted"],
        introspects=found["introspects"],
        disabled=found["disabled"],
    )

"""The ``grants`` collection: what a person allowed an app.

A grant stands from the consent on, is ``issued`` with the first tokens, and is deleted when it is revoked: tokens that
name a grant which is not there are void. One that cannot be refreshed leaves with its last access token.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fhir_server.access.scopes import Scopes, parse
from fhir_server.store.driver import Connection
from fhir_server.store.sealing import Sealer

GRANTS = "grants"


@dataclass(frozen=True, slots=True)
class Grant:
    """A consent: ``client`` and ``account`` by id, ``patient`` the patient in context (``Patient/1``).

    ``offline``: it outlives the ``session`` it was given in. ``context`` holds what else a token response says of the
    launch. Times are epoch seconds; ``until`` 0: no end.
    """

    id: str
    client: str
    account: str
    scopes: Scopes
    patient: str = ""
    session: str = ""
    created: int = 0
    last_used: int = 0
    offline: bool = False
    until: int = 0
    issued: bool = False
    context: dict[str, Any] = field(default_factory=dict)


class Grants:
    """What stands; a revoked grant is not there. Scopes are sealed: their criteria may say why somebody comes."""

    def __init__(self, connection: Connection, sealer: Sealer) -> None:
        self._sealer = sealer
        self._collection = connection.collection(GRANTS)

    async def add(self, grant: Grant) -> None:
        await self._collection.insert_one(self._document(grant))

    async def get(self, id_: str) -> Grant | None:
        found: dict[str, Any] | None = await self._collection.find_one({"_id": id_})
        return self._grant(found) if found else None

    async def used(self, id_: str, now: int, until: int) -> Grant | None:
        """Note a use of it that issues tokens; None when it was revoked."""
        change = {"issued": True, "last_used": now, "until": datetime.fromtimestamp(until, UTC) if until else None}
        found = await self._collection.find_one_and_update({"_id": id_}, {"$set": change}, return_document=True)
        return self._grant(found) if found else None

    async def of_account(self, account: str) -> list[Grant]:
        """The account's grants that were used, newest first."""
        asked = {"account": account, "issued": True}
        return [self._grant(one) for one in await self._collection.find(asked).sort("created", -1).to_list(None)]

    async def revoke(self, id_: str, account: str | None = None) -> bool:
        """Whether it stood until now; with an account, only one of that account."""
        asked = {"_id": id_} if account is None else {"_id": id_, "account": account}
        done = await self._collection.delete_one(asked)
        return bool(done.deleted_count)

    async def revoke_all(self, **asked: str) -> int:
        """Revoke the grants of a client, an account or a session; how many there were."""
        done = await self._collection.delete_many(asked)
        return int(done.deleted_count)

    def _document(self, grant: Grant) -> dict[str, Any]:
        return {
            "_id": grant.id,
            "client": grant.client,
            "account": grant.account,
            "scopes": self._sealer.seal_bytes(f"{GRANTS}/{grant.id}", str(grant.scopes).encode()),
            "patient": grant.patient,
            "session": grant.session,
            "created": grant.created,
            "last_used": grant.last_used,
            "offline": grant.offline,
            "until": datetime.fromtimestamp(grant.until, UTC) if grant.until else None,
            "issued": grant.issued,
            "context": grant.context,
        }

    def _grant(self, found: dict[str, Any]) -> Grant:
        until = int(found["until"].timestamp()) if found["until"] else 0
        scopes = self._sealer.open_bytes(f"{GRANTS}/{found['_id']}", bytes(found["scopes"])).decode()
        return Grant(
            found["_id"], found["client"], found["account"], parse(scopes), found["patient"], found["session"],
            found["created"], found["last_used"], found["offline"], until, found["issued"], found["context"],
        )  # fmt: skip

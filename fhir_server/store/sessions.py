"""Logins: the database knows a session by the digest of what its cookie holds, so it cannot be used to log in.

A document is ``{_id, account, authenticated, complete, request, used, idle, ends, until, chosen}``. ``idle`` is the
second at which it ends without use, ``ends`` at which it ends in any case; ``until`` is the same as a date, by which
MongoDB removes it. ``chosen`` maps authorize requests to the patients that were picked for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fhir_server.store.driver import Connection

SESSIONS = "sessions"


@dataclass(frozen=True, slots=True)
class Session:
    """A login; times are seconds since the epoch.

    ``id`` is the digest of the cookie's value. ``authenticated``: when the person proved who they are. ``complete``:
    nothing is left to prove. ``request`` is the authorize request for which the person logged in, if any.
    """

    id: str
    account: str
    authenticated: int
    complete: bool
    request: str
    used: int
    idle: int
    ends: int
    chosen: Mapping[str, str] = field(default_factory=dict)


class Sessions:
    """The ``sessions`` collection; ended ones leave it by a TTL index."""

    def __init__(self, connection: Connection) -> None:
        self._collection = connection.collection(SESSIONS)

    async def insert(self, session: Session) -> None:
        await self._collection.insert_one(
            {
                "_id": session.id,
                "account": session.account,
                "authenticated": session.authenticated,
                "complete": session.complete,
                "request": session.request,
                "used": session.used,
                "idle": session.idle,
                "ends": session.ends,
                "until": _date(min(session.idle, session.ends)),
                "chosen": dict(session.chosen),
            }
        )

    async def get(self, id_: str) -> Session | None:
        """A session, also one that is over and not removed yet."""
        found: dict[str, Any] | None = await self._collection.find_one({"_id": id_}, {"until": 0})
        return Session(**{"id": found.pop("_id"), **found}) if found else None

    async def slide(self, session: Session, used: int, idle: int) -> None:
        """Note a use: it ends later, never earlier."""
        await self._collection.update_one(
            {"_id": session.id}, {"$max": {"used": used, "idle": idle, "until": _date(min(idle, session.ends))}}
        )

    async def choose(self, id_: str, request: str, patient: str) -> None:
        """Note the patient of an authorize request; ``request`` is a name without dots."""
        await self._collection.update_one({"_id": id_}, {"$set": {f"chosen.{request}": patient}})

    async def remove(self, id_: str) -> bool:
        """End one; whether it was there."""
        return bool((await self._collection.delete_one({"_id": id_})).deleted_count)

    async def remove_all(self, account: str) -> int:
        """End all of an account; how many there were."""
        return int((await self._collection.delete_many({"account": account})).deleted_count)


def _date(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)

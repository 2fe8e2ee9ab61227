"""Moves: resources whose clinics changed, or what others take their clinics from, until those others have followed.

A move is noted in the transaction of its write, so a process that dies leaves it behind and whoever comes next works it
off. It is looked at three times: at once, for what is stored; a little later, for what was being written meanwhile from
what had been read before; and after the longest that a write can take, when nothing from before is on its way any more.
Between the second and the third look only a write that took seconds could stand where it no longer belongs.

A document is ``{_id, ref, due, look, token}``: ``due`` in milliseconds, ``token`` names the last write, so that nobody
ends a move that somebody else has just made again. They lie beside the catalogue's epoch, which is read before anything
is decided by clinics, and are read with it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pymongo import DeleteOne, IndexModel, UpdateOne

from fhir_server.store.driver import Connection

EPOCH = "epoch"
LOOKS_MS = (2_000, 75_000)
"""How long after the write a move is looked at once more; MongoDB ends a transaction after 60 s."""

AT_ONCE = 100
INDEX = IndexModel([("due", 1)], partialFilterExpression={"due": {"$exists": True}})


@dataclass(frozen=True, slots=True)
class Move:
    """``reference`` moved; ``look`` counts the looks before this one."""

    reference: str
    look: int
    token: str


def now_ms() -> int:
    """Milliseconds since the epoch: of this machine, as for the epoch's announcements."""
    return time.time_ns() // 1_000_000


def is_due(at: int) -> dict[str, Any]:
    """The filter for moves that are to be looked at."""
    return {"due": {"$lte": at}}


def read(found: Mapping[str, Any]) -> Move:
    return Move(found["ref"], found["look"], found["token"])


class Moves:
    """The moves that others have yet to follow."""

    def __init__(self, connection: Connection) -> None:
        self._collection = connection.collection(EPOCH)

    async def note(self, reference: str, session: Any) -> None:
        """Note in a transaction that ``reference`` moves."""
        change = {"ref": reference, "due": 0, "look": 0, "token": secrets.token_hex(8)}
        await self._collection.update_one({"_id": f"moved|{reference}"}, {"$set": change}, upsert=True, session=session)

    async def due(self, at: int | None = None) -> list[Move]:
        """Moves to be looked at, at most :data:`AT_ONCE`; ``at`` in milliseconds, None for now."""
        found = self._collection.find(is_due(now_ms() if at is None else at), sort=[("due", 1)], limit=AT_ONCE)
        return [read(one) for one in await found.to_list(None)]

    async def looked(self, moves: Sequence[Move]) -> None:
        """Everything followed these for now; after its last look a move is over."""
        done: list[UpdateOne | DeleteOne] = []
        for move in moves:
            mine = {"_id": f"moved|{move.reference}", "token": move.token, "look": move.look}
            if move.look < len(LOOKS_MS):
                later = {"look": move.look + 1, "due": now_ms() + LOOKS_MS[move.look]}
                done.append(UpdateOne(mine, {"$set": later}))
            else:
                done.append(DeleteOne(mine))
        await self._collection.bulk_write(done, ordered=False)

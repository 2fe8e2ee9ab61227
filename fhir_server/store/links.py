"""What the links in messages stand for, found by the digest of their text: who reads the database cannot use them.

``{_id, act, appointment, patient, start, request, expires, tries?, used?, outcome?, until}``; ids, no patient data.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pymongo import IndexModel, UpdateOne

from fhir_server.store.driver import Connection, Document

LINKS = "links"
INDEXES = {LINKS: [IndexModel([("until", 1)], expireAfterSeconds=0), IndexModel([("appointment", 1)])]}
KEPT_SECONDS = 30 * 86400
"""So long after its end a link still says what was done."""


@dataclass(frozen=True, slots=True)
class Link:
    """One act on one appointment for one patient.

    ``act`` is ``confirm``, ``reschedule``, ``cancel``, ``unsubscribe`` or ``checkin``; ``start`` the appointment's when
    the link was made, ``expires`` when the link ends, both epoch seconds. ``request``: the CommunicationRequest it went
    out with, or empty.
    ``used`` is when it was used, ``outcome`` what came of it.
    """

    id: str
    act: str
    appointment: str
    patient: str
    start: int
    request: str
    expires: int
    used: int | None = None
    outcome: str = ""


class Links:
    """The ``links`` collection."""

    def __init__(self, connection: Connection) -> None:
        self._collection = connection.collection(LINKS)

    async def put(self, *links: Link) -> None:
        """Keep links; one that is there stays as it is, for a message may be written twice."""
        await self._collection.bulk_write(
            [UpdateOne({"_id": one.id}, {"$setOnInsert": _content(one)}, upsert=True) for one in links], ordered=False
        )

    async def get(self, text: str) -> Link | None:
        """What a text stands for, used and over ones too."""
        found: Document | None = await self._collection.find_one({"_id": digest(text)})
        return _link(found) if found else None

    async def tried(self, link: Link, most: int) -> bool:
        """Count a try to prove whose link it is; False when there were ``most`` before it."""
        counted = await self._collection.update_one(
            {"_id": link.id, "$or": [{"tries": {"$exists": False}}, {"tries": {"$lt": most}}]}, {"$inc": {"tries": 1}}
        )
        return bool(counted.matched_count)

    async def used(self, link: Link, now: int, outcome: str) -> None:
        """Note what came of a link; the first use is the one that counts."""
        await self._collection.update_one(
            {"_id": link.id, "used": {"$exists": False}}, {"$set": {"used": now, "outcome": outcome}}
        )


def digest(text: str) -> str:
    """What is stored of a link's text, which has at least 128 unguessable bits."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _content(link: Link) -> Document:
    return {
        "act": link.act, "appointment": link.appointment, "patient": link.patient, "start": link.start,
        "request": link.request, "expires": link.expires,
        "until": datetime.fromtimestamp(link.expires + KEPT_SECONDS, UTC),
    }  # fmt: skip


def _link(found: dict[str, Any]) -> Link:
    return Link(
        found["_id"], found["act"], found["appointment"], found["patient"], found["start"], found["request"],
        found["expires"], found.get("used"), found.get("outcome", ""),
    )  # fmt: skip

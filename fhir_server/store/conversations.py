"""What was said by text message with one number, so that a short answer finds what it answers.

``{_id: keyed hash of the number, about: [{appointment, patient, at}], question?, asked?, heard, until}``.
The number itself is nowhere; replies are sealed, the rest are ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pymongo import IndexModel

from fhir_server.store.driver import Connection, Document, DuplicateKeyError
from fhir_server.store.sealing import Sealer
from fhir_server.store.unit import Unit

CONVERSATIONS = "conversations"
INDEXES = {CONVERSATIONS: [IndexModel([("until", 1)], expireAfterSeconds=0)]}
KEPT_SECONDS = 60 * 86400
MOST_ABOUT = 20
MOST_HEARD = 20
_DOMAIN = "conversation|number"


@dataclass(frozen=True, slots=True)
class About:
    """An appointment of a patient that a message to the number was about, at an epoch second."""

    appointment: str
    patient: str
    at: int


@dataclass(frozen=True, slots=True)
class Question:
    """Which appointment an act is meant for: the options in their order, asked at an epoch second."""

    act: str
    options: tuple[About, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Conversation:
    """``asked``: when somebody was last asked what they mean. ``heard``: replies by id of the message they answer."""

    id: bytes
    about: tuple[About, ...] = ()
    question: Question | None = None
    asked: int | None = None
    heard: tuple[tuple[str, str], ...] = ()

    def reply_to(self, message_id: str) -> str | None:
        """What was answered to a message that comes again."""
        return next((reply for id_, reply in self.heard if id_ == message_id), None)


class Conversations:
    """The ``conversations`` collection."""

    def __init__(self, connection: Connection, sealer: Sealer) -> None:
        self._collection = connection.collection(CONVERSATIONS)
        self._sealer = sealer

    def id_of(self, number: str) -> bytes:
        """The name of the conversation with a number in E.164."""
        return self._sealer.hashed(_DOMAIN, number)

    async def get(self, number: str) -> Conversation:
        """The conversation with a number; an empty one if there was none."""
        id_ = self.id_of(number)
        found: Document | None = await self._collection.find_one({"_id": id_})
        return self._read(id_, found) if found else Conversation(id_)

    async def told(self, unit: Unit, number: str, about: About) -> None:
        """Note that a message about an appointment goes to a number, if this unit commits."""
        until = datetime.fromtimestamp(about.at + KEPT_SECONDS, UTC)
        same = {"appointment": about.appointment, "patient": about.patient}
        id_ = self.id_of(number)
        session = unit.session
        await self._collection.update_one({"_id": id_}, {"$pull": {"about": same}}, session=session)
        await self._collection.update_one(
            {"_id": id_},
            {
                "$push": {"about": {"$each": [_about(about)], "$slice": -MOST_ABOUT}},
                "$max": {"until": until},
            },
            upsert=True,
            session=session,
        )

    async def answered(
        self, said: Conversation, message_id: str, reply: str, now: int, *, question: Question | None, asked: int | None
    ) -> None:
        """Note what was answered to a message, and what is still open."""
        sealed = self._sealer.seal_bytes(_purpose(said.id, message_id), reply.encode())
        change: dict[str, Any] = {"$set": {}, "$unset": {}}
        change["$push"] = {"heard": {"$each": [{"id": message_id, "reply": sealed}], "$slice": -MOST_HEARD}}
        change["$max"] = {"until": datetime.fromtimestamp(now + KEPT_SECONDS, UTC)}
        open_ = None
        if question is not None:
            open_ = {"act": question.act, "options": [_about(one) for one in question.options], "at": question.at}
        for name, value in (("question", open_), ("asked", asked)):
            if value is None:
                change["$unset"][name] = ""
            else:
                change["$set"][name] = value
        given = {name: one for name, one in change.items() if one}
        with suppress(DuplicateKeyError):  # it was answered already
            await self._collection.update_one({"_id": said.id, "heard.id": {"$ne": message_id}}, given, upsert=True)

    def _read(self, id_: bytes, found: Document) -> Conversation:
        question = found.get("question")
        return Conversation(
            id_,
            _abouts(found.get("about", ())),
            Question(question["act"], _abouts(question["options"]), question["at"]) if question else None,
            found.get("asked"),
            tuple(
                (one["id"], self._sealer.open_bytes(_purpose(id_, one["id"]), bytes(one["reply"])).decode())
                for one in found.get("heard", ())
            ),
        )


def _purpose(id_: bytes, message_id: str) -> str:
    return f"{CONVERSATIONS}/{id_.hex()}/{message_id}"


def _about(one: About) -> dict[str, Any]:
    return {"appointment": one.appointment, "patient": one.patient, "at": one.at}


def _abouts(found: Sequence[Document]) -> tuple[About, ...]:
    return tuple(About(one["appointment"], one["patient"], one["at"]) for one in found)

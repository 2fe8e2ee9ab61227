"""Attempts of which there are so many in a time, whichever process makes them: ``{_id: name, at: [ms], until}``."""

from __future__ import annotations

from datetime import UTC, datetime

from fhir_server.store.driver import Connection, DuplicateKeyError


class Attempts:
    """One collection of counts; a document leaves by a TTL index at ``until``."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._collection = connection.collection(name)

    async def take(self, name: str, most: int, span: int, now: int) -> int:
        """Take one of the attempts under a name: 0; or when there is another one, and none is taken.

        :param most: so many in ``span`` milliseconds.
        :param now: milliseconds since the epoch, as is the answer.
        """
        free = [{f"at.{most - 1}": {"$exists": False}}, {"at.0": {"$lte": now - span}}]
        change = {
            "$push": {"at": {"$each": [now], "$slice": -most}},
            "$set": {"until": datetime.fromtimestamp((now + span) / 1000, UTC)},
        }
        try:
            await self._collection.update_one({"_id": name, "$or": free}, change, upsert=True)
        except DuplicateKeyError:  # it is there, and none is free
            found = await self._collection.find_one({"_id": name}, {"at": 1})
            return max(now + 1, found["at"][0] + span) if found else now + 1
        return 0

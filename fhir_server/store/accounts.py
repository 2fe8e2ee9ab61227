"""People's accounts: what names a person lies together in one field of bytes, which a cover can seal.

A document is ``{_id, v, key, sealed, role, fhir_user, persons, clinics, second_factor, disabled, password, step,
recovery}``. ``sealed`` holds the username, the name and the TOTP secrets; ``key`` is the index value of the username
and unique. ``password`` is an Argon2id hash, ``recovery`` SHA-256 of the recovery codes that are left, ``step`` the
last TOTP step that was used. ``v`` counts the writes: a change is conditional on the one that was read.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from fhir_server.access.account import Account
from fhir_server.access.caller import Role
from fhir_server.store.driver import Connection, Document, DuplicateKeyError
from fhir_server.store.sealing import Sealer

ACCOUNTS = "accounts"


@dataclass(frozen=True, slots=True)
class Record:
    """An account with what proves it.

    ``totp`` is the base32 secret of the second factor, ``offered`` one that is shown and not proved yet. ``step`` is
    the last 30-second step whose code was used, ``recovery`` digests of unused recovery codes.
    """

    account: Account
    password: str
    totp: str = ""
    offered: str = ""
    step: int = 0
    recovery: tuple[str, ...] = ()
    version: int = 0


def folded(username: str) -> str:
    """A username as it is compared: case and Unicode's ways of writing make no difference."""
    return unicodedata.normalize("NFKC", username.strip()).casefold()


class Accounts:
    """The ``accounts`` collection."""

    def __init__(self, connection: Connection, sealer: Sealer) -> None:
        self._collection = connection.collection(ACCOUNTS)
        self._sealer = sealer

    async def get(self, id_: str) -> Record | None:
        return self._read(await self._collection.find_one({"_id": id_}))

    async def named(self, username: str) -> Record | None:
        """The account of a username."""
        return self._read(await self._collection.find_one({"key": self._key(username)}))

    async def every(self) -> list[Record]:
        """All accounts in order of id."""
        cursor = self._collection.find({}, sort=[("_id", 1)])
        return [record for one in await cursor.to_list(None) if (record := self._read(one))]

    async def insert(self, record: Record) -> bool:
        """Write a new account; False if the username is taken."""
        try:
            await self._collection.insert_one(self._write(replace(record, version=1)))
        except DuplicateKeyError:
            return False
        return True

    async def replace(self, record: Record) -> bool:
        """Write an account in place of the version that was read; False if somebody was faster."""
        written = self._write(replace(record, version=record.version + 1))
        result = await self._collection.replace_one({"_id": record.account.id, "v": record.version}, written)
        return bool(result.matched_count)

    async def use_step(self, id_: str, step: int) -> bool:
        """Note that the code of a TOTP step was used; False if it, or a later one, was used before."""
        result = await self._collection.update_one(
            {"_id": id_, "step": {"$lt": step}}, {"$set": {"step": step}, "$inc": {"v": 1}}
        )
        return bool(result.modified_count)

    async def use_recovery(self, id_: str, digest: str) -> bool:
        """Take a recovery code away; False if there is none such."""
        result = await self._collection.update_one(
            {"_id": id_, "recovery": digest}, {"$pull": {"recovery": digest}, "$inc": {"v": 1}}
        )
        return bool(result.modified_count)

    def _key(self, username: str) -> bytes:
        return self._sealer.hashed(ACCOUNTS, folded(username))

    def _write(self, record: Record) -> Document:
        account = record.account
        plain = orjson.dumps([account.username, account.name, record.totp, record.offered])
        return {
            "_id": account.id,
            "v": record.version,
            "key": self._key(account.username),
            "sealed": self._sealer.seal_bytes(f"{ACCOUNTS}/{account.id}", plain),
            "role": account.role.value,
            "fhir_user": account.fhir_user,
            "persons": list(account.persons),
            "clinics": sorted(account.clinics),
            "second_factor": account.second_factor,
            "disabled": account.disabled,
            "password": record.password,
            "step": record.step,
            "recovery": list(record.recovery),
        }

    def _read(self, found: Mapping[str, Any] | None) -> Record | None:
        if found is None:
            return None
        plain = self._sealer.open_bytes(f"{ACCOUNTS}/{found['_id']}", bytes(found["sealed"]))
        username, name, totp, offered = orjson.loads(plain)
        account = Account(
            found["_id"],
            username,
            name,
            Role(found["role"]),
            found["fhir_user"],
            tuple(found["persons"]),
            frozenset(found["clinics"]),
            found["second_factor"],
            found["disabled"],
        )
        return Record(
            account, found["password"], totp, offered, found["step"], tuple(found["recovery"]), found["v"]
        )  # fmt: skip

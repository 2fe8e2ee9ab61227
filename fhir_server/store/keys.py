"""The keys of this database: one document of the collection ``keys``, in which every key lies wrapped.

    {_id: "ring", v, primary, keys: {<id>: {wrapped, made, retired?}}, root, kek}

``v`` moves with every change, which is made where ``v`` is still the one read. A process looks at ``v`` when it meets
an unknown key, and before it seals if it has not looked for ``FRESH_SECONDS``; so it never seals for longer than that
under a key that another process replaced. What wraps the keys lies outside of the database (``remote/kms.py``). A
wrapped key carries its id, so that no entry passes for another.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fhir_server.errors import KeysError
from fhir_server.log import get_logger
from fhir_server.store.driver import Connection, DuplicateKeyError
from fhir_server.store.sealing import ID_BYTES, KEY_BYTES, KeyRing, Sealer

KEYS = "keys"
RING = "ring"
FRESH_SECONDS = 30.0
CHANGES = 5

_ROOT = b"root"

log = get_logger("keys")


class Kms(Protocol):
    """What wraps keys: a file in development, a key management service in production."""

    @property
    def name(self) -> str:
        """What it is, without secrets: ``file``, ``vault``, ``aws-kms``, ``gcp-kms``."""
        ...

    async def begin(self) -> None:
        """Called once before the first key of a database is wrapped."""
        ...

    async def wrap(self, plain: bytes) -> bytes:
        """:raises KeysError: it cannot."""
        ...

    async def unwrap(self, wrapped: bytes) -> bytes:
        """:raises KeysError: it cannot, or it did not wrap this."""
        ...


@dataclass(frozen=True, slots=True)
class KeyState:
    """One data key as ``fhir-server keys status`` shows it; times in milliseconds since the epoch."""

    id: str
    made: int
    primary: bool
    retired: int | None


class Keys:
    """The ring of one process, and the ``sealer`` that uses it."""

    def __init__(self, connection: Connection, kms: Kms) -> None:
        self._collection = connection.collection(KEYS)
        self._kms = kms
        self._known: dict[str, bytes] = {}
        self._version = 0
        self._looked = 0.0
        self.sealer = Sealer()

    async def open(self, *, sealed: bool) -> None:
        """Read the ring, or make it where nothing is sealed yet.

        :param sealed: whether the data says that it is sealed.
        :raises KeysError: the keys do not open with the present FHIR_KEYS, or are gone.
        """
        if await self.reload():
            return
        if sealed:
            msg = "The data is sealed but its collection keys is empty; restore it from the backup of the data."
            raise KeysError(msg)
        await self._kms.begin()
        id_, entry = await self._made()
        ring = {
            "_id": RING, "v": 1, "primary": id_, "keys": {id_: entry}, "kek": self._kms.name,
            "root": await self._kms.wrap(_ROOT + secrets.token_bytes(KEY_BYTES)),
        }  # fmt: skip
        try:
            await self._collection.insert_one(ring)
        except DuplicateKeyError:
            log.info("another process made the keys")
        await self.reload()

    async def reload(self) -> bool:
        """Read the ring anew; False if there is none. Keys that are known are not unwrapped again.

        :raises KeysError: a key does not open with the present FHIR_KEYS.
        """
        self._looked = time.monotonic()
        ring = await self._ring()
        if ring is None:
            return False
        for id_, entry in ring["keys"].items():
            if id_ not in self._known:
                self._known[id_] = await self._unwrapped(entry["wrapped"], bytes.fromhex(id_))
        if "root" not in self._known:
            self._known["root"] = await self._unwrapped(ring["root"], _ROOT)
        keys = {id_: AESGCM(self._known[id_]) for id_ in ring["keys"]}
        self.sealer.adopt(KeyRing(keys, ring["primary"], self._known["root"]))
        self._version = ring["v"]
        return True

    async def fresh(self) -> None:
        """Called before sealing: know of a new primary key within ``FRESH_SECONDS``."""
        if time.monotonic() - self._looked < FRESH_SECONDS:
            return
        self._looked = time.monotonic()
        found = await self._collection.find_one({"_id": RING}, {"v": 1})
        if found and found["v"] != self._version:
            try:
                await self.reload()
            except KeysError:
                # What is at hand still seals; FHIR_KEYS of this process is an older one.
                log.warning("the keys were changed and do not open here; restart with the new FHIR_KEYS")

    async def state(self) -> list[KeyState]:
        """Every data key, the oldest first."""
        ring = await self._ring() or {"keys": {}, "primary": ""}
        found = [
            KeyState(id_, entry["made"], id_ == ring["primary"], entry.get("retired"))
            for id_, entry in ring["keys"].items()
        ]
        return sorted(found, key=lambda one: (one.made, one.id))

    async def kek(self) -> str:
        """What wraps the keys, as the ring says."""
        return str((await self._ring() or {}).get("kek", ""))

    async def renew(self) -> str:
        """Make a new primary key; its id. The others still open what they sealed."""
        id_, entry = await self._made()
        await self._change(lambda ring: {"primary": id_, "keys": {**ring["keys"], id_: entry}})
        await self.reload()
        return id_

    async def retire(self, primary: str, at: int) -> int:
        """Note that all keys but ``primary`` seal nothing any more; how many there are."""

        def change(ring: Mapping[str, Any]) -> dict[str, Any]:
            keys = {id_: {**one} if id_ == primary else {"retired": at, **one} for id_, one in ring["keys"].items()}
            return {"keys": keys}

        await self._change(change)
        return sum(one.retired is not None for one in await self.state())

    async def forget(self, ids: set[str]) -> None:
        """Drop retired keys for good."""

        def change(ring: Mapping[str, Any]) -> dict[str, Any]:
            kept = {id_: one for id_, one in ring["keys"].items() if id_ not in ids or "retired" not in one}
            return {"keys": kept}

        if ids:
            await self._change(change)
            await self.reload()

    async def rewrap(self, kms: Kms) -> int:
        """Wrap every key by ``kms`` instead; how many there are. Data stays as it is.

        :raises KeysError: the old one does not open them, or the new one cannot wrap.
        """
        await self.reload()
        await kms.begin()
        wrapped = {
            id_: await kms.wrap((_ROOT if id_ == "root" else bytes.fromhex(id_)) + key)
            for id_, key in self._known.items()
        }

        def change(ring: Mapping[str, Any]) -> dict[str, Any]:
            if not ring["keys"].keys() <= wrapped.keys():
                msg = "The keys were changed meanwhile; run it again."
                raise KeysError(msg)
            keys = {id_: {**one, "wrapped": wrapped[id_]} for id_, one in ring["keys"].items()}
            return {"keys": keys, "root": wrapped["root"], "kek": kms.name}

        await self._change(change)
        self._kms = kms
        return len(wrapped)

    async def _ring(self) -> dict[str, Any] | None:
        found: dict[str, Any] | None = await self._collection.find_one({"_id": RING})
        return found

    async def _change(self, change: Any) -> None:
        for _ in range(CHANGES):
            ring = await self._ring()
            if ring is None:
                break
            fields = {**change(ring), "v": ring["v"] + 1}
            done = await self._collection.update_one({"_id": RING, "v": ring["v"]}, {"$set": fields})
            if done.matched_count:
                return
        msg = "The keys could not be changed; run it again."
        raise KeysError(msg)

    async def _made(self) -> tuple[str, dict[str, Any]]:
        """A new data key: its id and its entry."""
        id_, key = secrets.token_bytes(ID_BYTES), secrets.token_bytes(KEY_BYTES)
        return id_.hex(), {"wrapped": await self._kms.wrap(id_ + key), "made": time.time_ns() // 1_000_000}

    async def _unwrapped(self, wrapped: bytes, name: bytes) -> bytes:
        plain = await self._kms.unwrap(bytes(wrapped))
        if plain[: len(name)] != name or len(plain) != len(name) + KEY_BYTES:
            msg = "A key in the collection keys is not the one that it says it is; restore it from the backup."
            raise KeysError(msg)
        return plain[len(name) :]

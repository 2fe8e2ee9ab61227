"""Access tokens for tests: real ones, of clients and accounts that are registered when somebody first needs them.

A test says who calls by the header ``X-Client-Id``; without it ``test`` calls, a backend without walls that books on
the channel *online*, the strictest. The header itself never reaches the server.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from fhir_server.access.account import Account
from fhir_server.access.caller import Role
from fhir_server.access.client import Client, Kind
from fhir_server.access.scopes import parse
from fhir_server.app import Server
from fhir_server.remote.http import httpx
from fhir_server.services.authorization import clients, tokens
from fhir_server.services.world import World
from fhir_server.store.accounts import Record
from tests.builders.smart import ES384, public

EVERYTHING = "system/*.cruds"
MARGIN_SECONDS = 60


@dataclass
class Issuer:
    """Makes tokens for one server: ``world`` gives its database, ``base`` its FHIR base, empty: the world's own."""

    world: Callable[[], World]
    base: str = ""
    _known: dict[str, tuple[str, float]] = field(default_factory=dict)

    def _world(self) -> World:
        world = self.world().own()
        settings = world.settings.model_copy(update={"base_url": self.base}) if self.base else world.settings
        return replace(world, settings=settings)

    async def backend(self, name: str = "test", scopes: str = EVERYTHING, **more: Any) -> str:
        """The token of a backend of that name."""
        return await self._token(f"{name} {scopes} {more}", lambda world: self._backend(world, name, scopes, more))

    async def _backend(self, world: World, name: str, scopes: str, more: dict[str, Any]) -> str:
        client = await self._client(
            world, f"{name} {more}", f"{EVERYTHING} launch", frozenset({"client_credentials"}), **more
        )
        return (await tokens.issue(world, client=client, scopes=parse(scopes))).token

    async def person(self, account: Account, scopes: str, patient: str = "") -> str:
        """The token of an app that a person uses; the account is stored when it is new."""
        return await self._token(
            f"{account.id} {scopes} {patient}", lambda world: self._person(world, account, scopes, patient)
        )

    async def _person(self, world: World, account: Account, scopes: str, patient: str) -> str:
        if await world.store.accounts.get(account.id) is None:
            await world.store.accounts.insert(Record(account, "no password"))
        everything = "openid fhirUser launch launch/patient offline_access patient/*.cruds user/*.cruds"
        client = await self._client(
            world, f"app {scopes}", everything if "?" not in scopes else f"{everything} {scopes}",
            frozenset({"authorization_code"}), redirect_uris=("https://app.example/callback",),
        )  # fmt: skip
        issued = await tokens.issue(world, client=client, scopes=parse(scopes), account=account, patient=patient)
        return issued.token

    async def _token(self, key: str, make: Callable[[World], Any]) -> str:
        known = self._known.get(key)
        if known is None or known[1] < time.time():
            made = await make(self._world())
            known = self._known[key] = (made, time.time() + tokens.BACKEND_SECONDS - MARGIN_SECONDS)
        return known[0]

    async def _client(self, world: World, name: str, scopes: str, grant_types: frozenset[str], **more: Any) -> Client:
        id_ = f"test-{hashlib.sha256(name.encode()).hexdigest()[:24]}"
        known = await world.store.authorization.clients.get(id_)
        if known:
            return known
        proof: dict[str, Any] = {"jwks": {"keys": [public(ES384, "es")]}}
        made = Client(id_, name[:60], Kind.ASYMMETRIC, parse(scopes), grant_types, **proof, channel="online", **more)
        try:
            return (await clients.register(world, made))[0]
        except clients.UnfitClientError:
            again = await world.store.authorization.clients.get(id_)
            if again is None:
                raise
            return again


class Bearer(httpx.Auth):
    """Gives each request that has no Authorization the token of the backend that it names."""

    def __init__(self, issuer: Issuer, scopes: str = EVERYTHING) -> None:
        self._issuer = issuer
        self._scopes = scopes

    async def async_auth_flow(self, request: Any) -> AsyncIterator[Any]:
        named = request.headers.pop("X-Client-Id", "") or "test"
        if "Authorization" not in request.headers:
            request.headers["Authorization"] = f"Bearer {await self._issuer.backend(named[:64], self._scopes)}"
        yield request

    def sync_auth_flow(self, request: Any) -> Iterator[Any]:
        msg = "a synchronous client sets the header itself, with a token of Issuer.backend"
        raise TypeError(msg)


def issuer_for(app: Server, base: str = "") -> Issuer:
    """An issuer of tokens for a server on the database of ``app``, under another base if one is given."""

    def world() -> World:
        assert app.door.world is not None
        return app.door.world.unmoved()  # logins know no other clock, wherever a test has moved it

    return Issuer(world, base.rstrip("/"))


def bearer(app: Server, base: str = "") -> Bearer:
    """What an HTTP client of that server is given as ``auth``."""
    return Bearer(issuer_for(app, base))


def account(role: Role, fhir_user: str = "", **more: Any) -> Account:
    """An account that nobody else has."""
    id_ = secrets.token_hex(12)
    persons = more.pop("persons", (fhir_user,) if fhir_user else ())
    return Account(id_, f"user-{id_}", "Somebody", role, fhir_user, persons, **more)

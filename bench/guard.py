"""Who calls in a run; and the server without its guard, to measure what the guard costs.

The unguarded server looks at nobody's token, seals nothing and records no access. It exists in this folder alone: the
real one has no switch for any of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from joserfc.jwk import ECKey

from fhir_server import app
from fhir_server.access.caller import Caller, Role
from fhir_server.access.client import Client, Kind
from fhir_server.access.scopes import parse
from fhir_server.bootstrap import open_world
from fhir_server.rest.answer import Answer
from fhir_server.rest.door import Door
from fhir_server.services.access.policy import AccessPolicy
from fhir_server.services.authorization import clients, tokens
from fhir_server.services.world import World
from fhir_server.settings import Settings
from fhir_server.store import database
from fhir_server.store.driver import Document
from fhir_server.store.sealed_index import Hashed
from fhir_server.store.vault import Vault

SCOPES = parse("system/*.cruds")
CALLER = Client("bench", "The benchmark", Kind.ASYMMETRIC, SCOPES, frozenset({"client_credentials"}), channel="online")


def token(settings: Settings) -> str:
    """An access token of a backend of the clinic, good for five minutes."""

    async def issued() -> str:
        async with open_world(settings) as opened:
            world = opened.world.own()
            client = await clients.get(world, CALLER.id)
            if client is None:
                key = ECKey.generate_key("P-384", {"alg": "ES384", "use": "sig", "kid": "bench"}).as_dict(private=False)
                client, _ = await clients.register(world, replace(CALLER, jwks={"keys": [key]}))
            return (await tokens.issue(world, client=client, scopes=SCOPES)).token

    return asyncio.run(issued())


class ClearVault(Vault):
    """Stores everything as it is."""

    def current(self, type_: str, document: Document) -> Document:
        del type_
        return document

    def old(self, document: Document) -> Document:
        return document

    def index(self, type_: str, index: Mapping[str, Any]) -> dict[str, Any]:
        del type_
        return dict(index)

    async def opened(self, collection: str, documents: Sequence[Document]) -> None:
        del collection, documents

    def where(self, filter_: Any) -> Any:
        """A value that would be hashed is its own text, as :meth:`index` left it."""
        if isinstance(filter_, dict):
            return {name: self.where(value) for name, value in filter_.items()}
        if isinstance(filter_, list):
            return [self.where(one) for one in filter_]
        return filter_.text if isinstance(filter_, Hashed) else filter_


class OpenDoor(Door):
    """Lets everybody in and writes nobody down."""

    async def _recorded(
        self, scope: Any, receive: Any, headers: Mapping[str, str], request_id: str
    ) -> tuple[str, Answer]:
        assert self.world is not None
        route, answer, _ = await self._answer(self._context(scope, receive, headers, request_id, self.world))
        return route, answer

    async def _policy(self, world: World, headers: Mapping[str, str]) -> AccessPolicy:
        del world, headers
        return _EVERYBODY


_EVERYBODY = AccessPolicy(Caller(role=Role.SYSTEM, scopes=SCOPES, client="bench"))


def unsealed() -> AbstractContextManager[Any]:
    """Within it, stores are opened that seal nothing."""
    return patch.object(database, "Vault", ClearVault)


def unguarded() -> app.Server:
    """The application without its guard, as the environment configures it; the process stays without."""
    unsealed().__enter__()
    patch.object(app, "Door", OpenDoor).start()
    return app.from_environment()

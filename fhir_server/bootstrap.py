"""The composition root: settings in, world out; the one place that names adapters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fhir_server.clock import clock_of, real
from fhir_server.conformance.artifacts import Artifacts
from fhir_server.conformance.profiles import Profiles
from fhir_server.conformance.terminology import Terminology
from fhir_server.conformance.validator import Validator
from fhir_server.errors import SettingsError
from fhir_server.fhir.types import RESOURCE_TYPES
from fhir_server.log import get_logger
from fhir_server.remote import kms
from fhir_server.remote.channels import Channels, channels_of
from fhir_server.remote.jwks import KeySets
from fhir_server.search import definitions
from fhir_server.services import resources, terms
from fhir_server.services.access import followers
from fhir_server.services.aliases import alias_check
from fhir_server.services.artifacts import Shelf
from fhir_server.services.audit.recorder import Recorder
from fhir_server.services.audit.versions import versions_of
from fhir_server.services.authorization import issuers
from fhir_server.services.authorization.memory import Memory
from fhir_server.services.catalogue import Catalogue
from fhir_server.services.rebuild import rebuild_index
from fhir_server.services.subscriptions import topics
from fhir_server.services.subscriptions.directory import Directory
from fhir_server.services.world import World
from fhir_server.settings import Settings
from fhir_server.store.database import open_store

log = get_logger("bootstrap")


def build(settings: Settings, channels: Channels | None = None) -> World:
    """A world whose database is not asked yet.

    :param channels: the ways to people; None = those that the settings turn on.
    :raises SettingsError: an unknown time zone, trusted issuers that cannot be read, or half a channel.
    :raises KeysError: the settings do not name what wraps the keys.
    """
    try:
        return _build(settings, channels)
    except ValueError as wrong:
        raise SettingsError(str(wrong)) from wrong


def _build(settings: Settings, channels: Channels | None) -> World:
    try:
        zone = ZoneInfo(settings.timezone)
    except (ZoneInfoNotFoundError, ValueError):
        msg = f"FHIR_TIMEZONE is no IANA time zone: {settings.timezone}"
        raise ValueError(msg) from None
    artifacts = Artifacts.load()
    terminology = Terminology(artifacts)
    aliases = alias_check(settings.bases)
    known = definitions.load(artifacts.search_parameters)
    store = open_store(settings, kms.of(settings.keys), known)
    world = World(
        settings=settings,
        store=store,
        artifacts=artifacts,
        terminology=terminology,
        shelf=Shelf(artifacts, zone),
        definitions=known,
        validator=Validator(
            dict.fromkeys(RESOURCE_TYPES, lambda resource: terms.problems(resource) + aliases(resource)),
            Profiles(artifacts.structure_definitions, terminology.members),
        ),
        catalogue=Catalogue(store, settings.bases),
        topics=topics.load(artifacts.topics, topics.Reader(known, zone, settings.bases, terminology)),
        subscribers=Directory(),
        memory=Memory(KeySets(loopback=settings.environment == "development"), issuers.read(settings)),
        record=Recorder(store.audit, store.markers, real, versions_of(store.resources)),
        zone=zone,
        bases=settings.bases,
        hosts=settings.hosts,
        clock=clock_of(settings.clock),
        channels=channels or channels_of(settings, loopback=settings.environment == "development"),
        wall=real if settings.clock else None,
    )
    store.units.after = partial(followers.after_write, world)
    return world


@dataclass(frozen=True, slots=True)
class Opened:
    """A world with its database prepared, for commands."""

    world: World

    async def put(self, resource: Mapping[str, Any]) -> None:
        """Store a resource under its own id.

        :raises Problem: what the server refuses.
        """
        await resources.put(self.world, resource)

    async def is_empty(self) -> bool:
        """Whether no resource was ever stored."""
        for type_ in RESOURCE_TYPES:
            if await self.world.store.resources.find(type_, {}, limit=1, fields={"_id": 1}):
                return False
        return True


async def prepare(world: World) -> None:
    """Keys, collections, indexes and the layout of the data; search values of an older layout are made anew.

    :raises NewerDataError: the data was written by a newer server.
    :raises KeysError: the keys of the data do not open with the present settings.
    """
    if await world.store.prepare():
        log.info("search values of an older layout are made anew")
        await rebuild_index(world, verify=False)
        await world.store.reindexed()
    await followers.settle(world)


@asynccontextmanager
async def open_world(settings: Settings) -> AsyncIterator[Opened]:
    """A world with collections and indexes in place; closed at the end."""
    world = build(settings)
    try:
        await prepare(world)
        yield Opened(world)
    finally:
        await world.store.close()

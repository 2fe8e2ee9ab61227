"""The world that a use case acts in: store, artifacts, definitions, validator, catalogue, clock and settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from fhir_server.access.caller import Caller
from fhir_server.conformance.artifacts import Artifacts
from fhir_server.conformance.terminology import Terminology
from fhir_server.conformance.validator import Validator
from fhir_server.remote.channels import Channels
from fhir_server.search.definitions import Definitions
from fhir_server.services.access.policy import NOBODY, OWN, AccessPolicy
from fhir_server.services.access.view import View
from fhir_server.services.artifacts import Shelf
from fhir_server.services.audit.recorder import Recorder
from fhir_server.services.authorization.memory import Memory
from fhir_server.services.catalogue import Catalogue
from fhir_server.services.subscriptions.topics import Topics
from fhir_server.settings import Settings
from fhir_server.store.database import Store
from fhir_server.store.unit import Unit

if TYPE_CHECKING:
    from fhir_server.services.subscriptions.directory import Directory

__all__ = ["Caller", "World"]

NO_STAMP: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class World:
    """Everything with an effect, built once in ``bootstrap`` and passed in; ``policy`` is that of the request's caller.

    ``clock`` gives milliseconds since the epoch; where development moves it, ``wall`` is the real one.
    ``zone`` reads search values without an offset.
    ``memory`` is what this process remembers of tokens and keys.
    ``channels`` are the ways to people: e-mail, text messages, calls, push.
    ``bases`` are the absolute forms of our own FHIR base, ``hosts`` the names under which we may be asked.
    """

    settings: Settings
    store: Store
    artifacts: Artifacts
    terminology: Terminology
    shelf: Shelf
    definitions: Definitions
    validator: Validator
    catalogue: Catalogue
    topics: Topics
    subscribers: Directory
    memory: Memory
    record: Recorder
    zone: ZoneInfo
    bases: tuple[str, ...]
    hosts: frozenset[str]
    clock: Callable[[], int]
    channels: Channels
    wall: Callable[[], int] | None = None
    policy: AccessPolicy = field(default=NOBODY)
    stamp: Mapping[str, str] = field(default_factory=lambda: NO_STAMP)

    def under(self, policy: AccessPolicy, stamp: Mapping[str, str] = NO_STAMP) -> World:
        """The world of one caller.

        :param stamp: what stands beside every version that is written for them (``access.record.stamp``).
        """
        return replace(self, policy=policy, stamp=stamp)

    def own(self) -> World:
        """The world of the server itself: nothing is hidden from upkeep, and nobody is asked."""
        return self.under(OWN)

    @property
    def view(self) -> View:
        """What the caller sees of what is stored; answers are made from this alone."""
        return View(self)

    def unmoved(self) -> World:
        """The world by the real clock: logins and tokens are of people and machines outside."""
        return replace(self, clock=self.wall) if self.wall else self

    def within(self, unit: Unit, *, catalogue: bool) -> World:
        """The same world inside an open unit of work.

        :param catalogue: the unit writes schedules, services or what they are made of: facts are read in it, anew.
        """
        store = self.store.within(unit)
        return replace(self, store=store, catalogue=Catalogue(store, self.bases) if catalogue else self.catalogue)

    def now(self) -> int:
        """Whole seconds since the epoch."""
        return self.clock() // 1000

"""A fact: one version that was committed, with the one before it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fhir_server.fhir.json import parse
from fhir_server.store.resources import Stored, history_id
from fhir_server.store.unit import Unit

if TYPE_CHECKING:
    from fhir_server.services.world import World


@dataclass(frozen=True)
class Fact:
    """What a version changed.

    ``before`` is None for a first version and for one that came after a deletion; ``after`` may be a deletion's marker.
    """

    after: Stored
    before: Stored | None = None

    @property
    def id(self) -> str:
        """``Type/id/000000000v``: the same whenever and by whomever it is told."""
        return history_id(self.after.type, self.after.id, self.after.version)

    @property
    def type(self) -> str:
        return self.after.type

    @property
    def reference(self) -> str:
        return self.after.reference

    @property
    def at(self) -> int:
        """When it was written, in milliseconds since the epoch."""
        return self.after.at

    @cached_property
    def old(self) -> Mapping[str, Any] | None:
        """The resource before; None if there was none."""
        return parse(self.before.body) if self.before else None

    @cached_property
    def new(self) -> Mapping[str, Any] | None:
        """The resource after; None if it was deleted."""
        return None if self.after.deleted else parse(self.after.body)


Follow = Callable[["World", Unit, Sequence[Fact]], Awaitable[None]]
"""Writes what follows from facts, in the unit in which they are noted as told; the unit may run more than once."""


@dataclass(frozen=True, slots=True)
class Following:
    """Who follows facts of some types.

    ``later``: told after the others and in another transaction, so that what takes long delays no notification.
    ``asked``: of ``types``, those that somebody asks for now; looked up after the facts were committed.
    """

    follow: Follow
    types: frozenset[str]
    later: bool = False
    asked: Callable[[World], Awaitable[frozenset[str]]] | None = None

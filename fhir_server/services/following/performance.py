"""What a performer is: one kind of due work, done at least once, with the effects outside under a stable id."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fhir_server.store.work import Task

if TYPE_CHECKING:
    from fhir_server.services.world import World


@dataclass(frozen=True, slots=True)
class Again:
    """The work waits until ``due`` (ms since the epoch); ``kept``: its attempts are counted on, ``reason`` says why."""

    due: int
    kept: bool = False
    reason: str = ""


class DeadError(Exception):
    """Trying again is of no use; the reason has no patient data."""


Performer = Callable[["World", Task], Awaitable[Again | None]]
"""Does one piece of work; None when it is done. Whatever it raises is tried again later."""

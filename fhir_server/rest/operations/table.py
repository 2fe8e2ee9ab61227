"""The operations of this server: which handler answers which OperationDefinition of ``profiles/``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from fhir_server.rest.answer import Answer
from fhir_server.rest.context import Context
from fhir_server.rest.operations import book, cancel, extend_hold, find, hold, release, reschedule


@dataclass(frozen=True, slots=True)
class Operation:
    """``type`` and ``instance`` levels; ``safe`` operations change nothing and may be asked with GET."""

    definition: str
    handler: Callable[[Context], Awaitable[Answer]]
    type: bool
    instance: bool
    safe: bool = False


OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("Appointment", "find"): Operation("Appointment-find", find.handle, type=True, instance=False, safe=True),
    ("Appointment", "hold"): Operation("Appointment-hold", hold.handle, type=True, instance=True),
    ("Appointment", "extend-hold"): Operation("Appointment-extend-hold", extend_hold.handle, type=False, instance=True),
    ("Appointment", "release"): Operation("Appointment-release", release.handle, type=False, instance=True),
    ("Appointment", "book"): Operation("Appointment-book", book.handle, type=True, instance=True),
    ("Appointment", "cancel"): Operation("Appointment-cancel", cancel.handle, type=False, instance=True),
    ("Appointment", "reschedule"): Operation("Appointment-reschedule", reschedule.handle, type=False, instance=True),
}

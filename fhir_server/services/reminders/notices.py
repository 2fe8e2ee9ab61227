"""What a patient is told at once: that an appointment was booked, moved, cancelled, or released for want of an answer.

Whoever books through an interface tells the patient themselves; so notices are for what people booked here. The
clinic's policy turns them off, and so does the patient.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_server.access.caller import Role
from fhir_server.fhir.temporal import instant_seconds
from fhir_server.scheduling.reminders import after_quiet, channels
from fhir_server.services.following.fact import Fact
from fhir_server.services.reminders import requests
from fhir_server.services.reminders.people import Person
from fhir_server.services.reminders.reading import Reading
from fhir_server.services.reminders.requests import Batch
from fhir_server.services.reminders.visits import Visit
from fhir_server.services.wishes import CHANNEL_URL, extension_code
from fhir_server.services.world import World
from fhir_server.settings import CANONICAL
from fhir_server.store.resources import Stored

NOTICE = "notice"
"""The kind of message, of the CodeSystem *reminder-kind*."""

MEDIA = ("email", "sms", "push")
RELEASED_SYSTEM = f"{CANONICAL}CodeSystem/cancellation-reason"
RELEASED = "not-confirmed"
"""The reason with which an appointment that nobody confirmed is cancelled."""

BY_TEXT = "text-message"
"""The client in whose name a text message acts (``acts.Patient.by``)."""

TOLD_BY_OTHERS = "interface"
_OVER = frozenset({"cancelled", "entered-in-error"})


async def follow(world: World, reading: Reading, fact: Fact, batch: Batch) -> None:
    """Plan what a version of an Appointment makes the patient want to know."""
    name = news(fact)
    if not name:
        return
    about = fact.after if name in {"booked", "moved"} else fact.before
    visit = await reading.visit(about) if about else None
    if visit is None or visit.start <= world.now() or visit.policy.notices is False:
        return
    for patient, status in visit.patients.items():
        if status == "declined" or (receiver := await reading.receiver(patient, visit)) is None:
            continue
        _plan(world, batch, visit, receiver, name, fact.after)


def _plan(world: World, batch: Batch, visit: Visit, receiver: Person, name: str, version: Stored) -> None:
    usable = receiver.usable(visit.policy.consent_required)
    # Who acts by text message is answered there at once.
    answered = (version.extra.get("by") or {}).get("client") == BY_TEXT
    media = channels(NOTICE, MEDIA, receiver.preferences, usable - {"sms"} if answered else usable)
    due = world.now()
    if name == "released":
        due = after_quiet(due, visit.quiet, receiver.zone_for(visit)) or due
    if media:
        one = requests.wanted(visit, receiver.reference, f"{name}-{version.version}", NOTICE, due, media)
        batch.put(world, one, None, world.clock())


def news(fact: Fact) -> str:
    """``booked``, ``moved``, ``cancelled`` or ``released``; empty for what is no news to the patient."""
    old, new = fact.old, fact.new
    if not _concerns(fact):
        return ""
    was, is_ = _status(old), _status(new)
    if is_ == "booked" and was != "booked":
        return "booked" if was in {"", "proposed", "pending", "waitlist"} else ""
    if is_ == was == "booked" and old and new and start_of(old) != start_of(new):
        return "moved"
    if was == "booked" and (is_ in _OVER or new is None):
        return "released" if new and is_released(new) else "cancelled"
    return ""


def _status(resource: Mapping[str, Any] | None) -> str:
    return str((resource or {}).get("status", ""))


def _concerns(fact: Fact) -> bool:
    """Whether it was booked here, for a person: by its channel, else by whoever wrote this version."""
    if fact.before is None and fact.after.extra.get("method") == "PUT":
        return False  # loaded under an id of its own: it was booked elsewhere, and told of there
    resource = fact.new or fact.old or {}
    if channel := extension_code(resource, CHANNEL_URL):
        return channel != TOLD_BY_OTHERS
    by = fact.after.extra.get("by") or {}
    return str(by.get("role", Role.SYSTEM.value)) != Role.SYSTEM.value


def is_released(resource: Mapping[str, Any]) -> bool:
    """Whether it was given up because nobody confirmed it."""
    codings = (resource.get("cancelationReason") or {}).get("coding", ())
    return requests.code_of([{"coding": codings}], RELEASED_SYSTEM) == RELEASED


def start_of(resource: Mapping[str, Any]) -> int:
    """Epoch seconds, 0 where it has no time."""
    return instant_seconds(resource["start"]) if "start" in resource else 0

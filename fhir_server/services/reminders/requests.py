"""CommunicationRequests: what is to be said to whom about which appointment, and when.

Its id follows from appointment, start, patient and key, so whoever plans twice plans one. Its identifier names
appointment, patient and key: it stays when the appointment moves. https://hl7.org/fhir/R4/communicationrequest.html
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fhir_server.fhir.json import parse
from fhir_server.fhir.temporal import instant_seconds
from fhir_server.search.query import TokenIn
from fhir_server.services.reminders.people import MEDIUM_SYSTEM
from fhir_server.services.reminders.visits import Visit
from fhir_server.services.versions import instant, version_of
from fhir_server.services.world import World
from fhir_server.settings import CANONICAL
from fhir_server.store.resources import Stored, stored
from fhir_server.store.search import to_filter
from fhir_server.store.unit import Unit
from fhir_server.store.work import Plan

TYPE = "CommunicationRequest"
KIND_SYSTEM = f"{CANONICAL}CodeSystem/reminder-kind"
MESSAGE_SYSTEM = f"{CANONICAL}identifier/message"
GROUP_SYSTEM = f"{CANONICAL}identifier/appointment-messages"

REMINDER = "reminder"
"""The kind of work that sends one; its key is the request's id."""

RELEASE = "release"
"""The kind of work that gives up what nobody confirmed; its key is the Appointment's id."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A message to be sent at ``due`` (epoch seconds); ``start`` is the appointment's, ``key`` says which message.

    ``labels``: the appointment's security labels. What says that there is a restricted appointment is as restricted.
    """

    appointment: str
    patient: str
    key: str
    kind: str
    start: int
    due: int
    media: tuple[str, ...]
    clinic: str
    clinics: tuple[str, ...]
    labels: tuple[Mapping[str, Any], ...]

    @property
    def id(self) -> str:
        return id_of(self.appointment, self.patient, self.key, self.start)


@dataclass(frozen=True, slots=True)
class Request:
    """A stored one, read."""

    stored: Stored
    status: str
    appointment: str
    patient: str
    key: str
    kind: str
    due: int
    media: tuple[str, ...]
    labels: tuple[Mapping[str, Any], ...]

    @property
    def id(self) -> str:
        return self.stored.id

    def is_for(self, start: int) -> bool:
        """Whether it was made for the appointment at this start."""
        return self.id == id_of(self.appointment, self.patient, self.key, start)


def id_of(appointment: str, patient: str, key: str, start: int) -> str:
    """26 characters that follow from what the message is, and from ids that nobody guesses."""
    text = f"{appointment}|{patient}|{key}|{start}"
    return base64.b32encode(hashlib.sha256(text.encode()).digest())[:26].decode().lower()


def wanted(visit: Visit, patient: str, key: str, kind: str, due: int, media: Sequence[str]) -> Wanted:
    labels = labels_of(visit.resource)
    return Wanted(visit.id, patient, key, kind, visit.start, due, tuple(media), visit.clinic, visit.clinics, labels)


def read(found: Stored) -> Request:
    """Read one that this server made."""
    resource = parse(found.body)
    name = next((one["value"] for one in resource.get("identifier", ()) if one.get("system") == MESSAGE_SYSTEM), "//")
    appointment, patient, key = name.split("/", 2)
    return Request(
        found,
        resource["status"],
        appointment,
        f"Patient/{patient}",
        key,
        code_of(resource.get("category", ()), KIND_SYSTEM),
        instant_seconds(resource["occurrenceDateTime"]) if "occurrenceDateTime" in resource else 0,
        tuple(code_of([one], MEDIUM_SYSTEM) for one in resource.get("medium", ())),
        labels_of(resource),
    )


def is_ours(resource: Mapping[str, Any]) -> bool:
    """Whether this server made it: others may write CommunicationRequests that are none of its business."""
    return any(one.get("system") == MESSAGE_SYSTEM for one in resource.get("identifier", ()))


def code_of(concepts: Sequence[Mapping[str, Any]], system: str) -> str:
    """The first code of a system; empty if there is none."""
    codings = (coding for concept in concepts for coding in concept.get("coding", ()))
    return next((str(one.get("code", "")) for one in codings if one.get("system") == system), "")


async def of_appointment(world: World, unit: Unit, appointment: str) -> dict[str, Request]:
    """The messages of an appointment by id, whatever their status."""
    return (await of_appointments(world, unit, [appointment]))[appointment]


async def of_appointments(world: World, unit: Unit, appointments: Sequence[str]) -> dict[str, dict[str, Request]]:
    """:func:`of_appointment` for several: Appointment's id → its messages."""
    found: dict[str, dict[str, Request]] = {one: {} for one in appointments}
    if appointments:
        tokens = tuple(f"{GROUP_SYSTEM}|{one}" for one in appointments)
        clause = TokenIn(world.definitions.of(TYPE)["group-identifier"], tokens)
        for row in await unit.find(TYPE, to_filter((clause,)), fields={"idx": 0}):
            one = read(stored(TYPE, row))
            if one.appointment in found:  # others may name the group, too
                found[one.appointment][one.id] = one
    return found


@dataclass(slots=True)
class Batch:
    """Messages that are written and planned together, in a few commands however many there are."""

    writes: list[tuple[Stored | None, Stored, dict[str, Any]]] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)
    withdrawn: dict[str, list[str]] = field(default_factory=dict)

    def put(self, world: World, one: Wanted, known: Request | None, at: int) -> None:
        """A message that is to be sent.

        :param known: the version that is there: it gets another time or other channels, or is wanted again.
        :param at: milliseconds since the epoch.
        """
        same = known and (known.due, known.media, known.labels) == (one.due, one.media, one.labels)
        if known and known.status == "active" and same:
            return
        before = known.stored if known else None
        resource = parse(before.body) if before else _composed(one, at)
        resource["status"] = "active"
        resource.pop("statusReason", None)
        _set(resource, "medium", [coded(MEDIUM_SYSTEM, medium) for medium in one.media])
        resource["meta"] = labelled(resource.get("meta", {}), one.labels)
        resource["occurrenceDateTime"] = instant(one.due * 1000)
        self._write(world, resource, one.id, before, at, one.clinics)
        self.plan(REMINDER, one.id, one.due * 1000, {"appointment": one.appointment})

    def end(self, world: World, known: Request, status: str, at: int, reason: str = "") -> None:
        """A message that was sent (``completed``) or will not be (``revoked``), and why."""
        resource = parse(known.stored.body)
        resource["status"] = status
        resource.pop("statusReason", None)
        if reason:
            resource["statusReason"] = {"text": reason}
        self._write(world, resource, known.id, known.stored, at, tuple(known.stored.extra.get("clinics") or ()))

    def withdraw(self, world: World, known: Request, at: int, reason: str) -> None:
        """A message that waits is not sent any more."""
        self.end(world, known, "revoked", at, reason)
        self.plan(REMINDER, known.id, None)

    def plan(self, kind: str, key: str, due: int | None, about: Mapping[str, Any] | None = None) -> None:
        """Work that is to be done at ``due`` (ms); None: not any more."""
        if due is None:
            self.withdrawn.setdefault(kind, []).append(key)
        else:
            self.plans.append(Plan(kind, key, due, about or {}))

    def _write(
        self,
        world: World,
        resource: Mapping[str, Any],
        id_: str,
        before: Stored | None,
        at: int,
        clinics: Sequence[str],
    ) -> None:
        version, method = (before.version + 1, "PUT") if before else (1, "POST")
        written, index = version_of(world, resource, id_=id_, version=version, at=at, method=method, clinics=clinics)
        self.writes.append((before, written, index))

    async def write(self, world: World, unit: Unit) -> None:
        """Write them, in the unit."""
        if self.writes:
            await unit.write_many(TYPE, self.writes)
        await world.store.work.plan_all(unit, self.plans)
        for kind, keys in self.withdrawn.items():
            await world.store.work.withdraw(unit, kind, *keys)


async def put(world: World, unit: Unit, one: Wanted, known: Request | None, at: int) -> None:
    """:meth:`Batch.put` for one message."""
    batch = Batch()
    batch.put(world, one, known, at)
    await batch.write(world, unit)


async def end(world: World, unit: Unit, known: Request, status: str, at: int, reason: str = "") -> None:
    """:meth:`Batch.end` for one message."""
    batch = Batch()
    batch.end(world, known, status, at, reason)
    await batch.write(world, unit)


async def withdraw(world: World, unit: Unit, known: Request, at: int, reason: str) -> None:
    """:meth:`Batch.withdraw` for one message."""
    batch = Batch()
    batch.withdraw(world, known, at, reason)
    await batch.write(world, unit)


def _composed(one: Wanted, at: int) -> dict[str, Any]:
    who = {"reference": one.patient}
    name = f"{one.appointment}/{one.patient.partition('/')[2]}/{one.key}"
    resource: dict[str, Any] = {
        "resourceType": TYPE,
        "identifier": [{"system": MESSAGE_SYSTEM, "value": name}],
        "groupIdentifier": {"system": GROUP_SYSTEM, "value": one.appointment},
        "status": "active",
        "category": [coded(KIND_SYSTEM, one.kind)],
        "priority": "routine",
        "subject": who,
        "about": [{"reference": f"Appointment/{one.appointment}"}],
        "authoredOn": instant(at),
        "recipient": [who],
    }
    if one.clinic:
        resource["requester"] = resource["sender"] = {"reference": one.clinic}
    return resource


def _set(resource: dict[str, Any], name: str, value: Any) -> None:
    """Set an element; JSON of FHIR has no empty ones."""
    if value:
        resource[name] = value
    else:
        resource.pop(name, None)


def labels_of(resource: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """The security labels of a resource."""
    return tuple(resource.get("meta", {}).get("security", ()))


def labelled(meta: Mapping[str, Any], labels: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """``meta`` with these security labels in place of its own."""
    rest = {name: value for name, value in meta.items() if name != "security"}
    return {**rest, "security": list(labels)} if labels else rest


def coded(system: str, code: str) -> dict[str, Any]:
    """A CodeableConcept."""
    return {"coding": [{"system": system, "code": code}]}

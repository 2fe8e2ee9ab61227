"""Communications: each try to send a message by one channel, from the intent to what became of it.

status        when
------------  -------------------------------------------------------------------------
preparation   noted before it is sent: whoever comes after a crash sends it under the same id
completed     the provider took it; ``sent``, and ``received`` when it was delivered
not-done      it was not taken, or not delivered; ``statusReason``
unknown       a worker died while it was sent, and then it was not wanted any more

https://hl7.org/fhir/R4/communication.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fhir_server.fhir.json import parse
from fhir_server.services.reminders.people import MEDIUM_SYSTEM
from fhir_server.services.reminders.requests import MESSAGE_SYSTEM, Request, coded, labelled
from fhir_server.services.shapes import OWN
from fhir_server.services.versions import instant, version_of
from fhir_server.services.world import World
from fhir_server.settings import CANONICAL
from fhir_server.store.resources import Stored
from fhir_server.store.unit import Unit

TYPE = "Communication"
EVENT_URL = f"{OWN}delivery-event"
PROVIDER_SYSTEM = f"{CANONICAL}identifier/provider/"
NOT_DONE = "http://terminology.hl7.org/CodeSystem/communication-not-done-reason"
REASONS: Mapping[str, str] = {
    "invalid-address": "invalid-phone-number", "unsubscribed": "recipient-objection", "rejected": "system-error",
    "credentials": "system-error", "throttled": "system-error", "unavailable": "system-error",
    "unreachable": "recipient-unavailable", "busy": "recipient-unavailable", "no-answer": "recipient-unavailable",
    "not-delivered": "unknown",
}  # fmt: skip
"""Why a channel did not take it or it did not arrive, in the words of HL7; the text says ours."""


def id_of(request: str, medium: str) -> str:
    """The id of the try by a channel: the same at every attempt, and the message's id outside."""
    return f"{request}-{medium}"


def status(found: Stored) -> str:
    return str(parse(found.body)["status"])


async def tries(world: World, request: Request) -> dict[str, Stored]:
    """The tries of a message by channel."""
    ids = {id_of(request.id, medium): medium for medium in ("email", "sms", "voice", "push")}
    return {ids[one.id]: one for one in await world.store.resources.get_many(TYPE, list(ids))}


async def intend(world: World, unit: Unit, request: Request, medium: str, at: int) -> None:
    """Note that it is about to be sent by a channel; nothing if that is noted."""
    id_ = id_of(request.id, medium)
    if await unit.get(TYPE, id_) is not None:
        return
    asked = parse(request.stored.body)
    content: dict[str, Any] = {
        "resourceType": TYPE,
        "identifier": [one for one in asked["identifier"] if one.get("system") == MESSAGE_SYSTEM],
        "basedOn": [{"reference": f"CommunicationRequest/{request.id}"}],
        "status": "preparation",
        "meta": labelled({}, request.labels),
        "category": asked["category"],
        "medium": [coded(MEDIUM_SYSTEM, medium)],
        **{name: asked[name] for name in ("subject", "about", "recipient", "sender") if name in asked},
    }
    await _write(world, unit, content, id_, None, at, request.stored.extra.get("clinics") or ())


async def note_sent(world: World, unit: Unit, id_: str, provider: str, message_id: str, said: str, at: int) -> bool:
    """Note that a provider took it; False if it said before that, faster than its own answer, that it failed.

    :param said: the words, without links.
    """
    found, resource = await _read(unit, id_)
    system = f"{PROVIDER_SYSTEM}{provider}"
    others = [one for one in resource["identifier"] if one.get("system") != system]
    failed = resource["status"] == "not-done"
    resource |= {
        "identifier": [*others, {"system": system, "value": message_id}],
        "status": "not-done" if failed else "completed",
        "sent": instant(at),
        "payload": [{"contentString": said}],
    }
    _event(resource, "sent", at)
    await _write(world, unit, resource, id_, found, at, found.extra.get("clinics") or ())
    return not failed


async def abandon(world: World, unit: Unit, request: Request, at: int) -> None:
    """Of a message that is not wanted any more: a try whose end nobody saw may have gone out."""
    if request.due * 1000 > at:
        return
    for medium in request.media:
        found = await unit.get(TYPE, id_of(request.id, medium))
        if found is not None and not found.deleted and status(found) == "preparation":
            resource = {**parse(found.body), "status": "unknown"}
            await _write(world, unit, resource, found.id, found, at, found.extra.get("clinics") or ())


async def note_failed(world: World, unit: Unit, id_: str, reason: str, event: str, at: int) -> None:
    """Note that it did not get there."""
    found, resource = await _read(unit, id_)
    resource["status"] = "not-done"
    code = REASONS.get(reason, "unknown")
    resource["statusReason"] = {"coding": [{"system": NOT_DONE, "code": code}], "text": reason}
    _event(resource, event, at)
    await _write(world, unit, resource, id_, found, at, found.extra.get("clinics") or ())


async def note_event(world: World, unit: Unit, id_: str, event: str, at: int, *, received: bool) -> bool:
    """Note what a report says; False if that was known."""
    found, resource = await _read(unit, id_)
    if any(name == event for name, _ in events(resource)):
        return False
    _event(resource, event, at)
    if received and "received" not in resource:
        resource["received"] = instant(at)
    await _write(world, unit, resource, id_, found, world.clock(), found.extra.get("clinics") or ())
    return True


def events(resource: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What became of it: event and instant, in the order in which we heard."""
    found = []
    for extension in resource.get("extension", ()):
        if extension.get("url") == EVENT_URL:
            parts = {one["url"]: one for one in extension["extension"]}
            found.append((parts["event"]["valueCode"], parts["at"]["valueInstant"]))
    return found


def _event(resource: dict[str, Any], event: str, at: int) -> None:
    parts = [{"url": "event", "valueCode": event}, {"url": "at", "valueInstant": instant(at)}]
    resource["extension"] = [*resource.get("extension", ()), {"url": EVENT_URL, "extension": parts}]


async def _read(unit: Unit, id_: str) -> tuple[Stored, dict[str, Any]]:
    found = await unit.get(TYPE, id_)
    if found is None or found.deleted:
        msg = "a try that was noted is not there any more"
        raise LookupError(msg)
    return found, parse(found.body)


async def _write(
    world: World,
    unit: Unit,
    resource: Mapping[str, Any],
    id_: str,
    before: Stored | None,
    at: int,
    clinics: Sequence[str],
) -> None:
    written, index = version_of(
        world,
        resource,
        id_=id_,
        version=before.version + 1 if before else 1,
        at=at,
        method="PUT" if before else "POST",
        clinics=clinics,
    )
    await unit.write(before, written, index)

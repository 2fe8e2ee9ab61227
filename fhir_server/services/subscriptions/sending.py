"""One attempt to send one notification, over whichever channel, signed where there is a secret, and recorded.

The record says who got what: the foci whose ids or contents were in it, never the contents. What went wrong is said in
a code and a sentence that tells nothing of the network: whether a port is open is not the subscriber's to learn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import Counter

from fhir_server.access.record import MINOR, SUCCESS, Accessed, by
from fhir_server.fhir.json import dump, parse
from fhir_server.fhir.xml import to_xml
from fhir_server.remote import webhook
from fhir_server.remote.email import Email
from fhir_server.remote.sending import NotSent
from fhir_server.remote.webhook import Outcome
from fhir_server.services.access.policy import AccessPolicy
from fhir_server.services.subscriptions.checks import mail_of, networks
from fhir_server.services.subscriptions.notification import Kind, Standing, Told, bundle
from fhir_server.services.subscriptions.terms import Terms
from fhir_server.services.world import World
from fhir_server.store.resources import Stored
from fhir_server.store.subscriptions import Event, Progress, Secret

SENT = Counter("fhir_notifications_total", "attempts to send notifications", ["channel", "kind", "outcome"])
NOT_REACHED = "the receiver was not reached, or gave no answer in time"
SUBJECTS = {
    "handshake": "You get notifications from now on",
    "heartbeat": "Nothing new",
    "event-notification": "Something is new",
}
AGAIN_SECONDS = 10
HOPELESS = frozenset({"refused-address"})


@dataclass(frozen=True)
class Target:
    """A Subscription that something is sent to, as it was when the sending began."""

    stored: Stored
    terms: Terms
    progress: Progress
    policy: AccessPolicy

    def standing(self, world: World, **more: Any) -> Standing:
        """How it stands, for a notification."""
        resource = parse(self.stored.body)
        return Standing(
            base_of(world), self.stored.id, self.terms.topic, more.pop("status", resource["status"]),
            self.progress.n, self.terms.content, **more,
        )  # fmt: skip


def base_of(world: World) -> str:
    """Our FHIR base without a slash, as it is written into notifications."""
    return world.settings.bases[0].rstrip("/")


@dataclass(frozen=True, slots=True)
class Prepared:
    """Events as their receiver may see them, and the versions that are shown; ``narrowed``: something was not."""

    told: tuple[Told, ...]
    shown: tuple[Stored, ...]
    narrowed: bool = False


NOTHING = Prepared((), ())


async def prepared(world: World, events: Sequence[Event], content: str) -> Prepared:
    """Events by the rights of the world's caller: each with the version that triggered it, judged now.

    :param content: what is shown of it: ``full-resource`` or less.
    """
    told, shown, narrowed = [], [], False
    for one in events:
        type_, id_, number = one.version
        version = await world.store.resources.version(type_, id_, number)
        seen = None
        if version is not None and world.policy.permits(type_):
            seen = await world.view.seen(version)
        if seen is None:
            narrowed = True
            told.append(Told(one.number, one.at))
            continue
        gone = False
        if one.method != "DELETE":
            current = await world.store.resources.get(type_, id_)
            gone = current is None or current.deleted
        body = seen.body if content == "full-resource" and not gone and not seen.deleted else None
        told.append(Told(one.number, one.at, f"{type_}/{id_}", one.method, body, gone))
        shown.append(seen)
    return Prepared(tuple(told), tuple(shown), narrowed)


async def send(world: World, target: Target, kind: Kind, found: Prepared, standing: Standing) -> Outcome:
    """One attempt; what came of it is recorded, and nothing else is written."""
    notification = bundle(standing, kind, found.told, world.clock())
    if target.terms.channel == "email":
        outcome = await _mail(world, target, kind, notification)
    else:
        body = written(target.terms.payload, notification)
        headers = [*webhook.headers_of(target.terms.headers), ("Content-Type", target.terms.payload)]
        now = world.unmoved().now()
        if secrets := valid(target.progress.secrets, now):
            headers.append((webhook.SIGNATURE, webhook.sign([one.text for one in secrets], now, body)))
        # A receiver that failed before does not keep a worker for long.
        longest = AGAIN_SECONDS if target.progress.failures else target.terms.timeout
        outcome = await webhook.post(
            target.terms.endpoint, body, headers, allowed=networks(world),
            timeout=float(min(target.terms.timeout, longest)),
        )  # fmt: skip
    SENT.labels(target.terms.channel, kind, "taken" if outcome.accepted else code_of(outcome)).inc()
    await record(world, target, found, outcome)
    return outcome


def written(payload: str, resource: dict[str, Any]) -> bytes:
    """A resource in the format that a Subscription asks for."""
    return to_xml(resource) if payload == "application/fhir+xml" else dump(resource)


def valid(secrets: Sequence[Secret], now: int) -> list[Secret]:
    """Secrets that sign now, the newest first."""
    return [one for one in reversed(secrets) if not one.until or one.until > now]


async def _mail(world: World, target: Target, kind: Kind, notification: Mapping[str, Any]) -> Outcome:
    """By e-mail: the notification as text under a few words; it has the same id whenever it is sent."""
    channel = mail_of(world)
    if channel is None:
        return Outcome(error="channel-off")
    whole = written(target.terms.payload, dict(notification)).decode()
    subject = SUBJECTS.get(kind, SUBJECTS["event-notification"])
    message = Email(id=str(notification["id"]), to=target.terms.endpoint.removeprefix("mailto:"), subject=subject,
                    text=f"{notification['entry'][0]['request']['url']}\n\n{whole}")  # fmt: skip
    try:
        await channel.send(message)
    except NotSent as failed:
        return Outcome(410 if failed.permanent else 503, failed.retry_after)
    return Outcome(202)


async def record(world: World, target: Target, found: Prepared, outcome: Outcome, *, network: str = "") -> None:
    """Note the attempt in the access record: who was told of what.

    :param network: the receiver's address where the endpoint does not say it.
    :raises Problem: it could not be recorded.
    """
    stored = target.stored
    objects = [Accessed(stored.type, stored.id, stored.version)]
    if target.terms.content != "empty":
        for one in found.shown:
            people = tuple(each for each in one.extra.get("patients") or () if each != "#")
            objects.append(Accessed(one.type, one.id, one.version, people))
    endpoint = target.terms.endpoint
    host = urlsplit(endpoint).hostname or endpoint.rpartition("@")[2]
    await world.record.add(
        by(
            target.policy.caller, "notification", action="R", at=world.unmoved().clock(),
            outcome=SUCCESS if outcome.accepted else MINOR, network=network or host, objects=tuple(objects),
            reason="" if outcome.accepted else code_of(outcome),
        )
    )  # fmt: skip


def code_of(outcome: Outcome) -> str:
    """A code of our CodeSystem *delivery-error*."""
    if outcome.status == 410:
        return "gone"
    return "channel-off" if outcome.error == "channel-off" else "not-delivered"


def text_of(outcome: Outcome) -> str:
    """What went wrong, in a sentence that may be shown to the subscriber."""
    if outcome.status is not None:
        said = "; redirects are not followed" if outcome.error == "redirect" else ""
        return f"the receiver answered with status {outcome.status}{said}"
    if outcome.error == "channel-off":
        return "this server does not send e-mail at present"
    return "the address is not one that this server sends to" if outcome.error in HOPELESS else NOT_REACHED

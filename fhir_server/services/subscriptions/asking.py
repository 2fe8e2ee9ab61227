"""What subscribers ask about their Subscriptions: how they stand, what they missed, what shall be sent again.

https://hl7.org/fhir/uv/subscriptions-backport/STU1.1/OperationDefinition-backport-subscription-status.html
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from fhir_server.errors import Category, problem
from fhir_server.fhir.json import parse
from fhir_server.search.query import Clause, IdIn, TokenIn
from fhir_server.services import resources
from fhir_server.services.access.writes import refused
from fhir_server.services.subscriptions.notification import Resource, Standing, bundle, searchset
from fhir_server.services.subscriptions.owner import owner_of, policy_of
from fhir_server.services.subscriptions.sending import Prepared, base_of, prepared
from fhir_server.services.subscriptions.terms import CONTENTS, Terms
from fhir_server.services.subscriptions.writing import RESEND, TYPE, terms_of
from fhir_server.services.world import World
from fhir_server.store.resources import Stored, stored
from fhir_server.store.subscriptions import Progress, Secret

AT_ONCE = 200
"""Events of one answer, and Subscriptions of one."""

OVERLAP_SECONDS = 86_400
"""So long the former secret signs too."""

TOKEN_SECONDS = 60


@dataclass(frozen=True)
class Asked:
    """A Subscription of the caller's, with its terms and progress."""

    stored: Stored
    terms: Terms
    progress: Progress

    def standing(self, base: str, content: str = "") -> Standing:
        status = parse(self.stored.body)["status"]
        return Standing(
            base, self.stored.id, self.terms.topic, status, self.progress.n, content or self.terms.content,
            self.progress.error,
        )  # fmt: skip


async def asked(world: World, id_: str, *, own: bool = True) -> Asked:
    """The Subscription as the caller may ask about it.

    :param own: only whoever made it.
    :raises Problem: 404 hidden or absent, 410 deleted, 403 for an administrator where it is the owner's matter.
    """
    found = await resources.read(world, TYPE, id_)
    if own and found.extra.get("owner") != world.policy.caller.party:
        raise refused(TYPE, "only the party that made it asks for this")
    progress = await world.store.subscriptions.get(id_)
    if progress is None:
        raise resources.absent(TYPE, id_)
    return Asked(found, terms_of(world, parse(found.body)), progress)


async def status_of(world: World, base: str, id_: str) -> Resource:
    """``$status`` of one Subscription: a searchset of one Parameters."""
    found = await asked(world, id_, own=False)
    return searchset([found.standing(base)], f"{base}/{TYPE}/{id_}/$status")


async def statuses(world: World, base: str, ids: Sequence[str], states: Sequence[str], url: str) -> Resource:
    """``$status`` of those that the caller sees, cut to ids and states where some are given."""
    clauses: list[Clause] = []
    if ids:
        clauses.append(IdIn(tuple(ids)))
    if states:
        clauses.append(TokenIn(world.definitions.of(TYPE)["status"], tuple(f"={one}" for one in states)))
    rows = await world.view.find(TYPE, clauses, sort=[("_id", 1)], limit=AT_ONCE, fields={"idx": 0})
    known = [stored(TYPE, one) for one in rows]
    progress = await world.store.subscriptions.get_many([one.id for one in known])
    found = [Asked(one, terms_of(world, parse(one.body)), progress[one.id]) for one in known if one.id in progress]
    return searchset([one.standing(base) for one in found], url)


@dataclass(frozen=True, slots=True)
class Answered:
    """``$events``: the Bundle, and the versions that it shows."""

    bundle: Resource
    subscription: Stored
    shown: tuple[Stored, ...]


async def events_of(world: World, base: str, id_: str, since: int | None, until: int | None, content: str) -> Answered:
    """``$events``: those with numbers from ``since`` to ``until``, both included, as the caller sees them now.

    :param content: may say less than the Subscription, never more.
    :raises Problem: 400 for a range that is none, 410 for events that are no longer kept.
    """
    found = await asked(world, id_)
    progress = found.progress
    first, last = await _range(world, found, since, until)
    least = min(CONTENTS.index(content or found.terms.content), CONTENTS.index(found.terms.content))
    wanted = CONTENTS[least]
    events = await world.store.subscriptions.events(progress.line, first, last, limit=AT_ONCE)
    seen = await prepared(world, events, wanted) if events else Prepared((), ())
    shown = () if wanted == "empty" else seen.shown
    made = bundle(found.standing(base, wanted), "query-event", seen.told, world.clock())
    return Answered(made, found.stored, shown)


async def _range(world: World, found: Asked, since: int | None, until: int | None) -> tuple[int, int]:
    """Numbers from and to which events are asked for.

    :raises Problem: 400, 410.
    """
    progress = found.progress
    first, last = max(1, since if since is not None else 1), min(until if until is not None else progress.n, progress.n)
    if since is not None and until is not None and since > until:
        raise problem(Category.INVALID, "eventsSinceNumber is above eventsUntilNumber", "eventsSinceNumber")
    if first <= last:
        earliest = await world.store.subscriptions.earliest(progress.line)
        if since is not None and (earliest is None or earliest > first):
            text = f"events before number {earliest or progress.n + 1} are no longer kept; read the resources"
            raise problem(Category.GONE, text, "eventsSinceNumber")
    return first, last


async def resend(world: World, id_: str, since: int | None, until: int | None) -> tuple[int, int]:
    """``$resend``: let events be sent to the receiver again; the numbers from and to which they are.

    :raises Problem: as :func:`events_of`; 422 for a Subscription that is not active, or has no receiver to send to.
    """
    found = await asked(world, id_)
    if found.terms.channel == "websocket":
        raise problem(Category.RULE, "a websocket asks $events for what it missed", TYPE)
    if parse(found.stored.body)["status"] != "active":
        raise problem(Category.RULE, "only an active Subscription is sent to; set it to requested first", TYPE)
    first, last = await _range(world, found, since, until)
    if first > last:
        raise problem(Category.RULE, "there are no such events", "eventsSinceNumber")
    about = {"line": found.progress.line, "first": first, "last": last}
    await world.store.work.plan(None, RESEND, id_, world.clock(), about)
    return first, last


async def rotate_secret(world: World, id_: str) -> tuple[Secret, int]:
    """``$rotate-secret``: a new secret that signs from now on; until when (epoch seconds) the former one does, 0: none.

    :raises Problem: 409 when somebody else does the same at this moment.
    """
    found = await asked(world, id_)
    now = world.unmoved().now()
    former = [one for one in found.progress.secrets if not one.until or one.until > now][-1:]
    until = now + OVERLAP_SECONDS
    kept = [Secret(one.id, one.text, until) for one in former]
    made = Secret(secrets.token_hex(4), f"whsec_{secrets.token_urlsafe(32)}")
    if not await world.store.subscriptions.keep_secrets(id_, found.progress.secrets, [*kept, made]):
        raise problem(Category.CONFLICT, "the secret was changed at the same moment", TYPE)
    return made, until if kept else 0


# -- websockets ------------------------------------------------------------------------------------------------------


async def binding_token(world: World, ids: Sequence[str]) -> tuple[str, int]:
    """``$get-ws-binding-token``: a text that binds one websocket to these Subscriptions, and when it expires (seconds).

    :raises Problem: 404 for one that the caller does not have, 422 for one that is off or of another channel.
    """
    if not ids:
        raise problem(Category.REQUIRED, "say which Subscriptions", "id", "param-missing")
    if len(ids) > AT_ONCE:
        raise problem(Category.INVALID, f"at most {AT_ONCE} Subscriptions are bound at once", "id", "param-invalid")
    for one in ids:
        found = await asked(world, one)
        if found.terms.channel != "websocket" or parse(found.stored.body)["status"] in {"off", "error"}:
            raise problem(Category.RULE, f"{TYPE}/{one} is not of channel websocket, or is off", TYPE)
    text = secrets.token_urlsafe(32)
    owner = orjson.dumps(owner_of(world.policy.caller, token=True))
    expires = world.unmoved().now() + TOKEN_SECONDS
    sealed = world.store.sealer.seal_bytes(f"bindings/{_digest(ids)}", owner)
    await world.store.subscriptions.bindings.put(text, {"ids": list(ids), "owner": sealed}, expires=expires)
    return text, expires


@dataclass(frozen=True)
class Bound:
    """What a token binds: Subscriptions, and the caller by whose rights they are told."""

    ids: tuple[str, ...]
    owner: dict[str, Any]

    async def world(self, world: World) -> World | None:
        """The world of that caller; None when their access is over."""
        policy = await policy_of(world, self.owner)
        return None if policy is None else world.under(policy)


async def bind(world: World, token: str) -> Bound | None:
    """What a token binds, once; None for one that is unknown, used or over."""
    found = await world.store.subscriptions.bindings.use(token, world.unmoved().now())
    if found is None:
        return None
    ids = tuple(found["ids"])
    owner = orjson.loads(world.store.sealer.open_bytes(f"bindings/{_digest(ids)}", bytes(found["owner"])))
    return Bound(ids, owner)


def _digest(ids: Sequence[str]) -> str:
    return " ".join(ids)


def socket_url(world: World) -> str:
    """Where websockets are opened."""
    return base_of(world).replace("http", "ws", 1).removesuffix("/fhir") + "/subscriptions/websocket"

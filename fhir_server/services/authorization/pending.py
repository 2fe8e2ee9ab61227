"""Authorization requests that wait for a person: begun by an app, ended by consent or refusal."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from fhir_server.access.account import Account
from fhir_server.access.client import Client
from fhir_server.access.scopes import Scopes, parse, within
from fhir_server.services.authorization import authorize_request, clients
from fhir_server.services.authorization.context import is_id
from fhir_server.services.authorization.launches import Launch
from fhir_server.services.authorization.redirects import Redirected, Unredirectable, answer_url
from fhir_server.services.world import World
from fhir_server.store.authorization.grants import Grant
from fhir_server.store.authorization.tickets import AUTHORIZE_REQUESTS, digest

__all__ = ["Launch", "Pending", "Redirected", "Unredirectable", "approve", "begin", "deny", "get"]

WAITING_SECONDS = 600
CODE_SECONDS = 60
CODE_KEPT_SECONDS = 86400
"""So long a code is known after its use: whoever brings it again ends what its first use gave."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A request that was checked. ``id`` is random; ``scopes`` are cut to what the client may have.

    ``needs_patient``: a patient has to be chosen. ``max_age`` is in seconds, ``created`` in epoch seconds.
    """

    id: str
    client: Client
    scopes: Scopes
    redirect_uri: str
    state: str
    nonce: str
    code_challenge: str
    launch: Launch | None
    needs_patient: bool
    prompt: str
    max_age: int | None
    created: int


async def begin(world: World, pairs: Sequence[tuple[str, str]]) -> Pending:
    """Check a request's parameters and let it wait, for ten minutes.

    :raises Unredirectable: it is to be shown as a page, status 400.
    :raises Redirected: the app is told what is wrong.
    """
    checked = await authorize_request.check(world, pairs)
    now = world.now()
    pending = Pending(
        secrets.token_urlsafe(24), checked.client, checked.scopes, checked.redirect_uri, checked.state, checked.nonce,
        checked.code_challenge, checked.launch, _needs_patient(checked.scopes, checked.launch), checked.prompt,
        checked.max_age, now,
    )  # fmt: skip
    content = {
        "client": pending.client.id,
        "scopes": world.store.sealer.seal_bytes(_purpose(pending.id), str(pending.scopes).encode()),
        "redirect_uri": pending.redirect_uri,
        "state": pending.state.encode("utf-8", "surrogateescape"),
        "nonce": pending.nonce,
        "code_challenge": pending.code_challenge,
        "launch": asdict(pending.launch) if pending.launch else None,
        "launch_id": checked.launch_id,
        "prompt": pending.prompt,
        "max_age": pending.max_age,
        "created": now,
    }
    await world.store.authorization.requests.put(pending.id, content, expires=now + WAITING_SECONDS)
    return pending


def _purpose(id_: str) -> str:
    """Where the scopes of a request are sealed: their criteria may say why somebody comes."""
    return f"{AUTHORIZE_REQUESTS}/{digest(id_)}"


def _needs_patient(scopes: Scopes, launch: Launch | None) -> bool:
    asked = "launch/patient" in scopes.others or "patient" in scopes.contexts
    return asked and not (launch is not None and launch.patient)


async def get(world: World, id_: str) -> Pending | None:
    """A request that still waits."""
    found = await world.store.authorization.requests.get(id_)
    if found is None or "used" in found or found["expires"] <= world.now():
        return None
    client = await clients.get(world, found["client"])
    if client is None or client.disabled:
        return None
    asked = world.store.sealer.open_bytes(_purpose(id_), bytes(found["scopes"])).decode()
    scopes = within(parse(asked), client.scopes)
    launch = Launch(**found["launch"]) if found["launch"] else None
    return Pending(
        id_, client, scopes, found["redirect_uri"], bytes(found["state"]).decode("utf-8", "surrogateescape"),
        found["nonce"], found["code_challenge"], launch, _needs_patient(scopes, launch), found["prompt"],
        found["max_age"], found["created"],
    )  # fmt: skip


async def approve(
    world: World,
    pending: Pending,
    account: Account,
    *,
    scopes: Scopes,
    patient: str,
    session: str,
    authenticated: int,
) -> str:
    """The person agrees: where the browser goes with the code.

    :param scopes: what the person left; never more than was asked.
    :param patient: the chosen patient (``Patient/1``), one that this person may see; a launch's patient comes first.
    :param authenticated: when the person logged in, in epoch seconds.
    :raises Unredirectable: the request is over, or was answered.
    """
    request = await _end(world, pending)
    launch = pending.launch
    patient = (launch.patient if launch else "") or patient
    if account.disabled or (launch and launch.account not in {"", account.id}):
        return _refused(world, pending, "access_denied")
    if not is_id(patient.removeprefix("Patient/")) or not patient.startswith("Patient/"):
        patient = ""
    granted = _fitting(within(scopes, pending.scopes), pending, account, patient)
    if not granted.resources and not granted.others:
        return _refused(world, pending, "access_denied")
    now = world.now()
    if launch and await world.store.authorization.launches.use_id(request["launch_id"], now) is None:
        return _refused(world, pending, "invalid_request")
    needed = "patient" in granted.contexts or granted.others & {"launch", "launch/patient"}
    grant = Grant(
        id=secrets.token_urlsafe(16),
        client=pending.client.id,
        account=account.id,
        scopes=granted,
        patient=patient if needed else "",
        session=session,
        created=now,
        last_used=now,
        offline="offline_access" in granted.others,
        until=now + CODE_SECONDS,
        context=_context(launch),
    )
    await world.store.authorization.grants.add(grant)
    code = secrets.token_urlsafe(32)
    content = {
        "client": pending.client.id,
        "redirect_uri": pending.redirect_uri,
        "code_challenge": pending.code_challenge,
        "nonce": pending.nonce,
        "authenticated": authenticated,
        "grant": grant.id,
    }
    await world.store.authorization.codes.put(code, content, expires=now + CODE_SECONDS, kept=CODE_KEPT_SECONDS)
    return answer_url(world, pending.redirect_uri, pending.state, code=code)


async def deny(world: World, pending: Pending, error: str = "access_denied") -> str:
    """The person does not agree, or cannot be asked: where the browser goes with the error.

    :raises Unredirectable: the request is over, or was answered.
    """
    await _end(world, pending)
    return _refused(world, pending, error)


async def _end(world: World, pending: Pending) -> dict[str, Any]:
    request = await world.store.authorization.requests.use(pending.id, world.now())
    if request is None:
        raise Unredirectable("This request is over", "Go back to the app and start again.")
    return request


def _refused(world: World, pending: Pending, error: str) -> str:
    return answer_url(world, pending.redirect_uri, pending.state, error=error)


def _fitting(scopes: Scopes, pending: Pending, account: Account, patient: str) -> Scopes:
    """The scopes that mean something with this person, patient and launch."""
    launch = pending.launch or Launch()
    held = {
        "launch": pending.launch is not None,
        "launch/patient": bool(patient),
        "launch/encounter": bool(launch.encounter),
        "launch/appointment": bool(launch.appointment),
        "offline_access": "refresh_token" in pending.client.grant_types,
        "online_access": "refresh_token" in pending.client.grant_types,
        "fhirUser": bool(account.fhir_user),
    }
    contexts = {"patient": bool(patient), "user": bool(account.fhir_user), "system": False}
    return replace(
        scopes,
        resources=tuple(one for one in scopes.resources if contexts[one.context]),
        others=frozenset(name for name in scopes.others if held.get(name, True)),
    )


def _context(launch: Launch | None) -> dict[str, Any]:
    """What a token response says of the launch."""
    if launch is None:
        return {}
    said = {"encounter": launch.encounter, "appointment": launch.appointment, "intent": launch.intent}
    return {
        **{name: value for name, value in said.items() if value},
        "need_patient_banner": launch.need_patient_banner,
    }

"""Access tokens: issued as JWTs of https://www.rfc-editor.org/rfc/rfc9068, and what a token says of its caller.

A token is checked whole the first time a process sees it; then the caller is remembered by the token's digest until it
expires, for a minute at most, and forgotten when the access epoch moves. So the end of somebody's access is effective
with the next request in every process, for the price of one find that all requests of a moment share.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jwt

from fhir_server.access.account import Account
from fhir_server.access.caller import CHANNELS, STAFF, Caller, Role
from fhir_server.access.client import Client
from fhir_server.access.scopes import Scopes, parse, within
from fhir_server.services.authorization import accounts, compact, issuers, keys, sessions
from fhir_server.services.authorization.context import check_context, is_id, with_context
from fhir_server.services.authorization.invalid_token import InvalidToken
from fhir_server.services.authorization.memory import Known
from fhir_server.services.world import World

BACKEND_SECONDS = 300
REMEMBERED_SECONDS = 60
"""A process that dies between ending an access and moving the epoch leaves it open no longer than this."""

TYPE = "at+jwt"


@dataclass(frozen=True, slots=True)
class Issued:
    """A token, its ``jti``, its life in seconds and when it expires in epoch seconds."""

    token: str
    id: str
    expires_in: int
    expires: int
    scopes: Scopes


async def issue(
    world: World,
    *,
    client: Client,
    scopes: Scopes,
    account: Account | None = None,
    patient: str = "",
    grant: str = "",
    session: str = "",
    context: Mapping[str, Any] | None = None,
) -> Issued:
    """An access token of a person (with an account) or of a backend on its own behalf.

    :param patient: ``Patient/1``, the patient in context.
    :param context: more claims of the launch, ``encounter`` and ``fhirContext``, as a token response says them.
    :raises NoContextError: patient/ scopes without a patient, user/ without the person's resource, system/ with others.
    """
    fhir_user = account.fhir_user if account else ""
    check_context(scopes, patient=patient, fhir_user=fhir_user, person=account is not None)
    now = world.now()
    life = world.settings.access_token_minutes * 60 if account else BACKEND_SECONDS
    base = audience(world)
    claims: dict[str, Any] = {
        "iss": world.settings.issuer,
        "aud": base,
        "sub": account.id if account else client.id,
        "client_id": client.id,
        "scope": str(scopes),
        "jti": secrets.token_urlsafe(16),
        "iat": now,
        "exp": now + life,
        **(context or {}),
    }
    named = {
        "grant": grant,
        "sid": session,
        "patient": patient.removeprefix("Patient/"),
        "fhirUser": f"{base}/{fhir_user}" if fhir_user else "",
    }
    claims |= {name: value for name, value in named.items() if value}
    key = await keys.signing(world, "access")
    header = {"alg": key.algorithm, "typ": TYPE, "kid": key.kid}
    token = jwt.encode(header, claims, key.key, algorithms=[key.algorithm])
    return Issued(token, claims["jti"], life, claims["exp"], scopes)


def audience(world: World) -> str:
    """The FHIR base that our tokens are for, without a slash."""
    return world.settings.bases[0].rstrip("/")


async def caller_of(world: World, token: str) -> Caller:
    """Who asks with this token.

    :raises InvalidToken: when it opens nothing, or no longer.
    """
    digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
    known = world.memory.callers.get(digest)
    if known is not None and known.caller.role is not Role.PATIENT:
        epoch = await world.store.access_epoch.leased()
    else:
        # A Consent or RelatedPerson that changes whom a patient acts for moves the epoch on and does not wait.
        epoch = await world.store.access_epoch.current() or 0
    now = world.now()
    if known is not None:
        if known.epoch == epoch and known.until > now:
            return known.caller
        world.memory.callers.pop(digest, None)
    caller = await _checked(world, token, now)
    world.memory.remember(digest, Known(caller, epoch, min(caller.expires, now + REMEMBERED_SECONDS)))
    return caller


async def _checked(world: World, token: str, now: int) -> Caller:
    if world.memory.issuers:
        outside = compact.claims_of(token).get("iss")
        if isinstance(outside, str) and outside in world.memory.issuers:
            return await issuers.caller(world, world.memory.issuers[outside], token, now)
    return await caller_from(world, await read(world, token, now))


async def read(world: World, token: str, now: int) -> compact.Claims:
    """The claims of an access token that we signed for ourselves and that has not expired.

    :raises InvalidToken: for every other text, an ID token among them.
    """
    header = compact.header_of(token)
    if str(header.get("typ", "")).lower().removeprefix("application/") != TYPE:
        raise InvalidToken("type")
    if header["alg"] != keys.ALGORITHMS["access"]:
        raise InvalidToken("algorithm")
    key = await keys.verifying(world, "access", header.get("kid", ""))
    if key is None:
        raise InvalidToken("key")
    claims = compact.verified(token, key.key, key.algorithm)
    if claims.get("iss") != world.settings.issuer:
        raise InvalidToken("issuer")
    compact.check_audience(claims, (audience(world),))
    compact.check_times(claims, now)
    return claims


async def caller_from(world: World, claims: compact.Claims) -> Caller:
    """What the claims are worth now: client, account, session and grant are looked up.

    :raises InvalidToken: nothing, or no longer.
    """
    store = world.store.authorization
    client_id, subject, jti, grant_id, session = (
        compact.text(claims, name) for name in ("client_id", "sub", "jti", "grant", "sid")
    )
    client = await store.clients.get(client_id)
    if client is None or client.disabled:
        raise InvalidToken("client")
    if await store.token_ids.known(world.settings.issuer, jti):
        raise InvalidToken("revoked")
    person = None if subject == client_id else await accounts.account(world, subject)
    if subject != client_id and (person is None or person.disabled):
        raise InvalidToken("account")
    offline = False
    if grant_id:
        grant = await store.grants.get(grant_id)
        if grant is None or grant.account != subject or grant.client != client_id:
            raise InvalidToken("revoked")
        offline = grant.offline
    if session and not offline and not await sessions.alive(world, session):
        raise InvalidToken("session")
    patient = compact.text(claims, "patient")
    role = person.role if person else Role.SYSTEM
    caller = Caller(
        client=client_id,
        channel=(client.channel if role is Role.SYSTEM else "") or CHANNELS[role],
        role=role,
        scopes=within(parse(compact.text(claims, "scope")), client.scopes),
        subject=person.id if person else "",
        issuer=world.settings.issuer,
        token=jti,
        fhir_user=person.fhir_user if person else "",
        persons=person.persons if person else (),
        patient=f"Patient/{patient}" if is_id(patient) else "",
        clinics=walls(client, person),
        session=session,
        grant=grant_id,
        expires=int(claims["exp"]),
    )
    return with_context(caller)


def walls(client: Client, person: Account | None) -> frozenset[str] | None:
    """The clinics that a token opens: the client's, and of staff only those in which they work."""
    if person is None or person.role not in STAFF:
        return client.clinics
    return person.clinics if client.clinics is None else person.clinics & client.clinics
